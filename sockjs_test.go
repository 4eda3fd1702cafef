package thinkws_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-chi/chi/v5"
	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// sockjs is a SockJS client over HTTP, by hand.
type sockjs struct {
	t      *testing.T
	http   *http.Client
	target string // URL of the session
	query  string
	ctx    context.Context // of requests; nil for one that does not end
}

// openSockJS opens a session below an URL.
func openSockJS(t *testing.T, base, id string) *sockjs {
	t.Helper()
	p := &sockjs{t: t, http: http.DefaultClient, target: base + "/000/" + id}
	require.Equal(t, "o", p.poll())
	return p
}

// sockjs opens a session on the site.
func (s *site) sockjs(target, query string) *sockjs {
	s.t.Helper()
	p := &sockjs{t: s.t, http: s.http, target: "http://localhost" + target, query: query}
	require.Equal(s.t, "o", p.poll())
	return p
}

// request is a POST, or a GET for what is none. The line end of a frame is cut off.
func (p *sockjs) request(path, body string) (status int, answer string, err error) {
	ctx := p.ctx
	if ctx == nil {
		ctx = context.WithoutCancel(p.t.Context())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.target+path+p.query, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	res, err := p.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, strings.TrimSuffix(string(text), "\n"), err
}

func (p *sockjs) post(path, body string) string {
	p.t.Helper()
	status, answer, err := p.request(path, body)
	require.NoError(p.t, err)
	return fmt.Sprint(status, " ", answer)
}

// poll returns the next frame.
func (p *sockjs) poll() string {
	p.t.Helper()
	frame, ok := strings.CutPrefix(p.post("/xhr", ""), "200 ")
	require.True(p.t, ok, frame)
	return frame
}

// send sends texts and returns status and body.
func (p *sockjs) send(texts ...string) string {
	p.t.Helper()
	return p.post("/xhr_send", array(texts...))
}

// expect polls until these messages have come, and nothing else.
func (p *sockjs) expect(texts ...string) {
	p.t.Helper()
	var got []string
	for len(got) < len(texts) {
		got = append(got, messages(p.poll())...)
	}
	require.Equal(p.t, texts, got)
}

func array(texts ...string) string {
	body, err := json.Marshal(texts)
	if err != nil {
		panic(err)
	}
	return string(body)
}

// messages are what an array frame holds; nothing for others.
func messages(frame string) (texts []string) {
	if body, ok := strings.CutPrefix(frame, "a"); ok {
		if err := json.Unmarshal([]byte(body), &texts); err != nil {
			panic(err)
		}
	}
	return texts
}

func TestSockJS(t *testing.T) {
	reasons := make(chan thinkws.Reason, 1)
	h, _ := newHandler(t,
		thinkws.On("open", func(c *thinkws.Context) error { return c.Emit("hello", c.Websocket().Transport()) }),
		thinkws.On("close", func(c *thinkws.Context) error { reasons <- c.Reason(); return nil }),
		thinkws.On("sum", thinkws.Reply(func(_ *thinkws.Context, v []int) (int, error) { return v[0] + v[1], nil })),
		thinkws.On("ask", func(c *thinkws.Context) error {
			answer, err := c.EmitAck(c.Context(), "question", []byte("hi"))
			if err != nil {
				return err
			}
			return c.Ack(answer.Args()[0])
		}),
		thinkws.On("leave", func(c *thinkws.Context) error { c.Websocket().Disconnect(); return nil }),
	)
	server := newServer(t, h.SockJS())
	defer server.Close()
	p := openSockJS(t, server.URL, "s")
	p.expect(`{"event":"hello","data":"xhr-polling"}`)
	assert.Equal(t, "204 ", p.send(`{"event":"sum","data":[1,2],"cid":"a"}`, `{"event":"nothing","cid":2}`))
	p.expect(`{"rid":"a","data":3}`, `{"rid":2,"error":{"name":"NotFound","message":"no such event"}}`)
	assert.Equal(t, "204 ", p.send(`{"event":"ask","cid":3}`))
	p.expect(`{"event":"question","data":"aGk=","cid":0}`)
	assert.Equal(t, "204 ", p.send(`{"rid":0,"data":"answer"}`))
	p.expect(`{"rid":3,"data":"answer"}`)
	assert.Equal(t, "204 ", p.send(`{"event":"leave"}`))
	for range 2 {
		assert.Equal(t, `c[1000,"Normal closure"]`, p.poll())
	}
	assert.Equal(t, thinkws.ReasonServerDisconnect, <-reasons)
}

// Raw strings are the event "message", both ways.
func TestSockJSRawStrings(t *testing.T) {
	h, _ := newHandler(t, thinkws.WithSockJS(thinkws.SockJSOptions{RawStrings: true}),
		thinkws.On("message", thinkws.Bind(func(c *thinkws.Context, text string) error {
			assert.Equal(t, `"`+text+`"`, string(c.WsData()))
			_, err := c.EmitAck(c.Context(), "message", "?")
			assert.ErrorContains(t, err, "cannot answer")
			assert.NoError(t, c.Ack("nobody asked"))
			return c.Broadcast("message", "echo "+text)
		})))
	r := chi.NewRouter()
	r.Mount("/sockjs", h.SockJS())
	r.Mount("/ws", h.WebSocket())
	server := newServer(t, r)
	defer server.Close()
	raw, _, err := websocket.Dial(t.Context(), server.URL+"/sockjs/websocket", nil)
	require.NoError(t, err)
	defer func() { _ = raw.CloseNow() }()
	plain, _, err := websocket.Dial(t.Context(), server.URL+"/ws", nil)
	require.NoError(t, err)
	defer func() { _ = plain.CloseNow() }()
	p := openSockJS(t, server.URL+"/sockjs", "s")
	require.Eventually(t, func() bool { return h.Hub().Stats().Clients == 3 }, time.Minute, time.Millisecond)
	assert.Equal(t, "204 ", p.send("hi"))
	p.expect("echo hi")
	for ws, want := range map[*websocket.Conn]string{raw: "echo hi", plain: `{"event":"message","data":"echo hi"}`} {
		_, got, err := ws.Read(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, string(got))
	}
	require.NoError(t, raw.Write(t.Context(), websocket.MessageText, []byte("yo")))
	p.expect("echo yo")
	require.NoError(t, h.Hub().Emit("news", 1))
	p.expect(`{"event":"news","data":1}`)
}

func TestSockJSNamespaces(t *testing.T) {
	h, _ := newHandler(t, thinkws.Namespace("/chat",
		thinkws.Authorize(func(c *thinkws.Context) error {
			if c.Request().URL.Query().Get("key") != "x" {
				return &thinkws.Error{Name: thinkws.Forbidden, Message: "not you"}
			}
			return nil
		}),
		thinkws.On("where", func(c *thinkws.Context) error { return c.Ack(c.Websocket().Namespace()) })))
	server := newServer(t, h.SockJS())
	defer server.Close()
	for _, name := range []string{"chat", "/chat"} {
		p := &sockjs{t: t, http: http.DefaultClient, target: server.URL + "/0/in" + strings.Trim(name, "/") + fmt.Sprint(len(name)), query: "?key=x&nsp=" + name}
		require.Equal(t, "o", p.poll())
		assert.Equal(t, "204 ", p.send(`{"event":"where","cid":1}`))
		p.expect(`{"rid":1,"data":"/chat"}`)
	}
	for query, want := range map[string][]string{
		"?nsp=chat": {"Forbidden", "not you"}, "?nsp=nowhere": {"NotFound", "Invalid namespace"},
	} {
		p := &sockjs{t: t, http: http.DefaultClient, target: server.URL + "/0/out" + want[0], query: query}
		require.Equal(t, "o", p.poll())
		p.expect(fmt.Sprintf(`{"error":{"name":%q,"message":%q}}`, want[0], want[1]))
		assert.Equal(t, fmt.Sprintf(`c[1008,%q]`, want[1]), p.poll())
	}
}

func TestSockJSMounts(t *testing.T) {
	h, _ := newHandler(t, thinkws.WithSockJS(thinkws.SockJSOptions{Path: "/live/sockjs", ClientURL: "/sockjs.js"}))
	chiMount := chi.NewRouter()
	chiMount.Mount("/echo", h.SockJS())
	chiHandle := chi.NewRouter()
	chiHandle.Handle("/echo", h.SockJS())
	chiHandle.Handle("/echo/*", h.SockJS())
	nested := chi.NewRouter()
	nested.Route("/api/{version}", func(r chi.Router) { r.Mount("/", chiMount) })
	deep := chi.NewRouter()
	deep.Route("/api", func(r chi.Router) {
		r.Use(chimiddleware.CleanPath, chimiddleware.StripSlashes)
		r.Mount("/echo", h.SockJS())
	})
	use := chi.NewRouter()
	use.Use(chimiddleware.Recoverer, chimiddleware.RequestID, h.Middleware)
	use.HandleFunc("/*", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "the service itself", http.StatusTeapot) })
	mux := http.NewServeMux()
	mux.Handle("/echo/", h.SockJS())
	wild := http.NewServeMux()
	wild.Handle("/{tenant}/echo/{rest...}", h.SockJS())
	stripped := http.NewServeMux()
	stripped.Handle("/deep/echo/", http.StripPrefix("/deep/echo", h.SockJS()))
	muxed := http.NewServeMux()
	muxed.Handle("/echo/", chiMount)
	routed := chi.NewRouter()
	routed.Mount("/", mux)

	for i, tt := range []struct {
		name    string
		handler http.Handler
		base    string
	}{
		{"chi Mount", chiMount, "/echo"}, {"chi Handle", chiHandle, "/echo"}, {"chi nested", nested, "/api/7%20a/echo"},
		{"chi with middleware", deep, "/api/echo"}, {"chi Use", use, "/live/sockjs"}, {"ServeMux", mux, "/echo"},
		{"ServeMux with wildcards", wild, "/a%2Fb/echo"}, {"StripPrefix", stripped, "/deep/echo"}, {"bare", h.SockJS(), ""},
		{"bare at the configured path", h.SockJS(), "/any/live/sockjs"}, {"chi in ServeMux", muxed, "/echo"}, {"ServeMux in chi", routed, "/echo"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := newServer(t, tt.handler)
			defer server.Close()
			base := server.URL + tt.base
			for path, want := range map[string]string{"/": "Welcome to SockJS!\n", "/info": `{"websocket":true,`, "/info/": `{"websocket":true,`,
				"/iframe-1.6.1.html": "<!DOCTYPE html>", "/websocket": "Not a valid", "/s/i/websocket": "Not a valid", "/a": "404 Error", "/a/a": "404 Error",
				"/s/i/nothing": "404 Error", "/s.s/i/jsonp?c=x": "404 Error", "/a%2Fb/c%20d" + fmt.Sprint(i) + "/jsonp?c=cb": `/**/cb("o");`,
				"/websocket/": "Not a valid"} {
				res, err := http.Get(base + path)
				require.NoError(t, err)
				body := readBody(t, res)
				assert.True(t, strings.HasPrefix(body, want), "%s: %s", path, body)
			}
			if !strings.Contains(tt.name, "bare") {
				for _, path := range []string{"/s/i/x/jsonp?c=x", "/jsonp?c=x"} {
					res, err := http.Get(base + path)
					require.NoError(t, err)
					if !strings.Contains(tt.name, "StripPrefix") {
						assert.Equal(t, 404, res.StatusCode, path)
					}
					_ = res.Body.Close()
				}
			}
			p := openSockJS(t, base, fmt.Sprint("mount", i))
			assert.Equal(t, "204 ", p.send(`{"event":"x","cid":1}`))
			p.expect(`{"rid":1,"error":{"name":"NotFound","message":"no such event"}}`)
			for _, path := range []string{"/s/i/websocket", "/websocket"} {
				if path == "/websocket" && tt.name == "bare at the configured path" {
					path += "/"
				}
				ws, _, err := websocket.Dial(t.Context(), base+path, nil)
				require.NoError(t, err, path)
				text := `{"event":"x","cid":1}`
				if path == "/s/i/websocket" {
					_, got, err := ws.Read(t.Context())
					require.NoError(t, err)
					assert.Equal(t, "o", string(got))
					text = array(text)
				}
				require.NoError(t, ws.Write(t.Context(), websocket.MessageText, []byte(text)))
				_, got, err := ws.Read(t.Context())
				require.NoError(t, err)
				assert.Contains(t, string(got), "no such event")
				_ = ws.CloseNow()
			}
		})
	}
	server := newServer(t, use)
	defer server.Close()
	for _, path := range []string{"/live/sockjsx/info", "/sockjs/info", "/"} {
		res, err := http.Get(server.URL + path)
		require.NoError(t, err)
		assert.Equal(t, "the service itself\n", readBody(t, res), path)
	}
	res, err := http.Get(server.URL + "/live/sockjs")
	require.NoError(t, err)
	assert.Equal(t, "Welcome to SockJS!\n", readBody(t, res))
}

