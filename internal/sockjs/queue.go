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
		s.fail(session.CloseTryLater, session.ReasonSlow)
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
	case volatile && (!s.waiting || len(s.queue) > 0):
		return session.ErrDropped
	case !s.hasRoom(frames):
		return session.ErrSlow
	}
	s.push(frames...)
	s.wake()
	return nil
}

// hasRoom takes s.mu as held.
func (s *polled) hasRoom(frames []session.Frame) bool {
	limit, size := s.server.cfg.Queue, 0
	for _, f := range frames {
		size += f.Len()
	}
	return len(s.queue)+len(frames) <= limit.Items && (len(s.queue) == 0 || s.queued+size <= limit.Bytes)
}

// push takes s.mu as held.
func (s *polled) push(frames ...session.Frame) {
	for _, f := range frames {
		s.queue = append(s.queue, f.Keep())
		s.queued += f.Len()
	}
}

// discard drops what waits and returns it. It takes s.mu as held.
func (s *polled) discard() []session.Frame {
	frames := s.queue
	s.queue, s.queued = nil, 0
	return frames
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
