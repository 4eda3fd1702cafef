// Package ledger counts what clients make a server hold, and decides which of them have to give way.
//
// Every connection has an [Account]. Whatever holds memory for the client of a connection is a [Holder], and has a [Share]
// of the account: a queue, a message that is half read, a body. Only what waits is counted. An event that is handled at once
// and a frame that is written at once never come here.
//
//	Holder --Settle--> Share --> Account --> Ledger
//	   ^                            |          | 3/4 of the limit: accounts that hold much are paused until 5/8
//	   |                            v          | the limit: the largest accounts are evicted, down to 7/8
//	   +----------Shed----------- Owner <------+
//
// All decisions are made by one goroutine, the keeper, that lives only while there is something to decide. It calls owners
// and holders without a lock. So Settle may be called with any lock held.
package ledger

import (
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Owner is the connection, the session or the request that an account belongs to.
type Owner interface {
	// Evict ends it, because it holds much and the server holds too much. It returns false if it has ended before. It must
	// not block.
	Evict(cause error) bool
	// Address returns the address of the client.
	Address() netip.Addr
}

// Holder is something that holds memory for a client. It must be comparable.
type Holder interface {
	// Shed drops what it holds, and holds nothing more. Evict of the owner follows. It must not block.
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
	Log   func(o Owner, held, total int64)  // hears of each owner that was evicted
}

// Parts of the limit, in eighths.
const (
	pauseAt  = 6 // accounts that hold much are paused
	resumeAt = 5 // they may go on
	relieved = 7 // what is left once accounts were evicted
	eighths  = 8
)

const (
	little  = 1 << 10                // bytes: what holds less is neither evicted nor paused; it is less than a connection costs
	much    = 64 << 10               // bytes: what holds more is paused, however few accounts there are
	patient = 200 * time.Millisecond // for what was evicted to be given back, and until what is shared is looked at again
)

// Ledger counts what all accounts hold. It is safe for concurrent use.
type Ledger struct {
	cfg   Config
	held  atomic.Int64
	alert atomic.Int64 // the keeper is called from here on
	bar   atomic.Int64 // accounts that hold as much may be paused
	waits atomic.Int32 // paused accounts
	state atomic.Int32 // of the keeper

	mu      sync.Mutex // protects what follows, and Account.evicted
	holders map[Holder]*Account
	paused  map[*Account]func()
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
	l := &Ledger{cfg: cfg, paused: map[*Account]func(){}, holders: map[Holder]*Account{}}
	l.alert.Store(l.limit())
	l.bar.Store(much)
	return l
}

func (l *Ledger) limit() int64 {
	if l.cfg.Limit == 0 {
		return math.MaxInt64
	}
	return l.cfg.Limit
}

// part returns so many eighths of the limit.
func (l *Ledger) part(n int64) int64 { return l.limit() / eighths * n }

// Held returns how many bytes all accounts hold.
func (l *Ledger) Held() int64 {
	if l == nil {
		return 0
	}
	return l.held.Load()
}

// add counts n bytes more, or less, that a holds.
func (l *Ledger) add(a *Account, n int64) {
	held, total := a.held.Add(n), l.held.Add(n)
	switch {
	case n > 0 && total >= l.alert.Load():
		l.call()
	case n < 0 && l.waits.Load() > 0 && (total < l.part(resumeAt) || a.waits.Load() && held < l.bar.Load()):
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
	share := l.limit() / 2 / int64(max(len(l.holders), 1))
	l.bar.Store(max(little, min(share, much)))
}

// isTight reports whether an account that holds so many bytes has to be paused.
func (l *Ledger) isTight(held int64) bool {
	return l.held.Load() >= l.part(pauseAt) && held >= l.bar.Load()
}

// pause is as Account.Pause.
func (l *Ledger) pause(a *Account, resume func()) bool {
	if !l.isTight(a.held.Load()) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused[a] = resume
	a.waits.Store(true)
	l.waits.Store(int32(len(l.paused)))
	if l.isTight(a.held.Load()) { // looked at again: whoever gives memory back from now on sees that a waits
		return true
	}
	l.resumeLocked(a)
	return false
}

// resumeLocked forgets a paused account. l.mu must be held.
func (l *Ledger) resumeLocked(a *Account) {
	delete(l.paused, a)
	a.waits.Store(false)
	l.waits.Store(int32(len(l.paused)))
}
