package engineio

import (
	"errors"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Send queues frames, all or none, in order. It never blocks. It returns
// session.ErrClosed after the session has ended, and session.ErrSlow if too much
// waits for the client, which ends the session. Volatile frames are dropped, with
// session.ErrDropped, if they cannot go out at once.
func (s *Session) Send(frames []session.Frame, volatile bool) error {
	s.mu.Lock()
	conn := s.conn
	if s.state != stateOpen {
		s.mu.Unlock()
		return session.ErrClosed
	}
	var err error
	if conn == nil {
		err = s.enqueue(frames, volatile)
	}
	s.mu.Unlock()
	switch {
	case conn == nil:
	case volatile && !conn.Idle():
		err = session.ErrDropped
	default:
		err = conn.Send(frames...)
	}
	if errors.Is(err, session.ErrSlow) {
		s.end(ending{reason: session.ReasonSlow, code: session.CloseTryLater, last: frameClose, cause: err})
	}
	return err
}

// force queues a packet of the protocol itself, whatever waits before it.
func (s *Session) force(f session.Frame) {
	s.mu.Lock()
	conn, open := s.conn, s.state == stateOpen
	if open && conn == nil {
		s.queue.Push(f)
		s.wake()
	}
	s.mu.Unlock()
	if open && conn != nil {
		conn.Force(f) // fails on a connection that is being closed only
	}
}

// enqueue adds frames to what waits to be polled. s.mu must be held.
func (s *Session) enqueue(frames []session.Frame, volatile bool) error {
	if volatile && (s.poll == nil || s.responding || len(s.queue.Frames) > 0 || s.onWebSocket) {
		return session.ErrDropped
	}
	limit := s.server.cfg.SendQueue
	err := s.queue.Room(frames, limit.Items, limit.Bytes, s.server.cfg.Slow)
	if err == nil || session.Displaced(err) {
		s.queue.Push(frames...)
		s.wake()
	}
	return err
}

// wake has the GET that waits answered, if there is something to say and no other answer is
// under way. s.mu must be held.
func (s *Session) wake() {
	if s.poll != nil && !s.idles() {
		s.poll.wake()
	}
}

// idles reports whether there is nothing that a GET could be answered with. s.mu
// must be held.
func (s *Session) idles() bool {
	return s.state == stateOpen && !s.onWebSocket && (s.responding || len(s.queue.Frames) == 0 && !s.isProbed())
}
