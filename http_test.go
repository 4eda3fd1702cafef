package thinkws_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

func TestActionOverHTTP(t *testing.T) {
	type user struct{ Name string }
	h, _ := newHandler(t, thinkws.WithMaxMessage(100), thinkws.Use(func(next thinkws.HandlerFunc) thinkws.HandlerFunc {
		return func(c *thinkws.Context) error {
			if c.Request().Header.Get("X-Stop") != "" {
				return &thinkws.Error{Name: thinkws.Forbidden, Message: "stopped"}
			}
			return next(c)
		}
	}))
	a := enter(t, h, "/")
	action := h.Action(thinkws.Bind(func(c *thinkws.Context, u user) error {
		assert.False(t, c.IsWebsocket())
		assert.Nil(t, c.Websocket())
		assert.Empty(t, c.ID())
		assert.Nil(t, c.Rooms())
		assert.Nil(t, c.Get("k"))
		c.Set("k", 1)
		c.Leave("room")
		assert.ErrorIs(t, c.Emit("e"), thinkws.ErrNoClient)
		assert.ErrorIs(t, c.Join("r"), thinkws.ErrNoClient)
		_, err := c.EmitAck(c.Context(), "e")
		assert.ErrorIs(t, err, thinkws.ErrNoClient)
		switch u.Name {
		case "ann":
			assert.NoError(t, c.Broadcast("new", u.Name))
			assert.NoError(t, c.Others().Emit("others"))
			return c.Ack(u)
		case "two":
			return c.Ack(1, 2)
		case "none":
			return c.Ack()
		case "missing":
			return &thinkws.Error{Name: thinkws.NotFound, Message: "no such user", Data: 7}
		case "slow":
			return &thinkws.Error{Name: thinkws.Timeout, Message: "too slow"}
		case "own":
			return &thinkws.Error{Name: "Full", Message: "no room"}
		case "secret":
			return errors.New("secret")
		case "panic":
			panic("oh")
		}
		return nil
	}))
	for _, tt := range []struct {
		body, stop string
		status     int
		want       string
	}{
		{`{"Name":"ann"}`, "", 200, `{"Name":"ann"}`},
		{`{"Name":"two"}`, "", 200, `[1,2]`},
		{`{"Name":"none"}`, "", 204, ``},
		{`{}`, "", 204, ``},
		{``, "", 204, ``},
		{`{"Name":"missing"}`, "", 404, `{"error":{"name":"NotFound","message":"no such user","data":7}}`},
		{`{"Name":"slow"}`, "", 408, `{"error":{"name":"Timeout","message":"too slow"}}`},
		{`{"Name":"own"}`, "", 400, `{"error":{"name":"Full","message":"no room"}}`},
		{`{"Name":"secret"}`, "", 500, `{"error":{"name":"Internal","message":"internal error"}}`},
		{`{"Name":"panic"}`, "", 500, `{"error":{"name":"Internal","message":"internal error"}}`},
		{`{"Name":1}`, "", 400, `{"error":{"name":"BadRequest","message":"argument 0 is not what the action takes"}}`},
		{`{"Name"`, "", 400, `{"error":{"name":"BadRequest","message":"the body is not acceptable JSON"}}`},
		{strings.Repeat(" ", 101), "", 413, `{"error":{"name":"BadRequest","message":"the body is too large"}}`},
		{`{"Name":"ann"}`, "1", 403, `{"error":{"name":"Forbidden","message":"stopped"}}`},
	} {
		r := httptest.NewRequest(http.MethodPost, "/users", strings.NewReader(tt.body))
		if tt.stop != "" {
			r.Header.Set("X-Stop", tt.stop)
		}
		w := httptest.NewRecorder()
		action.ServeHTTP(w, r)
		assert.Equal(t, tt.status, w.Code, tt.body)
		assert.Equal(t, tt.want, w.Body.String())
	}
	assert.Equal(t, []string{`new["ann"]`, `others[]`}, a.take(2))
}

