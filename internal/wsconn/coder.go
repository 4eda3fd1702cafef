package wsconn

import (
	"bufio"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// coder/websocket does the handshake, and reads what is not in the simple form that
// nearly all frames have (see whole.go). In between it is of no use, and what it keeps
// for a connection is a third of all that an idle one costs. So it is let go of when a
// connection becomes cold, and made to take the connection up again, by a handshake that
// the peer sees nothing of, when it is needed.

// handshake has coder/websocket accept a request.
func (c *Conn) handshake(w http.ResponseWriter, r *http.Request, compress bool) (*websocket.Conn, error) {
	// Without context from message to message, both ways: that would cost each
	// connection more than all the rest of it, and frames could not be shared.
	mode := websocket.CompressionDisabled
	if compress {
		mode = websocket.CompressionNoContextTakeover
	}
	return websocket.Accept(w, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // origins are checked before, for every transport alike
		CompressionMode:    mode,
		OnPongReceived:     c.onPong,
	})
}

// adopt takes over a connection that is accepted. The reader of coder/websocket got a
// second source in front of the stream, for bytes it might have held; there were none.
func (c *Conn) adopt(ws *websocket.Conn) {
	c.ws = ws
	c.ws.SetReadLimit(c.cfg.MaxMessage)
	c.in.reader.Reset(&c.in)
}

// coder returns coder/websocket's side of the connection. Only the reader calls it, and
// letGo too, both between two messages.
func (c *Conn) coder() (*websocket.Conn, error) {
	if c.ws == nil {
		ws, err := c.handshake(&again{c, http.Header{}}, handshakeAgain, c.deflates)
		if err != nil {
			return nil, err
		}
		c.adopt(ws)
	}
	return c.ws, nil
}

// letGo is for a connection that nobody closes and that holds no bytes.
func (c *Conn) letGo() {
	if c.ws == nil || c.state.Load() != 0 || c.in.buffered() > 0 {
		return
	}
	c.in.kept = true
	_ = c.ws.CloseNow() // closes the stream, which means nothing while it is kept
	c.in.kept = false
	c.ws, c.in.reader = nil, nil
}

// untimed is the context of all reading. One that can be cancelled would cost allocations
// with every message: deadlines are set on the network connection instead, and a message
// has its timer (see tempo.go). Its own deadline, which is past and which nobody is told
// of, is there for control frames: coder/websocket gives each five seconds from its header to
// the end of its answer, by a context derived from this one, and package context
// has no timer for a deadline behind the parent's.
type untimed struct{}

// Deadline implements context.Context.
func (untimed) Deadline() (time.Time, bool) { return time.Time{}, true }

// Done implements context.Context.
func (untimed) Done() <-chan struct{} { return nil }

// Err implements context.Context.
func (untimed) Err() error { return nil }

// Value implements context.Context.
func (untimed) Value(any) any { return nil }

// handshakeAgain is what a peer once sent, as far as it matters. It is never changed.
var handshakeAgain = &http.Request{
	Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	Header: http.Header{
		"Connection":            {"Upgrade"},
		"Upgrade":               {"websocket"},
		"Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key":     {"dGhpbmt3cyB0aGlua3dzIQ=="}, // any 16 bytes
		"Sec-Websocket-Extensions": {
			"permessage-deflate; client_no_context_takeover; server_no_context_takeover"},
	},
}

// again is the ResponseWriter of such a handshake: its answer is for nobody.
type again struct {
	conn   *Conn
	header http.Header
}

func (a *again) Header() http.Header         { return a.header }
func (a *again) WriteHeader(int)             {}
func (a *again) Write(p []byte) (int, error) { return len(p), nil }

// Hijack implements http.Hijacker.
func (a *again) Hijack() (net.Conn, *bufio.ReadWriter, error) { return a.conn.in.hand() }
