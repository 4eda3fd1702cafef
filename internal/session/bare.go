package session

import (
	"context"
	"net/http"
)

type bareKey struct{}

// Bare marks a request of a page that is not trusted with its user's credentials: the answer sets
// no cookie.
func Bare(ctx context.Context) context.Context { return context.WithValue(ctx, bareKey{}, true) }

// IsBare reports whether r is such a request.
func IsBare(r *http.Request) bool { return r.Context().Value(bareKey{}) != nil }
