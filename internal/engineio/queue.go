package engineio

import (
	"errors"

	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// Send queues frames, all or none, in order. It never blocks. It returns session.ErrClosed after the session has ended.
// If the send queue has no room it does as Config.Slow says: it returns session.ErrSlow and ends the session, or
// session.ErrDropped, or a session.DisplacedError. Volatile frames are dropped, with session.ErrDropped, if they cannot
// go out at once.
//
// A session on a WebSocket needs no lock here: the connection refuses what comes after its end. All others decide with
// mu held whether frames wait for a poll, or the WebSocket has taken what waited and is next.
func (s *Session) Send(frames []session.Frame, volatile bool) (err error) {
	conn := s.conn.Load()
	if conn == nil {
		conn, err = s.enqueue(frames, volatile)
	}
	if conn != nil {
		err = conn.Deliver(frames, volatile)
	}
	if errors.Is(err, session.ErrSlow) {
		s.endSlow()
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
	case volatile && (s.poll == nil || s.responding || len(s.queue.Entries) > 0 || s.onWebSocket):
		return nil, session.ErrDropped
	}
	cfg := &s.server.cfg
	err := s.queue.Room(session.Counts(frames...), cfg.Queue, cfg.Slow)
	if err == nil || session.Displaced(err) {
		s.queue.Push(session.KeepAll(frames)...)
		s.countLocked()
		s.wake()
		s.watchLocked()
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
	return s.state == stateOpen && !s.onWebSocket && (s.responding || len(s.queue.Entries) == 0 && !s.isProbed())
}

// watchLocked gives the client WriteTimeout to take something while its queue exceeds the bound. s.mu must be held.
func (s *Session) watchLocked() {
	cfg := &s.server.cfg
	if s.watched || !s.queue.Over(cfg.Queue) {
		return
	}
	s.watched, s.took = true, false
	cfg.Group.AfterFunc(cfg.WriteTimeout, s.judge)
}

// judge ends the session if the client has taken nothing since watchLocked. An answer that is being written has
// deadlines of its own.
func (s *Session) judge() {
	s.mu.Lock()
	slow := s.queue.Over(s.server.cfg.Queue) && !s.took && !s.responding && !s.onWebSocket
	s.watched = false
	s.watchLocked()
	s.mu.Unlock()
	if slow {
		s.endSlow()
	}
}

// endSlow ends the session of a client that takes too little.
func (s *Session) endSlow() {
	s.end(ending{reason: session.ReasonSlow, code: session.CloseTryLater, cause: session.ErrSlow})
}
