package ledger

import "sync/atomic"

// Account is what one client makes the server hold. It is safe for concurrent use. A nil Account counts nothing.
type Account struct {
	ledger  *Ledger // nil counts nothing
	owner   Owner
	held    atomic.Int64
	waits   atomic.Bool // it is paused
	evicted bool        // protected by ledger.mu
}

// Open makes a the account of o. It is called once, before anything else.
func (a *Account) Open(l *Ledger, o Owner) { a.ledger, a.owner = l, o }

// Held returns how many bytes are held.
func (a *Account) Held() int64 { return a.held.Load() }

// Share is what one queue, message or body holds of an account. The zero Share is empty. Its holder protects it.
type Share struct {
	bytes  int
	listed bool
}

// Settle notes that h holds so many bytes now by way of s. It is cheap, and costs nothing if nothing has changed.
func (a *Account) Settle(s *Share, h Holder, bytes int) {
	if bytes != s.bytes && a != nil && a.ledger != nil {
		a.settle(s, h, bytes)
	}
}

func (a *Account) settle(s *Share, h Holder, bytes int) {
	if bytes >= little && !s.listed && a.ledger.cfg.Limit > 0 {
		s.listed = true
		a.ledger.enlist(h, a)
	}
	change := int64(bytes - s.bytes)
	s.bytes = bytes
	a.ledger.add(a, change)
}

// Strike forgets h, which will hold nothing more. What it holds still has to be settled.
func (a *Account) Strike(h Holder) {
	if a != nil && a.ledger != nil && a.ledger.cfg.Limit > 0 {
		a.ledger.strike(h)
	}
}

// Pause reports whether the client must send no more for now, because all clients hold much and it is one of those that
// hold most. If so, resume is called as soon as it may go on, once and by a goroutine that holds no lock, unless Resume is
// called first.
func (a *Account) Pause(resume func()) bool {
	return a != nil && a.ledger != nil && a.ledger.pause(a, resume)
}

// Resume ends a pause. It may be called without one.
func (a *Account) Resume() {
	if a == nil || !a.waits.Load() {
		return
	}
	a.ledger.mu.Lock()
	defer a.ledger.mu.Unlock()
	a.ledger.resumeLocked(a)
}
