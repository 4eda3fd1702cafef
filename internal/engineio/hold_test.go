package engineio_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// long lets a GET that waits lose its handler.
func long(t *testing.T, p *peer) {
	t.Helper()
	advance(2 * engineio.HoldAfter)
	require.True(t, p.Held())
}

// counting counts the connections that a harness makes.
func counting(h *harness) *atomic.Int32 {
	var n atomic.Int32
	h.client.Transport = &http.Transport{DisableCompression: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			n.Add(1)
			return h.dial(ctx, network, address)
		}}
	return &n
}

// However long GETs wait, they are answered as any other, and all of them by the same
// connection.
func TestLongPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, around(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Add("Vary", "Origin")
				w.Header()["X-Of"] = []string{"the middleware", "twice"}
				next.ServeHTTP(w, r)
			})
		}))
		connections := counting(h)
		p := h.polling(4, "")
		for _, text := range []string{"one", "two", strings.Repeat("x", 100_000)} {
			waiting := h.poll(p)
			long(t, p)
			require.NoError(t, p.send(text))
			held := <-waiting
			require.NoError(t, p.send(text))
			usual := h.get(p.query)
			assert.Equal(t, usual.body, held.body)
			held.header.Del("Date")
			usual.header.Del("Date")
			assert.Equal(t, usual.header, held.header)
		}
		assert.Equal(t, int32(1), connections.Load())
	})
}

// Everything that answers a GET answers a held one.
func TestWhatAnswersALongPoll(t *testing.T) {
	tests := map[string]struct {
		act  func(t *testing.T, h *harness, p *peer)
		want string
	}{
		"a message":       {func(t *testing.T, _ *harness, p *peer) { assert.NoError(t, p.send("x")) }, "4x"},
		"several":         {func(t *testing.T, _ *harness, p *peer) { assert.NoError(t, p.send("x", "y")) }, "4x\x1e4y"},
		"a ping":          {func(*testing.T, *harness, *peer) { advance(25 * time.Second) }, "2"},
		"the end":         {func(_ *testing.T, _ *harness, p *peer) { p.Close(session.ReasonServerDisconnect) }, "1"},
		"the server's":    {func(_ *testing.T, h *harness, _ *peer) { h.server.Shut(session.ReasonServerShutdown) }, "1"},
		"the client's":    {func(_ *testing.T, h *harness, p *peer) { h.post(p.query, "1") }, "6"},
		"a probe":         {func(_ *testing.T, h *harness, p *peer) { h.upgrading(p).write("2probe") }, "6"},
		"a second poll":   {func(_ *testing.T, h *harness, p *peer) { h.get(p.query) }, "1"},
		"a broken packet": {func(_ *testing.T, h *harness, p *peer) { h.post(p.query, "x") }, "1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				p := h.polling(4, "")
				waiting := h.poll(p)
				long(t, p)
				tt.act(t, h, p)
				a := <-waiting
				assert.Equal(t, 200, a.status)
				assert.Equal(t, tt.want, a.body)
			})
		})
	}
}

func TestClientThatLeavesALongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		p := h.polling(4, "")
		conn, _ := h.raw("GET /socket.io/?" + p.query + " HTTP/1.1\r\nHost: a\r\n\r\n")
		long(t, p)
		conn.Close()
		synctest.Wait() // at once
		assert.Equal(t, "closed "+session.ReasonTransportError, p.next(t))
		h.gone(p)
	})
}

// A client that sends on before it has its answer gets that, and no more by this
// connection.
func TestClientThatDoesNotWaitForALongPoll(t *testing.T) {
	for _, when := range []string{"with it", "later"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				p := h.polling(4, "")
				get := "GET /socket.io/?" + p.query + " HTTP/1.1\r\nHost: a\r\n\r\n"
				early := ""
				if when == "with it" {
					early = get
				}
				conn, answers := h.raw(get + early)
				long(t, p)
				if when == "later" {
					go io.WriteString(conn, get)
					synctest.Wait()
				}
				require.NoError(t, p.send("x"))
				resp, err := http.ReadResponse(answers, nil)
				require.NoError(t, err)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				assert.Equal(t, "4x", string(body))
				assert.True(t, resp.Close)
				_, err = answers.ReadByte()
				assert.Error(t, err)
			})
		})
	}
}

// Where the connection cannot be had, or must not be used again, the handler waits.
func TestPollsThatAreNotHeld(t *testing.T) {
	type plainWriter struct{ http.ResponseWriter }
	hidden := around(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(plainWriter{w}, r) })
	})
	tests := map[string]struct {
		options []option
		request string // what follows the target
	}{
		"no Hijacker":       {[]option{hidden}, " HTTP/1.1\r\nHost: a\r\n\r\n"},
		"HTTP/1.0":          {nil, " HTTP/1.0\r\n\r\n"},
		"Connection: close": {nil, " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t, tt.options...)
				p := h.polling(4, "")
				_, answers := h.raw("GET /socket.io/?" + p.query + tt.request)
				advance(10 * engineio.HoldAfter)
				require.True(t, p.Polling())
				assert.False(t, p.Held())
				require.NoError(t, p.send("x"))
				resp, err := http.ReadResponse(answers, nil)
				require.NoError(t, err)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				assert.Equal(t, "4x", string(body))
			})
		})
	}
}

// The http.Server may be shut down while a GET is held: that is answered all the same.
func TestServerShutDownDuringALongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		p := h.polling(4, "")
		_, answers := h.raw("GET /socket.io/?" + p.query + " HTTP/1.1\r\nHost: a\r\n\r\n")
		long(t, p)
		h.client.CloseIdleConnections()
		require.NoError(t, h.http.Shutdown(t.Context()), "it waits for nobody")
		require.NoError(t, p.send("x"))
		resp, err := http.ReadResponse(answers, nil)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.Equal(t, "4x", string(body))
		_, err = answers.ReadByte()
		assert.Error(t, err)
	})
}

// A real server with TLS takes its connections back too.
func TestLongPollsByTLS(t *testing.T) {
	var server *engineio.Server
	opened := make(chan *engineio.Session, 1)
	server = engineio.NewServer(engineio.Config{Polling: true}, func(s *engineio.Session) engineio.Receiver {
		c := &client{Session: s, events: make(chan string, 10)}
		opened <- s
		return c
	})
	var connections atomic.Int32
	s := httptest.NewUnstartedServer(server)
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		assert.IsType(t, &tls.Conn{}, c)
		connections.Add(1)
		return ctx
	}
	s.StartTLS()
	defer s.Close()
	get := func(query string) string {
		resp, err := s.Client().Get(s.URL + "/?EIO=4&transport=polling" + query)
		if !assert.NoError(t, err) {
			return ""
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		assert.NoError(t, err)
		return string(body)
	}
	get("")
	session := <-opened
	for range 2 {
		body := make(chan string)
		go func() { body <- get("&sid=" + session.ID()) }()
		require.Eventually(t, session.Held, 10*time.Second, 10*time.Millisecond)
		p := &client{Session: session}
		require.NoError(t, p.send("x"))
		assert.Equal(t, "4x", <-body)
	}
	require.Eventually(t, func() bool { return connections.Load() == 3 }, 10*time.Second, 10*time.Millisecond,
		"one from the network, two that came back")
	server.Shut("")
}
