package thinkws_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-chi/chi/v5"
	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// A long poll is an ordinary request: net/http and middleware do with it what they do with all others.

// pollServer is a service on an http.Server of the test's own, and its one client, which polls.
type pollServer struct {
	t       *testing.T
	handler *thinkws.Handler
	server  *http.Server
	dial    func() (net.Conn, error)
	sid     string
	arrived chan struct{} // a GET of the session has come to the handler
	get     net.Conn      // the connection of the GETs
	in      *bufio.Reader
}

// servePolls starts the service: with a real listener, or with one in memory, for tests in which time passes.
func servePolls(t *testing.T, listener net.Listener, dial func() (net.Conn, error), configure func(*http.Server, chi.Router)) *pollServer {
	t.Helper()
	p := &pollServer{t: t, dial: dial, arrived: make(chan struct{}, 10)}
	p.handler, _ = newHandler(t, thinkws.WithPingInterval(time.Hour))
	router := chi.NewRouter()
	p.server = &http.Server{Handler: router, ReadHeaderTimeout: 2 * time.Second}
	configure(p.server, router)
	router.Get("/plain", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "plain") })
	router.With(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && r.URL.Query().Has("sid") {
				p.arrived <- struct{}{}
			}
			next.ServeHTTP(w, r)
		})
	}).Mount("/socket.io", p.handler)
	var wg sync.WaitGroup
	wg.Go(func() { _ = p.server.Serve(listener) })
	t.Cleanup(func() { _ = p.server.Close(); wg.Wait() })
	p.connect()
	open, _ := p.poll()
	_, rest, _ := strings.Cut(open, `"sid":"`)
	p.sid, _, _ = strings.Cut(rest, `"`)
	require.Equal(t, "ok", p.once("POST", "40"))
	entered, _ := p.poll()
	<-p.arrived
	require.Contains(t, entered, "40{")
	return p
}

func loopback(t *testing.T, configure func(*http.Server, chi.Router)) *pollServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return servePolls(t, l, func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }, configure)
}

func inMemory(t *testing.T, configure func(*http.Server, chi.Router)) *pollServer {
	t.Helper()
	m := newMemory()
	return servePolls(t, m, func() (net.Conn, error) { return m.dial(t), nil }, configure)
}

// connect makes the connection of the GETs.
func (p *pollServer) connect() {
	p.t.Helper()
	var err error
	p.get, err = p.dial()
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = p.get.Close() })
	p.in = bufio.NewReader(p.get)
}

// send writes a GET.
func (p *pollServer) send(headers ...string) {
	p.t.Helper()
	target := io4 + "polling"
	if p.sid != "" {
		target += "&sid=" + p.sid
	}
	_, err := io.WriteString(p.get, get(target, headers...))
	require.NoError(p.t, err)
}

// wait sends a GET and returns when its handler has it.
func (p *pollServer) wait(headers ...string) {
	p.t.Helper()
	p.send(headers...)
	<-p.arrived
}

// answer reads the answer to a GET.
func (p *pollServer) answer() (body string, res *http.Response) {
	p.t.Helper()
	res, err := http.ReadResponse(p.in, nil)
	require.NoError(p.t, err)
	return readBody(p.t, res), res
}

func (p *pollServer) poll() (string, *http.Response) {
	p.t.Helper()
	p.send()
	return p.answer()
}

// once sends a request on a connection of its own.
func (p *pollServer) once(method, body string) string {
	p.t.Helper()
	target := "/plain"
	if method == http.MethodPost {
		target = io4 + "polling&sid=" + p.sid
	}
	conn, err := p.dial()
	require.NoError(p.t, err)
	defer func() { _ = conn.Close() }()
	go func() { _, _ = io.WriteString(conn, raw(method, target, body, "Connection: close")) }()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(p.t, err)
	return readBody(p.t, res)
}

func (p *pollServer) emit(text string) {
	p.t.Helper()
	require.NoError(p.t, p.handler.Hub().Emit("e", text))
}

// record is a log of requests as middleware.RequestLogger writes it.
type record struct{ entries chan entry }

type entry struct {
	record *record
	status int
	bytes  int
	took   time.Duration
}

