package engineio

import (
	"net/netip"
	"sync"
	"time"
)

const (
	guardWindow = time.Minute
	guardMisses = 20   // unknown session ids per window and address before they become suspicious
	guardSize   = 4096 // addresses counted at a time
)

// guard counts requests with unknown session ids, the mark of somebody who
// guesses them. It is safe for concurrent use.
type guard struct {
	mu     sync.Mutex // protects what follows
	since  time.Time
	misses map[netip.Addr]int
}

// miss counts a request and returns how many its address has made in this window.
func (g *guard) miss(address netip.Addr) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := time.Now(); now.Sub(g.since) >= guardWindow {
		g.since, g.misses = now, make(map[netip.Addr]int)
	}
	if _, known := g.misses[address]; !known && len(g.misses) >= guardSize {
		return 0
	}
	g.misses[address]++
	return g.misses[address]
}
