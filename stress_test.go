package thinkws_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

const (
	stressPublishers = 8
	stressMessages   = 10  // of each publisher
	stressAhead      = 4   // of these, on their way at a time
	stressThreshold  = 512 // of compression, in bytes
)

// Nothing is lost, doubled, reordered or interleaved: many clients of both kinds, with
// and without compression, over TCP and TLS, some through small buffers, some leaving on
// the way; several publishers at once; heartbeats, pings and close frames in between.
// Every client compares every byte that it gets.
func TestStress(t *testing.T) {
	for _, tt := range []struct {
		name            string
		secure, deflate bool
	}{
		{"TCP", false, false},
		{"TCP, compressed", false, true},
		{"TLS", true, false},
		{"TLS, compressed", true, true},
	} {
		t.Run(tt.name, func(t *testing.T) { newStress(t, tt.secure, tt.deflate).run() })
	}
}

// stress is one run of the test.
type stress struct {
	t        *testing.T
	handler  *thinkws.Handler
	server   *httptest.Server
	tls      *tls.Config // of the clients; nil without TLS
	deflate  bool
	clients  int
	messages [stressPublishers][]*stressMessage

	gone   chan struct{} // closed by giveUp
	giveUp func()        // a client has failed: the publishers would wait for it

	mu       sync.Mutex        // protects what follows
	inflated map[string]string // what compressed payloads unpack to
}

// stressMessage is an event and how it has to look on the wires.
type stressMessage struct {
	args     []any
	socketio []string // the packet, and its attachment if it has one
	plain    []string

	missing atomic.Int64  // clients that stay and do not have it yet
	arrived chan struct{} // closed when there are none
}

// arrive says that one more client that stays has the message.
func (m *stressMessage) arrive() {
	if m.missing.Add(-1) == 0 {
		close(m.arrived)
	}
}

func newStress(t *testing.T, secure, deflate bool) *stress {
	s := &stress{t: t, deflate: deflate, clients: 1000, inflated: map[string]string{}}
	if testing.Short() {
		s.clients = 100
	}
	s.gone = make(chan struct{})
	s.giveUp = sync.OnceFunc(func() { close(s.gone) })
	random := rand.New(rand.NewPCG(3, 5))
	for p := range s.messages {
		for seq := range stressMessages {
			s.messages[p] = append(s.messages[p], newStressMessage(random, p, seq))
		}
	}
	options := []thinkws.Option{
		thinkws.WithPingInterval(2 * time.Second), thinkws.WithPingTimeout(time.Minute), thinkws.WithWriteTimeout(time.Minute),
		thinkws.WithSendQueue(1 << 30), // nobody is too slow
		thinkws.On("open", func(c *thinkws.Context) error { return c.Emit("open") }),
	}
	if deflate {
		options = append(options, thinkws.WithCompression(stressThreshold))
	}
	var err error
	s.handler, err = thinkws.New(append(options, mechanisms())...)
	require.NoError(t, err)
	s.server = unstarted(t, s.handler.Middleware(http.NotFoundHandler()))
	s.server.Config.ReadHeaderTimeout = time.Minute
	s.server.Listener = &narrowListener{Listener: s.server.Listener}
	if secure {
		s.server.StartTLS()
		s.tls = s.server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		s.tls.ServerName = "example.com"
		s.tls.CurvePreferences = []tls.CurveID{tls.CurveP256}
		s.tls.ClientSessionCache = tls.NewLRUClientSessionCache(0) // which spares most of them the long handshake
	} else {
		s.server.Start()
	}
	return s
}

// narrowListener gives half of the connections a send buffer that a long message does
// not fit into.
type narrowListener struct {
	net.Listener
	accepted int // by the one goroutine that accepts
}

func (l *narrowListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if l.accepted++; l.accepted%2 == 0 {
		err = narrow(c)
	}
	return c, err
}

// narrow makes the send buffer of a connection small, where it has one and shows it.
func narrow(c net.Conn) error {
	switch c := c.(type) {
	case *tls.Conn:
		return narrow(c.NetConn())
	case interface{ SetWriteBuffer(bytes int) error }:
		return c.SetWriteBuffer(16 << 10)
	default:
		return nil
	}
}

