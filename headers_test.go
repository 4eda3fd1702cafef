package thinkws_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/assert"

	"github.com/seed-ce09063a/thinkws"
)

// TestHandlersAddToTheHeadersOfMiddleware: CORS, Vary and cookies that middleware in front has set already appear once.
// D1.
func TestHandlersAddToTheHeadersOfMiddleware(t *testing.T) {
	h, _ := newHandler(t, thinkws.WithAllowOrigin("https://a.example.com"), thinkws.WithCookie(http.Cookie{}),
		thinkws.WithSockJS(thinkws.SockJSOptions{Cookie: true}))
	r := chi.NewRouter()
	r.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			header := w.Header()
			header["Vary"] = []string{"Accept-Encoding", "origin"}
			header.Set("Access-Control-Allow-Origin", "https://b.example.com")
			header.Set("Access-Control-Allow-Credentials", "true")
			header.Set("Cache-Control", "private")
			header.Set("X-Content-Type-Options", "nosniff")
			for _, line := range []string{"io=x", "JSESSIONID=ours", "csrf=1"} {
				header.Add("Set-Cookie", line)
			}
			next.ServeHTTP(w, r)
		})
	})
	r.Mount("/socket.io", h)
	r.Mount("/sockjs", h.SockJS())
	r.Get("/action", h.Action(func(c *thinkws.Context) error { return c.Ack(1) }).ServeHTTP)
	for _, tt := range []struct{ method, target, vary string }{
		{http.MethodGet, "/socket.io/?EIO=4&transport=polling", "Accept-Encoding, origin"},
		{http.MethodOptions, "/socket.io/?EIO=4&transport=polling", "Accept-Encoding, origin, Access-Control-Request-Headers"},
		{http.MethodGet, "/socket.io/?EIO=4&transport=polling&j=0", "Accept-Encoding, origin, Referer, Sec-Fetch-Site"},
		{http.MethodGet, "/socket.io/?EIO=4&transport=polling&sid=nobody", "Accept-Encoding, origin"},
		{http.MethodGet, "/sockjs/info", "Accept-Encoding, origin"},
		{http.MethodOptions, "/sockjs/info", "Accept-Encoding, origin"},
		{http.MethodPost, "/sockjs/000/abc/xhr", "Accept-Encoding, origin"},
		{http.MethodPost, "/sockjs/000/abc/xhr_send", "Accept-Encoding, origin"},
		{http.MethodGet, "/action", "Accept-Encoding, origin, Referer, Sec-Fetch-Site"},
	} {
		name := tt.method + " " + tt.target
		req := httptest.NewRequestWithContext(t.Context(), tt.method, tt.target, http.NoBody)
		req.Header.Set("Origin", "https://a.example.com")
		if tt.method == http.MethodOptions {
			req.Header.Set("Access-Control-Request-Method", "POST")
		}
		w := httptest.NewRecorder()
		r.ServeHTTP(w, req)
		header := w.Result().Header
		assert.Equal(t, []string{tt.vary}, header["Vary"], name)
		assert.Equal(t, []string{"https://a.example.com"}, header["Access-Control-Allow-Origin"], name)
		assert.Equal(t, []string{"true"}, header["Access-Control-Allow-Credentials"], name)
		for field, lines := range header {
			if field != "Set-Cookie" {
				assert.Len(t, lines, 1, "%s: %s", name, field)
			}
		}
		seen := map[string]bool{}
		for _, cookie := range w.Result().Cookies() {
			assert.False(t, seen[cookie.Name], "%s: %q", name, header["Set-Cookie"])
			seen[cookie.Name] = true
		}
		assert.Len(t, seen, 3, "%s: %q", name, header["Set-Cookie"])
		assert.Contains(t, header["Set-Cookie"], "JSESSIONID=ours", name)
	}
}
