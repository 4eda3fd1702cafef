package wsconn_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// echo sends back what comes.
type echo struct {
	*recorder
	conn *wsconn.Conn
}

func (e *echo) Message(data []byte, binary bool) error {
	if binary {
		return e.conn.Send(session.BinaryFrame(data))
	}
	return e.conn.Send(session.TextFrame(data))
}

// server runs an echo server with the middlewares around it.
func server(t *testing.T, cfg *wsconn.Config, around ...func(http.Handler) http.Handler) *httptest.Server {
	t.Helper()
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := wsconn.Accept(w, r, cfg, flow(cfg))
		if err != nil {
			return
		}
		c.Serve(&echo{newRecorder(), c})
	})
	for _, wrap := range around {
		h = wrap(h)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

const handshakeText = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// connect sends the handshake with more behind it, and returns what comes after the 101.
func connect(addr string, more ...[]byte) (net.Conn, *bufio.Reader, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	first := []byte(handshakeText)
	for _, m := range more {
		first = append(first, m...)
	}
	if _, err := conn.Write(first); err != nil {
		return nil, nil, err
	}
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	return conn, br, nil
}

// What comes in one packet with the handshake is read, whole or in part.
func TestFramesBehindTheHandshake(t *testing.T) {
	const clients, workers = 1500, 8
	cfg := config()
	s := server(t, cfg)
	addr := s.Listener.Addr().String()
	one, two := masked(fin|opText, "early"), masked(fin|opBinary, strings.Repeat("x", 700))

	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < clients; i += workers {
				both := append(append([]byte(nil), one...), two...)
				cut := i % (len(both) + 1) // what follows comes in a packet of its own
				conn, br, err := connect(addr, both[:cut])
				if !assert.NoError(t, err) {
					return
				}
				_, err = conn.Write(both[cut:])
				assert.NoError(t, err)
				a, err := readFrame(br)
				assert.NoError(t, err)
				b, err := readFrame(br)
				assert.NoError(t, err)
				assert.Equal(t, frame{fin | opText, "early"}, a)
				assert.Equal(t, frame{fin | opBinary, strings.Repeat("x", 700)}, b)
				conn.Close()
			}
		})
	}
	wg.Wait()
	wait(t, cfg)
}

func TestEarlyBytesOnAPipe(t *testing.T) {
	early := append(masked(fin|opText, "first"), masked(fin|opText, strings.Repeat("y", 900))...)
	early = append(early, masked(fin|opText, "last")...)
	for cut := range len(early) + 1 {
		cfg := config()
		c, client := dial(t, cfg, early[:cut]...)
		h := newRecorder()
		c.Serve(h)
		if cut < len(early) {
			write(t, client, early[cut:])
		}
		client.Close()
		require.ErrorIs(t, h.end(t), wsconn.ErrClosedByPeer)
		require.Equal(t, []frame{{opText, "first"}, {opText, strings.Repeat("y", 900)}, {opText, "last"}}, h.messages())
	}
}

func TestWithAClient(t *testing.T) {
	cfg := config()
	cfg.MaxMessage = 1 << 20
	s := server(t, cfg)
	ctx := t.Context()
	ws, _, err := websocket.Dial(ctx, s.URL, nil)
	require.NoError(t, err)
	ws.SetReadLimit(1 << 20)
	for _, n := range []int{0, 1, 125, 126, 4095, 4096, 4097, 65535, 65536, 1 << 20} {
		sent := strings.Repeat("z", n)
		require.NoError(t, ws.Write(ctx, websocket.MessageText, []byte(sent)))
		kind, got, err := ws.Read(ctx)
		require.NoError(t, err)
		assert.Equal(t, websocket.MessageText, kind)
		assert.Equal(t, sent, string(got), "%d bytes", n)
	}
	pinged := make(chan error, 1)
	go func() { pinged <- ws.Ping(ctx) }()
	readCtx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		assert.NoError(t, <-pinged)
	}()
	ws.Read(readCtx) // answers come while it reads; the end of ctx closes the connection
	ws.CloseNow()
	wait(t, cfg)
}

func TestCloseWithAClient(t *testing.T) {
	cfg := config()
	s := server(t, cfg)
	ws, _, err := websocket.Dial(t.Context(), s.URL, nil)
	require.NoError(t, err)
	require.NoError(t, ws.Close(websocket.StatusNormalClosure, "bye"), "the close handshake is complete")
	wait(t, cfg)
}

type unwrapping struct{ w http.ResponseWriter }

func (u unwrapping) Header() http.Header         { return u.w.Header() }
func (u unwrapping) Write(p []byte) (int, error) { return u.w.Write(p) }
func (u unwrapping) WriteHeader(status int)      { u.w.WriteHeader(status) }
func (u unwrapping) Unwrap() http.ResponseWriter { return u.w }

type hiding struct{ http.ResponseWriter }

// pretending implements Hijacker whatever it wraps, as some routers' writers do.
type pretending struct{ unwrapping }

func (p pretending) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(p.w).Hijack()
}

// delaying sends the status only when told to, as gin does.
type delaying struct {
	unwrapping
	status *int
}

func (d delaying) WriteHeader(status int) { *d.status = status }
func (d delaying) WriteHeaderNow()        { d.w.WriteHeader(*d.status) }

func wrap(f func(http.ResponseWriter) http.ResponseWriter) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(f(w), r) })
	}
}

