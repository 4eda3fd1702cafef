package wsconn

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// errDawdles ends a connection whose message does not.
var errDawdles = session.Beyond(session.LimitMessageTime, fmt.Errorf("%w: a message took too long", ErrProtocol))

// readDeadline is the read deadline of a connection. The goroutine that reads owns it until the connection is about to
// end: between two messages it is the time until the connection counts as idle, within one the time for the rest of it.
// From limit on it is the time that the peer has to end the connection.
type readDeadline struct {
	// Owned by the reader.
	purpose purpose
	until   time.Time // what the reader has set
	used    bool      // something was read since it was set

	ending atomic.Bool // limit has been called; written with mu held
	mu     sync.Mutex  // held while the deadline is set
}

// purpose is what the reader has set the deadline for.
type purpose uint8

const (
	forNothing purpose = iota // it is to be set anew
	forIdling
	forMessage
)

// endMessage is called when no more of a message is waited for.
func (d *readDeadline) endMessage() {
	if d.purpose == forMessage {
		d.purpose = forNothing
	}
}

// limit sets the read deadline for the end of the connection.
func (c *Conn) limit(t time.Time) {
	c.deadline.mu.Lock()
	defer c.deadline.mu.Unlock()
	c.deadline.ending.Store(true)
	_ = c.in.SetReadDeadline(t) // fails on a closed connection only, as reading will
}

// expect sets the read deadline of the reader. It returns false if the deadline is for the end of the connection.
func (c *Conn) expect(t time.Time) bool {
	d := &c.deadline
	if t.Equal(d.until) {
		return !d.ending.Load()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ending.Load() {
		return false
	}
	d.until, d.used = t, false
	_ = c.in.SetReadDeadline(t) // as in limit
	return true
}

// patient returns how long the reader waits for what comes next; the zero time stands for ever. What has been set for
// the same purpose holds, because to set it for each message would cost more than it is worth.
func (c *Conn) patient() time.Time {
	d, between := &c.deadline, c.in.frames.between()
	switch {
	case c.ending(), between && c.in.socket == nil: // which cannot be waited for without holding anything, and never becomes cold
		d.purpose = forNothing
		return time.Time{}
	case between && d.purpose != forIdling:
		d.purpose = forIdling
		return time.Now().Add(c.cfg.CoolAfter)
	case !between && d.purpose != forMessage:
		d.purpose = forMessage
		return time.Now().Add(c.cfg.MessageTime)
	default:
		return d.until
	}
}

// fill waits for something to be read. It returns false if the connection has become cold: another goroutine reads it
// then.
func (c *Conn) fill() (ours bool, err error) {
	d := &c.deadline
	for {
		own := c.expect(c.patient())
		err := c.in.fill()
		if !own || !errors.Is(err, os.ErrDeadlineExceeded) {
			d.used = true
			return true, err
		}
		c.in.err = nil
		idle, late := d.purpose == forIdling && !d.used, d.purpose == forMessage
		d.purpose = forNothing
		switch {
		case !c.expect(time.Time{}): // another deadline holds by now
		case idle:
			c.cfg.Group.Fresh((*coldReader)(c))
			return false, nil
		case late: // the close handshake still wants to be read
			c.cfg.Tally.Note(errDawdles)
			c.fail(errDawdles, session.ClosePolicy, "message takes too long")
		}
	}
}

// coldReader is a Conn as the goroutine sees it that waits for an idle connection. The stack of a reader has grown, so
// an idle connection has a new goroutine with the smallest stack there is. What comes then is handed to a goroutine
// whose stack has grown already. That costs an idle connection a microsecond, and any other one nothing.
type coldReader Conn

// Run implements serial.Task. The stack of its goroutine must not grow.
func (r *coldReader) Run() {
	c := (*Conn)(r)
	_ = c.in.await() // the next reader meets the error
	c.cfg.Group.Start((*reader)(c))
}

// Fail implements serial.Failer: nobody reads any more.
func (r *coldReader) Fail(err error) { (*reader)(r).Fail(err) }
