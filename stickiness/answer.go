package stickiness

import (
	"io"
	"maps"
	"net/http"
	"slices"

	"github.com/seed-ce09063a/thinkws/internal/headers"
)

// answer is the ResponseWriter that httputil.ReverseProxy writes an owner's answer to. ReverseProxy adds the owner's
// headers to those that it finds, and clears all of them after a 1xx response. So it finds none here: answer merges the
// owner's headers into those of the middleware in front, at the moment that they are written. If the owner fails
// before, the headers of the middleware are as they were.
//
// Flush and Hijack are those of the client's writer, by way of Unwrap.
type answer struct {
	http.ResponseWriter             // of the client; its headers are those of the middleware
	header              http.Header // of the owner, not yet written
	written             bool        // the final header has been written; header holds trailers
	switched            io.Closer   // the connection to the owner, once that has changed its protocol
}

func newAnswer(w http.ResponseWriter) *answer {
	return &answer{ResponseWriter: w, header: make(http.Header)}
}

// Header returns the headers of the owner alone.
func (a *answer) Header() http.Header { return a.header }

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader writes the headers of the middleware and the owner. A 1xx response gets both, as if the owner's handler
// ran here, and the final response gets those of the middleware again.
func (a *answer) WriteHeader(status int) {
	local := a.ResponseWriter.Header()
	if status < http.StatusOK {
		before := local.Clone()
		merge(local, a.header)
		a.ResponseWriter.WriteHeader(status)
		restore(local, before, a.header)
		return
	}
	dropOfBody(local)
	merge(local, a.header)
	a.ResponseWriter.WriteHeader(status)
	clear(a.header)
	a.written = true
}

// upgrade gives a 101 response the headers of the middleware. ReverseProxy writes it to the connection, past
// WriteHeader.
func (a *answer) upgrade(res *http.Response) {
	if res.StatusCode != http.StatusSwitchingProtocols {
		return
	}
	a.switched = res.Body
	header := a.ResponseWriter.Header().Clone()
	dropOfBody(header)
	merge(header, res.Header)
	res.Header = header
}

// fail ends an upgrade that the owner has made and this server cannot: ReverseProxy forgets its connection.
func (a *answer) fail() {
	if a.switched != nil {
		_ = a.switched.Close() // nobody uses it
	}
}

// finish sets the owner's trailers, which ReverseProxy knows after the body.
func (a *answer) finish() {
	if a.written {
		merge(a.ResponseWriter.Header(), a.header)
	}
}

// ofBody are the headers that describe a body, or frame it. Content-Encoding is not one of them: see encodes.
var ofBody = []string{
	"Content-Length", "Transfer-Encoding", "Content-Type", "Content-Range", "Content-Disposition", "Content-Language",
	"Content-Location", "Content-Md5", "Content-Digest", "Repr-Digest", "Digest", "Etag", "Last-Modified",
}

// dropOfBody removes headers of middleware that would describe another body than the owner's.
func dropOfBody(local http.Header) {
	maps.DeleteFunc(local, func(name string, _ []string) bool { return slices.Contains(ofBody, http.CanonicalHeaderKey(name)) })
}

// merge sets the owner's headers in local: a header of the owner replaces that of the middleware. Three headers are
// lists of independent facts, so that none is lost: Set-Cookie keeps cookies of other names, because each is a fact of
// its own; Vary keeps all names, because a cache that misses one serves the wrong answer; Trailer keeps the trailers
// that the middleware is going to set.
//
// Security: what CORS allows is one fact in two headers. An owner that names an origin decides on its credentials, too.
func merge(local, owner http.Header) {
	decides := owner["Access-Control-Allow-Origin"] != nil
	for name, values := range local { // net/http sends a name in the letters of the middleware
		switch canonical := http.CanonicalHeaderKey(name); {
		case decides && canonical == "Access-Control-Allow-Credentials":
			delete(local, name)
		case canonical != name && owner[canonical] != nil:
			delete(local, name)
			local[canonical] = append(local[canonical], values...)
		}
	}
	for name, values := range owner {
		switch name {
		case "Set-Cookie":
			headers.SetCookies(local, values...)
		case "Vary", "Trailer":
			for _, list := range values {
				headers.Append(local, name, list)
			}
		default:
			local[name] = values
		}
	}
}

// restore takes back what merge has changed, and leaves what a writer further out has set since: a compressing one may
// have decided by the 1xx response that it encodes the final one.
func restore(local, before, owner http.Header) {
	for name := range owner {
		delete(local, name)
	}
	for name, values := range before {
		if _, ok := local[name]; !ok {
			local[name] = values
		}
	}
}

// encodes reports whether middleware in front has set Content-Encoding in advance. It encodes whatever passes, so the
// owner must not do it as well.
func encodes(w http.ResponseWriter) bool { return w.Header().Get("Content-Encoding") != "" }
