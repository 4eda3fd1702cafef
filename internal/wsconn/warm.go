package wsconn

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/alarm"
)

// A connection is warm while it is in use: the stack of its reader has grown. If nothing comes for Config.CoolAfter it
// becomes cold, and waits on a new goroutine with the smallest stack there is. What comes then is handed to a goroutine whose stack has
// grown already. That costs a cold connection a microsecond, and a warm one nothing.

// What the reader of a connection does.
const (
	working uint32 = iota
	waiting        // for the next message
	cooling        // it has been woken to become cold
)

// warmth is what a Conn has of its being warm.
type warmth struct {
	alarm alarm.Alarm // rings from time to time as long as the connection is warm
	used  atomic.Bool // something came since it rang last
	does  atomic.Uint32

	mu      sync.Mutex // protects what follows, and the read deadline while nobody hurries
	hurried bool       // the read deadline is for the end of the connection
}

// warm lets the connection become cold again when it is not used. Where it cannot be
// waited for without holding anything, it never does.
func (c *Conn) warm() {
	if c.in.socket != nil {
		c.warmth.used.Store(true)
		c.cfg.Clock.Set(&c.warmth.alarm, c.cfg.CoolAfter, (*cooler)(c))
	}
}

// chill is for a connection that has ended.
func (c *Conn) chill() { c.cfg.Clock.Stop(&c.warmth.alarm) }

// cooler is a Conn as its alarm sees it.
type cooler Conn

// Fail implements serial.Failer.
func (w *cooler) Fail(err error) { (*Conn)(w).cut(err) }

// Ring implements alarm.Sleeper.
func (w *cooler) Ring() {
	c := (*Conn)(w)
	if !c.cfg.Clock.Rang(&c.warmth.alarm) || !c.warmth.used.Swap(false) && c.warmth.wake(c.in.Conn) {
		return
	}
	c.cfg.Clock.Set(&c.warmth.alarm, c.cfg.CoolAfter, w)
	if c.has(over) { // since when does not matter
		c.chill()
	}
}

// wake ends the wait of a reader between two messages.
func (w *warmth) wake(nc net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hurried || !w.does.CompareAndSwap(waiting, cooling) {
		return false
	}
	_ = nc.SetReadDeadline(time.Unix(1, 0)) // fails on a closed connection, whose reader wakes anyway
	return true
}

// resume undoes wake. It is false if the connection is about to end.
func (w *warmth) resume(nc net.Conn) bool {
	w.mu.Lock() // wake is done then
	defer w.mu.Unlock()
	w.does.Store(working)
	if !w.hurried {
		_ = nc.SetReadDeadline(time.Time{}) // fails on a closed connection only, as reading will
	}
	return !w.hurried
}

// limit sets the read deadline for the end of the connection.
func (w *warmth) limit(nc net.Conn, t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hurried = true
	return nc.SetReadDeadline(t)
}

// await waits for the next message, warm. It is false if the connection has become
// cold: somebody else reads it then.
func (c *Conn) await() (ours bool, err error) {
	w := &c.warmth
	for c.in.waits() {
		w.does.Store(waiting)
		err := c.in.await()
		switch {
		case w.does.CompareAndSwap(waiting, working):
			if !w.used.Load() {
				w.used.Store(true)
			}
			return true, err
		case !errors.Is(err, os.ErrDeadlineExceeded): // it was woken, but something came
			w.resume(c.in.Conn)
			c.warm()
			return true, err
		case w.resume(c.in.Conn):
			c.in.err = nil
			c.cfg.Group.Fresh((*coldReader)(c))
			return false, nil
		}
		c.in.err = nil // a new deadline holds
	}
	return true, nil
}

// coldReader is a Conn as the goroutine sees it that waits for a cold connection.
type coldReader Conn

// Run implements serial.Task. The stack of its goroutine must not grow.
func (r *coldReader) Run() {
	c := (*Conn)(r)
	_ = c.in.await() // the next reader meets the error
	c.warm()
	c.cfg.Group.Start((*reader)(c))
}

// Fail implements serial.Failer: nobody reads any more.
func (r *coldReader) Fail(err error) { (*reader)(r).Fail(err) }
