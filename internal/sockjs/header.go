package sockjs

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/headers"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

const (
	year            = 365 * 24 * time.Hour
	maxAllowHeaders = 1024 // bytes of Access-Control-Allow-Headers
	sessionCookie   = "JSESSIONID"
)

// setHeaders sets what all answers of an endpoint have in common.
func (s *Server) setHeaders(w http.ResponseWriter, r *http.Request, e endpoint) {
	h := w.Header()
	if e.hasCORS() {
		setCORS(h, r)
	}
	switch {
	case r.Method == http.MethodOptions:
		setCacheable(h)
	case e == info || e.isHTTP():
		h.Set("Cache-Control", "no-store, no-cache, no-transform, must-revalidate, max-age=0")
	}
	// A preflight never carries cookies, so it does not tell whether the client has one.
	if s.cfg.Cookie && !session.IsBare(r) && e.isHTTP() && r.Method != http.MethodOptions && !hasCookie(r, sessionCookie) && !headers.HasCookie(h, sessionCookie) {
		http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: "dummy", Path: "/", HttpOnly: true, Secure: s.isSecure(r)})
	}
}

// setCORS lets the page read the answer and send its cookies, whoever it is, as the
// protocol demands: who may not was refused before.
func setCORS(h http.Header, r *http.Request) {
	const allowOrigin, allowCredentials = "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials"
	h.Del(allowCredentials)
	if origin := r.Header.Get("Origin"); origin != "" {
		h.Set(allowOrigin, origin)
		h.Set(allowCredentials, "true")
	} else {
		h.Set(allowOrigin, "*")
	}
	headers.Append(h, "Vary", "Origin")
	if names := r.Header.Get("Access-Control-Request-Headers"); names != "" && isPrintable(names) && !namesProxies(names) {
		h.Set("Access-Control-Allow-Headers", names)
	}
}

// namesProxies reports whether a preflight asks for headers by which proxies speak.
//
// Security: a trusted proxy may hand on the header of a page, which could then pass for the
// service's own.
func namesProxies(names string) bool {
	names = strings.ToLower(names)
	return strings.Contains(names, "forwarded") || strings.Contains(names, "x-real-ip")
}

// isPrintable reports whether a header of the client may be echoed.
func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) <= maxAllowHeaders
}

// setCacheable lets anyone keep the answer for a year.
func setCacheable(h http.Header) {
	h.Set("Cache-Control", "public, max-age="+seconds(year))
	h.Set("Expires", time.Now().Add(year).UTC().Format(http.TimeFormat))
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

func (s *Server) isSecure(r *http.Request) bool {
	return r.TLS != nil || s.cfg.Secure != nil && s.cfg.Secure(r)
}

// hasCookie reports whether the client sends a cookie of this name, also one with a value that net/http does not
// accept.
//
// Security: a request does not show the attributes of its cookies. To set one again, even to the same value, removes
// HttpOnly, Secure and SameSite from what the service or the load balancer has set.
func hasCookie(r *http.Request, name string) bool {
	for _, line := range r.Header["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			if key, _, _ := strings.Cut(part, "="); strings.TrimSpace(key) == name {
				return true
			}
		}
	}
	return false
}

// preflight answers what a browser asks before a request of another origin.
func preflight(w http.ResponseWriter, e endpoint) {
	h := w.Header()
	methods := "OPTIONS, POST"
	if e == info {
		methods = "OPTIONS, GET"
	}
	h.Set("Access-Control-Allow-Methods", methods)
	h.Set("Access-Control-Max-Age", seconds(year))
	w.WriteHeader(http.StatusNoContent)
}

func notFound(w http.ResponseWriter) {
	writeText(w, http.StatusNotFound, "404 Error: Page not found\n")
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	w.WriteHeader(status)
	w.Write([]byte(text)) // a client that has gone does not read it
}
