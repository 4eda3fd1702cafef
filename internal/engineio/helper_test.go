package engineio_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-ce09063a/thinkws/internal/alarm"
	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

func TestMain(m *testing.M) {
	// net/http waits half a second for a client whose request it has refused to read.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

const path = "http://example.test/socket.io/?"

// bodyTime is the time for the body of a POST.
const bodyTime = 10 * time.Second

// pipes is a net.Listener without a network: it works in synctest bubbles, where
// whoever waits for a pipe counts as idle.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

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
	case p.conns <- addressed{far}:
		return near, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// addressed gives a pipe the address of a client.
type addressed struct{ net.Conn }

func (addressed) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1234} }

// client is the layer above as tests see it: it notes what happens to one session.
type client struct {
	*engineio.Session
	events chan string // "text …", "binary …", "closed …", in order
	busy   atomic.Int32
	closed atomic.Bool
	reject func(data string) error // what Receive returns
}

func (c *client) Receive(data []byte, binary bool) error {
	if c.busy.Add(1) != 1 {
		panic("two callers of Receive at a time")
	}
	defer c.busy.Add(-1)
	if c.closed.Load() {
		panic("Receive after Closed")
	}
	kind := "text "
	if binary {
		kind = "binary "
	}
	c.events <- kind + string(data)
	if c.reject != nil {
		return c.reject(string(data))
	}
	return nil
}

func (c *client) Failed(error) {
	if c.closed.Load() {
		panic("Failed after Closed")
	}
}

func (c *client) Closed(reason string) {
	if c.closed.Swap(true) || c.busy.Load() != 0 {
		panic("Closed twice or beside Receive")
	}
	c.events <- "closed " + reason
}

// send queues text messages, all or none.
func (c *client) send(texts ...string) error {
	var frames []session.Frame
	for _, text := range texts {
		frames = append(frames, c.Variant().TextPacket([]byte(text)))
	}
	return c.Session.Send(frames, false)
}

// harness is a server and everything needed to talk to it.
type harness struct {
	t       *testing.T
	server  *engineio.Server
	http    *http.Server
	group   serial.Group
	client  *http.Client
	dial    func(context.Context, string, string) (net.Conn, error)
	clients chan *client
	onOpen  func(*client)
	log     *logged
}

// options of newHarness.
type option func(*harness, *engineio.Config)

func with(change func(*engineio.Config)) option {
	return func(_ *harness, cfg *engineio.Config) { change(cfg) }
}

// around wraps the handler as a middleware does.
func around(middleware func(http.Handler) http.Handler) option {
	return func(h *harness, _ *engineio.Config) { h.http.Handler = middleware(h.http.Handler) }
}

func onOpen(f func(*client)) option {
	return func(h *harness, _ *engineio.Config) { h.onOpen = f }
}

func newHarness(t *testing.T, options ...option) *harness {
	h := &harness{t: t, clients: make(chan *client, 1000), onOpen: func(*client) {}, log: new(logged)}
	h.http = &http.Server{ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	h.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 { // as the handler in front of a Server does; httptest has no deadlines
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
		}
		h.server.ServeHTTP(w, r)
	})
	cfg := engineio.Config{
		Config: wsconn.Config{
			MaxMessage: 10_000, Queue: 4 << 20,
			WriteTimeout: 10 * time.Second, CloseTimeout: 5 * time.Second, MessageTime: 30 * time.Second, CoolAfter: time.Second,
			Group: &h.group,
		},
		Clock:   new(alarm.Clock),
		Polling: true, WebSocket: true, EIO3: true,
		PingInterval: 25 * time.Second, PingTimeout: 20 * time.Second, UpgradeTimeout: 10 * time.Second,
		MaxPackets: engineio.MaxPackets,
		Logger:     slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Detach: func(r *http.Request) session.Handshake {
			r = r.Clone(context.WithoutCancel(r.Context()))
			r.Body = http.NoBody
			return session.Keep(r)
		},
	}
	for _, o := range options {
		o(h, &cfg)
	}
	h.server = engineio.NewServer(cfg, h.open)
	listener := newPipes()
	h.dial = listener.dial
	h.client = &http.Client{Transport: &http.Transport{DialContext: h.dial, DisableCompression: true}}
	done := make(chan error, 1)
	go func() { done <- h.http.Serve(listener) }()
	t.Cleanup(func() { h.stop(done) })
	return h
}

func (h *harness) stop(done chan error) {
	h.server.Shut(session.ReasonServerShutdown)
	h.client.CloseIdleConnections()
	h.http.Close()
	assert.ErrorIs(h.t, <-done, http.ErrServerClosed)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	assert.NoError(h.t, h.group.Wait(ctx), "goroutines are left")
	assert.Zero(h.t, h.server.Len(), "sessions are left")
}

