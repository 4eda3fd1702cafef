package engineio

import (
	"time"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Heartbeats. In revision 4 the server pings and the client has to answer, in
// revision 3 the client pings and the server only waits for it. Neither cares what
// carries the session, so an upgrade leaves the alarm alone.
//
// A client that is not read has no fault in what does not come. In revision 4 it is pinged again, and gets another
// PingTimeout. In revision 3 it gets no pongs for its pings, but takes any packet as a sign of life, so it gets noops.
// In both, writing fails if it has gone.

// startHeartbeat starts the heartbeat anew. s.mu must be held.
func (s *Session) startHeartbeat() {
	if s.variant.Revision == 3 {
		s.arm(s.server.cfg.PingInterval + s.server.cfg.PingTimeout)
	} else {
		s.arm(s.server.cfg.PingInterval)
	}
}

// arm sets the alarm. s.mu must be held.
func (s *Session) arm(d time.Duration) {
	s.server.cfg.Clock.Set(&s.alarm, d, (*sleeper)(s))
}

// sleeper is a Session as its alarm sees it.
type sleeper Session

// Fail implements serial.Failer.
func (w *sleeper) Fail(error) { (*Session)(w).Drop(session.ReasonTransportError) }

// Ring implements alarm.Sleeper.
func (w *sleeper) Ring() {
	s := (*Session)(w)
	s.mu.Lock()
	if !s.server.cfg.Clock.Rang(&s.alarm) {
		s.mu.Unlock()
		return
	}
	if s.state == stateClosed {
		s.server.forget(s)
		s.mu.Unlock()
		return
	}
	if s.state == stateClosing { // nobody came to fetch what waits
		s.queue.Clear()
		s.countLocked()
		s.closeLocked()
		s.mu.Unlock()
		return
	}
	beat, overdue := s.beatLocked()
	s.mu.Unlock()
	if overdue {
		s.server.cfg.Tally.Count(session.LimitPingTime)
		s.end(ending{reason: session.ReasonPingTimeout})
	} else {
		s.force(beat)
	}
}

// beatLocked sets the alarm anew and returns the packet to send, or reports that the client has missed its heartbeat.
// s.mu must be held.
func (s *Session) beatLocked() (beat session.Frame, overdue bool) {
	timeout := s.server.cfg.PingTimeout
	switch {
	case s.variant.Revision == 4 && (!s.awaiting || s.flow.PausedWithin(timeout)):
		s.awaiting = true
		s.arm(timeout)
		return framePing, false
	case s.variant.Revision == 3 && s.awaiting:
		if s.awaiting = s.flow.PausedWithin(timeout / 2); s.awaiting {
			s.arm(timeout / 2)
		} else {
			s.startHeartbeat()
		}
		return frameNoop, false
	default:
		return session.Frame{}, true
	}
}

// paused is called when a client of revision 3 is not read any more.
func (s *Session) paused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateOpen && !s.awaiting {
		s.awaiting = true
		s.arm(s.server.cfg.PingTimeout / 2)
	}
}

// gotPing answers a client of revision 3. Pongs count against the limit of what may
// wait: a client that does not take them is a slow one. s.inbox must be held.
func (s *Session) gotPing() error {
	if s.variant.Revision != 3 {
		return errDirection
	}
	if s.pings == nil {
		s.pings = new(session.Pings)
	}
	if err := s.pings.Ping(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.state == stateOpen {
		s.awaiting = false
		s.startHeartbeat()
	}
	s.mu.Unlock()
	_ = s.Send([]session.Frame{framePong}, false) // failing, it has ended the session itself
	return nil
}

// gotPong lets the next ping wait for its time. A pong that answers nothing does not.
func (s *Session) gotPong() error {
	if s.variant.Revision == 3 {
		return errDirection
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.awaiting && s.state == stateOpen {
		s.awaiting = false
		s.startHeartbeat()
	}
	return nil
}
