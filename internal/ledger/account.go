package ledger

import (
	"math"
	"sync/atomic"
)

// Account is what one client makes the server hold. It is safe for concurrent use. The zero Account counts nothing.
type Account struct {
	ledger  *Ledger // nil counts nothing
	owner   Owner
	reader  Reader // nil where nothing can be paused
	held    atomic.Int64
	partial atomic.Int64 // of what is held
	flags   atomic.Uint32
}

// Bits of Account.flags.
const (
	isListed = 1 << iota // it has holders that the ledger knows
	isPaused
	isEvicted
)

func (a *Account) is(flag uint32) bool { return a.flags.Load()&flag != 0 }

// Open makes a the account of o. It is called once, before anything else. r is told when a pause ends; it may be nil if
// o holds nothing but what is Partial.
func (a *Account) Open(l *Ledger, o Owner, r Reader) { a.ledger, a.owner, a.reader = l, o, r }

// Held returns how many bytes are held.
func (a *Account) Held() int64 { return a.held.Load() }

// Paused reports whether the client must not be read for now.
func (a *Account) Paused() bool { return a.is(isPaused) }

// Share is what one queue, message or body holds of an account. The zero Share is empty. Its holder protects it.
type Share struct {
	// Partial is true for what is held until the client has sent the rest of it. To pause the client does not help
	// then: it would be held for good. It must not change.
	Partial bool

	listed bool
	bytes  int32
}

// Settle notes that h holds this many bytes now by way of s. Only whole KiB count, up to 2 GiB: a client that holds
// less costs more by its connection. If nothing has changed by that measure, Settle costs nothing.
func (a *Account) Settle(s *Share, h Holder, bytes int) {
	if now := int32(min(bytes, math.MaxInt32)) &^ (unit - 1); now != s.bytes && a.ledger != nil {
		a.settle(s, h, now)
	}
}

func (a *Account) settle(s *Share, h Holder, bytes int32) {
	if !s.listed {
		s.listed = true
		a.flags.Or(isListed)
		a.ledger.enlist(h, a)
	}
	change := int64(bytes - s.bytes)
	s.bytes = bytes
	if s.Partial {
		a.partial.Add(change)
	}
	a.ledger.add(a, change)
}

// pending returns what is held that needs nothing more of the client.
func (a *Account) pending() int64 { return a.held.Load() - a.partial.Load() }

// Strike forgets h, which will hold nothing more. What it holds still has to be settled.
func (a *Account) Strike(h Holder) {
	if a.is(isListed) {
		a.ledger.strike(h)
	}
}
