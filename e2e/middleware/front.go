package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/rs/cors"
	"github.com/unrolled/secure"
)

// origins are those of the pages of the test.
const origins = "http://127.0.0.1:*"

// compression compresses answers of types that compress well.
var compression = middleware.Compress(5)

// front returns the middleware in front of Forward or the Dispatcher, the outermost first.
func (f flags) front() ([]func(http.Handler) http.Handler, error) {
	share, ok := map[string]func(http.Handler) http.Handler{
		"rs": cors.New(cors.Options{
			AllowedOrigins: []string{origins}, AllowedHeaders: []string{"*"}, AllowCredentials: true, ExposedHeaders: []string{"X-Request-Id"}, MaxAge: 5,
		}).Handler,
		"strict": strictCORS,
	}[f.cors]
	if !ok {
		return nil, fmt.Errorf("no CORS middleware %q", f.cors)
	}
	front := []func(http.Handler) http.Handler{middleware.RequestID, requestID, security().Handler, cookies(), share}
	if f.compress == "front" {
		front = append(front, compression)
	}
	return front, nil
}

// requestID tells the client the id of its request, and other servers.
func requestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := middleware.GetReqID(r.Context())
		r.Header.Set("X-Request-Id", id)
		w.Header().Set("X-Request-Id", id)
		next.ServeHTTP(w, r)
	})
}

func security() *secure.Secure {
	return secure.New(secure.Options{
		ContentTypeNosniff:            true,
		ReferrerPolicy:                "strict-origin-when-cross-origin",
		ContentSecurityPolicy:         "object-src 'none'; frame-ancestors " + origins, // SockJS's iframes are on pages of other origins
		CrossOriginResourcePolicy:     "cross-origin",
		PermissionsPolicy:             "camera=()",
		XPermittedCrossDomainPolicies: "none",
	})
}

// cookies returns middleware that sets a cookie which changes with each answer, as a session that slides does.
func cookies() func(http.Handler) http.Handler {
	var count atomic.Int64
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "sliding", Value: strconv.FormatInt(count.Add(1), 10), Path: "/", HttpOnly: true})
			next.ServeHTTP(w, r)
		})
	}
}

// strictCORS sets its headers in the way of jub0bs/cors: it adds to Vary, shares the request's own Origin with the
// answer, and answers preflights itself, with 403 for an origin that is not allowed.
func strictCORS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, origin := w.Header(), r.Header["Origin"]
		allowed := len(origin) == 1 && strings.HasPrefix(origin[0], strings.TrimSuffix(origins, "*"))
		if method := r.Header["Access-Control-Request-Method"]; r.Method == http.MethodOptions && len(origin) > 0 && len(method) > 0 {
			h.Add("Vary", "Access-Control-Request-Headers, Access-Control-Request-Method, Origin")
			if !allowed {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			h["Access-Control-Allow-Origin"] = origin
			h["Access-Control-Allow-Credentials"] = []string{"true"}
			h["Access-Control-Allow-Methods"] = method
			if names := r.Header["Access-Control-Request-Headers"]; names != nil {
				h["Access-Control-Allow-Headers"] = names
			}
			w.WriteHeader(http.StatusNoContent)
			return
		}
		h.Add("Vary", "Origin")
		if allowed {
			h["Access-Control-Allow-Origin"] = origin
			h.Set("Access-Control-Allow-Credentials", "true")
			h.Set("Access-Control-Expose-Headers", "X-Request-Id")
		}
		next.ServeHTTP(w, r)
	})
}
