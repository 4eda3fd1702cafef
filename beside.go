package thinkws

import "sync"

// maxBeside bounds how many Concurrent actions run at a time for one client.
const maxBeside = 64

// besides are the Concurrent actions of one client that run. It is safe for concurrent use.
//
// Security: what an action works on is held as long as it runs, but its event has left the receive queue. So these
// events have the same bound in bytes, and one client holds no more than twice that.
type besides struct {
	mu    sync.Mutex // protects what follows
	ended sync.Cond  // one of them, on mu
	count int
	bytes int // of their events
}

func newBesides() *besides {
	b := &besides{}
	b.ended.L = &b.mu
	return b
}

// enter waits until an event of so many bytes may run beside the others. One alone always may.
func (b *besides) enter(bytes, most int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.count == maxBeside || b.count > 0 && b.bytes+bytes > most {
		b.ended.Wait()
	}
	b.count++
	b.bytes += bytes
}

func (b *besides) leave(bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count--
	b.bytes -= bytes
	b.ended.Signal() // only the queue of the client waits
}

// beside runs fn on a goroutine of its own, once there is room for it.
func (s *Socket) beside(c *Context, fn HandlerFunc) {
	s.mu.Lock()
	e := s.extra()
	if e.besides == nil {
		e.besides = newBesides()
	}
	running := e.besides
	s.mu.Unlock()
	running.enter(c.kept, s.space.hub.cfg.receiveQueue.Bytes)
	s.jobs.Add(1)
	s.space.hub.tasks.Go(func() {
		defer s.done()
		defer running.leave(c.kept)
		c.act(fn)
	})
}
