package thinkws_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-chi/chi/v5"
	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

const handshake = "/?EIO=4&transport=polling"

// polling is a Socket.IO client over long-polling, by hand.
type polling struct {
	t    *testing.T
	base string // URL up to the query
	sid  string
}

func openPolling(t *testing.T, base string) *polling {
	t.Helper()
	p := &polling{t: t, base: base}
	body := p.get()
	require.True(t, strings.HasPrefix(body, `0{"sid":"`), body)
	p.sid = body[9:29]
	return p
}

func (p *polling) do(method, body string) *http.Response {
	p.t.Helper()
	url := p.base + "?EIO=4&transport=polling"
	if p.sid != "" {
		url += "&sid=" + p.sid
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, url, strings.NewReader(body))
	require.NoError(p.t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(p.t, err)
	return res
}

func (p *polling) get() string { return readBody(p.t, p.do(http.MethodGet, "")) }
func (p *polling) post(body string) string {
	return readBody(p.t, p.do(http.MethodPost, body))
}

func readBody(t *testing.T, res *http.Response) string {
	t.Helper()
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if !endsInReset(res, err) {
		require.NoError(t, err)
	}
	return string(body)
}

func TestMounts(t *testing.T) {
	h, _ := newHandler(t, thinkws.WithPath("/live/io"), thinkws.WithWebSocketPath("/live/ws"), thinkws.Namespace("/chat"))
	chiMount := chi.NewRouter()
	chiMount.Mount("/io", h)
	chiMount.Mount("/ws", h.WebSocket())
	chiHandle := chi.NewRouter()
	chiHandle.Handle("/io", h)
	chiHandle.Handle("/io/*", h)
	chiHandle.Handle("/ws/*", h.WebSocket())
	nested := chi.NewRouter()
	nested.Route("/api/{version}", func(r chi.Router) { r.Mount("/", chiMount) })
	use := chi.NewRouter()
	use.Use(chimiddleware.Recoverer, chimiddleware.RequestID, chimiddleware.Compress(5), h.Middleware)
	use.HandleFunc("/*", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "the service itself", http.StatusTeapot) })
	mux := http.NewServeMux()
	mux.Handle("/io/", h)
	mux.Handle("/ws/", h.WebSocket())
	stripped := http.NewServeMux()
	stripped.Handle("/deep/io/", http.StripPrefix("/deep/io", h))
	stripped.Handle("/deep/ws/", http.StripPrefix("/deep/ws", h.WebSocket()))

	for _, tt := range []struct {
		name    string
		handler http.Handler
		io, ws  string
	}{
		{"chi Mount", chiMount, "/io/", "/ws/chat"},
		{"chi Mount without slash", chiMount, "/io", "/ws/chat/"},
		{"chi Handle", chiHandle, "/io/", "/ws/chat"},
		{"chi nested", nested, "/api/7/io/", "/api/7/ws/chat"},
		{"chi Use", use, "/live/io/", "/live/ws/chat"},
		{"chi Use without slash", use, "/live/io", "/live/ws/chat"},
		{"ServeMux", mux, "/io/", "/ws/chat"},
		{"StripPrefix", stripped, "/deep/io/", "/deep/ws/chat"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := newServer(t, tt.handler)
			defer server.Close()
			p := openPolling(t, server.URL+tt.io)
			assert.Equal(t, "ok", p.post("40/chat,"))
			assert.True(t, strings.HasPrefix(p.get(), `40/chat,{"sid":"`))

			io, _, err := websocket.Dial(t.Context(), server.URL+tt.io+"?EIO=4&transport=websocket", nil)
			require.NoError(t, err)
			defer func() { _ = io.CloseNow() }()
			_, open, err := io.Read(t.Context())
			require.NoError(t, err)
			assert.Contains(t, string(open), `0{"sid":`)

			before := h.Hub().Stats().Clients
			ws, _, err := websocket.Dial(t.Context(), server.URL+tt.ws, nil)
			require.NoError(t, err)
			defer func() { _ = ws.CloseNow() }()
			require.Eventually(t, func() bool { return h.Hub().Stats().Clients == before+1 }, time.Minute, time.Millisecond)
			members, err := h.Hub().Of("/chat").Sockets(t.Context())
			require.NoError(t, err)
			assert.Equal(t, "websocket", members[len(members)-1].Transport)
			_ = ws.CloseNow()
			require.Eventually(t, func() bool { return h.Hub().Stats().Clients == before }, time.Minute, time.Millisecond)
			p.post("1")
		})
	}
	server := newServer(t, use)
	defer server.Close()
	for _, path := range []string{"/", "/live", "/live/iox", "/live/wsx/chat"} {
		res, err := http.Get(server.URL + path)
		require.NoError(t, err)
		assert.Equal(t, "the service itself\n", readBody(t, res), path)
	}
}

