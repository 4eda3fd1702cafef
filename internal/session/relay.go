package session

import (
	"context"
	"hash/fnv"
	"io"
	"net/http"
	"strings"
)

type relayKey struct{}

// Relay marks a request that another node has sent on for its client. If its connection
// breaks that may be the node's end and not the client's: then whoever is in front of the
// nodes sends the same request again, by way of another one.
func Relay(ctx context.Context) context.Context { return context.WithValue(ctx, relayKey{}, true) }

// IsRelayed reports whether r is such a request.
func IsRelayed(r *http.Request) bool { return r.Context().Value(relayKey{}) != nil }

// Mark tells one request from another, if its client or a proxy has given it something to
// know it by: X-Request-Id, or the parameter t. Otherwise it is 0. Two requests with the
// same mark are one that was sent again.
func Mark(r *http.Request) uint64 {
	id, query := r.Header.Get("X-Request-Id"), r.URL.RawQuery
	if id == "" && !strings.Contains("&"+query, "&t=") {
		return 0
	}
	h := fnv.New64a()
	_, _ = io.WriteString(h, id+" "+query)
	return h.Sum64() | 1
}