func (r *record) NewLogEntry(*http.Request) chimiddleware.LogEntry { return &entry{record: r} }

func (e *entry) Write(status, bytes int, _ http.Header, elapsed time.Duration, _ any) {
	e.record.entries <- entry{status: status, bytes: bytes, took: elapsed}
}
func (e *entry) Panic(any, []byte) {}

func TestLoggerSeesStatusBytesAndDurationOfALongPoll(t *testing.T) {
	log := &record{entries: make(chan entry, 100)}
	p := loopback(t, func(_ *http.Server, r chi.Router) { r.Use(chimiddleware.RequestLogger(log)) })
	for range 3 { // handshake, CONNECT, the poll that brings its answer
		<-log.entries
	}
	p.wait()
	begun := time.Now()
	require.Equal(t, "plain", p.once("GET", "")) // while the poll waits
	assert.Equal(t, 200, (<-log.entries).status)
	held := time.Since(begun)
	p.emit("hello")
	body, res := p.answer()
	assert.Equal(t, `42["e","hello"]`, body)
	assert.Equal(t, 200, res.StatusCode)
	e := <-log.entries
	assert.Equal(t, 200, e.status)
	assert.Equal(t, len(body), e.bytes)
	assert.GreaterOrEqual(t, e.took, held)
}

// The same in a bubble, where durations are exact, and far beyond any threshold of the server.
func TestLoggerSeesTheFullDurationOfALongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &record{entries: make(chan entry, 100)}
		p := inMemory(t, func(_ *http.Server, r chi.Router) { r.Use(chimiddleware.RequestLogger(log)) })
		for range 3 {
			<-log.entries
		}
		p.wait()
		time.Sleep(20 * time.Second)
		p.emit("hello")
		body, _ := p.answer()
		assert.Equal(t, entry{status: 200, bytes: len(body), took: 20 * time.Second}, <-log.entries)
	})
}

func TestMiddlewareCompressesALongPoll(t *testing.T) {
	log := &record{entries: make(chan entry, 100)}
	p := loopback(t, func(_ *http.Server, r chi.Router) {
		r.Use(chimiddleware.RequestLogger(log), chimiddleware.Compress(5))
	})
	for range 3 {
		<-log.entries
	}
	text := strings.Repeat("hello ", 1000)
	p.wait("Accept-Encoding: gzip")
	p.emit(text)
	packed, res := p.answer()
	assert.Equal(t, "gzip", res.Header.Get("Content-Encoding"))
	unzip, err := gzip.NewReader(strings.NewReader(packed))
	require.NoError(t, err)
	body, err := io.ReadAll(unzip)
	require.NoError(t, err)
	assert.Equal(t, `42["e","`+text+`"]`, string(body))
	e := <-log.entries
	assert.Equal(t, 200, e.status)
	assert.Equal(t, len(packed), e.bytes)
	assert.Less(t, e.bytes, len(body))
}

// hooks counts what an http.Server tells of its connections.
type hooks struct {
	mu     sync.Mutex // protects what follows
	base   int
	conns  map[net.Conn]int              // calls of ConnContext
	states map[net.Conn][]http.ConnState // calls of ConnState
}

func (h *hooks) on(s *http.Server) {
	h.conns, h.states = map[net.Conn]int{}, map[net.Conn][]http.ConnState{}
	s.BaseContext = func(net.Listener) context.Context {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.base++
		return context.Background()
	}
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.conns[c]++
		return ctx
	}
	s.ConnState = func(c net.Conn, state http.ConnState) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.states[c] = append(h.states[c], state)
	}
}

func TestHooksOfTheServerSeeEachConnectionOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h hooks
		p := inMemory(t, func(s *http.Server, _ chi.Router) { h.on(s) })
		for range 3 { // however long each waits
			p.wait()
			time.Sleep(20 * time.Second)
			p.emit("x")
			p.answer()
			require.Equal(t, "plain", p.once("GET", ""))
		}
		_ = p.get.Close()
		synctest.Wait()
		h.mu.Lock()
		defer h.mu.Unlock()
		assert.Equal(t, 1, h.base)
		assert.Len(t, h.conns, 5, "one of the GETs, one of each other request")
		var polls [][]http.ConnState
		for c, states := range h.states {
			assert.Equal(t, 1, h.conns[c])
			if len(states) > 3 {
				polls = append(polls, states)
			}
		}
		want := []http.ConnState{http.StateNew}
		for range 5 { // handshake, CONNECT's answer, three more
			want = append(want, http.StateActive, http.StateIdle)
		}
		assert.Equal(t, [][]http.ConnState{append(want, http.StateClosed)}, polls)
	})
}

// Row A4: this service knows which listener it serves on.
func TestABaseContextMayAssertItsListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t, func(s *http.Server, _ chi.Router) {
			s.BaseContext = func(l net.Listener) context.Context { _ = l.(*memory); return context.Background() }
		})
		p.wait()
		time.Sleep(20 * time.Second)
		p.emit("x")
		body, _ := p.answer()
		assert.Equal(t, `42["e","x"]`, body)
		require.Equal(t, "plain", p.once("GET", ""))
	})
}

func TestIdleTimeoutHoldsAfterALongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t, func(s *http.Server, _ chi.Router) { s.IdleTimeout = 10 * time.Second })
		for range 2 {
			p.wait()
			time.Sleep(11 * time.Second) // it is not idle
			p.emit("x")
			p.answer()
			time.Sleep(9 * time.Second) // longer than ReadHeaderTimeout, shorter than IdleTimeout
			require.Equal(t, "plain", p.once("GET", ""))
		}
		time.Sleep(time.Second)
		_, err := p.in.ReadByte()
		assert.ErrorIs(t, err, io.EOF)
	})
}

// Shutdown of the http.Server waits for a request that waits, and returns soon after its answer.
func TestServerShutdownReturnsWhenPollsAreAnswered(t *testing.T) {
	for name, release := range map[string]func(*pollServer){
		"by an event":                func(p *pollServer) { p.emit("x") },
		"by Shutdown of the handler": func(p *pollServer) { shutdown(p.t, p.handler) },
		"by Close of the clients":    func(p *pollServer) { assert.NoError(p.t, p.handler.Hub().To().Close()) },
		"by a client that hangs up":  func(p *pollServer) { _ = p.get.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := inMemory(t, func(*http.Server, chi.Router) {})
				p.wait()
				time.Sleep(20 * time.Second)
				done := make(chan time.Duration)
				begun := time.Now()
				go func() {
					assert.NoError(t, p.server.Shutdown(context.Background()))
					done <- time.Since(begun)
				}()
				time.Sleep(3 * time.Second)
				require.Empty(t, done)
				go func() { _, _ = io.Copy(io.Discard, p.in) }()
				release(p)
				assert.Less(t, <-done, 4*time.Second) // net/http looks every half second
			})
		})
	}
}

func TestConnectionsCloseAfterALongPollIfTheyMust(t *testing.T) {
	for name, configure := range map[string]func(*http.Server, chi.Router){
		"SetKeepAlivesEnabled": func(s *http.Server, _ chi.Router) {
			time.AfterFunc(10*time.Second, func() { s.SetKeepAlivesEnabled(false) }) // while the poll waits
		},
		"middleware": func(_ *http.Server, r chi.Router) {
			r.Use(func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("X-Last") != "" {
						w.Header().Set("Connection", "close")
					}
					next.ServeHTTP(w, r)
				})
			})
		},
		"the client": func(*http.Server, chi.Router) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := inMemory(t, configure)
				headers := map[string][]string{"middleware": {"X-Last: 1"}, "the client": {"Connection: close"}}[name]
				p.wait(headers...)
				time.Sleep(20 * time.Second)
				p.emit("x")
				body, res := p.answer()
				assert.Equal(t, `42["e","x"]`, body)
				assert.True(t, res.Close)
				_, err := p.in.ReadByte()
				assert.ErrorIs(t, err, io.EOF)
				p.connect() // the session goes on with another connection
				p.wait(headers...)
				p.emit("y")
				body, _ = p.answer()
				assert.Equal(t, `42["e","y"]`, body)
			})
		})
	}
}
