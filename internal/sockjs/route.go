package sockjs

import (
	"net/url"
	"strings"
)

// Route is where a path leads.
type Route struct {
	endpoint endpoint
	key      key // of the session; zero where there is none
	longest  int // bytes of the longer one of the segments that the client has chosen
}

// key names a session. The id alone does, for the server part is there for load
// balancers; but each mount point has sessions of its own.
type key struct{ base, id string }

// NewRoute finds out where a path leads, which has to be in its escaped form. The first
// mount bytes of it are the base: what the handler is mounted on, without a slash at the end.
func NewRoute(path string, mount int) Route {
	base, rest := path[:mount], path[mount:]
	if rest == "" || rest == "/" {
		return Route{endpoint: greeting}
	}
	segments := split(rest)
	switch len(segments) {
	case 1:
		return Route{endpoint: ofBase(segments[0])}
	case 3:
		return ofSession(base, segments[0], segments[1], segments[2])
	default:
		return Route{}
	}
}

// GuessRoute is NewRoute where nobody knows the base: it goes by how the path ends. A
// WebSocket without framing is taken for one with it if the base has two segments or more.
func GuessRoute(path string) Route {
	if path == "" || path == "/" {
		return Route{endpoint: greeting}
	}
	segments := split(path)
	n := len(segments)
	if n >= 3 {
		base := "/" + strings.Join(segments[:n-3], "/")
		if r := ofSession(base, segments[n-3], segments[n-2], segments[n-1]); r.endpoint != nowhere {
			return r
		}
	}
	if n == 0 {
		return Route{}
	}
	return Route{endpoint: ofBase(segments[n-1])}
}

// split takes a path apart, which may end in one slash; nil if it does not begin with one.
func split(path string) []string {
	path, ok := strings.CutPrefix(path, "/")
	if !ok {
		return nil
	}
	return strings.Split(strings.TrimSuffix(path, "/"), "/")
}

func ofBase(segment string) endpoint {
	switch {
	case segment == "info":
		return info
	case segment == "websocket":
		return rawWebSocket
	case isIframe(segment):
		return iframe
	default:
		return nowhere
	}
}

// isIframe reports whether a segment is the name of the iframe page: it may hold a version.
func isIframe(segment string) bool {
	name, ok := strings.CutSuffix(segment, ".html")
	if !ok {
		return false
	}
	version, ok := strings.CutPrefix(name, "iframe")
	if !ok {
		return false
	}
	for i := range len(version) {
		if c := version[i]; !isDigit(c) && (c < 'a' || 'z' < c) && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return true
}

func ofSession(base, server, id, name string) Route {
	e := bySegment(name)
	if e == nowhere || !isSegment(server) || !isSegment(id) {
		return Route{}
	}
	text, err := url.PathUnescape(id)
	if err != nil {
		return Route{}
	}
	return Route{endpoint: e, key: key{base: base, id: text}, longest: max(len(server), len(id))}
}

// isSegment reports whether a segment can be the server's or the session's.
func isSegment(s string) bool {
	return s != "" && strings.IndexByte(s, '.') < 0
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// Embedded reports whether the route leads to what a page can load without a word from
// CORS and without an Origin: iframes and scripts. Its origin needs another proof.
func (r Route) Embedded() bool { return r.endpoint.traits().embedded }

// EventSource reports whether the route leads to an EventSource. Clients that are no browsers use it
// too. But a page can also load it as an image: without CORS, and without an Origin.
func (r Route) EventSource() bool { return r.endpoint == eventSource }
