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
		s.end(ending{reason: session.ReasonSlow, code: session.CloseTryLater, last: frameClose})
	}
	return err
}

// force queues a packet of the protocol itself, whatever waits before it.
func (s *Session) force(f session.Frame) {
	s.mu.Lock()
	conn, open := s.conn, s.state == stateOpen
	if open && conn == nil {
		s.push(f)
		s.wake()
	}
	s.mu.Unlock()
	if open && conn != nil {
		conn.Force(f) // fails on a connection that is being closed only
	}
}

// enqueue adds frames to what waits to be polled. It takes s.mu as held.
func (s *Session) enqueue(frames []session.Frame, volatile bool) error {
	if volatile && (s.poll == nil || s.responding || len(s.queue) > 0 || s.onWebSocket) {
		return session.ErrDropped
	}
	limit, size := s.server.cfg.SendQueue, 0
	for _, f := range frames {
		size += f.Len()
	}
	if len(s.queue)+len(frames) > limit.Items || len(s.queue) > 0 && s.queued+size > limit.Bytes {
		return session.ErrSlow
	}
	s.push(frames...)
	s.wake()
	return nil
}

// push takes s.mu as held.
func (s *Session) push(frames ...session.Frame) {
	for _, f := range frames {
		s.queue = append(s.queue, f.Keep())
		s.queued += f.Len()
	}
}

// discard drops what waits and returns it. It takes s.mu as held.
func (s *Session) discard() []session.Frame {
	frames := s.queue
	s.queue, s.queued = nil, 0
	return frames
}

// wake lets the GET that waits, if there is one, be answered as soon as there is
// something to say and no other answer is under way. It takes s.mu as held.
func (s *Session) wake() {
	if s.poll != nil && !s.idles() {
		s.poll.wake()
	}
}

// idles says whether there is nothing that a GET could be answered with. It takes s.mu as
// held.
func (s *Session) idles() bool {
	return s.state == stateOpen && !s.onWebSocket && (s.responding || len(s.queue) == 0 && !s.isProbed())
}
