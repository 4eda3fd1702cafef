package redisbus

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	holdFor   = time.Second           // what is published waits for nodes that are missing
	forgotten = 3 * time.Second       // after which a missing node has left
	lookAgain = 20 * time.Millisecond // while waiting for them
)

// receipts knows how many nodes there are, which is how many have to get what is
// published: Redis forgets who did not listen for a moment, and reports no error. When
// nodes are missing, which they are for a while after Redis was away, publishing waits a
// little for them to come back; then it goes on, and what they miss is counted.
type receipts struct {
	channel string
	unknown bool // a cluster of Redis does not know
	log     *slog.Logger

	mu       sync.Mutex // protects what follows
	expected int
	since    time.Time // when nodes have been missing from; zero if none are
}

// full says whether all nodes were there before and after something was published.
func (r *receipts) full(before, after *redis.MapStringIntCmd) bool {
	if r.unknown || before.Err() != nil || after.Err() != nil {
		return true // nobody can tell
	}
	b, a := int(before.Val()[r.channel]), int(after.Val()[r.channel])
	r.mu.Lock()
	defer r.mu.Unlock()
	full := min(b, a) >= r.expected
	r.note(a)
	return full
}

// note takes how many nodes there are now. It takes r.mu as held.
func (r *receipts) note(nodes int) {
	switch {
	case nodes >= r.expected:
		r.expected, r.since = nodes, time.Time{}
	case r.since.IsZero():
		r.since = time.Now()
	case time.Since(r.since) > forgotten:
		r.log.Warn("nodes have left the bus", "before", r.expected, "now", nodes)
		r.expected, r.since = nodes, time.Time{}
	}
}

// observe is note for what somebody else has asked.
func (r *receipts) observe(cmd *redis.MapStringIntCmd) {
	if r.unknown || cmd.Err() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note(int(cmd.Val()[r.channel]))
}

// doubt lets settle look, after an interruption.
func (r *receipts) doubt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since = time.Now()
}

// left says that a node has said goodbye.
func (r *receipts) left() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expected = max(0, r.expected-1)
	r.since = time.Time{}
}

// nodes returns how many nodes there are, as far as it is known.
func (r *receipts) nodes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.expected
}

// settle waits until no node is missing, but not for long.
func (r *receipts) settle(ctx context.Context, ask func(context.Context) *redis.MapStringIntCmd) {
	for r.holds() {
		short, cancel := context.WithTimeout(ctx, holdFor)
		r.observe(ask(short))
		cancel()
		if !r.holds() {
			return
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return
		}
	}
}

func (r *receipts) holds() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.since.IsZero() && time.Since(r.since) < holdFor
}