func TestClientFiles(t *testing.T) {
	h, _ := newHandler(t, thinkws.WithClient(fstest.MapFS{
		"socket.io.js":         {Data: []byte("code")},
		"socket.io.min.js.map": {Data: []byte("{}")},
		"other.js":             {Data: []byte("secret")},
	}))
	r := chi.NewRouter()
	r.Mount("/socket.io", h)
	get := func(method, path, match string) *http.Response {
		req := httptest.NewRequest(method, path, nil)
		req.Header.Set("If-None-Match", match)
		w := httptest.NewRecorder()
		r.ServeHTTP(w, req)
		return w.Result()
	}
	body := func(res *http.Response) string {
		b, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return string(b)
	}
	res := get("GET", "/socket.io/socket.io.js", "")
	assert.Equal(t, 200, res.StatusCode)
	assert.Equal(t, "code", body(res))
	assert.Equal(t, "application/javascript; charset=utf-8", res.Header.Get("Content-Type"))
	assert.Equal(t, "public, max-age=0", res.Header.Get("Cache-Control"))
	etag := res.Header.Get("ETag")
	assert.Regexp(t, `^"[^"]+"$`, etag)
	for match, status := range map[string]int{etag: 304, "W/" + etag: 304, `"x", ` + etag: 304, `*`: 304, `"x"`: 200} {
		assert.Equal(t, status, get("GET", "/socket.io/socket.io.js", match).StatusCode, match)
	}
	assert.Empty(t, body(get("HEAD", "/socket.io/socket.io.js", "")))
	assert.Equal(t, "application/json; charset=utf-8", get("GET", "/socket.io/socket.io.min.js.map", "").Header.Get("Content-Type"))
	assert.NotEqual(t, "secret", body(get("GET", "/socket.io/other.js", "")))
}

func TestDetachKeepsWhatHandlersNeed(t *testing.T) {
	type key struct{}
	for _, method := range []string{http.MethodGet, http.MethodPost} { // kept as text, and as it is
		var kept []*http.Request
		r := chi.NewRouter()
		r.Use(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, r.Header.Get("X-User"))))
			})
		})
		r.Method(method, "/room/{room}", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			kept = append(kept, thinkws.Detach(r))
		}))
		for _, name := range []string{"ann", "bob"} { // the second request reuses chi's context
			ctx, cancel := context.WithCancel(t.Context())
			req := httptest.NewRequest(method, "/room/of-"+name+"?a=1&b=%20", strings.NewReader("body")).WithContext(ctx)
			req.Header.Set("X-User", name)
			req.AddCookie(&http.Cookie{Name: "c", Value: name})
			r.ServeHTTP(httptest.NewRecorder(), req)
			cancel()
		}
		for i, name := range []string{"ann", "bob"} {
			assert.Equal(t, method, kept[i].Method)
			assert.Equal(t, name, kept[i].Context().Value(key{}))
			assert.Equal(t, "of-"+name, chi.URLParam(kept[i], "room"))
			assert.Equal(t, "/room/{room}", chi.RouteContext(kept[i].Context()).RoutePattern())
			assert.Equal(t, url.Values{"a": {"1"}, "b": {" "}}, kept[i].URL.Query())
			assert.NoError(t, kept[i].Context().Err())
			cookie, err := kept[i].Cookie("c")
			require.NoError(t, err)
			assert.Equal(t, name, cookie.Value)
			rest, err := io.ReadAll(kept[i].Body)
			assert.NoError(t, err)
			assert.Empty(t, rest)
		}
	}
}

// Whatever a request has, it is kept.
func TestDetachKeepsEverything(t *testing.T) {
	requests := map[string]func(*http.Request){
		"plain":           func(*http.Request) {},
		"long":            func(r *http.Request) { r.Header.Set("X-Long", strings.Repeat("x", 1<<16)) },
		"several values":  func(r *http.Request) { r.Header["X-A"] = []string{"1", "", "2"} },
		"odd header":      func(r *http.Request) { r.Header["x-Ä\x00"] = []string{"\xff\n"} },
		"no header":       func(r *http.Request) { r.Header = http.Header{} },
		"path was cut":    func(r *http.Request) { r.URL.Path = "/below" },
		"escaped path":    func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/a/b", "/a%2Fb" },
		"query was added": func(r *http.Request) { r.URL.RawQuery += "&more=1" },
		"absolute":        func(r *http.Request) { r.URL.Scheme, r.URL.Host = "http", "example.com" },
		"empty query":     func(r *http.Request) { r.URL.ForceQuery = true },
		"TLS":             func(r *http.Request) { r.TLS = &tls.ConnectionState{ServerName: "example.com"} },
		"pattern":         func(r *http.Request) { r.Pattern = "/socket.io/" },
		"form":            func(r *http.Request) { r.Form = url.Values{"a": {"1"}} },
		"HTTP/2":          func(r *http.Request) { r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0 },
		"other address":   func(r *http.Request) { r.RemoteAddr = "[::1]:1" },
		"no address":      func(r *http.Request) { r.RemoteAddr = "" },
	}
	for name, change := range requests {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/socket.io/?EIO=4&transport=websocket", nil)
			r.Header.Set("Cookie", "a=b; c=d")
			change(r)
			got := thinkws.Detach(r)
			want := r.WithContext(got.Context())
			want.Body, got.Body = nil, nil
			assert.Equal(t, want, got)
		})
	}
}

