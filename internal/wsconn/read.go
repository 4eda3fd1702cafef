package wsconn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// errTooBig ends a connection on which a message is announced that is over the limit.
var errTooBig error = &violation{
	code: session.CloseTooBig, err: session.Beyond(session.LimitMessage, fmt.Errorf("%w: message too big", ErrProtocol)),
}

// errElsewhere ends a reader whose connection another goroutine reads now.
var errElsewhere = errors.New("wsconn: read elsewhere")

// read is the reader goroutine.
func (c *Conn) read() {
	if err := c.readMessages(); !errors.Is(err, errElsewhere) {
		c.finishReading(err)
	}
}

// finishReading ends the connection, err being why no more can be read.
func (c *Conn) finishReading(err error) {
	err = c.end(err)
	c.cut(err)
	c.in.drained()
	c.in.settle(0)
	c.flow.Account().Strike(c)
	c.state.Or(over)
	c.cfg.Grace.forget(c)
	c.flow.Dispatch() // the handler may have panicked
	c.handler.Closed(*c.cause.Load())
}

// readMessages hands messages to the handler until nothing more can be read.
func (c *Conn) readMessages() error {
	for c.in.err == nil {
		c.Wait()
		if len(c.in.ahead) == 0 {
			ours, err := c.fill()
			if err != nil {
				return err
			}
			if !ours {
				return errElsewhere
			}
		}
		if err := c.next(); err != nil {
			return err
		}
	}
	return c.in.err
}

// next takes what has been read up to the end of a message or a control frame, and deals with that. The error says why
// nothing more is to be read.
func (c *Conn) next() error {
	in, err := c.in.take()
	if err != nil {
		return c.wrong(err)
	}
	switch in.opcode {
	case opPing:
		c.ping(append([]byte{pongByte, byte(len(in.data))}, in.data...))
	case opPong:
		c.handler.Pong()
	case opClose:
		return c.closed(in.data)
	case opText, opBinary:
		if !c.has(closing) {
			return c.handle(in.data, in.opcode == opBinary)
		}
	}
	return nil
}

// wrong closes over a violation, and returns it if no frame can be read behind it. Text that is not UTF-8 is whole
// frames: the close handshake still wants to be read.
func (c *Conn) wrong(err error) error {
	wrong, ok := errors.AsType[*violation](err)
	if !ok {
		return err
	}
	c.cfg.Tally.Note(err)
	c.fail(err, wrong.code, wrong.reason)
	if wrong.whole {
		return nil
	}
	return err
}

// closed answers a close frame by the same (RFC 6455, section 5.5.1).
func (c *Conn) closed(payload []byte) error {
	code, reason := 0, ""
	if len(payload) > 0 {
		code, reason = int(binary.BigEndian.Uint16(payload)), string(payload[2:])
	}
	err := fmt.Errorf("%w: code %d, reason %q", ErrClosedByPeer, code, reason)
	c.blame(err)
	c.Close(code, reason)
	return err
}

// hurryBy limits how long the peer may still take, wherever it is waited for.
func (c *Conn) hurryBy(d time.Duration) {
	c.limit(time.Now().Add(d))
}

// handle hands a message to the handler, or closes over it. If the message is refused, reading goes on: the close
// handshake still wants to be read.
func (c *Conn) handle(data []byte, binary bool) error {
	c.in.handed = len(data)
	err := c.handler.Message(data, binary)
	c.in.handed = 0
	if err != nil {
		code, reason := session.Verdict(err)
		c.fail(err, code, reason)
	}
	if task := c.flow.Take(c); task != nil {
		return c.perform(task)
	}
	return nil
}

// end finds out why reading ended, sees the close handshake through as far as it
// can be, and returns the reason. The connection may be cut then.
func (c *Conn) end(err error) error {
	var wrong *violation
	switch {
	case errors.As(err, &wrong):
		c.linger(draining)
		return err
	case c.wasShed():
		c.linger(draining)
		return err
	case c.in.err == nil: // a close frame has been read
		c.linger(received)
		return err
	case errors.Is(c.in.err, io.EOF) && c.in.frames.between():
		return fmt.Errorf("%w: no close frame", ErrClosedByPeer)
	default:
		return fmt.Errorf("wsconn: read: %w", c.in.err)
	}
}

// linger notes the step and gives our close frame, which is queued, the time to
// reach the peer. Its being written, or the peer, ends the wait sooner.
func (c *Conn) linger(step uint32) {
	c.reach(step)
	c.cfg.Grace.hurry(c)
	c.in.drain()
}
