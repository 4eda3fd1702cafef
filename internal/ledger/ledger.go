// Package ledger counts what clients make a server hold, and decides which of them have to give way.
//
// Every connection has an [Account]. Whatever holds memory for the client of a connection is a [Holder], and has a
// [Share] of the account: a queue, a message that is half read, a body. Only what waits is counted. An event that is
// handled at once and a frame that is written at once never come here.
//
//	Holder --Settle--> Share --> Account --> Ledger
//	   ^                          |    ^       |
//	   |                          |    +-------+ 3/4 of the limit: accounts that hold much are paused until 5/8
//	   |                          v            | the limit: the largest accounts are evicted, down to 7/8
//	   +----------Shed--------- Owner <--------+
//
// A client is paused where it makes the server hold more: by Settle. All other decisions are made by one goroutine, the
// keeper, that lives only while there is something to decide. It calls readers, owners and holders without a lock. So
// Settle may be called with any lock held.
package ledger

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Owner is the connection, the session or the request that an account belongs to.
type Owner interface {
	// Evict ends it, if it has not ended, because it holds much and the server holds too much. It must not block.
	Evict(cause error)
}

// Reader reads from a client.
type Reader interface {
	// Wake has it look again whether its account is paused. It must not block.
	Wake()
}

// Holder is something that holds memory for a client. It must be comparable.
type Holder interface {
	// Shed drops what it holds, and holds nothing more. It is called after Evict of the owner, and must not block.
	Shed()
}

// Sharer is a Holder whose memory may be held by others, too: a frame that many clients wait for.
type Sharer interface {
	Holder
	// Frames calls do with each frame that it holds, or the rest of one.
	Frames(do func(frame []byte))
}

// Config says how a Ledger works. All fields have to be set, but Limit.
type Config struct {
	Limit int64 // bytes that all clients may hold together; 0 for no limit

	Go    func(run func())                  // runs the keeper
	After func(d time.Duration, run func()) // has it look again
	Cause func(held int64) error            // returns what an owner is evicted for
}

// Parts of the limit, in eighths.
const (
	pauseAt  = 6 // accounts that hold much are paused
	resumeAt = 5 // they may go on
	relieved = 7 // what is left once accounts were evicted
	eighths  = 8
)

// scarcely is the part of the limit by which it may be exceeded while what was evicted is given back: to look at all
// accounts for each byte more would cost too much.
const scarcely = 32

const (
	unit    = 1 << 10                // bytes: less does not count, and no frame that is shorter is looked for in other queues
	much    = 64 << 10               // bytes: what holds more is paused, however few accounts there are
	patient = 200 * time.Millisecond // for what was evicted to be given back, and until what is shared is looked at again
)

// Ledger counts what all accounts hold. It is safe for concurrent use.
type Ledger struct {
	cfg Config

	held  atomic.Int64
	alert atomic.Int64 // the keeper is called from here on
	bar   atomic.Int64 // accounts that hold as much may be paused
	waits atomic.Int32 // paused accounts
	state atomic.Int32 // of the keeper

	mu      sync.Mutex // protects what follows, and isPaused and isEvicted of accounts
	holders map[Holder]*Account
	paused  map[*Account]struct{}
	leaving []departure

	victims []candidate // that are to be evicted; the keeper's own
}

// departure is an account that was evicted. What it holds is about to be given back.
type departure struct {
	account *Account
	until   time.Time
}

// New returns a ledger.
func New(cfg Config) *Ledger {
	if cfg.Limit == 0 {
		cfg.Limit = math.MaxInt64
	}
	l := &Ledger{cfg: cfg, paused: map[*Account]struct{}{}, holders: map[Holder]*Account{}}
	l.alert.Store(cfg.Limit)
	l.bar.Store(much)
	return l
}

// part returns n eighths of the limit.
func (l *Ledger) part(n int64) int64 { return l.cfg.Limit / eighths * n }

// Held returns how many bytes all accounts hold.
func (l *Ledger) Held() int64 {
	if l == nil {
		return 0
	}
	return l.held.Load()
}

// Holders returns how many holders the ledger knows.
func (l *Ledger) Holders() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.holders)
}

// add counts n bytes more, or less, that a holds.
func (l *Ledger) add(a *Account, n int64) {
	a.held.Add(n)
	total := l.held.Add(n)
	switch {
	case n < 0:
		if l.waits.Load() > 0 && (total < l.part(resumeAt) || a.Paused() && l.mayGoOn(a)) {
			l.call()
		}
	case total >= l.part(pauseAt):
		if a.pending() >= l.bar.Load() && !a.Paused() {
			l.pause(a)
		}
		if total >= l.alert.Load() {
			l.call()
		}
	}
}

// mayGoOn reports whether a need not be paused any more.
func (l *Ledger) mayGoOn(a *Account) bool {
	return l.held.Load() < l.part(resumeAt) || a.pending() < l.bar.Load()
}

func (l *Ledger) pause(a *Account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.flags.Or(isPaused)
	l.paused[a] = struct{}{}
	l.waits.Store(int32(len(l.paused)))
	if l.mayGoOn(a) { // what was given back before now has not called the keeper for a
		l.call()
	}
}

// enlist notes that h holds memory of a.
func (l *Ledger) enlist(h Holder, a *Account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holders[h] = a
	l.setBarLocked()
}

func (l *Ledger) strike(h Holder) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.holders, h)
	l.setBarLocked()
}

// setBarLocked sets the bar so that all that is below it is at most half of the limit. l.mu must be held.
func (l *Ledger) setBarLocked() {
	share := l.cfg.Limit / 2 / int64(max(len(l.holders), 1))
	l.bar.Store(max(unit, min(share, much)))
}