type userKey struct{}

// What HTTP middleware knows is there in every handler, also after chi has used its
// routing context for other requests.
func TestRequestInHandlers(t *testing.T) {
	report := func(c *thinkws.Context) error {
		cookie, err := c.Request().Cookie("session")
		if err != nil {
			return err
		}
		return c.Ack(c.Context().Value(userKey{}), chi.URLParam(c.Request(), "tenant"), cookie.Value,
			c.Request().URL.Query().Get("token"), c.Request().Header.Get("X-Test"), c.Request().Context().Value(userKey{}))
	}
	h, _ := newHandler(t, thinkws.On("report", report))
	r := chi.NewRouter()
	r.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, r.URL.Query().Get("user"))))
		})
	})
	r.Route("/t/{tenant}", func(r chi.Router) { r.Mount("/ws", h.WebSocket()) })
	server := newServer(t, r)
	defer server.Close()

	var clients []*websocket.Conn
	for i := range 5 {
		header := http.Header{"X-Test": {fmt.Sprint("h", i)}, "Cookie": {fmt.Sprint("session=c", i)}}
		ws, _, err := websocket.Dial(t.Context(), fmt.Sprintf("%s/t/acme%d/ws?user=u%d&token=t%d", server.URL, i, i, i),
			&websocket.DialOptions{HTTPHeader: header})
		require.NoError(t, err)
		defer func() { _ = ws.CloseNow() }()
		clients = append(clients, ws)
	}
	for i, ws := range clients {
		require.NoError(t, ws.Write(t.Context(), websocket.MessageText, []byte(`{"event":"report","cid":1}`)))
		_, got, err := ws.Read(t.Context())
		require.NoError(t, err)
		assert.Equal(t, fmt.Sprintf(`{"rid":1,"data":["u%d","acme%d","c%d","t%d","h%d","u%d"]}`, i, i, i, i, i, i), string(got))
	}
}

