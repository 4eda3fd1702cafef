package engineio

import (
	"net/http"

	"github.com/seed-ce09063a/thinkws/internal/guard"
	"github.com/seed-ce09063a/thinkws/internal/ledger"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

var (
	_ ledger.Owner  = (*Session)(nil)
	_ ledger.Sharer = (*Session)(nil)
)

// Evict implements ledger.Owner. A session that is closing keeps nothing to be fetched.
func (s *Session) Evict(cause error) {
	code, reason := session.Verdict(cause)
	s.end(ending{reason: reason, code: code, cause: cause})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.evicted = true
	if s.cutPoll != nil {
		s.cutPoll()
	}
	if s.state == stateClosing {
		s.queue.Clear()
		s.countLocked()
		s.closeLocked()
	}
}

// Shed implements ledger.Holder: Evict drops what the session holds.
func (s *Session) Shed() {}

// Frames implements ledger.Sharer.
func (s *Session) Frames(do func(frame []byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.queue.Entries {
		do(f.Payload())
	}
}

// countLocked counts the frames that wait for a poll or are being sent. s.mu must be held.
func (s *Session) countLocked() { s.flow.Account().Settle(&s.share, s, s.queue.Held()) }

// strikeLocked is called when the session may hold nothing more. s.mu must be held.
func (s *Session) strikeLocked() {
	if s.state == stateClosed && !s.posting && !s.responding {
		s.flow.Account().Strike(s)
	}
}

// letCut lets Evict interrupt a response that is being written.
func (s *Session) letCut(w http.ResponseWriter) {
	rc := http.NewResponseController(w)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutPoll = func() { guard.Expire(rc.SetWriteDeadline) }
}
