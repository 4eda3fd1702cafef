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
	transport string
	sid       string
	revision  int // 3 or 4; 0 if there is no such revision, or the request names several
	base64    bool
	jsonp     *jsonp
}

// newQuery reads the query of a URL. A semicolon is a character like any other in
// it, as it is for Node; what is malformed counts as absent.
func newQuery(raw string) (q query) {
	var transport, sid, revision, base64, index parameter
	for part := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			continue
		}
		if value, err = url.QueryUnescape(value); err != nil {
			continue
		}
		switch name {
		case "transport":
			transport.add(value)
		case "sid":
			sid.add(value)
		case "EIO":
			revision.add(value)
		case "b64":
			base64.add(value)
		case "j":
			index.add(value)
		}
	}
	q.transport, q.sid, q.base64 = transport.all, sid.all, base64.first != ""
	if index.given {
		q.jsonp = newJSONP(index.first)
	}
	switch {
	case !revision.given, revision.all == "2", revision.all == "3": // clients that name none speak revision 3
		q.revision = 3
	case revision.all == "4":
		q.revision = 4
	}
	return q
}

// parameter is what a query has under one name.
type parameter struct {
	given bool
	first string // of its values
	all   string // of them, joined by commas: several values match nothing
}

func (p *parameter) add(value string) {
	if p.given {
		p.all += "," + value
		return
	}
	*p = parameter{given: true, first: value, all: value}
}

// IsJSONP reports whether a request comes from a script element, of which CORS says
// nothing: whoever checks origins has to see it as this package does.
func IsJSONP(r *http.Request) bool {
	return strings.ContainsAny(r.URL.RawQuery, "j%") && newQuery(r.URL.RawQuery).jsonp != nil
}

// IsRevision3 reports whether r is of a client of revision 3, which browsers let ask only with
// credentials.
func IsRevision3(r *http.Request) bool { return newQuery(r.URL.RawQuery).revision == 3 }

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