func (h *harness) open(s *engineio.Session) engineio.Receiver {
	c := &client{Session: s, events: make(chan string, 10_000)}
	h.onOpen(c)
	h.clients <- c
	return c
}

// answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   string
}

func (h *harness) do(r *http.Request) answer {
	h.t.Helper()
	a, err := h.try(r)
	require.NoError(h.t, err)
	return a
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

func request(method, query, body string, headers ...string) *http.Request {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequest(method, path+query, reader)
	if err != nil {
		panic(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func (h *harness) get(query string, headers ...string) answer {
	h.t.Helper()
	return h.do(request("GET", query, "", headers...))
}

func (h *harness) post(query, body string, headers ...string) answer {
	h.t.Helper()
	return h.do(request("POST", query, body, headers...))
}

// poll starts a GET; what it is answered comes through the channel.
func (h *harness) poll(p *peer) <-chan answer {
	answers := make(chan answer, 1)
	go func() {
		a, err := h.try(request("GET", p.query, ""))
		if err != nil {
			a.body = err.Error()
		}
		answers <- a
	}()
	return answers
}

// peer is a session seen from both sides.
type peer struct {
	*client
	query  string // of its polls
	opened answer
}

// polling opens a session by polling; extra is added to the query.
func (h *harness) polling(revision int, extra string) *peer {
	h.t.Helper()
	query := fmt.Sprintf("EIO=%d&transport=polling%s", revision, extra)
	a := h.get(query)
	require.Equal(h.t, 200, a.status, a.body)
	c := <-h.clients
	return &peer{client: c, query: query + "&sid=" + c.ID(), opened: a}
}

// gone asserts that the server knows nothing of a session any more.
func (h *harness) gone(p *peer) {
	h.t.Helper()
	a := h.get(p.query)
	assert.Equal(h.t, 400, a.status)
	assert.Equal(h.t, `{"code":1,"message":"Session ID unknown"}`, a.body)
}

// next returns the next event of a session.
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

// ws is a WebSocket client.
type ws struct {
	t *testing.T
	*websocket.Conn
}

func (h *harness) dialWS(query string) (*ws, *http.Response, error) { return h.dialWSWith(query) }

// dialWSWith is dialWS with headers.
func (h *harness) dialWSWith(query string, headers ...string) (*ws, *http.Response, error) {
	c, resp, err := websocket.Dial(h.t.Context(), strings.Replace(path, "http", "ws", 1)+query,
		&websocket.DialOptions{HTTPClient: h.client, HTTPHeader: request("GET", query, "", headers...).Header})
	if err != nil {
		return nil, resp, err
	}
	h.t.Cleanup(func() { c.CloseNow() })
	return &ws{h.t, c}, resp, nil
}

func (h *harness) ws(query string) *ws {
	h.t.Helper()
	c, _, err := h.dialWS(query)
	require.NoError(h.t, err)
	return c
}

// websocket opens a session by WebSocket; extra is added to the query.
func (h *harness) websocket(revision int, extra string) (*client, *ws) {
	h.t.Helper()
	w := h.ws(fmt.Sprintf("EIO=%d&transport=websocket%s", revision, extra))
	c := <-h.clients
	require.Contains(h.t, w.read(), `0{"sid":"`+c.ID()+`"`)
	return c, w
}

// upgrading opens the WebSocket that is to take over a session.
func (h *harness) upgrading(p *peer) *ws {
	h.t.Helper()
	return h.ws(strings.Replace(p.query, "polling", "websocket", 1))
}

// read returns the next message, binary ones with a mark before them.
func (w *ws) read() string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	kind, data, err := w.Read(ctx)
	require.NoError(w.t, err)
	if kind == websocket.MessageBinary {
		return "binary " + string(data)
	}
	return string(data)
}

func (w *ws) write(texts ...string) {
	w.t.Helper()
	for _, text := range texts {
		require.NoError(w.t, w.Write(context.Background(), websocket.MessageText, []byte(text)))
	}
}

func (w *ws) writeBinary(data string) {
	w.t.Helper()
	require.NoError(w.t, w.Write(context.Background(), websocket.MessageBinary, []byte(data)))
}

// closed reads the close frame and returns its code, 1005 if it has none.
func (w *ws) closed() int {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, data, err := w.Read(ctx)
	var e websocket.CloseError
	require.ErrorAs(w.t, err, &e, "no close frame: %q", data)
	return int(e.Code)
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

// raw sends bytes as they are on a connection of its own.
func (h *harness) raw(data string) (net.Conn, *bufio.Reader) {
	h.t.Helper()
	c, err := h.dial(context.Background(), "", "")
	require.NoError(h.t, err)
	h.t.Cleanup(func() { c.Close() })
	go io.WriteString(c, data) // the server may answer before it has read everything
	return c, bufio.NewReader(c)
}
