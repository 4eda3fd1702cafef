package wsconn

import (
	"errors"
	"sync/atomic"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Why a connection ended, for errors.Is on what Handler.Closed gets. Anything else
// is a connection that broke.
var (
	// ErrClosedByPeer: a close frame came, or the connection ended between two frames.
	ErrClosedByPeer = errors.New("wsconn: closed by the peer")
	// ErrProtocol: what came is no WebSocket (1002), text that is not UTF-8 (1007) or
	// a message over the limit (1009).
	ErrProtocol = errors.New("wsconn: protocol violated")
)

var errCut = errors.New("wsconn: connection cut")

// Handler takes what comes in on one connection. All methods are called by the
// goroutine that reads the connection, one at a time; while one of them runs,
// nothing is read. They may call any method of the Conn.
type Handler interface {
	// Message gets a whole message, empty ones too; data is the handler's to keep.
	// Text is valid UTF-8. The task that the flow keeps then, if any, is run, and may take its time. An
	// error ends the connection with the close code of session.Verdict. After Close has
	// been called no message follows.
	Message(data []byte, binary bool) error
	// Pong says that a pong frame came, asked for or not.
	Pong()
	// Closed comes last, exactly once, and says why the connection ended. The
	// network connection is closed by then.
	Closed(err error)
}

// How far a connection has come on its way out.
const (
	closing  = 1 << iota // our close frame is queued: nothing of ours goes behind it
	sent                 // it is written
	received             // the peer's is read
	draining             // what comes cannot be read as frames any more
	over                 // nobody reads any more
)

// Conn is a WebSocket connection. All methods but Serve may be called by any
// goroutine, at any time, and none of them blocks.
//
// The goroutine that reads owns in's read side and busy, and does all of the
// tear-down. It is one at a time, but not always the same: see deadline.go and watch.go.
// Writing to the network is the outbox's alone.
type Conn struct {
	cfg      *Config
	flow     *session.Flow // reading pauses as it says
	in       stream
	handler  Handler        // set by Serve
	deflates bool           // the peer understands compressed messages; set by Accept
	busy     int8           // tasks to come that the reader does not run itself
	place    uint8          // of the Watch, that of this connection
	pings    *session.Pings // of the peer; nil as long as it has sent none
	out      outbox
	deadline readDeadline
	state    atomic.Uint32         // the bits above
	cause    atomic.Pointer[error] // why it ended, once that is known
}

func newConn(cfg *Config, flow *session.Flow) *Conn {
	c := &Conn{cfg: cfg, flow: flow, place: cfg.Watch.place()}
	c.out.conn = c
	return c
}

// Serve starts the goroutine that reads, hands everything to h, and cleans up in the end. It has to be called once,
// whatever else is done with c.
func (c *Conn) Serve(h Handler) {
	c.handler = h
	c.cfg.Group.Start((*reader)(c))
}

// reader is a Conn as the goroutine that reads sees it.
type reader Conn

// Run implements serial.Task.
func (r *reader) Run() { (*Conn)(r).read() }

// Fail implements serial.Failer: nobody reads any more.
func (r *reader) Fail(err error) {
	c := (*Conn)(r)
	c.fail(err, session.CloseInternal, "internal error")
	c.finishReading(err)
}

// Send queues frames, all or none. Those of a round (see session.Round) may wait for its end. It returns
// session.ErrClosed if the connection is closed or closing. If the queue has no room it does as Config.Slow says: it
// returns session.ErrSlow and closes the connection with 1013, or session.ErrDropped, or a session.DisplacedError.
func (c *Conn) Send(frames ...session.Frame) error { return c.Deliver(frames, false) }

// Deliver is Send. Volatile frames are dropped, with session.ErrDropped, unless they can be written at once.
func (c *Conn) Deliver(frames []session.Frame, volatile bool) error {
	var room [2]queued // on the stack
	p := parcel{volatile: volatile, lent: frames[0].Lent(), round: frames[0].Round()}
	p.frames = c.queue(room[:0], frames)
	return c.pushed(c.out.push(&p))
}

// queue appends the frames of a message to dst as they wait.
func (c *Conn) queue(dst []queued, frames []session.Frame) []queued {
	if whole := session.Adjoin(frames); whole != nil {
		return append(dst, queued{whole, session.MessageStart})
	}
	for _, f := range frames {
		dst = append(dst, queued{c.wire(f), session.MessageRest})
	}
	dst[0].part = session.MessageStart
	return dst
}

// Force is Send without the bound, for what the protocol cannot do without. It returns session.ErrClosed if the
// connection is closed or closing.
func (c *Conn) Force(frames ...session.Frame) error {
	whole := make([][]byte, len(frames))
	for i, f := range frames {
		whole[i] = c.wire(f.Keep())
	}
	return c.force(whole...)
}

// Ping queues a ping frame. The answer comes as Handler.Pong.
func (c *Conn) Ping() error { return c.force(pingFrame()) }

// Close starts the close handshake. What is queued goes out, then the close frame;
// then the peer gets Config.CloseTimeout to answer it, and is cut off. Code 0 sends
// no status; reason is cut to the 123 bytes that fit. Only the first call counts.
func (c *Conn) Close(code int, reason string) {
	c.finish(closeFrame(code, reason), false)
	c.flow.Wake() // messages are dropped from now on, and the answer has to be read
}

// CloseNow cuts the connection, whatever waits.
func (c *Conn) CloseNow() { c.drop(errCut) }

// drop is cut for goroutines that must not block. Close of a TLS connection writes an alert first, and waits up to 5 s
// for a peer that does not read, so where the connection is not plain TCP, it is left to a goroutine.
func (c *Conn) drop(cause error) {
	if c.in.socket != nil {
		c.cut(cause)
		return
	}
	c.blame(cause)
	c.out.discard()
	c.cfg.Group.Go(func() { c.in.Conn.Close() }) // see cut
}

// fail is Close with the reason that Handler.Closed gets.
func (c *Conn) fail(cause error, code int, reason string) {
	c.blame(cause)
	c.Close(code, reason)
}

// blame keeps what Handler.Closed gets. The first cause counts.
func (c *Conn) blame(cause error) { c.cause.CompareAndSwap(nil, &cause) }

// cut closes the network connection. The reader notices and ends.
func (c *Conn) cut(cause error) {
	c.blame(cause)
	c.out.discard()
	c.flow.Account().Strike(c)
	c.in.Conn.Close() // an error changes nothing: it is gone in any case
	c.flow.Wake()
}

// reach notes a step towards the end, and does what follows from it.
func (c *Conn) reach(step uint32) {
	state := c.state.Or(step) | step
	switch {
	case state&(sent|received) == sent|received:
		c.cut(ErrClosedByPeer)
	case state&(sent|draining) == sent|draining:
		c.closeWrite()
	}
}

// Wait returns true when the flow lets the peer be read, or false if the connection is on its way out. It belongs to
// the goroutine that reads. The handler calls it within a message that brings many.
func (c *Conn) Wait() bool {
	if c.flow.Open() {
		return true
	}
	c.flow.Dispatch()
	c.deadline.endMessage() // the peer is not to blame for the time until it is read again
	c.in.pause()
	c.flow.Wait(c.ending, nil)
	c.in.settle(c.in.frames.held())
	return !c.ending()
}

// ending reports whether nothing that is read matters any more, except for a close frame.
func (c *Conn) ending() bool { return c.has(closing) || c.cause.Load() != nil }

func (c *Conn) has(step uint32) bool { return c.state.Load()&step != 0 }

// closeWrite tells a peer whose frames we cannot follow any more that we are done.
func (c *Conn) closeWrite() {
	if nc, ok := c.in.Conn.(half); ok {
		_ = nc.CloseWrite() // failing, it leaves what the deadline ends anyway
	}
}

// wire returns f as this peer may get it.
func (c *Conn) wire(f session.Frame) []byte {
	if c.deflates {
		return f.Deflated()
	}
	return f.WebSocket()
}
