package sockjs

import (
	"net/http"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/guard"
	"github.com/seed-ce09063a/thinkws/internal/ledger"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

var (
	_ ledger.Owner  = (*polled)(nil)
	_ ledger.Sharer = (*polled)(nil)
)

// Evict implements ledger.Owner. A body is not read to its end, a receiver that something large is being written to is
// cut off, and a session that is closing keeps nothing to be fetched.
func (s *polled) Evict(cause error) {
	s.fail(cause)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.evicted = true
	if s.cutBody != nil {
		s.cutBody()
	}
	s.queue.Clear()
	s.countLocked()
	if s.queue.Held() <= session.Piece { // what is left is being written, and the close frame may follow
		return
	}
	if s.receiver != nil {
		s.receiver.interrupt()
	}
	for _, r := range s.ending {
		r.interrupt()
	}
}

// Shed implements ledger.Holder: Evict drops what the session holds.
func (s *polled) Shed() {}

// Frames implements ledger.Sharer.
func (s *polled) Frames(do func(frame []byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.queue.Entries {
		do(f.Payload())
	}
}

// countLocked counts the frames that wait or are being sent. s.mu must be held.
func (s *polled) countLocked() { s.client.Flow().Account().Settle(&s.share, s, s.queue.Held()) }

// holdBody counts what is held of a body. It is for the holder of turn.
func (s *polled) holdBody(bytes int) { s.client.Flow().Account().Settle(&s.body, s, bytes) }

// freeBody counts a body no more.
func (s *polled) freeBody() {
	s.holdBody(0)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateClosed {
		s.client.Flow().Account().Strike(s)
	}
}

// readBody reads the body of a request. It belongs to the session, which is evicted for it.
func (s *polled) readBody(w http.ResponseWriter, r *http.Request) (body []byte, status int) {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(s.server.cfg.ReadTimeout)) // where supported
	if !s.mayRead(func() { guard.Expire(rc.SetReadDeadline) }) {
		return nil, http.StatusServiceUnavailable
	}
	body, status = session.ReadBody(w, r, s.server.cfg.MaxMessage, s.holdBody)
	if !s.mayRead(nil) && status != 0 {
		status = http.StatusServiceUnavailable
	}
	return body, status
}

// mayRead returns false if the session has been evicted. Otherwise cut will be called if it is.
func (s *polled) mayRead(cut func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutBody = cut
	return !s.evicted
}

// interrupt ends what is being written.
func (r *receiver) interrupt() {
	r.cut.Store(true)
	guard.Expire(r.rc.SetWriteDeadline)
}
