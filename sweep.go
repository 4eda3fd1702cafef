package thinkws

import (
	"runtime"
	"sync"

	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// fewClients are written to by the goroutine that broadcasts, at once.
const fewClients = 16

// sweeper writes what broadcasts to many have queued. The goroutine that broadcasts goes on
// meanwhile, and if it broadcasts again before the turn of a connection has come, that one
// gets both messages in one write(2), which is most of what a message costs. There are at
// most as many goroutines as can run at the same time, and none while there is nothing to
// write.
type sweeper struct {
	tasks *serial.Group

	mu          sync.Mutex // protects what follows
	first, last *session.Batch
	running     int
}

// sweep lets the connections of a round be written to.
func (s *sweeper) sweep(r *session.Round) {
	first, last := r.End()
	if first == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.first = first
	} else {
		s.last.Next = first
	}
	s.last = last
	for ; first != nil && s.running < runtime.GOMAXPROCS(0); first = first.Next {
		s.running++
		s.tasks.Start(s)
	}
}

// Run implements serial.Task: it is one of the goroutines. It lets others run between two
// batches, for they may have more for those whose turn has not come.
func (s *sweeper) Run() {
	for b := s.take(); b != nil; b = s.take() {
		b.Flush()
		runtime.Gosched()
	}
}

// take returns the next batch; nil means that the goroutine has to end.
func (s *sweeper) take() *session.Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.first
	if b == nil {
		s.running--
		return nil
	}
	if s.first = b.Next; s.first == nil {
		s.last = nil
	}
	return b
}
