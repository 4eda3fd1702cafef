package sockjs_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-ce09063a/thinkws/internal/alarm"
	"github.com/seed-ce09063a/thinkws/internal/jsonws"
	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/sockjs"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

func TestMain(m *testing.M) {
	// net/http waits half a second for a client whose request it has refused to read.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

const (
	base = "/app/sockjs" // where tests mount the server
	host = "http://example.test"

	noCache = "no-store, no-cache, no-transform, must-revalidate, max-age=0"
	busy    = `c[2010,"Another connection still open"]`
)

// pipes is a net.Listener without a network: it works in synctest bubbles, where
// whoever waits for a pipe counts as idle.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	next  atomic.Uint32 // port of the next client
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- addressed{far, int(p.next.Add(1))}:
		return near, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// addressed gives a pipe the address of a client.
type addressed struct {
	net.Conn
	port int
}

func (a addressed) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: a.port}
}

// client is the hub as tests see it: it notes what happens to one client.
type client struct {
	session.Peer
	events  chan string // "name args", "closed reason", in order
	busy    atomic.Int32
	gone    atomic.Bool
	receive func(*session.Message) // runs within Receive; may be nil
}

func (c *client) Receive(m *session.Message) {
	if c.busy.Add(1) != 1 {
		panic("two callers of Receive at a time")
	}
	defer c.busy.Add(-1)
	text := m.Name + " " + string(m.Args.JSON())
	if m.Kind == session.Answer {
		text = "answer " + m.ID + " " + string(m.Args.JSON())
	} else if m.ID != "" {
		text += " ?" + m.ID
	}
	c.events <- text
	if c.receive != nil {
		c.receive(m)
	}
}

func (c *client) Closed(reason string) {
	if c.gone.Swap(true) {
		panic("Closed twice")
	}
	c.events <- "closed " + reason
	c.Conn.Released()
}

// send sends an event with a string.
func (c *client) send(texts ...string) error {
	for _, text := range texts {
		if err := c.Conn.Send(event("e", strconv.Quote(text))); err != nil {
			return err
		}
	}
	return nil
}

// next returns the next event of a client.
func (c *client) next(t *testing.T) string {
	t.Helper()
	select {
	case e := <-c.events:
		return e
	case <-time.After(time.Minute):
		require.FailNow(t, "nothing happens")
		return ""
	}
}

func event(name string, values ...string) *session.Message {
	return &session.Message{Name: name, Args: session.Args{Text: []byte(strings.Join(values, ",")), Count: len(values)}}
}

// e is how a client finds what send sends.
func e(texts ...string) string {
	var quoted []string
	for _, text := range texts {
		quoted = append(quoted, sockjs.Quote(`{"event":"e","data":`+strconv.Quote(text)+`}`, false))
	}
	return "a[" + strings.Join(quoted, ",") + "]"
}

// harness is a server and everything needed to talk to it.
type harness struct {
	t       *testing.T
	cfg     sockjs.Config
	server  *sockjs.Server
	http    *http.Server
	group   serial.Group
	client  *http.Client
	pipes   *pipes
	clients chan *client
	onAdmit func(*client)
	log     *logged
	ids     atomic.Int64
}

// Admit implements session.Admitter.
func (h *harness) Admit(p session.Peer) session.Receiver {
	c := &client{Peer: p, events: make(chan string, 10_000)}
	if h.onAdmit != nil {
		h.onAdmit(c)
	}
	h.clients <- c
	return c
}

// newHarness serves with a configuration that change may change, also what is around it.
func newHarness(t *testing.T, change ...func(*harness)) *harness {
	h := &harness{t: t, clients: make(chan *client, 10_000), log: new(logged)}
	h.cfg = sockjs.Config{
		Config: jsonws.Config{
			Config: wsconn.Config{
				MaxMessage: 10_000, Queue: 100_000,
				WriteTimeout: 10 * time.Second, CloseTimeout: 5 * time.Second, MessageTime: 30 * time.Second, CoolAfter: time.Second,
				Group: &h.group,
				Watch: new(wsconn.Watch),
			},
			Clock:        new(alarm.Clock),
			PingInterval: 25 * time.Second, PingTimeout: 10 * time.Second, MaxDepth: session.Depth,
			Logger: slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			Detach: func(r *http.Request) session.Handshake {
				return session.Keep(r.Clone(context.WithoutCancel(r.Context())))
			},
		},
		ReadTimeout: 10 * time.Second,
		MaxName:     256, Patience: 250 * time.Millisecond,
		WebSocket: true, ClientURL: "/client.js",
		ResponseLimit: 4096, DisconnectDelay: 5 * time.Second,
		Namespace: func(r *http.Request) string { return "/" + r.URL.Query().Get("nsp") },
	}
	h.http = &http.Server{ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	h.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.EscapedPath()
		at, ok := strings.CutPrefix(path, base)
		if !ok {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		h.server.Serve(w, r, sockjs.NewRoute(path, len(path)-len(at)))
	})
	for _, f := range change {
		f(h)
	}
	h.server = sockjs.NewServer(h.cfg, h)
	h.pipes = &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	h.client = &http.Client{
		Transport:     &http.Transport{DialContext: h.pipes.dial, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	done := make(chan error, 1)
	go func() { done <- h.http.Serve(h.pipes) }()
	t.Cleanup(func() { h.stop(done) })
	return h
}

func (h *harness) stop(done chan error) {
	h.server.Shut(session.ReasonServerShutdown)
	h.client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	assert.NoError(h.t, h.group.Wait(ctx), "goroutines are left")
	h.http.Close()
	assert.ErrorIs(h.t, <-done, http.ErrServerClosed)
	_, sockets := h.server.Len()
	assert.Zero(h.t, sockets, "WebSockets are left")
}

// answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   string
}

func (h *harness) try(r *http.Request) (answer, error) {
	resp, err := h.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body)}, err
}