func TestDetachKeepsPathValues(t *testing.T) {
	var got *http.Request
	mux := http.NewServeMux()
	mux.HandleFunc("/of/{tenant}/", func(_ http.ResponseWriter, r *http.Request) { got = thinkws.Detach(r) })
	mux.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/of/acme/x", nil))
	assert.Equal(t, "acme", got.PathValue("tenant"))
}

func TestNamespaceOfPath(t *testing.T) {
	var got string
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = thinkws.NamespaceOf(r, "/ws") })
	chiMount := func(at string) http.Handler { r := chi.NewRouter(); r.Mount(at, h); return r }
	chiHandle := func(at string) http.Handler { r := chi.NewRouter(); r.Handle(at, h); return r }
	chiNested := func(r chi.Router) http.Handler { outer := chi.NewRouter(); outer.Mount("/api/{v}", r); return outer }
	mux := func(at string) http.Handler { m := http.NewServeMux(); m.Handle(at, h); return m }
	for _, tt := range []struct {
		name    string
		handler http.Handler
		url     string
		want    string
	}{
		{"bare", h, "/", "/"},
		{"bare, configured path", h, "/ws", "/"},
		{"bare, configured path and slash", h, "/ws/", "/"},
		{"bare, below", h, "/ws/chat", "/chat"},
		{"bare, far below", h, "/ws/a/b", "/a/b"},
		{"bare, prefix of another word", h, "/wsx/chat", "/wsx/chat"},
		{"chi mount", chiMount("/ws"), "/ws", "/"},
		{"chi mount slash", chiMount("/ws"), "/ws/", "/"},
		{"chi mount below", chiMount("/ws"), "/ws/chat", "/chat"},
		{"chi mount elsewhere", chiMount("/live"), "/live", "/"},
		{"chi mount elsewhere below", chiMount("/live"), "/live/chat", "/chat"},
		{"chi handle", chiHandle("/ws"), "/ws", "/"},
		{"chi handle star", chiHandle("/ws/*"), "/ws/chat", "/chat"},
		{"chi handle star elsewhere", chiHandle("/live/*"), "/live/chat", "/chat"},
		{"chi nested mount", chiNested(chiMount("/ws").(chi.Router)), "/api/7/ws/chat", "/chat"},
		{"chi nested elsewhere", chiNested(chiMount("/live").(chi.Router)), "/api/7/live/chat", "/chat"},
		{"chi nested handle", chiNested(chiHandle("/live/*").(chi.Router)), "/api/7/live/chat", "/chat"},
		{"mux", mux("/ws/"), "/ws/chat", "/chat"},
		{"mux exact", mux("/ws"), "/ws", "/"},
		{"mux elsewhere", mux("/live/"), "/live/chat", "/chat"},
		{"mux method and host", mux("GET example.com/live/{rest...}"), "http://example.com/live/chat", "/chat"},
		{"strip prefix", http.StripPrefix("/live", h), "/live/chat", "/chat"},
		{"query", chiMount("/live"), "/live/x?nsp=/chat", "/chat"},
		{"query without slash", h, "/ws?nsp=chat", "/chat"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got = ""
			tt.handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, tt.url, nil))
			assert.Equal(t, tt.want, got)
		})
	}
}

// A body that does not come holds its connection no longer than ten seconds, whether
// the request is refused or not; and an action may take longer than that.
func TestStalledBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newHandler(t, thinkws.WithAllowOrigin("https://app.example.com"))
		r := chi.NewRouter()
		r.Mount("/socket.io", h)
		r.Handle("/slow", h.Action(func(c *thinkws.Context) error {
			time.Sleep(time.Minute)
			return c.Ack(c.Context().Err() == nil)
		}))
		m := serveMemory(t, r)
		for _, tt := range []struct {
			target, origin, body string
			status               int
			after                time.Duration
			want                 string
		}{
			{"/socket.io/?EIO=4&transport=polling", "https://evil.example.com", "", 403, 10 * time.Second, `{"code":4,"message":"Forbidden"}`},
			{"/slow", "https://app.example.com", "1", 408, 10 * time.Second, `{"error":{"name":"Timeout","message":"the body came too slowly"}}`},
			{"/slow", "https://app.example.com", "12", 200, time.Minute, "true"},
		} {
			start := time.Now()
			conn := m.dial(t)
			_, err := io.WriteString(conn, "POST "+tt.target+" HTTP/1.1\r\nHost: localhost\r\nOrigin: "+tt.origin+
				"\r\nContent-Length: 2\r\n\r\n"+tt.body)
			require.NoError(t, err)
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			assert.Equal(t, tt.status, res.StatusCode)
			assert.Equal(t, tt.want, readBody(t, res))
			assert.Equal(t, tt.after, time.Since(start))
			require.NoError(t, conn.Close())
		}
	})
}
