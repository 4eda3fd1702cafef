package wsconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// trusted is up to which length a message gets its memory at once, in bytes.
const trusted = 64 << 10

// errTooBig ends a connection on which a message is announced that is over the limit.
var errTooBig = session.Beyond(session.LimitMessage, fmt.Errorf("%w: message too big", ErrProtocol))

// errElsewhere ends a reader whose connection somebody else reads now.
var errElsewhere = errors.New("wsconn: read elsewhere")

// read is the reader goroutine.
func (c *Conn) read() {
	if err := c.readMessages(); !errors.Is(err, errElsewhere) {
		c.finishReading(err)
	}
}

// finishReading ends the connection, err being why no more can be read.
func (c *Conn) finishReading(err error) {
	c.in.unclock()
	err = c.end(err)
	c.cut(err)
	if c.ws != nil {
		c.ws.CloseNow() // frees what coder/websocket holds; the connection is gone already
	}
	c.state.Or(over)
	c.chill()
	c.cfg.Grace.forget(c)
	c.handler.Closed(*c.cause.Load())
}

// readMessages hands messages to the handler until nothing more can be read.
func (c *Conn) readMessages() error {
	for c.in.err == nil {
		ours, err := c.await()
		if err != nil {
			return err
		}
		if !ours {
			return errElsewhere
		}
		if err := c.next(); err != nil {
			return err
		}
	}
	return c.in.err
}

// next hands the next message to the handler. A control frame before it is dealt with
// on the way.
func (c *Conn) next() error {
	if !c.has(closing) {
		if first, data := c.in.whole(c.cfg.MaxMessage); first != 0 {
			return c.takeWhole(first, data)
		}
	}
	ws, err := c.coder()
	if err != nil {
		return err
	}
	kind, r, err := ws.Reader(untimed{})
	if err != nil {
		return err
	}
	c.in.partial = true
	data, err := c.message(r)
	c.in.partial = false
	c.in.unclock()
	switch {
	case err != nil:
		return &partialError{err}
	case c.has(closing):
		return nil
	}
	c.in.takeBack()
	return c.take(data, kind == websocket.MessageBinary)
}

// message reads the rest of a message; nil if it is for nobody.
func (c *Conn) message(r io.Reader) ([]byte, error) {
	switch {
	case c.has(closing):
		_, err := io.Copy(io.Discard, r)
		return nil, err
	case c.in.boundary.payload > uint64(c.cfg.MaxMessage): // declared, and that is enough
		c.cfg.Tally.Note(errTooBig)
		c.fail(errTooBig, session.CloseTooBig, "")
		return nil, errTooBig
	default:
		return session.ReadAll(r, c.in.expected(), int(c.cfg.MaxMessage))
	}
}

// hurryBy limits how long the peer may still take, wherever it is waited for.
func (c *Conn) hurryBy(d time.Duration) {
	_ = c.warmth.limit(c.in.Conn, time.Now().Add(d)) // fails on a closed connection only
	c.cutAfter(d)
}

// takeWhole takes a frame that came in whole, by its first byte.
func (c *Conn) takeWhole(first byte, data []byte) error {
	switch first {
	case pingByte:
		c.ping(append([]byte{pongByte, byte(len(data))}, data...))
		return nil
	case pongByte:
		c.handler.Pong()
		return nil
	default:
		return c.take(data, first == finBit|opBinary)
	}
}

// take hands a message to the handler, or closes over it. The error is one of reading
// on: if the message is refused, the close handshake still wants to be read.
func (c *Conn) take(data []byte, binary bool) error {
	if !binary && !utf8.Valid(data) {
		err := fmt.Errorf("%w: text is not UTF-8", ErrProtocol)
		c.fail(err, session.CloseInvalidText, "text is not UTF-8")
		return nil
	}
	task, err := c.handler.Message(data, binary)
	if err != nil {
		code, reason := session.Verdict(err)
		c.fail(err, code, reason)
	}
	if task != nil {
		return c.perform(task)
	}
	return nil
}

// partialError is an error in the middle of a message.
type partialError struct{ error }

func (e *partialError) Unwrap() error { return e.error }

// end finds out why reading ended, sees the close handshake through as far as it
// can be, and returns the reason. The connection may be cut then.
func (c *Conn) end(err error) error {
	var closed websocket.CloseError
	var partial *partialError
	switch {
	case errors.As(err, &closed):
		err = fmt.Errorf("%w: code %d, reason %q", ErrClosedByPeer, closed.Code, closed.Reason)
		c.blame(err)
		c.linger(received)
		return err
	case c.in.err == nil: // not the network, so it was what came
		if errors.Is(err, websocket.ErrMessageTooBig) {
			err = session.Beyond(session.LimitMessage, err)
			c.cfg.Tally.Note(err)
		}
		err = fmt.Errorf("%w: %w", ErrProtocol, err)
		c.fail(err, session.CloseProtocol, "") // unless coder/websocket has closed already
		c.linger(draining)
		return err
	case errors.Is(c.in.err, errEOF) && c.in.boundary.between() && !errors.As(err, &partial):
		return fmt.Errorf("%w: no close frame", ErrClosedByPeer)
	default:
		return fmt.Errorf("wsconn: read: %w", c.in.err)
	}
}

// linger notes the step and gives our close frame, which is queued, the time to
// reach the peer. Its being written, or the peer, ends the wait sooner.
func (c *Conn) linger(step uint32) {
	c.cfg.Grace.hurry(c)
	c.reach(step)
	c.in.drain()
}

func (c *Conn) onPong(context.Context, []byte) { c.handler.Pong() }