// request is one below base. Headers are given as name and value in turn; an empty body
// is none.
func request(method, target, body string, headers ...string) *http.Request {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequest(method, host+base+target, reader)
	if err != nil {
		panic(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func (h *harness) do(method, target, body string, headers ...string) answer {
	h.t.Helper()
	a, err := h.try(request(method, target, body, headers...))
	require.NoError(h.t, err)
	return a
}

func (h *harness) get(target string, headers ...string) answer {
	h.t.Helper()
	return h.do("GET", target, "", headers...)
}

func (h *harness) post(target, body string, headers ...string) answer {
	h.t.Helper()
	return h.do("POST", target, body, headers...)
}

// frame is the body of a poll that has to be answered.
func (h *harness) frame(target string) string {
	h.t.Helper()
	a := h.post(target+"/xhr", "")
	require.Equal(h.t, 200, a.status, a.body)
	return strings.TrimSuffix(a.body, "\n")
}

// id returns the path of a session that has not been yet.
func (h *harness) id() string { return fmt.Sprintf("/000/s%d", h.ids.Add(1)) }

// open opens a session by polling.
func (h *harness) open() (target string, c *client) {
	h.t.Helper()
	target = h.id()
	require.Equal(h.t, "o", h.frame(target))
	for c := range h.clients {
		if strings.HasPrefix(c.Handshake.Request().URL.Path, base+target+"/") {
			return target, c
		}
	}
	return "", nil
}

// poll starts a poll; its frame comes through the channel, or "gone".
func (h *harness) poll(target string) <-chan string {
	frames := make(chan string, 1)
	go func() {
		a, err := h.try(request("POST", target+"/xhr", ""))
		if err != nil {
			a.body = "gone"
		}
		frames <- strings.TrimSuffix(a.body, "\n")
	}()
	return frames
}

// raw sends bytes as they are on a connection of its own.
func (h *harness) raw(data string) (net.Conn, *bufio.Reader) {
	h.t.Helper()
	c, err := h.pipes.dial(context.Background(), "", "")
	require.NoError(h.t, err)
	h.t.Cleanup(func() { c.Close() })
	go io.WriteString(c, data) // the server may answer before it has read everything
	return c, bufio.NewReader(c)
}

// stream is an answer that is read chunk by chunk.
type stream struct {
	t *testing.T
	net.Conn
	in     *bufio.Reader
	status string
	header textproto.MIMEHeader
}

// stream starts a request whose answer goes on for a while.
func (h *harness) stream(method, target string, headers ...string) *stream {
	h.t.Helper()
	text := method + " " + base + target + " HTTP/1.1\r\nHost: example.test\r\n"
	for _, line := range headers {
		text += line + "\r\n"
	}
	if method == "POST" {
		text += "Content-Length: 0\r\n"
	}
	c, in := h.raw(text + "\r\n")
	s := &stream{t: h.t, Conn: c, in: in}
	tp := textproto.NewReader(in)
	var err error
	s.status, err = tp.ReadLine()
	require.NoError(h.t, err)
	s.header, err = tp.ReadMIMEHeader()
	require.NoError(h.t, err)
	return s
}

// chunk returns the next chunk; "end" is that of the answer, "gone" that of the connection.
func (s *stream) chunk() string {
	s.t.Helper()
	line, err := s.in.ReadString('\n')
	if err != nil {
		return "gone"
	}
	n, err := strconv.ParseInt(strings.TrimSpace(line), 16, 64)
	require.NoError(s.t, err)
	data := make([]byte, n+2)
	_, err = io.ReadFull(s.in, data)
	require.NoError(s.t, err)
	if n == 0 {
		return "end"
	}
	return string(data[:n])
}

// expect takes the next chunks, which must be these.
func (s *stream) expect(chunks ...string) {
	s.t.Helper()
	for _, want := range chunks {
		require.Equal(s.t, want, s.chunk())
	}
}

// logged is a log that can be read while it is written.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// handshake asks for a WebSocket, and returns what answers that if it is no 101.
func (h *harness) handshake(target string, headers ...string) answer {
	h.t.Helper()
	return h.get(target, append([]string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13",
		"Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="}, headers...)...)
}
