package wsconn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// chunkSize is how much of a message is read before it gets memory of its own, in
// bytes: what is shorter gets exactly what it needs.
const chunkSize = 4 << 10

// chunks holds buffers for reading. A connection has one only while a message comes in.
var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// read is the reader goroutine.
func (c *Conn) read() {
	err := c.end(c.readMessages())
	c.cut(err)
	c.ws.CloseNow() // frees what coder/websocket holds; the connection is gone already
	c.handler.Closed(*c.cause.Load())
}

// readMessages hands messages to the handler until nothing more can be read.
func (c *Conn) readMessages() error {
	for {
		// A context that can be cancelled would cost allocations with every message:
		// deadlines are set on the network connection instead.
		kind, r, err := c.ws.Reader(context.Background())
		if err != nil {
			return err
		}
		if c.has(closing) {
			_, err = io.Copy(io.Discard, r)
		} else {
			err = c.readMessage(kind, r)
		}
		if err != nil {
			return &partialError{err}
		}
	}
}

// readMessage reads one message and hands it on. Its error is one of reading: if
// the message is refused, the close handshake still wants to be read.
func (c *Conn) readMessage(kind websocket.MessageType, r io.Reader) error {
	data, err := readAll(r)
	if err != nil {
		return err
	}
	binary := kind == websocket.MessageBinary
	if !binary && !utf8.Valid(data) {
		err := fmt.Errorf("%w: text is not UTF-8", ErrProtocol)
		c.fail(err, session.CloseInvalidText, "text is not UTF-8")
		return nil
	}
	if err := c.handler.Message(data, binary); err != nil {
		code, reason := session.Verdict(err)
		c.fail(err, code, reason)
	}
	return nil
}

// readAll reads a message into memory of its own. It trusts no declared length:
// memory grows with what has come.
func readAll(r io.Reader) ([]byte, error) {
	chunk := chunks.Get().(*[chunkSize]byte)
	defer chunks.Put(chunk)
	n, err := io.ReadFull(r, chunk[:])
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return bytes.Clone(chunk[:n:n]), nil
	}
	if err != nil {
		return nil, err
	}
	var rest bytes.Buffer
	rest.Grow(2 * chunkSize)
	rest.Write(chunk[:])
	_, err = rest.ReadFrom(r)
	return rest.Bytes(), err
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
		err = fmt.Errorf("%w: %w", ErrProtocol, err)
		c.fail(err, session.CloseProtocol, "protocol violated") // unless coder/websocket has closed already
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
	c.in.SetReadDeadline(time.Now().Add(c.cfg.CloseTimeout)) // fails on a closed connection only
	c.reach(step)
	c.in.drain()
}

func (c *Conn) onPong(context.Context, []byte) { c.handler.Pong() }
