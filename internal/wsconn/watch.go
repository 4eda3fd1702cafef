package wsconn

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

const (
	places   = 256                   // readers that may run tasks at a time
	patience = 10 * time.Millisecond // how long a task may keep its reader, at least
	busyFor  = 100                   // tasks that are not run by the reader, after one that kept it
)

// Watch has readers run the tasks that come of what they read. Most take no time: for
// them, another goroutine would be most of the cost. While a reader runs a task it
// stands in a place of the Watch, which looks at them every now and then. If a task
// takes too long, its reader loses the connection to a new one, which reads on. The
// zero Watch is ready; it is safe for concurrent use.
type Watch struct {
	next    atomic.Uint32 // the place for the next connection
	used    atomic.Bool   // somebody came since it was looked last
	looking atomic.Bool   // timer is set

	mu    sync.Mutex // protects what follows
	timer *time.Timer
	seen  [places]sight

	places [places]place
}

// place is where the readers of some connections stand, one at a time.
type place struct {
	conn  atomic.Pointer[Conn] // who is in it
	count atomic.Uint32        // how often it was taken
	_     [48]byte             // places are not to share cache lines
}

// sight is what was seen in a place.
type sight struct {
	conn  *Conn
	count uint32
}

// place returns the one for a new connection.
func (w *Watch) place() uint8 {
	if w == nil {
		return 0
	}
	return uint8(w.next.Add(1) % places)
}

// enter is false if the place is taken.
func (w *Watch) enter(c *Conn) bool {
	p := &w.places[c.place]
	if !p.conn.CompareAndSwap(nil, c) {
		return false
	}
	p.count.Add(1)
	if !w.used.Load() {
		w.used.Store(true)
	}
	if !w.looking.Load() && w.looking.CompareAndSwap(false, true) {
		w.look(c.cfg.Group)
	}
	return true
}

// leave is false if the reader has lost its connection.
func (w *Watch) leave(c *Conn) bool {
	return w.places[c.place].conn.CompareAndSwap(c, nil)
}

// look comes back after a while, on a timer of the group; the timer itself needs none. One
// goroutine at a time is in here: the one that has made looking true, or the timer.
func (w *Watch) look(group *serial.Group) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil {
		w.timer = group.AfterFunc(patience, w.walk)
	} else {
		w.timer.Reset(patience)
	}
}

// walk looks at all places, and ends if nobody has come since the last time.
func (w *Watch) walk() {
	idle := !w.used.Swap(false)
	if w.pass() && idle {
		w.looking.Store(false)
		if !w.used.Load() || !w.looking.CompareAndSwap(false, true) {
			return
		}
	}
	w.look(nil)
}

// pass replaces the readers that stand where they stood the last time. It reports whether
// all places are empty.
func (w *Watch) pass() (empty bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	empty = true
	for i := range w.places {
		now := sight{w.places[i].conn.Load(), w.places[i].count.Load()}
		if now.conn == nil {
			w.seen[i] = sight{}
			continue
		}
		empty = false
		if now == w.seen[i] {
			w.replace(now.conn)
		}
		w.seen[i] = now
	}
	return empty
}

// replace starts another reader for c, if the one it has runs a task.
func (w *Watch) replace(c *Conn) {
	if w.places[c.place].conn.CompareAndSwap(c, nil) {
		c.busy = busyFor
		c.cfg.Group.Start((*reader)(c))
	}
}

// perform runs a task, or has it run. Its error ends a reader that has lost its
// connection meanwhile.
func (c *Conn) perform(t session.Task) (err error) {
	w := c.cfg.Watch
	if c.busy > 0 || w == nil || !w.enter(c) {
		c.busy = max(c.busy-1, 0)
		c.cfg.Group.Start(t)
		return nil
	}
	returned := false
	defer func() {
		p := recover() // the connection has not been the task's concern: it is read on
		ours := w.leave(c)
		switch {
		case !ours:
			err = errElsewhere
		case !returned && p == nil: // the task has called runtime.Goexit, and this goroutine ends
			c.cfg.Group.Start((*reader)(c))
		}
		if p != nil {
			c.cfg.Group.Crashed(t, p)
		}
	}()
	t.Run()
	returned = true
	return nil
}

// Listen implements session.Listener.
func (c *Conn) Listen() {
	if c.cfg.Watch != nil {
		c.cfg.Watch.replace(c)
	}
}
