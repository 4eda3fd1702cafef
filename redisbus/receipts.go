package redisbus

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	holdFor   = time.Second           // what is published waits for nodes that are missing
	holdBlind = watchEvery            // the same where they cannot be counted: in that time all look and move
	forgotten = 3 * time.Second       // after which a missing node has left
	lookAgain = 20 * time.Millisecond // while waiting for them
)

// receipts tracks the number of nodes, and so the number of deliveries each message needs. Redis
// silently drops messages for nodes that are not subscribed. When nodes are missing, which they are
// for a while after Redis was away, publishing waits a little for them to come back; then it goes
// on, and what they miss is counted.
//
// Security: the channel is that of requests in "/". Clients choose names of rooms and namespaces, but
// none has this channel, so only servers are counted.
type receipts struct {
	channel string
	unknown bool // a server of a Redis Cluster knows its own subscribers only
	log     *slog.Logger

	mu       sync.Mutex // protects what follows
	expected int
	since    time.Time            // since when nodes have been missing; zero if none are
	odd      bool                 // the last reply had another shape
	leaving  map[string]time.Time // nodes that have said goodbye and are still counted, and when they did
}

// full reports whether all nodes were there before and after something was published.
func (r *receipts) full(before, after *redis.MapStringIntCmd) bool {
	b, known := r.count(before)
	a, knownAfter := r.count(after)
	if !known || !knownAfter {
		return true // nobody can tell
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	full := min(b, a) >= r.expected-len(r.leaving)
	r.noteLocked(a)
	return full
}

// count reads how many nodes a reply counts, and reports whether it can be known. A reply that
// has another shape is logged when the one before had not.
func (r *receipts) count(cmd *redis.MapStringIntCmd) (int, bool) {
	counts, err := cmd.Result()
	if r.unknown || err != nil {
		return 0, false
	}
	n, err := countOf(counts, r.channel)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil && !r.odd {
		r.log.Warn("number of nodes is not known", "error", err)
	}
	r.odd = err != nil
	return n, err == nil
}

// noteLocked takes how many nodes there are now. r.mu must be held.
func (r *receipts) noteLocked(nodes int) {
	maps.DeleteFunc(r.leaving, func(_ string, at time.Time) bool { return time.Since(at) > forgotten })
	switch {
	case nodes < r.expected && nodes >= r.expected-len(r.leaving):
		for uid := range r.leaving { // any of them: which one it was is not known
			if r.expected == nodes {
				break
			}
			delete(r.leaving, uid)
			r.expected--
		}
		r.since = time.Time{}
	case nodes >= r.expected:
		r.expected, r.since = nodes, time.Time{}
	case r.since.IsZero():
		r.since = time.Now()
	case time.Since(r.since) > forgotten:
		r.log.Warn("nodes have left the bus", "before", r.expected, "now", nodes)
		r.expected, r.since = nodes, time.Time{}
	}
}

// observe takes a reply that counts the nodes.
func (r *receipts) observe(cmd *redis.MapStringIntCmd) {
	n, known := r.count(cmd)
	if !known {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noteLocked(n)
}

// doubt lets settle look, after an interruption.
func (r *receipts) doubt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since = time.Now()
}

// left takes the goodbye of a node, which will not be counted soon.
func (r *receipts) left(uid string) {
	if r.unknown {
		return // nobody is counted
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.leaving, func(_ string, at time.Time) bool { return time.Since(at) > forgotten })
	if r.leaving == nil {
		r.leaving = map[string]time.Time{}
	}
	r.leaving[uid] = time.Now()
}

// nodes returns how many nodes there are, 0 if it is not known.
func (r *receipts) nodes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.expected
}

// settle waits until no node is missing, but not for long.
func (r *receipts) settle(ctx context.Context, ask func(context.Context) *redis.MapStringIntCmd) {
	for r.holds() {
		if !r.unknown {
			short, cancel := context.WithTimeout(ctx, holdFor)
			r.observe(ask(short))
			cancel()
		}
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
	most := holdFor
	if r.unknown {
		most = holdBlind
	}
	return !r.since.IsZero() && time.Since(r.since) < most
}
