package plain

import (
	"time"

	"github.com/seed-ce09063a/thinkws/internal/alarm"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Decode reads one frame. If it cannot be read, it returns why, and the cid.
func Decode(text []byte) (m *session.Message, reason, cid string) {
	m, err := decode(text)
	if err != nil {
		return nil, err.reason, err.cid
	}
	return m, "", ""
}

// Codec is the wire's codec.
var Codec session.Codec = codec{}

// Len is the number of connections that are not closed yet.
func (s *Server) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Beating is the number of connections whose heartbeat has not stopped.
func (s *Server) Beating() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if !c.heartbeat.stopped {
			n++
		}
	}
	return n
}

// Heartbeat is a heartbeat by itself.
type Heartbeat struct{ h *heartbeat }

// NewHeartbeat returns one that has not started.
func NewHeartbeat(interval, timeout time.Duration, ping, lost func()) Heartbeat {
	return Heartbeat{newHeartbeat(new(alarm.Clock), interval, timeout, ping, lost)}
}

// Start starts it.
func (h Heartbeat) Start() { h.h.start() }

// Stop stops it.
func (h Heartbeat) Stop() { h.h.stop() }
