package wsconn

import (
	"errors"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/ledger"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

var _ ledger.Sharer = (*Conn)(nil)

// Shed implements ledger.Holder: the peer makes the server hold too much. Messages that wait for it are dropped, what
// is half read, too, and the close frame is all that it still gets. A peer that does not take what is being written to
// it would not get that either.
func (c *Conn) Shed() {
	c.blame(session.ErrMemory)
	c.finish(closeFrame(session.CloseTryLater, session.ReasonMemory), true)
	if c.out.held() > session.Piece {
		c.drop(session.ErrMemory)
		return
	}
	c.limit(time.Unix(1, 0)) // wakes the reader
	c.flow.Wake()
}

// wasShed reports whether Shed has ended the connection.
func (c *Conn) wasShed() bool {
	cause := c.cause.Load()
	return cause != nil && errors.Is(*cause, session.ErrMemory)
}

// Frames implements ledger.Sharer.
func (c *Conn) Frames(do func(frame []byte)) { c.out.frames(do) }