// Where a handler is mounted, as far as a request tells.
func TestMountOf(t *testing.T) {
	for _, tt := range []struct{ pattern, path, want string }{
		{"", "/echo/s/i/xhr", ""},
		{"/", "/echo/s/i/xhr", ""},
		{"/echo/", "/echo/s/i/xhr", "/echo"},
		{"/echo/", "/echo", "/echo"},
		{"GET example.com/echo/", "/echo/info", "/echo"},
		{"/{tenant}/echo/", "/a%2Fb/echo/info", "/a%2Fb/echo"},
		{"/{tenant}/echo/{rest...}", "/a/echo/info", "/a/echo"},
		{"/echo/{$}", "/echo/", "/echo"},
		{"/s%C3%B6ck/", "/s%C3%B6ck/info", "/s%C3%B6ck"},
		{"/söck/", "/s%C3%B6ck/info", "/s%C3%B6ck"},
		{"/deep/echo/", "/s/i/xhr", ""}, // below StripPrefix
		{"/echo/", "/echoes/info", ""},
		{"/a/b/", "/a", ""},
		{"/echo/", "", ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://example.com/", nil)
		r.URL.Path, r.URL.RawPath = strings.NewReplacer("%2F", "/", "%C3%B6", "ö").Replace(tt.path), tt.path
		r.Pattern = tt.pattern
		assert.Equal(t, tt.want, thinkws.MountOf(r), "%s of %s", tt.pattern, tt.path)
	}
	for path, want := range map[string]string{
		"/live/sockjs/info": "/live/sockjs", "/app/live/sockjs": "/app/live/sockjs", "/live/live/sockjs/info": "/live/live/sockjs",
		"/live/sockjsx/live/sockjs/info": "/live/sockjsx/live/sockjs", "/live": "", "/": "", "": "", "/x/live": "", "live/sockjs": "",
	} {
		assert.Equal(t, want, thinkws.IndexPath(path, "/live/sockjs"), path)
	}
}

// Clients of every kind in one room: each message comes to everybody once and in order, and
// acks work for all.
func TestAllKindsOfClientsInOneRoom(t *testing.T) {
	h, _ := newHandler(t,
		thinkws.On("join", func(c *thinkws.Context) error {
			if err := c.Join("room"); err != nil {
				return err
			}
			return c.Ack()
		}),
		thinkws.On("say", thinkws.Bind(func(c *thinkws.Context, text string) error {
			if err := c.Hub().To("room").Emit("said", text); err != nil {
				return err
			}
			return c.Ack(len(text))
		})))
	r := chi.NewRouter()
	r.Mount("/socket.io", h)
	r.Mount("/sockjs", h.SockJS())
	r.Mount("/ws", h.WebSocket())
	server := newServer(t, r)
	defer server.Close()
	defer shutdown(t, h) // before the server, which waits for requests
	members := roomOfAllKinds(t, server.URL)
	for _, m := range members {
		m.say("join", "")
	}
	require.Eventually(t, func() bool {
		room, err := h.Hub().To("room").Sockets(t.Context())
		return err == nil && len(room) == len(members)
	}, time.Minute, time.Millisecond)
	const each = 5
	for i := range each {
		for _, m := range members {
			m.say("say", fmt.Sprint(m.name, ":", i))
		}
	}
	var wg sync.WaitGroup
	for _, m := range members {
		wg.Go(func() {
			next := map[string]int{}
			for range each * len(members) {
				text := m.hear("said")
				name, _, _ := strings.Cut(text, ":")
				assert.Equal(t, fmt.Sprint(name, ":", next[name]), text, "as %s hears it", m.name)
				next[name]++
			}
			assert.Len(t, next, len(members))
		})
	}
	wg.Wait()
	for _, m := range members {
		assert.Equal(t, 1+each, m.acks(), m.name)
	}
}

// The clients that are idle over HTTP cost no goroutine.
func TestIdleSockJSClientsCostNoGoroutine(t *testing.T) {
	h, _ := newHandler(t, thinkws.WithSockJS(thinkws.SockJSOptions{DisconnectDelay: time.Minute}))
	handler := h.SockJS()
	base := goroutines()
	const clients = 1000
	for i := range clients {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, fmt.Sprintf("/sockjs/0/idle%d/xhr", i), nil))
		require.Equal(t, "o\n", w.Body.String())
	}
	require.Eventually(t, func() bool { return h.Hub().Stats().Clients == clients }, time.Minute, time.Millisecond)
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= base+2 }, time.Minute, time.Millisecond)
	shutdown(t, h)
	assert.Zero(t, h.Hub().Stats().Clients)
}

