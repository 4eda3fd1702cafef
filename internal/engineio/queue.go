package engineio

import (
	"errors"

	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// Send queues frames, all or none, in order. It never blocks. It returns
// session.ErrClosed after the session has ended, and session.ErrSlow if too much
// waits for the client, which ends the session. Volatile frames are dropped, with
// session.ErrDropped, if they cannot go out at once.
//
// A session on a WebSocket needs no lock here: the connection refuses what comes after its end. All others decide with
// mu held whether frames wait for a poll, or the WebSocket has taken what waited and is next.
func (s *Session) Send(frames []session.Frame, volatile bool) (err error) {
	conn := s.conn.Load()
	if conn == nil {
		conn, err = s.enqueue(frames, volatile)
	}
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
	conn := s.conn.Load()
	if s.state == stateOpen && conn == nil {
		s.queue.Push(f)
		s.wake()
	}
	s.mu.Unlock()
	if conn != nil {
		conn.Force(f) // fails on a connection that is being closed only
	}
}

// enqueue adds frames to what waits to be polled, unless a WebSocket carries the session by now, which it returns.
func (s *Session) enqueue(frames []session.Frame, volatile bool) (*wsconn.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	conn := s.conn.Load()
	switch {
	case conn != nil:
		return conn, nil
	case s.state != stateOpen:
		return nil, session.ErrClosed
	case volatile && (s.poll == nil || s.responding || len(s.queue.Frames) > 0 || s.onWebSocket):
		return nil, session.ErrDropped
	}
	limit := s.server.cfg.SendQueue
	err := s.queue.Room(frames, limit.Items, limit.Bytes, s.server.cfg.Slow)
	if err == nil || session.Displaced(err) {
		s.queue.Push(frames...)
		s.wake()
	}
	return nil, err
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
