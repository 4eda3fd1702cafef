package engineio

import (
	"net/http"
	"net/url"
	"strings"
)

// The names of the transports, as they stand in requests.
const (
	transportPolling   = "polling"
	transportWebSocket = "websocket"
)

// query is what a request asks for.
type query struct {
	transport string // "" if it is not exactly one
	sid       string
	revision  int // 0 if it is neither 3 nor 4, or not exactly one
	base64    bool
	jsonp     jsonp
}

// newQuery reads the query of a URL. A semicolon is a character like any other in
// it, as it is for Node; what is malformed counts as absent.
func newQuery(raw string) query {
	values, _ := url.ParseQuery(strings.ReplaceAll(raw, ";", "%3B"))
	q := query{
		transport: only(values["transport"]),
		sid:       strings.Join(values["sid"], ","), // of several, none is known
		base64:    values.Get("b64") != "",
		jsonp:     newJSONP(values),
	}
	switch only(values["EIO"]) {
	case "3":
		q.revision = 3
	case "4":
		q.revision = 4
	}
	return q
}

// IsJSONP says whether a request comes from a script element, of which CORS says
// nothing: whoever checks origins has to see it as this package does.
func IsJSONP(r *http.Request) bool {
	return strings.ContainsAny(r.URL.RawQuery, "j%") && newQuery(r.URL.RawQuery).jsonp.on
}

// only returns the single value of a parameter, or "".
func only(values []string) string {
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

func (q query) variant() Variant {
	return Variant{Revision: uint8(q.revision), Base64: q.base64 || q.jsonp.on}
}

// cleanPath says whether no segment of a path is empty or made of dots: such paths
// mean something else to every proxy on the way.
func cleanPath(path string) bool {
	if path == "" || path == "/" {
		return true
	}
	path = strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/")
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

// cleanOrigin says whether the origin is made of what a header may carry.
func cleanOrigin(r *http.Request) bool {
	for _, origin := range r.Header["Origin"] {
		for i := range len(origin) {
			if c := origin[i]; c < ' ' || c > '~' {
				return false
			}
		}
	}
	return true
}

// isBinary says whether the body of a POST is a binary payload.
func isBinary(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/octet-stream")
}

// isEncoded says whether the body of a POST is compressed, which no client does.
func isEncoded(r *http.Request) bool {
	encoding := strings.TrimSpace(r.Header.Get("Content-Encoding"))
	return encoding != "" && !strings.EqualFold(encoding, "identity")
}
