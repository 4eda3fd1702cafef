package engineio

import (
	"net/http"

	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// upgrade takes a WebSocket for a session that is polling. The first one wins, and
// proves itself before the session uses it: the client sends a probe, gets it
// answered, ends its polling and sends the upgrade packet. All others are closed, as in Node.js.
func (s *Session) upgrade(w http.ResponseWriter, r *http.Request) {
	l := &link{session: s, probing: true}
	if state := s.reserve(l); state != stateOpen {
		code := BadRequest
		if state == stateClosed {
			code = UnknownSID
		}
		s.server.refuse(w, r, code, "")
		return
	}
	accepted := false
	defer func() {
		if !accepted { // or middleware has panicked
			s.abandon(l)
		}
	}()
	conn, err := wsconn.Accept(w, r, &s.server.cfg.Config, &s.flow)
	if err != nil {
		s.server.refusals.Log(r, err)
		return
	}
	accepted = true
	if !s.startProbe(l, conn) {
		s.server.turnAway(conn)
	}
	conn.Serve(l)
}

// turnAway closes a WebSocket that its session does not use. The client gets less time than others to
// answer the close frame: such a connection counts as no session, so it must not stay.
func (s *Server) turnAway(conn *wsconn.Conn) {
	conn.Close(0, "")
	s.cfg.Group.AfterFunc(expiredTimeout, conn.CloseNow) // changes nothing if it is closed by then
}

// reserve keeps the place of the WebSocket before it exists, unless the session has one. It returns
// the state of the session, which must be open.
func (s *Session) reserve(l *link) state {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateOpen && !s.onWebSocket && s.probe == nil {
		s.probe = l
	}
	return s.state
}

// startProbe fails if l has no place, or the session has ended in the meantime.
func (s *Session) startProbe(l *link, conn *wsconn.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.conn = conn
	if s.probe != l {
		return false
	}
	l.timer = s.server.cfg.Group.AfterFunc(s.server.cfg.UpgradeTimeout, func() { s.expire(l) })
	return true
}

// expire closes a WebSocket whose time is up. The time begins anew if the client has not been read meanwhile: it
// upgrades when its POST has been answered.
func (s *Session) expire(l *link) {
	s.mu.Lock()
	paused := s.probe == l && s.flow.PausedWithin(s.server.cfg.UpgradeTimeout)
	if paused {
		l.timer.Reset(s.server.cfg.UpgradeTimeout)
	}
	s.mu.Unlock()
	if paused {
		return
	}
	if conn := s.abandon(l); conn != nil {
		s.server.cfg.Tally.Count(session.LimitUpgradeTime)
		s.server.turnAway(conn)
	}
}

// abandon closes a WebSocket that has not been taken into use, and returns it; nil if it
// does not exist, or not as such any more.
func (s *Session) abandon(l *link) *wsconn.Conn {
	s.mu.Lock()
	conn := s.dropProbe(l)
	s.mu.Unlock()
	if conn != nil {
		conn.Close(0, "")
	}
	return conn
}

// dropProbe forgets l, if it is the one that may take over, and returns the
// connection, which the caller must close. s.mu must be held.
func (s *Session) dropProbe(l *link) *wsconn.Conn {
	if l == nil || s.probe != l {
		return nil
	}
	s.probe = nil
	if l.timer != nil {
		l.timer.Stop()
	}
	return l.conn
}

// isProbed reports whether the client waits for its polling to end. s.mu must be held.
func (s *Session) isProbed() bool { return s.probe != nil && s.probe.probed }

// answerProbe takes a packet that comes before the WebSocket is in use.
func (l *link) answerProbe(p packet) error {
	switch {
	case p.typ == typePing && !p.binary && string(p.data) == probe:
		return l.confirm()
	case p.typ == typeUpgrade:
		return l.takeOver()
	default:
		return errUpgrade
	}
}

// confirm answers a probe. From now on no GET waits any more, so that the client
// soon has none under way.
func (l *link) confirm() error {
	s := l.session
	if err := l.conn.Send(frameProbeReply); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l.probed = true
	s.wake()
	return nil
}

// takeOver makes the WebSocket the session's transport, and answers the GET that
// waits, if there still is one.
func (l *link) takeOver() error {
	s := l.session
	s.mu.Lock()
	if s.probe != l { // too late: whoever has dropped it closes the connection
		s.mu.Unlock()
		return nil
	}
	s.dropProbe(l)
	s.onWebSocket, s.sent, l.probing = true, nil, false
	s.wake()
	s.mu.Unlock()
	s.adopt(l.conn)
	return nil
}
