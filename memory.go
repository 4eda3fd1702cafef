package thinkws

import (
	"fmt"
	"log/slog"
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
		Log:   h.evicted,
	})
}

// evicted hears of a client that was disconnected because it held most.
func (h *Hub) evicted(o ledger.Owner, held, total int64) {
	h.tally.Count(session.LimitMemory)
	h.log().Warn("memory limit reached, client disconnected", slog.Int64("held", held), slog.Int64("held_by_all", total),
		slog.Any("address", o.Address()))
}
