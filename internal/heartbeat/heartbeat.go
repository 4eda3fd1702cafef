// Package heartbeat finds out that the client at the other end of a WebSocket is gone
// without a word. A Heartbeat owns no goroutine: one timer serves both for the next
// ping and for the wait after it.
package heartbeat

import (
	"sync"
	"sync/atomic"
	"time"
)

// Heartbeat pings a client and waits for a sign of life. It is safe for concurrent use.
type Heartbeat struct {
	interval time.Duration
	timeout  time.Duration
	ping     func()
	lost     func() // called at most once, after which the heartbeat has stopped

	heard atomic.Bool // something came since the last ping

	mu      sync.Mutex // protects what follows
	timer   *time.Timer
	waiting bool // for what comes after a ping
	stopped bool
}

// New returns a heartbeat that has not started. It calls ping every interval; if nothing
// is heard within timeout after one, it calls lost and stops. Neither may wait.
func New(interval, timeout time.Duration, ping, lost func()) *Heartbeat {
	return &Heartbeat{interval: interval, timeout: timeout, ping: ping, lost: lost}
}

// Start lets the first ping follow after an interval. It is called at most once.
func (h *Heartbeat) Start() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.stopped {
		h.timer = time.AfterFunc(h.interval, h.beat)
	}
}

// Stop may be called at any time, and any number of times. A beat that runs already
// may still ping.
func (h *Heartbeat) Stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	if h.timer != nil {
		h.timer.Stop()
	}
}

// Hear notes that something came from the client.
func (h *Heartbeat) Hear() { h.heard.Store(true) }

// Stopped says whether Stop was called, or the client counts as lost.
func (h *Heartbeat) Stopped() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stopped
}

// beat runs when the timer fires.
func (h *Heartbeat) beat() {
	if act := h.next(); act != nil {
		act()
	}
}

// next sets the timer anew and returns what is to be done.
func (h *Heartbeat) next() (act func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stopped:
		return nil
	case h.waiting && !h.heard.Load():
		h.stopped = true
		return h.lost
	case h.waiting:
		h.waiting = false
		h.timer.Reset(h.interval - h.timeout) // at once if the timeout is the longer one
		return nil
	default:
		h.waiting = true
		h.heard.Store(false)
		h.timer.Reset(h.timeout)
		return h.ping
	}
}
