package sockjs

import (
	"errors"

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
	case volatile && (!s.waiting || len(s.queue.Frames) > 0):
		return session.ErrDropped
	}
	limit := s.server.cfg.Queue
	err := s.queue.Room(frames, limit.Items, limit.Bytes, s.server.cfg.Slow)
	if err == nil || session.Displaced(err) {
		s.queue.Push(frames...)
		s.wake()
	}
	return err
}

// wake lets a receiver that waits look what there is. It takes s.mu as held.
func (s *polled) wake() {
	if s.receiver == nil {
		return
	}
	select {
	case s.receiver.wake <- struct{}{}:
	default: // it is awake already
	}
}