// newStressMessage makes up a message: mostly short, up to 200 KB, some of them binary.
func newStressMessage(random *rand.Rand, publisher, seq int) *stressMessage {
	n := random.IntN(200)
	switch {
	case seq == 4+2*publisher && publisher%2 == 0: // few, as each goes out a thousand times
		n = random.IntN(200_000)
	case seq%5 == 3:
		n = random.IntN(5000)
	}
	m := &stressMessage{arrived: make(chan struct{})}
	if seq%6 == 5 {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		m.args = []any{publisher, seq, data}
		m.socketio = []string{fmt.Sprintf(`451-["m",%d,%d,{"_placeholder":true,"num":0}]`, publisher, seq), string(data)}
		m.plain = []string{fmt.Sprintf(`{"event":"m","data":[%d,%d,"%s"]}`, publisher, seq, base64.StdEncoding.EncodeToString(data))}
		return m
	}
	var text strings.Builder
	for text.Len() < n {
		fmt.Fprintf(&text, "%d and %x, ", publisher, random.Uint32())
	}
	m.args = []any{publisher, seq, text.String()}
	m.socketio = []string{fmt.Sprintf(`42["m",%d,%d,"%s"]`, publisher, seq, text.String())}
	m.plain = []string{fmt.Sprintf(`{"event":"m","data":[%d,%d,"%s"]}`, publisher, seq, text.String())}
	return m
}

func (s *stress) run() {
	t := s.t
	clients := s.connect()
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			defer c.conn.Close()
			if !assert.NoError(t, c.run(), "client %d", c.number) {
				s.giveUp()
			}
		})
	}
	for p := range s.messages {
		wg.Go(func() { s.publish(p) })
	}
	wg.Wait()
	if s.deflate && !t.Failed() {
		assert.EqualValues(t, s.deflatable(), s.handler.Compressed(), "once for each kind of client")
	}
	assert.Zero(t, s.handler.Hub().Stats().Slow)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(t, s.handler.Shutdown(ctx))
	assert.Zero(t, s.handler.Hub().Stats().Clients)
	s.server.Close()
}

// publish keeps a little ahead of the slowest client, so that the machine is busy and
// not buried.
func (s *stress) publish(p int) {
	for i, m := range s.messages[p] {
		if i >= stressAhead {
			select {
			case <-s.messages[p][i-stressAhead].arrived:
			case <-s.gone:
				return
			}
		}
		assert.NoError(s.t, s.handler.Hub().Emit("m", m.args...), "publisher %d", p)
	}
}

// deflatable counts the frames that are long enough to be compressed.
func (s *stress) deflatable() (n int) {
	for _, messages := range s.messages {
		for _, m := range messages {
			for _, frame := range append(m.socketio, m.plain...) {
				if len(frame) >= stressThreshold {
					n++
				}
			}
		}
	}
	return n
}

// expect counts one more client that stays.
func (s *stress) expect() {
	for _, messages := range s.messages {
		for _, m := range messages {
			m.missing.Add(1)
		}
	}
}

// connect brings all clients in.
func (s *stress) connect() []*stressClient {
	clients := make([]*stressClient, s.clients)
	random := rand.New(rand.NewPCG(4, 6))
	slots := make(chan struct{}, 32)
	var wg sync.WaitGroup
	for i := range clients {
		c := &stressClient{stress: s, number: i, socketio: i%2 == 0, offers: i%4 < 2}
		clients[i] = c
		if i%10 >= 8 {
			c.leaves = 1 + random.IntN(stressPublishers*stressMessages-1)
		} else {
			s.expect()
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			assert.NoError(s.t, c.dial(), "client %d", i)
		})
	}
	wg.Wait()
	if s.t.Failed() {
		s.t.FailNow()
	}
	return clients
}

// stressClient is one client. It belongs to one goroutine at a time.
type stressClient struct {
	*stress
	number   int
	socketio bool // or else plain
	offers   bool // permessage-deflate
	leaves   int  // after so many messages; 0 for never

	conn   net.Conn
	in     *bufio.Reader
	buf    []byte
	next   [stressPublishers]int // of each publisher
	got    int                   // messages
	rest   []string              // attachments that have to come next
	pinged int                   // pings sent
	ponged int                   // pongs received
	closed bool                  // its close frame is sent: it says nothing more
}

func (c *stressClient) dial() error {
	conn, err := net.Dial("tcp", c.server.Listener.Addr().String())
	if err != nil {
		return err
	}
	if c.number%3 == 0 {
		if err := conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
			return err
		}
	}
	if c.tls != nil {
		conn = tls.Client(conn, c.tls)
	}
	c.conn, c.in = conn, bufio.NewReaderSize(conn, 8<<10)
	if err := conn.SetDeadline(time.Now().Add(3 * time.Minute)); err != nil {
		return err
	}
	return c.enter()
}

// enter does the handshakes, and returns when the hub has the client.
func (c *stressClient) enter() error {
	target, header, hello := "/ws", "", []string{`{"event":"open"}`}
	if c.socketio {
		target, hello = "/socket.io/?EIO=4&transport=websocket", []string{"0{", "40{", `42["open"]`}
	}
	if c.offers {
		header = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
	}
	if _, err := io.WriteString(c.conn, upgradeRequest(target, header)); err != nil {
		return err
	}
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	if agreed := res.Header.Get("Sec-WebSocket-Extensions"); res.StatusCode != http.StatusSwitchingProtocols || (agreed != "") != (c.offers && c.deflate) {
		return fmt.Errorf("handshake: %s, extensions %q", res.Status, agreed)
	}
	for len(hello) > 0 {
		first, payload, err := c.frame()
		switch {
		case err != nil:
			return err
		case first == 0x89, string(payload) == "2": // a heartbeat
			if err := c.beat(payload); err != nil {
				return err
			}
			continue
		case !strings.HasPrefix(string(payload), hello[0]):
			return fmt.Errorf("%q instead of %q", payload, hello[0])
		case hello[0] == "0{":
			if err := c.write(1, "40"); err != nil {
				return err
			}
		}
		hello = hello[1:]
	}
	return nil
}

