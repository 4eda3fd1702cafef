package wsconn

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// coalesced is how much is put into one write, in bytes. A longer frame is written
// by itself, uncopied.
const coalesced = 32 << 10

// buffers holds buffers for coalescing. A connection has one only while it writes.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, coalesced)
	return &b
}}

// pushed ends a connection whose outbox is full.
func (c *Conn) pushed(err error) error {
	if errors.Is(err, errFull) {
		c.fail(session.ErrSlow, session.CloseTryLater, session.ReasonSlow)
	}
	return outcome(err)
}

func (c *Conn) force(frames ...[]byte) error {
	return outcome(c.out.force(frames, false))
}

// finish queues a close frame, behind which nothing goes.
func (c *Conn) finish(frame []byte) {
	if c.out.force([][]byte{frame}, true) == nil {
		c.reach(closing)
		c.cfg.Grace.leave(c)
	}
}

// wroteClose gives the peer its time to answer our close frame.
func (c *Conn) wroteClose() {
	c.reach(sent)
	c.cfg.Grace.hurry(c)
}

func (c *Conn) brokeWriting(err error) { c.cut(fmt.Errorf("wsconn: write: %w", err)) }

// writeAll writes frames in as few writes as coalesced allows.
func (c *Conn) writeAll(frames [][]byte) error {
	if len(frames) == 1 {
		return c.writeOnce(frames[0])
	}
	p := buffers.Get().(*[]byte)
	defer buffers.Put(p)
	buf := (*p)[:0]
	for _, f := range frames {
		if len(buf)+len(f) > coalesced {
			if err := c.writeOnce(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
		if len(f) > coalesced {
			if err := c.writeOnce(f); err != nil {
				return err
			}
			continue
		}
		buf = append(buf, f...)
	}
	return c.writeOnce(buf)
}

// writeOnce writes p with a deadline of its own.
func (c *Conn) writeOnce(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if err := c.in.SetWriteDeadline(time.Now().Add(c.cfg.Grace.Of(c.cfg.WriteTimeout))); err != nil {
		return err
	}
	_, err := c.in.Conn.Write(p)
	return err
}

func size(frames [][]byte) (n int) {
	for _, f := range frames {
		n += len(f)
	}
	return n
}
