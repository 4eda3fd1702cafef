package wsconn_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// Opcodes of RFC 6455, section 5.2, with and without the FIN bit.
const (
	fin      = 0x80
	rsv1     = 0x40
	opCont   = 0x0
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xa
)

// frame is one WebSocket frame as it came.
type frame struct {
	first   byte
	payload string
}

// masked returns a client's frame.
func masked(first byte, payload string) []byte {
	b := header(first, 0x80, len(payload))
	key := []byte{0x37, 0xfa, 0x21, 0x3d}
	b = append(b, key...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return b
}

// unmasked returns a frame as only servers may send it.
func unmasked(first byte, payload string) []byte {
	return append(header(first, 0, len(payload)), payload...)
}

func header(first, mask byte, n int) []byte {
	switch {
	case n < 126:
		return []byte{first, mask | byte(n)}
	case n < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{first, mask | 126}, uint16(n))
	default:
		return binary.BigEndian.AppendUint64([]byte{first, mask | 127}, uint64(n))
	}
}

func closePayload(code int, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason
}

func readFrame(r io.Reader) (frame, error) {
	var h [2]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return frame{}, err
	}
	n := uint64(h[1])
	if n > 125 {
		ext := make([]byte, map[uint64]int{126: 2, 127: 8}[n])
		if _, err := io.ReadFull(r, ext); err != nil {
			return frame{}, err
		}
		n = 0
		for _, b := range ext {
			n = n<<8 | uint64(b)
		}
	}
	payload := make([]byte, n)
	_, err := io.ReadFull(r, payload)
	return frame{h[0], string(payload)}, err
}

// config is what most tests work with.
func config() *wsconn.Config {
	return &wsconn.Config{
		MaxMessage:   1 << 10,
		Queue:        1 << 20,
		WriteTimeout: 10 * time.Second,
		CloseTimeout: 5 * time.Second,
		MessageTime:  30 * time.Second,
		CoolAfter:    time.Second,
		Group:        new(serial.Group),
		Watch:        new(wsconn.Watch),
	}
}

// hijackable is a ResponseWriter on a given connection.
type hijackable struct {
	*httptest.ResponseRecorder
	conn  net.Conn
	early []byte
}

func (h *hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	r := bufio.NewReader(io.MultiReader(bytes.NewReader(h.early), h.conn))
	if len(h.early) > 0 {
		if _, err := r.Peek(len(h.early)); err != nil {
			return nil, nil, err
		}
	}
	return h.conn, bufio.NewReadWriter(r, bufio.NewWriter(h.conn)), nil
}

func handshake() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/ws", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	return r
}

// dial connects a client's end of a net.Pipe with a Conn on the other.
func dial(t *testing.T, cfg *wsconn.Config, early ...byte) (*wsconn.Conn, net.Conn) {
	t.Helper()
	client, server := net.Pipe()
	return accept(t, cfg, server, early), client
}

func accept(t *testing.T, cfg *wsconn.Config, server net.Conn, early []byte) *wsconn.Conn {
	t.Helper()
	w := &hijackable{httptest.NewRecorder(), server, early}
	c, err := wsconn.Accept(w, handshake(), cfg, flow(cfg))
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, w.Code)
	return c
}

// flow returns a flow control without limits.
func flow(cfg *wsconn.Config) *session.Flow {
	f := new(session.Flow)
	f.Init(cfg.Group, nil, nil)
	return f
}

// tcp returns the two ends of a TCP connection.
func tcp(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	server, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// pair is a Conn over TCP that is being served, and the client's end.
func pair(t *testing.T, cfg *wsconn.Config, early ...byte) (*wsconn.Conn, *recorder, net.Conn) {
	t.Helper()
	client, server := tcp(t)
	c := accept(t, cfg, server, early)
	h := newRecorder()
	c.Serve(h)
	return c, h, client
}

// recorder is a Handler that writes down what it gets.
type recorder struct {
	message func(data []byte, binary bool) error // may be nil
	done    chan struct{}

	mu     sync.Mutex // protects what follows
	got    []frame
	pongs  int
	closed []error
}

func newRecorder() *recorder { return &recorder{done: make(chan struct{})} }

func (r *recorder) Message(data []byte, binary bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := byte(opText)
	if binary {
		first = opBinary
	}
	r.got = append(r.got, frame{first, string(data)})
	if r.message != nil {
		return r.message(data, binary)
	}
	return nil
}

func (r *recorder) Pong() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pongs++
}

func (r *recorder) Closed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = append(r.closed, err)
	if len(r.closed) == 1 {
		close(r.done)
	}
}

func (r *recorder) messages() []frame {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]frame(nil), r.got...)
}

// end waits for Closed and returns its error.
func (r *recorder) end(t *testing.T) error {
	t.Helper()
	<-r.done
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Len(t, r.closed, 1, "Closed must come exactly once")
	return r.closed[0]
}

// wait waits until no goroutine of the connection is left.
func wait(t *testing.T, cfg *wsconn.Config) {
	t.Helper()
	require.NoError(t, cfg.Group.Wait(t.Context()))
}

func write(t *testing.T, conn net.Conn, frames ...[]byte) {
	t.Helper()
	_, err := conn.Write(bytes.Join(frames, nil))
	require.NoError(t, err)
}

func expect(t *testing.T, conn io.Reader, want ...frame) {
	t.Helper()
	for _, w := range want {
		got, err := readFrame(conn)
		require.NoError(t, err)
		require.Equal(t, w, got)
	}
}

// expectClose reads a close frame with the code and returns its reason.
func expectClose(t *testing.T, conn io.Reader, code int) string {
	t.Helper()
	got, err := readFrame(conn)
	require.NoError(t, err)
	require.Equal(t, byte(fin|opClose), got.first, "want a close frame, got %q", got.payload)
	require.GreaterOrEqual(t, len(got.payload), 2)
	assert.Equal(t, code, int(binary.BigEndian.Uint16([]byte(got.payload))))
	return got.payload[2:]
}

func text(s string) session.Frame { return session.TextFrame([]byte(s)) }
