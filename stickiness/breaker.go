package stickiness

import (
	"sync"
	"time"
)

// breaker keeps requests from a node that does not answer, so that its clients learn at
// once that it is gone. It is safe for concurrent use.
type breaker struct {
	mu       sync.Mutex // protects what follows
	failures int        // since the last success
	until    time.Time  // of no use before that
}

const (
	breakAfter = 3               // failures in a row
	breakFor   = 2 * time.Second // then one request tries again
)

// allow reports whether a request may be sent. Of those that come when the time is over, one may.
func (b *breaker) allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < breakAfter {
		return true
	}
	if now.Before(b.until) {
		return false
	}
	b.until = now.Add(breakFor)
	return true
}

// doubtful reports whether the node has failed of late.
func (b *breaker) doubtful(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures > 0 && now.Before(b.until)
}

func (b *breaker) succeed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = 0
}

// fail returns true if that makes the difference.
func (b *breaker) fail(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures++
	b.until = now.Add(breakFor)
	return b.failures == breakAfter
}
