package sockjs

import (
	"errors"
	"os"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Send implements session.Conn.
func (s *polled) Send(m *session.Message) error {
	frames, err := m.Frames(codec{raw: s.server.cfg.RawStrings})
	if err != nil {
		return err
	}
	err = s.enqueue(frames, m.Volatile)
	if errors.Is(err, session.ErrSlow) {
		s.fail(err)
	}
	return err
}

// enqueue lets frames wait for a receiver, all or none.
func (s *polled) enqueue(frames []session.Frame, volatile bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state != stateOpen:
		return session.ErrClosed
	case volatile && (!s.waiting || len(s.queue.Entries) > 0):
		return session.ErrDropped
	}
	over := s.overLocked()
	err := s.queue.Room(session.Counts(frames...), s.server.cfg.Queue, s.server.cfg.Slow)
	if err == nil || session.Displaced(err) {
		s.queue.Push(session.KeepAll(frames)...)
		s.countLocked()
		s.wakeLocked()
		if !over && s.overLocked() && len(s.ending) == 0 {
			s.idle()
		}
	}
	return err
}

// wakeLocked has a receiver that waits look for frames. s.mu must be held.
func (s *polled) wakeLocked() {
	if s.receiver == nil {
		return
	}
	select {
	case s.receiver.wake <- struct{}{}:
	default: // it is awake already
	}
}

// overLocked reports whether more waits than the bound. s.mu must be held.
func (s *polled) overLocked() bool { return s.queue.Over(s.server.cfg.Queue) }

// sent notes that what r was writing is out, or how it failed. It returns session.ErrSlow if the client has taken too
// little.
func (s *polled) sent(r *receiver, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	slow := errors.Is(err, os.ErrDeadlineExceeded) && s.overLocked()
	s.queue.Sent(r.counts)
	r.counts = 0
	s.countLocked()
	if slow {
		return session.ErrSlow
	}
	return nil
}