func TestOriginGateOnEveryTransport(t *testing.T) {
	h, out := newHandler(t, thinkws.WithAllowOrigin("https://app.example.com"))
	r := chi.NewRouter()
	r.Mount("/socket.io", h)
	r.Mount("/ws", h.WebSocket())
	r.Method(http.MethodPost, "/users", h.Action(func(c *thinkws.Context) error { return c.Ack("done") }))
	server := newServer(t, r)
	defer server.Close()
	const good, evil = "https://app.example.com", "https://app.example.com.evil.net"

	for _, tt := range []struct{ method, path string }{
		{"GET", "/socket.io/?EIO=4&transport=polling"},
		{"GET", "/socket.io/?EIO=3&transport=polling&j=0"},
		{"POST", "/socket.io/?EIO=4&transport=polling&sid=x"},
		{"OPTIONS", "/socket.io/?EIO=4&transport=polling"},
		{"GET", "/socket.io/?EIO=4&transport=websocket"},
		{"GET", "/ws"}, {"GET", "/ws/chat"}, {"POST", "/users"},
	} {
		for _, origin := range []string{good, evil} {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, server.URL+tt.path, nil)
			require.NoError(t, err)
			req.Header.Set("Origin", origin)
			if tt.method == "OPTIONS" {
				req.Header.Set("Access-Control-Request-Method", "POST")
			}
			res, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			body := readBody(t, res)
			assert.Contains(t, res.Header.Get("Vary"), "Origin")
			if origin == evil {
				assert.Equal(t, http.StatusForbidden, res.StatusCode, tt)
				assert.Empty(t, res.Header.Get("Access-Control-Allow-Origin"))
				assert.JSONEq(t, `{"code":4,"message":"Forbidden"}`, body)
				continue
			}
			assert.NotEqual(t, http.StatusForbidden, res.StatusCode, tt)
			assert.Equal(t, good, res.Header.Get("Access-Control-Allow-Origin"), tt)
			assert.Equal(t, "true", res.Header.Get("Access-Control-Allow-Credentials"))
			if tt.method == "OPTIONS" {
				assert.Equal(t, http.StatusNoContent, res.StatusCode)
			}
		}
	}
	for _, path := range []string{"/ws", "/socket.io/?EIO=4&transport=websocket"} {
		_, res, err := websocket.Dial(t.Context(), server.URL+path, &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {evil}}})
		require.Error(t, err)
		assert.Equal(t, http.StatusForbidden, res.StatusCode)
		ws, _, err := websocket.Dial(t.Context(), server.URL+path, &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {good}}})
		require.NoError(t, err)
		_ = ws.CloseNow()
	}
	assert.Contains(t, out.String(), evil, "the log says which origin")
}

// A script element sends no Origin. Where origins are listed, it needs another proof,
// however the parameter is spelled that makes a request one of JSONP.
func TestJSONPNeedsAProof(t *testing.T) {
	h, _ := newHandler(t, thinkws.WithAllowOrigin("https://app.example.com"))
	for _, tt := range []struct {
		query, referer string
		status         int
	}{
		{"", "", 200}, // no browser
		{"&j=0", "", 403},
		{"&j", "", 403},
		{"&%6a=0", "", 403},
		{"&j=1;x", "", 403},
		{"&j=0", "https://evil.example.com/page", 403},
		{"&j=0", "https://app.example.com/page", 200},
		{"&jj=0&t=j", "", 200},
	} {
		r := httptest.NewRequest(http.MethodGet, handshake+tt.query, nil)
		if tt.referer != "" {
			r.Header.Set("Referer", tt.referer)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		assert.Equal(t, tt.status, w.Code, tt.query+tt.referer)
	}
}

// anyHandshakes is for tests with more handshakes than the default allows at once: how many a second
// come depends on the machine.
var anyHandshakes = thinkws.WithLimits(thinkws.Limits{Handshakes: 1 << 20, HandshakesPerAddress: 1 << 20})

func TestConnectRightBehindTheHandshake(t *testing.T) {
	h, _ := newHandler(t, anyHandshakes)
	server := newServer(t, h)
	defer server.Close()
	for i := range 1500 {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		var ws *rawWS
		if i%2 == 0 { // behind the request, before the 101
			ws = upgrade(t, conn, "/socket.io/?EIO=4&transport=websocket", "40", `42["e"]`)
			ws.expect("0{", "40{")
		} else { // behind the open packet
			ws = upgrade(t, conn, "/socket.io/?EIO=4&transport=websocket")
			ws.expect("0{")
			ws.send("40")
			ws.expect("40{")
		}
		require.NoError(t, conn.Close())
	}
}

func TestProbeRightBehindTheHandshake(t *testing.T) {
	h, _ := newHandler(t, anyHandshakes, thinkws.On("e", func(c *thinkws.Context) error { return c.Emit("f") }))
	server := newServer(t, h)
	defer server.Close()
	for range 1500 {
		p := openPolling(t, server.URL+"/socket.io/")
		require.Equal(t, "ok", p.post("40"))
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		ws := upgrade(t, conn, "/socket.io/?EIO=4&transport=websocket&sid="+p.sid, "2probe")
		ws.expect("3probe")
		ws.send("5")
		ws.send(`42["e"]`)
		ws.expect(`40{"sid":`, `42["f"]`)
		require.NoError(t, conn.Close())
	}
}

func goroutines() int {
	runtime.GC()
	return runtime.NumGoroutine()
}

func TestIdleClientsCostOneGoroutine(t *testing.T) {
	h, _ := newHandler(t, thinkws.WithPingInterval(time.Hour)) // nobody answers
	m := serveMemory(t, h)
	base := goroutines()
	const clients = 2_000
	conns := make([]net.Conn, clients)
	for i := range conns {
		conns[i] = m.dial(t)
		ws := upgrade(t, conns[i], "/socket.io/?EIO=4&transport=websocket", "40")
		ws.expect("0{", "40{")
	}
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= base+clients+5 }, time.Minute, 10*time.Millisecond)
	assert.GreaterOrEqual(t, runtime.NumGoroutine(), base+clients, "each is there")
	assert.Equal(t, clients, h.Hub().Stats().Clients)
	for _, c := range conns {
		require.NoError(t, c.Close())
	}
	require.Eventually(t, func() bool { return h.Hub().Stats().Clients == 0 && runtime.NumGoroutine() <= base+5 },
		time.Minute, 10*time.Millisecond)
}

