package thinkws

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/seed-ce09063a/thinkws/internal/headers"
)

const (
	maxAllowHeaders = 1024 // bytes of Access-Control-Allow-Headers
	preflightMaxAge = 7200 // seconds a browser may remember a preflight; the most that Chromium does
)

// isPreflight reports whether a browser asks if it may send a cross-origin request.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" &&
		r.Header.Get("Access-Control-Request-Method") != ""
}

// setCORS tells the browser whether the page may read the answer. It replaces what a
// CORS middleware in front has set, so that the two cannot add up to more than either.
//
// Security: an origin is echoed with credentials if it is trusted with them. All others get "*",
// with which browsers neither send nor show anything of their user.
func (p *originPolicy) setCORS(h http.Header, _ *http.Request, v *originVerdict) {
	const allowOrigin, allowCredentials = "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials"
	headers.Append(h, "Vary", "Origin")
	h.Del(allowOrigin)
	h.Del(allowCredentials)
	header := v.claim.header
	switch {
	case !v.allowed:
	case header != "" && (v.grant == grantFull || v.echo):
		h.Set(allowOrigin, header)
		h.Set(allowCredentials, "true")
	case p.any:
		h.Set(allowOrigin, "*")
	case header != "":
		h.Set(allowOrigin, header)
	}
}

// echoTo makes the answer readable for clients of Socket.IO 2, which ask with credentials
// wherever they are, so that browsers show them no answer that says "*".
//
// Security: this is for requests without credentials, whose answer holds nothing of a user. It
// never sets a cookie, or the next request would have one. A request with credentials is judged
// on its own, whatever its preflight was told. Behind a proxy that authenticates users and hides
// it from us, the answer does hold something: origins have to be listed there.
func (p *originPolicy) echoTo(r *http.Request, v *originVerdict) {
	v.echo = p.any && v.allowed && v.grant == grantBare && !hasCredentials(r)
}

// preflight answers a CORS preflight and keeps nothing of it.
func (p *originPolicy) preflight(w http.ResponseWriter, r *http.Request, v *originVerdict) {
	h := w.Header()
	p.setCORS(h, r, v)
	h.Set("Content-Length", "0")
	if !v.allowed {
		w.WriteHeader(v.status())
		return
	}
	headers.Append(h, "Vary", "Access-Control-Request-Headers")
	h.Set("Access-Control-Allow-Methods", "GET,POST,OPTIONS")
	if names := requestedHeaders(r); names != "" {
		h.Set("Access-Control-Allow-Headers", names)
	}
	h.Set("Access-Control-Max-Age", strconv.Itoa(preflightMaxAge))
	w.WriteHeader(http.StatusNoContent)
}

// requestedHeaders returns the headers that a preflight asks for and may have. It leaves out what
// exceeds the limit.
func requestedHeaders(r *http.Request) string {
	var names []byte
	for name := range headers.Elements(r.Header["Access-Control-Request-Headers"]) {
		if !isHeaderName(name) {
			continue
		}
		if len(names)+1+len(name) > maxAllowHeaders {
			return string(names)
		}
		if len(names) > 0 {
			names = append(names, ',')
		}
		names = append(names, name...)
	}
	return string(names)
}

// isHeaderName reports whether a preflight may ask for a header: a token (RFC 9110, section
// 5.6.2), but not the "*" that stands for all headers.
//
// Security: nor those of proxies. A proxy that is trusted but hands them on would have them from
// the page, which could then pass for the service's own.
func isHeaderName(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && strings.IndexByte("!#$%&'*+-.^_`|~", s[i]) < 0 {
			return false
		}
	}
	s = strings.ToLower(s)
	return s != "" && s != "*" && s != "forwarded" && s != "x-real-ip" && !strings.HasPrefix(s, "x-forwarded-")
}
