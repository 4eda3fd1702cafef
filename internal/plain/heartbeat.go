package plain

import (
	"sync"
	"sync/atomic"
	"time"
)

// heartbeat finds out that a client is gone without a word. It owns no goroutine:
// one timer serves both for the next ping and for the wait after it.
type heartbeat struct {
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

func newHeartbeat(interval, timeout time.Duration, ping, lost func()) *heartbeat {
	return &heartbeat{interval: interval, timeout: timeout, ping: ping, lost: lost}
}

// start lets the first ping follow after an interval. It is called at most once.
func (h *heartbeat) start() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.stopped {
		h.timer = time.AfterFunc(h.interval, h.beat)
	}
}

// stop may be called at any time, and any number of times. A beat that runs already
// may still ping.
func (h *heartbeat) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	if h.timer != nil {
		h.timer.Stop()
	}
}

// hear notes that something came from the client.
func (h *heartbeat) hear() { h.heard.Store(true) }

// beat runs when the timer fires.
func (h *heartbeat) beat() {
	if act := h.next(); act != nil {
		act()
	}
}

// next sets the timer anew and returns what is to be done.
func (h *heartbeat) next() (act func()) {
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
