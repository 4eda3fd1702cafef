package jsonws_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/alarm"
	"github.com/seed-ce09063a/thinkws/internal/jsonws"
	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// First bytes of final frames (RFC 6455, section 5.2).
const (
	textFrame   = 0x81
	binaryFrame = 0x82
	closeFrame  = 0x88
	pingFrame   = 0x89
	pongFrame   = 0x8a
)

func config() jsonws.Config {
	return jsonws.Config{
		Config: wsconn.Config{
			MaxMessage:   64 << 10,
			Queue:        1 << 20,
			WriteTimeout: 10 * time.Second,
			CloseTimeout: 5 * time.Second,
			MessageTime:  30 * time.Second,
			CoolAfter:    time.Second,
			Group:        new(serial.Group),
			Watch:        new(wsconn.Watch),
		},
		Clock:        new(alarm.Clock),
		PingInterval: 25 * time.Second,
		PingTimeout:  20 * time.Second,
		MaxDepth:     session.Depth,
		Logger:       slog.New(slog.DiscardHandler),
		Detach:       func(r *http.Request) session.Handshake { return session.Keep(r.Clone(r.Context())) },
	}
}

// hub is an Admitter that writes down what it gets.
type hub struct {
	admit   func(session.Peer)     // runs within Admit; may be nil
	receive func(*session.Message) // may be nil

	mu     sync.Mutex // protects what follows
	peers  []session.Peer
	got    []*session.Message
	closed []string
}

func (h *hub) Admit(p session.Peer) session.Receiver {
	h.mu.Lock()
	h.peers = append(h.peers, p)
	h.mu.Unlock()
	if h.admit != nil {
		h.admit(p)
	}
	return h
}

func (h *hub) Receive(m *session.Message) {
	h.mu.Lock()
	h.got = append(h.got, m)
	h.mu.Unlock()
	if h.receive != nil {
		h.receive(m)
	}
}

func (h *hub) Closed(reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = append(h.closed, reason)
}

func (h *hub) peer(i int) session.Peer {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.peers[i]
}

func (h *hub) messages() []*session.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.got
}

func (h *hub) reasons() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed
}

// hijackable is a ResponseWriter on a given connection.
type hijackable struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (h *hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

func handshake() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/ws/chat?token=1", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	return r
}

type frame struct {
	first   byte
	payload string
}

// client is the other end of a connection. Whatever comes is read at once.
type client struct {
	net.Conn
	frames chan frame // closed at the end of the connection
}

// dial connects to s by a net.Pipe. At the end of the test the connection is closed.
func dial(t *testing.T, s *jsonws.Server) *client {
	t.Helper()
	near, far := net.Pipe()
	w := &hijackable{httptest.NewRecorder(), far}
	s.Serve(w, handshake(), "/chat", nil)
	require.Equal(t, http.StatusSwitchingProtocols, w.Code)
	c := &client{Conn: near, frames: make(chan frame, 1000)}
	go c.read()
	t.Cleanup(func() { near.Close() })
	return c
}

func (c *client) read() {
	defer close(c.frames)
	for {
		var h [2]byte
		if _, err := io.ReadFull(c, h[:]); err != nil {
			return
		}
		n := int(h[1])
		if n == 126 {
			var ext [2]byte
			if _, err := io.ReadFull(c, ext[:]); err != nil {
				return
			}
			n = int(binary.BigEndian.Uint16(ext[:]))
		}
		payload := make([]byte, n)
		if _, err := io.ReadFull(c, payload); err != nil {
			return
		}
		c.frames <- frame{h[0], string(payload)}
	}
}

// send writes a frame, masked with zeros.
func (c *client) send(t *testing.T, first byte, payload string) {
	t.Helper()
	var b bytes.Buffer
	b.WriteByte(first)
	switch n := len(payload); {
	case n < 126:
		b.WriteByte(0x80 | byte(n))
	case n < 1<<16:
		b.Write(binary.BigEndian.AppendUint16([]byte{0x80 | 126}, uint16(n)))
	default:
		b.Write(binary.BigEndian.AppendUint64([]byte{0x80 | 127}, uint64(n)))
	}
	b.Write([]byte{0, 0, 0, 0})
	b.WriteString(payload)
	_, err := c.Write(b.Bytes())
	require.NoError(t, err)
}

func (c *client) text(t *testing.T, payloads ...string) {
	t.Helper()
	for _, p := range payloads {
		c.send(t, textFrame, p)
	}
}

// expect takes the next frames, which must be these texts.
func (c *client) expect(t *testing.T, texts ...string) {
	t.Helper()
	for _, want := range texts {
		require.Equal(t, frame{textFrame, want}, <-c.frames)
	}
}

// expectClose takes the close frame and answers it; then the connection must end.
func (c *client) expectClose(t *testing.T, code int, reason string) {
	t.Helper()
	f, ok := <-c.frames
	require.True(t, ok, "no close frame")
	want := string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason
	require.Equal(t, frame{closeFrame, want}, f)
	c.send(t, closeFrame, want)
	c.expectEnd(t)
}

func (c *client) expectEnd(t *testing.T) {
	t.Helper()
	f, ok := <-c.frames
	assert.False(t, ok, "unexpected frame %q", f.payload)
}

// wait waits until no goroutine of the server is left.
func wait(t *testing.T, cfg jsonws.Config) {
	t.Helper()
	require.NoError(t, cfg.Group.Wait(t.Context()))
}

func event(name string, values ...string) *session.Message {
	m := &session.Message{Name: name}
	var text [][]byte
	for _, v := range values {
		text = append(text, []byte(v))
	}
	m.Args = session.Args{Text: bytes.Join(text, []byte(",")), Count: len(values)}
	return m
}

// watched is a connection that tells when it is closed.
type watched struct {
	net.Conn
	once sync.Once
	end  chan struct{}
}

func (w *watched) Close() error {
	w.once.Do(func() { close(w.end) })
	return w.Conn.Close()
}

// newPipe connects a client that reads nothing, and tells when the server has cut it off.
func newPipe(t *testing.T, s *jsonws.Server) (near net.Conn, end <-chan struct{}) {
	t.Helper()
	return newPipeWith(t, s, func() {})
}

// newPipeWith does something just when the connection is taken over.
func newPipeWith(t *testing.T, s *jsonws.Server, during func()) (near net.Conn, end <-chan struct{}) {
	t.Helper()
	near, far := net.Pipe()
	w := &watched{Conn: far, end: make(chan struct{})}
	rw := &interrupted{hijackable{httptest.NewRecorder(), w}, during}
	s.Serve(rw, handshake(), "/chat", nil)
	require.Equal(t, http.StatusSwitchingProtocols, rw.Code)
	return near, w.end
}

type interrupted struct {
	hijackable
	during func()
}

func (i *interrupted) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	i.during()
	return i.hijackable.Hijack()
}

func (h *hub) all() []session.Peer {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]session.Peer(nil), h.peers...)
}
