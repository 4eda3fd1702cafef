package wsconn

import (
	"sync"
	"sync/atomic"
	"time"
)

// Grace is how long many connections wait for peers: for the answer to a close frame, and for a write to a peer that
// does not read. That is what Config says, until a server that shuts down has less time. The zero Grace is ready, and
// so is nil. It is safe for concurrent use.
type Grace struct {
	most atomic.Int64 // nanoseconds; 0 until Shorten is called

	mu      sync.Mutex         // protects what follows, and the deadlines of what is in it
	leaving map[*Conn]struct{} // connections whose close frame is queued
}

// Shorten makes d the longest wait, for connections that are leaving already and for those that will be.
func (g *Grace) Shorten(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.most.Store(int64(max(d, 1)))
	for c := range g.leaving {
		g.hurryLocked(c)
	}
}

// Of returns the time to wait where it is d otherwise.
func (g *Grace) Of(d time.Duration) time.Duration {
	if g == nil {
		return d
	}
	if most := time.Duration(g.most.Load()); most > 0 {
		return min(d, most)
	}
	return d
}

// leave notes that the close frame of c is queued. Its peer may not be reading.
func (g *Grace) leave(c *Conn) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.has(over) { // forget has been called
		return
	}
	if g.leaving == nil {
		g.leaving = map[*Conn]struct{}{}
	}
	g.leaving[c] = struct{}{}
	if g.most.Load() > 0 {
		g.hurryLocked(c)
	}
}

// hurryLocked sets deadlines, which does not block: of a write that is under way, and of the answer if it is waited
// for.
func (g *Grace) hurryLocked(c *Conn) {
	_ = c.in.SetWriteDeadline(time.Now().Add(g.Of(c.cfg.WriteTimeout))) // fails on a closed connection only
	if c.has(sent) {
		c.hurryBy(g.Of(c.closeTimeout()))
	}
}

// hurry limits how long the peer of c may still take. It misses no call of Shorten.
func (g *Grace) hurry(c *Conn) {
	if g != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
	}
	c.hurryBy(g.Of(c.closeTimeout()))
}

// forget is for a connection that is over.
func (g *Grace) forget(c *Conn) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.leaving, c)
}

// half is a connection of which one direction can be closed. A wrapped connection may hide that.
type half interface{ CloseWrite() error }

// unread is how long we read what a peer still sends that cannot be told that we are done. It waits for our end, so we
// give our close frame the time to arrive, and no more. net/http takes as long.
const unread = 500 * time.Millisecond

// closeTimeout is how long the peer may take to end the connection once our close frame is written.
func (c *Conn) closeTimeout() time.Duration {
	if _, ok := c.in.Conn.(half); !ok && c.has(draining) && c.has(sent) {
		return min(unread, c.cfg.CloseTimeout)
	}
	return c.cfg.CloseTimeout
}