// Shutdown says goodbye to SockJS clients, waits for what is being written, and lets
// nobody in any more.
func TestShutdownOfSockJS(t *testing.T) {
	reasons := make(chan thinkws.Reason, 10)
	h, err := thinkws.New(thinkws.On("close", func(c *thinkws.Context) error { reasons <- c.Reason(); return nil }))
	require.NoError(t, err)
	server := newServer(t, h.SockJS())
	defer server.Close()
	waiting, away := openSockJS(t, server.URL, "waiting"), openSockJS(t, server.URL, "away")
	ws, _, err := websocket.Dial(t.Context(), server.URL+"/0/ws/websocket", nil)
	require.NoError(t, err)
	defer func() { _ = ws.CloseNow() }()
	require.Eventually(t, func() bool { return h.Hub().Stats().Clients == 3 }, time.Minute, time.Millisecond)
	polled := make(chan string, 1)
	go func() { polled <- waiting.poll() }()
	read := make(chan string, 10)
	go func() {
		defer close(read)
		for {
			_, data, err := ws.Read(t.Context())
			if err != nil {
				return
			}
			read <- string(data)
		}
	}()
	shutdown(t, h)
	const goodbye = `c[1001,"server shutting down"]`
	assert.Equal(t, goodbye, <-polled)
	assert.Equal(t, goodbye, away.poll())
	assert.Equal(t, "o", <-read)
	assert.Equal(t, goodbye, <-read)
	for range 3 {
		assert.Equal(t, thinkws.ReasonServerShutdown, <-reasons)
	}
	p := &sockjs{t: t, http: http.DefaultClient, target: server.URL + "/0/late"}
	status, _, err := p.request("/xhr", "")
	require.NoError(t, err)
	assert.Equal(t, http.StatusServiceUnavailable, status)
}
