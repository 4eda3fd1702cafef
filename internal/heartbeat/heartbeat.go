// Package heartbeat finds out that the client at the other end of a WebSocket is gone
// without a word. A Heartbeat owns no goroutine: one alarm serves both for the next
// ping and for the wait after it.
//
//	      interval            timeout, and something was heard
//	idle ----------> waiting ----------------------------------> idle
//	        ping        |  ^
//	                    |  | timeout, and the client was not read all the time: another ping
//	                    |  +------
//	                    +--------> lost: timeout, and nothing was heard
package heartbeat

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/alarm"
)

// Reader knows whether the client is read.
type Reader interface {
	// PausedWithin reports whether the client has not been read at some time in the last d.
	PausedWithin(d time.Duration) bool
}

// Heartbeat pings a client and waits for a sign of life. It is safe for concurrent use.
type Heartbeat struct {
	clock    *alarm.Clock
	reader   Reader
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

// New returns a heartbeat that has not started. It calls ping every interval; if nothing
// is heard within timeout after one, it calls lost and stops. Neither may wait. A client that was not read meanwhile is
// pinged again, for another timeout: if it has gone, writing to it fails.
func New(clock *alarm.Clock, reader Reader, interval, timeout time.Duration, ping, lost func()) *Heartbeat {
	return &Heartbeat{clock: clock, reader: reader, interval: interval, timeout: timeout, ping: ping, lost: lost}
}

// Start lets the first ping follow after an interval. It is called at most once.
func (h *Heartbeat) Start() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.stopped {
		h.clock.Set(&h.alarm, h.interval, (*sleeper)(h))
	}
}

// Stop may be called at any time, and any number of times. A beat that runs already
// may still ping.
func (h *Heartbeat) Stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	h.clock.Stop(&h.alarm)
}

// Hear notes that something came from the client.
func (h *Heartbeat) Hear() { h.heard.Store(true) }

// Stopped reports whether Stop was called, or the client counts as lost.
func (h *Heartbeat) Stopped() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stopped
}

// sleeper is a Heartbeat as its alarm sees it.
type sleeper Heartbeat

// Fail implements serial.Failer: a client that is not pinged any more counts as lost.
func (s *sleeper) Fail(error) {
	h := (*Heartbeat)(s)
	h.Stop()
	h.lost()
}

// Ring implements alarm.Sleeper.
func (s *sleeper) Ring() {
	if act := (*Heartbeat)(s).next(); act != nil {
		act()
	}
}

// next sets the alarm anew and returns what is to be done.
func (h *Heartbeat) next() (act func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stopped || !h.clock.Rang(&h.alarm):
		return nil
	case h.waiting && !h.heard.Load() && h.reader.PausedWithin(h.timeout):
		h.clock.Set(&h.alarm, h.timeout, (*sleeper)(h))
		return h.ping
	case h.waiting && !h.heard.Load():
		h.stopped = true
		return h.lost
	case h.waiting:
		h.waiting = false
		h.clock.Set(&h.alarm, max(0, h.interval-h.timeout), (*sleeper)(h))
		return nil
	default:
		h.waiting = true
		h.heard.Store(false)
		h.clock.Set(&h.alarm, h.timeout, (*sleeper)(h))
		return h.ping
	}
}