func TestMiddlewaresAroundIt(t *testing.T) {
	tests := map[string]struct {
		wrap   func(http.ResponseWriter) http.ResponseWriter
		status int
	}{
		"unwrapping": {func(w http.ResponseWriter) http.ResponseWriter { return unwrapping{unwrapping{w}} }, 101},
		"pretending": {func(w http.ResponseWriter) http.ResponseWriter { return pretending{unwrapping{w}} }, 101},
		"delaying":   {func(w http.ResponseWriter) http.ResponseWriter { return delaying{unwrapping{w}, new(int)} }, 101},
		"hiding":     {func(w http.ResponseWriter) http.ResponseWriter { return hiding{w} }, 501},
		"pretending over hiding": {
			func(w http.ResponseWriter) http.ResponseWriter { return pretending{unwrapping{hiding{w}}} }, 501,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := config()
			s := server(t, cfg, wrap(tt.wrap))
			conn, err := net.Dial("tcp", s.Listener.Addr().String())
			require.NoError(t, err)
			defer conn.Close()
			write(t, conn, []byte(handshakeText))
			br := bufio.NewReader(conn)
			resp, err := http.ReadResponse(br, nil)
			require.NoError(t, err)
			require.Equal(t, tt.status, resp.StatusCode)
			if tt.status != http.StatusSwitchingProtocols {
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				assert.Contains(t, string(body), "http.Hijacker")
				return
			}
			write(t, conn, masked(fin|opText, "through"))
			expect(t, br, frame{fin | opText, "through"})
			conn.Close()
			wait(t, cfg)
		})
	}
}

func TestHeadersGoOutWithTheAnswer(t *testing.T) {
	cfg := config()
	s := server(t, cfg, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Set-Cookie", "io=1")
			next.ServeHTTP(w, r)
		})
	})
	ws, resp, err := websocket.Dial(t.Context(), s.URL, nil)
	require.NoError(t, err)
	assert.Equal(t, "io=1", resp.Header.Get("Set-Cookie"))
	assert.Empty(t, resp.Header.Get("Sec-WebSocket-Extensions"))
	ws.CloseNow()
	wait(t, cfg)
}

func TestBadHandshakes(t *testing.T) {
	tests := map[string]struct {
		change func(*http.Request)
		status int
		body   string
	}{
		"no Connection":  {func(r *http.Request) { r.Header.Del("Connection") }, 400, "Connection"},
		"no Upgrade":     {func(r *http.Request) { r.Header.Del("Upgrade") }, 400, "Upgrade"},
		"h2c":            {func(r *http.Request) { r.Header.Set("Upgrade", "h2c") }, 400, "Upgrade"},
		"POST":           {func(r *http.Request) { r.Method = http.MethodPost }, 400, "method"},
		"version 8":      {func(r *http.Request) { r.Header.Set("Sec-WebSocket-Version", "8") }, 400, "version"},
		"no key":         {func(r *http.Request) { r.Header.Del("Sec-WebSocket-Key") }, 400, "Key"},
		"short key":      {func(r *http.Request) { r.Header.Set("Sec-WebSocket-Key", "aGk=") }, 400, "Key"},
		"two keys":       {func(r *http.Request) { r.Header.Add("Sec-WebSocket-Key", "x") }, 400, "Key"},
		"HTTP/1.0":       {func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 1, 0 }, 400, "HTTP/1.1"},
		"HTTP/2":         {func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 2, 0 }, 501, "HTTP/1.1"},
		"foreign origin": {func(r *http.Request) { r.Header.Set("Origin", "https://elsewhere.example") }, 101, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := config()
			client, end := net.Pipe()
			defer client.Close()
			w := &hijackable{httptest.NewRecorder(), end, nil}
			r := handshake()
			tt.change(r)
			c, err := wsconn.Accept(w, r, cfg, flow(cfg))
			assert.Equal(t, tt.status, w.Code)
			if tt.status == http.StatusSwitchingProtocols {
				require.NoError(t, err)
				h := newRecorder()
				c.Serve(h)
				c.CloseNow()
				h.end(t)
				return
			}
			require.Error(t, err)
			assert.Nil(t, c)
			assert.Contains(t, w.Body.String(), tt.body)
		})
	}
}

func TestHTTP2(t *testing.T) {
	cfg := config()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := wsconn.Accept(w, r, cfg, flow(cfg))
		assert.Error(t, err)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	resp, err := s.Client().Get(s.URL)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, 2, resp.ProtoMajor)
	assert.Equal(t, http.StatusNotImplemented, resp.StatusCode)
	assert.Contains(t, string(body), "HTTP/1.1")
}

// An idle connection has one goroutine, and a closed one none.
func TestGoroutines(t *testing.T) {
	const n = 100
	cfg := config()
	before := runtime.NumGoroutine()
	var conns []*wsconn.Conn
	var clients []net.Conn
	var handlers []*recorder
	for range n {
		c, client := dial(t, cfg)
		h := newRecorder()
		c.Serve(h)
		conns, clients, handlers = append(conns, c), append(clients, client), append(handlers, h)
	}
	for i := range n { // after some traffic both ways
		require.NoError(t, conns[i].Send(text("x")))
		expect(t, clients[i], frame{fin | opText, "x"})
		write(t, clients[i], masked(fin|opPing, ""))
		expect(t, clients[i], frame{fin | opPong, ""})
	}
	for i := range n {
		for !conns[i].Idle() {
			runtime.Gosched()
		}
	}
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+n+2 }, time.Minute, time.Millisecond,
		"those who wrote end after a moment")
	for i := range n {
		clients[i].Close()
		handlers[i].end(t)
	}
	wait(t, cfg)
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+2 }, time.Minute, time.Millisecond)
}
