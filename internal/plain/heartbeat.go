package plain

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/alarm"
)

// heartbeat finds out that a client is gone without a word. It owns no goroutine:
// one alarm serves both for the next ping and for the wait after it.
type heartbeat struct {
	clock    *alarm.Clock
	interval time.Duration
	timeout  time.Duration
	ping     func()
	lost     func() // called at most once, after which the heartbeat has stopped

	heard atomic.Bool // something came since the last ping

	mu      sync.Mutex // protects what follows
	alarm   alarm.Alarm
	waiting bool // for what comes after a ping
	stopped bool
}

func newHeartbeat(clock *alarm.Clock, interval, timeout time.Duration, ping, lost func()) *heartbeat {
	return &heartbeat{clock: clock, interval: interval, timeout: timeout, ping: ping, lost: lost}
}

// start lets the first ping follow after an interval. It is called at most once.
func (h *heartbeat) start() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.stopped {
		h.clock.Set(&h.alarm, h.interval, h)
	}
}

// stop may be called at any time, and any number of times. A beat that runs already
// may still ping.
func (h *heartbeat) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	h.clock.Stop(&h.alarm)
}

// hear notes that something came from the client.
func (h *heartbeat) hear() { h.heard.Store(true) }

// Ring implements alarm.Sleeper.
func (h *heartbeat) Ring() {
	if act := h.next(); act != nil {
		act()
	}
}

// next sets the alarm anew and returns what is to be done.
func (h *heartbeat) next() (act func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stopped || !h.clock.Rang(&h.alarm):
		return nil
	case h.waiting && !h.heard.Load():
		h.stopped = true
		return h.lost
	case h.waiting:
		h.waiting = false
		h.clock.Set(&h.alarm, max(0, h.interval-h.timeout), h)
		return nil
	default:
		h.waiting = true
		h.heard.Store(false)
		h.clock.Set(&h.alarm, h.timeout, h)
		return h.ping
	}
}
