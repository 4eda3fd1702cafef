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
	revision  int // 3 or 4; 0 if there is no such revision, or the request names several
	base64    bool
	jsonp     *jsonp
}

// newQuery reads the query of a URL. A semicolon is a character like any other in
// it, as it is for Node; what is malformed counts as absent.
func newQuery(raw string) query {
	if q, ok := readQuery(raw); ok {
		return q
	}
	values, _ := url.ParseQuery(strings.ReplaceAll(raw, ";", "%3B"))
	q := query{
		transport: only(values["transport"]),
		sid:       strings.Join(values["sid"], ","), // of several, none is known
		base64:    values.Get("b64") != "",
		jsonp:     newJSONP(values),
	}
	if revisions := values["EIO"]; len(revisions) == 0 {
		q.revision = revisionOf("")
	} else if text := only(revisions); text != "" {
		q.revision = revisionOf(text)
	}
	return q
}

// revisionOf returns the revision that a request names. Clients that name none, or 2, speak
// revision 3.
func revisionOf(text string) int {
	switch text {
	case "", "2", "3":
		return 3
	case "4":
		return 4
	default:
		return 0
	}
}

// readQuery is newQuery for what all clients send that follow the protocol, at a tenth of
// the cost: each parameter of ours once, and none of them escaped. It is false for
// everything else.
func readQuery(raw string) (q query, ok bool) {
	var revision string
	for parameter := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(parameter, "=")
		var field *string
		switch name {
		case "transport":
			field = &q.transport
		case "sid":
			field = &q.sid
		case "EIO":
			field = &revision
		case "b64", "j":
			return q, false
		default:
			continue
		}
		if *field != "" || value == "" {
			return q, false
		}
		*field = value
	}
	q.revision = revisionOf(revision) // none is empty
	return q, !strings.ContainsAny(raw, ";%+")
}

// IsJSONP reports whether a request comes from a script element, of which CORS says
// nothing: whoever checks origins has to see it as this package does.
func IsJSONP(r *http.Request) bool {
	return strings.ContainsAny(r.URL.RawQuery, "j%") && newQuery(r.URL.RawQuery).jsonp != nil
}

// IsRevision3 reports whether r is of a client of revision 3, which browsers let ask only with
// credentials.
func IsRevision3(r *http.Request) bool { return newQuery(r.URL.RawQuery).revision == 3 }

// only returns the single value of a parameter, or "".
func only(values []string) string {
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

func (q query) variant() Variant {
	return Variant{Revision: uint8(q.revision), Base64: q.base64 || q.jsonp != nil}
}

// cleanPath reports whether no segment of a path is empty or made of dots: such paths
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

// cleanOrigin reports whether the origin is made of what a header may carry.
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

// isBinary reports whether the body of a POST is a binary payload.
func isBinary(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/octet-stream")
}

// isEncoded reports whether the body of a POST is compressed, which no client does.
func isEncoded(r *http.Request) bool {
	encoding := strings.TrimSpace(r.Header.Get("Content-Encoding"))
	return encoding != "" && !strings.EqualFold(encoding, "identity")
}
