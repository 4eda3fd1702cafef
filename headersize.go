package thinkws

import (
	"errors"
	"net/http"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// fieldOverhead is what a header field counts beside its name and its value, as in RFC 9113,
// section 10.5.1. A server stores that much for each, so a thousand fields of two bytes are not small.
const fieldOverhead = 32

var errHeaderSize = session.Beyond(session.LimitHeader, errors.New("thinkws: request line and headers too large"))

// headerSize returns the size of the request line and the header fields of r, as Limits.Header counts it.
func headerSize(r *http.Request) int {
	target := max(len(r.RequestURI), len(r.URL.Path)+len(r.URL.RawQuery)) // r may have been made without a RequestURI
	size := len(r.Method) + target + len(r.Proto) + fieldSize("Host", r.Host)
	for name, values := range r.Header {
		for _, value := range values {
			size += fieldSize(name, value)
		}
	}
	for name := range r.Trailer { // net/http moves the names in the field Trailer from Header to here
		size += fieldSize(name, "")
	}
	return size
}

func fieldSize(name, value string) int { return len(name) + len(value) + fieldOverhead }

// limitHeader refuses a request that is larger than Limits.Header.
//
// Security: a session keeps its handshake as long as it lives, and it begins before the client
// has proved anything. net/http lets a megabyte pass.
func (h *Handler) limitHeader(w http.ResponseWriter, r *http.Request) (ok bool) {
	size := headerSize(r)
	if size <= h.cfg.limits.Header {
		return true
	}
	h.hub.tally.Note(errHeaderSize)
	h.cfg.logger.Warn("headers too large", "bytes", size, "limit", h.cfg.limits.Header, "address", h.hub.door.Address(r), "url", r.URL.Path)
	w.Header().Set("Connection", "close") // frames sent right behind must not be read as a request
	http.Error(w, http.StatusText(http.StatusRequestHeaderFieldsTooLarge), http.StatusRequestHeaderFieldsTooLarge)
	h.hub.report.Request(errHeaderSize, r)
	return false
}
