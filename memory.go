package thinkws

import (
	"fmt"
	"math"
	"runtime/debug"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/ledger"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// defaultMemory is Limits.Memory where the process has no memory limit.
const defaultMemory = 1 << 30

// memory returns the limit in bytes, 0 for none.
func (l Limits) memory() int64 {
	switch {
	case l.Memory < 0:
		return 0
	case l.Memory > 0:
		return l.Memory
	}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 { // it is read, not set
		return max(limit/4, 1)
	}
	return defaultMemory
}

// newLedger returns what counts the memory that clients make us hold.
func (h *Hub) newLedger() *ledger.Ledger {
	return ledger.New(ledger.Config{
		Limit: h.cfg.limits.memory(), Go: h.tasks.Go, After: func(d time.Duration, run func()) { h.tasks.AfterFunc(d, run) },
		Cause: func(held int64) error { return fmt.Errorf("%w: %d bytes for this client", session.ErrMemory, held) },
	})
}

// hoard is a socket as a holder of its client's events and answers.
type hoard Socket

// Shed implements ledger.Holder. The events that wait are dropped, and so are those that come later: handlers see no
// gap. Those that handlers work on, and the answers, are held as long as the service needs them.
func (h *hoard) Shed() {
	s := (*Socket)(h)
	s.shed.Store(true)
	s.queue.Drop(func(j job) bool { return j.event != nil })
}

// eventCost is what an event holds in bytes, beside what it counts in a queue: it is a message that may be sent on.
const eventCost = 300

// gauge is a socket as its queue tells it how full it is.
type gauge Socket

// Filled implements serial.Gauge.
func (g *gauge) Filled(before, now int) { g.flow.Filled(before, now) }

// Holds implements serial.Gauge.
func (g *gauge) Holds(events, bytes int) {
	s := (*Socket)(g)
	s.flow.Account().Settle(&s.share, (*hoard)(s), bytes+events*eventCost)
}
