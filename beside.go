package thinkws

import (
	"sync"

	"github.com/seed-ce09063a/thinkws/internal/ledger"
)

// maxBeside bounds how many Concurrent actions run at a time for one client.
const maxBeside = 64

// besides are the Concurrent actions of one client that run. It is safe for concurrent use.
//
// Security: what an action works on is held as long as it runs, but its event has left the receive queue. So these
// events have the same bound in bytes, and one client holds no more than twice that.
type besides struct {
	socket *Socket

	mu    sync.Mutex // protects what follows
	ended sync.Cond  // one of them, on mu
	count int
	bytes int // of their events
	share ledger.Share
}

func newBesides(s *Socket) *besides {
	b := &besides{socket: s}
	b.ended.L = &b.mu
	return b
}

// enter waits until an event of so many bytes may run beside the others. One alone always may. If
// again is true, the event is one of the others already: it does not wait, since it could wait for
// itself, and enter returns false.
func (b *besides) enter(bytes, most int, again bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.count == maxBeside || b.count > 0 && b.bytes+bytes > most {
		if again {
			return false
		}
		b.ended.Wait()
	}
	b.countLocked(1, bytes)
	return true
}

func (b *besides) leave(bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.countLocked(-1, -bytes)
	b.ended.Signal() // only the queue of the client waits
}

func (b *besides) countLocked(count, bytes int) {
	b.count += count
	b.bytes += bytes
	b.socket.flow.Account().Settle(&b.share, (*hoard)(b.socket), b.bytes+b.count*eventCost)
}

// beside runs fn on a goroutine of its own, once there is room for it; or in place if there is no
// room and the event runs beside the others already.
func (s *Socket) beside(c *Context, fn HandlerFunc) error {
	if !s.employ() {
		return ErrClosed
	}
	running := s.besides()
	if !running.enter(c.kept, s.space.hub.cfg.receiveQueue.Bytes, c.beside.Swap(true)) {
		defer s.done()
		return fn(c)
	}
	s.space.hub.tasks.Go(func() {
		defer s.done()
		defer running.leave(c.kept)
		c.act(fn)
	})
	return nil
}

func (s *Socket) besides() *besides {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.extraLocked()
	if e.besides == nil {
		e.besides = newBesides(s)
	}
	return e.besides
}

// employ counts one more of s.jobs. It returns false after the last one has been done.
func (s *Socket) employ() bool {
	for {
		jobs := s.jobs.Load()
		if jobs == 0 {
			return false
		}
		if s.jobs.CompareAndSwap(jobs, jobs+1) {
			return true
		}
	}
}
