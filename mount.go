package thinkws

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"
)

// mountOf returns the length of what of an escaped path is the mount point of a handler:
// "/app/sockjs" for one that chi or ServeMux serves at /app/sockjs/*. It is 0 where that
// cannot be known: outside of both, at "/", or below http.StripPrefix.
func mountOf(r *http.Request, path string) int {
	n := matched(path, r.Pattern)
	if routing := chi.RouteContext(r.Context()); routing != nil {
		n = max(n, matched(path, strings.Join(routing.RoutePatterns, "")))
	}
	return n
}

// matched returns the length of what of an escaped path the fixed part of a pattern
// stands for, 0 if they do not agree. Wildcards stand for one segment each, but those of
// many, which end the fixed part.
func matched(path, pattern string) int {
	_, pattern, _ = strings.Cut(pattern, "/") // [METHOD ][HOST]/
	n := 0
	for want := range strings.SplitSeq(pattern, "/") {
		if want == "" || want == "*" {
			continue // the end, or where chi has put two patterns together
		}
		if want == "{$}" || strings.HasSuffix(want, "...}") {
			break
		}
		segment, ok := strings.CutPrefix(path[n:], "/")
		if !ok {
			return 0
		}
		segment, _, _ = strings.Cut(segment, "/")
		if !strings.Contains(want, "{") && !isSegment(segment, want) {
			return 0
		}
		n += 1 + len(segment)
	}
	return n
}

func isSegment(escaped, want string) bool {
	if escaped == want {
		return true
	}
	text, err := url.PathUnescape(escaped)
	return err == nil && text == want
}

// indexPath returns the length of path up to the end of where mount first stands in it, 0
// if it does not.
func indexPath(path, mount string) int {
	for from := 0; from < len(path); {
		if n := matched(path[from:], mount); n > 0 {
			return from + n
		}
		next := strings.IndexByte(path[from+1:], '/')
		if next < 0 {
			break
		}
		from += 1 + next
	}
	return 0
}