func TestIdlePollingClientsCostNoGoroutine(t *testing.T) {
	h, _ := newHandler(t)
	base := goroutines()
	const clients = 1000
	for range clients {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, handshake, nil))
		sid := w.Body.String()[9:29]
		w = httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, handshake+"&sid="+sid, strings.NewReader("40")))
		require.Equal(t, "ok", w.Body.String())
	}
	require.Eventually(t, func() bool { return h.Hub().Stats().Clients == clients }, time.Minute, time.Millisecond)
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= base+2 }, time.Minute, time.Millisecond)
	shutdown(t, h)
	assert.Zero(t, h.Hub().Stats().Clients)
}

func TestShutdownSaysGoodbye(t *testing.T) {
	var reasons = make(chan thinkws.Reason, 10)
	h, err := thinkws.New(thinkws.On("close", func(c *thinkws.Context) error { reasons <- c.Reason(); return nil }))
	require.NoError(t, err)
	r := chi.NewRouter()
	r.Mount("/socket.io", h)
	r.Mount("/ws", h.WebSocket())
	server := newServer(t, r)
	defer server.Close()
	dialRaw := func(path string) *rawWS {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return upgrade(t, conn, path)
	}
	plain, sio := dialRaw("/ws"), dialRaw("/socket.io/?EIO=4&transport=websocket")
	sio.expect("0{")
	sio.send("40")
	sio.expect("40{")
	p := openPolling(t, server.URL+"/socket.io/")
	p.post("40")
	require.True(t, strings.HasPrefix(p.get(), "40{"))
	polled := make(chan string, 1)
	go func() { polled <- p.get() }()
	require.Eventually(t, func() bool { return h.Hub().Stats().Clients == 3 }, time.Minute, time.Millisecond)
	require.NoError(t, h.Hub().Emit("last", "words"))

	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		done <- h.Shutdown(ctx)
	}()
	plain.expect(`{"event":"last","data":"words"}`, "close 1001")
	sio.expect(`42["last","words"]`, "close 1001")
	_ = plain.conn.Close()
	_ = sio.conn.Close()
	assert.Contains(t, <-polled, `42["last","words"]`)
	require.NoError(t, <-done)
	for range 3 {
		assert.Equal(t, thinkws.ReasonServerShutdown, <-reasons)
	}
	res, err := http.Get(server.URL + "/socket.io" + handshake)
	require.NoError(t, err)
	assert.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	_ = res.Body.Close()
}
