package wsconn

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// coalesced is how much of several frames is put into one write, in bytes. A longer frame is written by itself,
// uncopied, and in pieces.
const coalesced = 32 << 10

// buffers holds buffers for coalescing.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, coalesced)
	return &b
}}

// giveBack takes a buffer of gather, or nil.
func giveBack(buffer *[]byte) {
	if buffer != nil {
		buffers.Put(buffer)
	}
}

// gather returns what is to be written next of frames that wait. They are begun then, and cannot be dropped any more.
// If it is in a buffer, giveBack must follow.
func gather(waiting []queued) (piece []byte, buffer *[]byte) {
	first := waiting[0].data
	waiting[0].begin()
	if len(waiting) == 1 || len(first)+len(waiting[1].data) > coalesced {
		return first[:min(len(first), session.Piece)], nil
	}
	buffer = buffers.Get().(*[]byte)
	piece = (*buffer)[:0]
	piece = append(piece, first...)
	for i := 1; i < len(waiting) && len(piece)+len(waiting[i].data) <= coalesced; i++ {
		waiting[i].begin()
		piece = append(piece, waiting[i].data...)
	}
	return piece, buffer
}

func (q *queued) begin() {
	if q.part == session.MessageStart {
		q.part = session.NoMessage
	}
}

// pushed ends a connection whose peer is too slow.
func (c *Conn) pushed(err error) error {
	if errors.Is(err, session.ErrSlow) {
		c.fail(session.ErrSlow, session.CloseTryLater, session.ReasonSlow)
	}
	return err
}

// force queues frames of the protocol, past the bound.
func (c *Conn) force(frames ...[]byte) error {
	p := parcel{forced: true}
	for _, f := range frames {
		p.frames = append(p.frames, queued{data: f})
	}
	return c.out.push(&p)
}

// finish queues a close frame, behind which nothing goes. Messages that wait are dropped for it if it sheds them.
func (c *Conn) finish(frame []byte, sheds bool) {
	if c.out.push(&parcel{frames: []queued{{data: frame}}, forced: true, last: true, sheds: sheds}) == nil {
		c.reach(closing)
		c.cfg.Grace.leave(c)
	}
}

// wroteClose gives the peer its time to answer our close frame.
func (c *Conn) wroteClose() {
	c.reach(sent)
	c.cfg.Grace.hurry(c)
}

// brokeWriting ends a connection on which a write has failed. A peer that did not take a piece in time is slow if more
// waits than the bound. Otherwise it is one that has vanished, as far as anybody can tell, and the connection is lost.
func (c *Conn) brokeWriting(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) && c.out.over() {
		c.cut(session.ErrSlow)
		return
	}
	c.cut(fmt.Errorf("wsconn: write: %w", err))
}

// write writes a piece with a deadline of its own, by which a peer must take it.
func (c *Conn) write(piece []byte) error {
	if err := c.in.SetWriteDeadline(time.Now().Add(c.cfg.Grace.Of(c.cfg.WriteTimeout))); err != nil {
		return err
	}
	_, err := c.in.Conn.Write(piece)
	c.in.wrote(len(piece))
	return err
}