func (c *stressClient) write(opcode byte, payload string) error {
	if c.closed {
		return nil
	}
	_, err := c.conn.Write(maskedFrame(opcode, payload))
	return err
}

// frame reads a frame. The payload is valid until the next one.
func (c *stressClient) frame() (first byte, payload []byte, err error) {
	return readFrame(c.in, &c.buf)
}

// run reads until the client has everything, or leaves.
func (c *stressClient) run() error {
	for !c.done() {
		first, payload, err := c.frame()
		if err == nil {
			err = c.take(first, payload)
		}
		if err != nil {
			return fmt.Errorf("after %d messages: %w", c.got, err)
		}
		if c.leaves > 0 && c.got >= c.leaves && c.number%2 == 1 {
			return nil // without a word
		}
	}
	return c.close()
}

func (c *stressClient) done() bool {
	if c.leaves > 0 && c.got >= c.leaves {
		return true
	}
	return c.got == stressPublishers*stressMessages && len(c.rest) == 0 && c.ponged == c.pinged
}

// close does the close handshake. What is on its way still has to be right.
func (c *stressClient) close() error {
	if err := c.write(8, "\x03\xe8"); err != nil {
		return err
	}
	c.closed = true
	for {
		first, payload, err := c.frame()
		if err != nil && c.leaves > 0 {
			return nil // what was on its way took longer than somebody who leaves is waited for
		}
		if err != nil {
			return err
		}
		if first == 0x88 {
			if string(payload) != "\x03\xe8" {
				return fmt.Errorf("close frame %q", payload)
			}
			_, err = c.in.ReadByte()
			if !errors.Is(err, io.EOF) {
				return fmt.Errorf("behind the close frame: %w", err)
			}
			return nil
		}
		if err := c.take(first, payload); err != nil {
			return fmt.Errorf("leaving: %w", err)
		}
	}
}

// take takes any frame but the last.
func (c *stressClient) take(first byte, payload []byte) error {
	switch {
	case first&0x40 != 0:
		if !c.offers || !c.deflate {
			return errors.New("compressed unasked")
		}
		unpacked, err := c.inflate(payload)
		if err != nil {
			return err
		}
		return c.data(first&^0x40, unpacked)
	case first == 0x89, first == 0x81 && string(payload) == "2":
		return c.beat(payload)
	case first == 0x8a:
		if string(payload) != fmt.Sprint("ping ", c.ponged) {
			return fmt.Errorf("pong %q, want %d", payload, c.ponged)
		}
		c.ponged++
		return nil
	}
	return c.data(first, string(payload))
}

// beat answers a heartbeat.
func (c *stressClient) beat(payload []byte) error {
	if c.socketio {
		return c.write(1, "3")
	}
	return c.write(10, string(payload))
}

// data takes a data frame: the next message of one of the publishers, or the rest of one.
func (c *stressClient) data(first byte, payload string) error {
	if len(c.rest) > 0 {
		if first != 0x82 || payload != c.rest[0] {
			return fmt.Errorf("frame %x %.60q in place of an attachment", first, payload)
		}
		c.rest = c.rest[1:]
		return nil
	}
	for p, messages := range c.messages {
		if c.next[p] == len(messages) {
			continue
		}
		want := messages[c.next[p]].plain
		if c.socketio {
			want = messages[c.next[p]].socketio
		}
		if first == 0x81 && payload == want[0] {
			c.next[p]++
			c.got++
			c.rest = want[1:]
			if c.leaves == 0 {
				messages[c.next[p]-1].arrive()
			}
			return c.ping()
		}
	}
	return fmt.Errorf("frame %x %.60q is nobody's next: %v", first, payload, c.next)
}

// ping sends a ping now and then.
func (c *stressClient) ping() error {
	if c.got%20 != c.number%20 || c.leaves > 0 {
		return nil
	}
	c.pinged++
	return c.write(9, fmt.Sprint("ping ", c.pinged-1))
}

// inflate unpacks payload. All clients get the same bytes, so that only the first of
// them has the work.
func (s *stress) inflate(payload []byte) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text, ok := s.inflated[string(payload)]; ok {
		return text, nil
	}
	text, err := unpack(payload)
	s.inflated[string(payload)] = text
	return text, err
}
