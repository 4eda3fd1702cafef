package redisbus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-ce09063a/thinkws/internal/guard"
)

// Bounds of one pipeline.
const (
	batchItems = 128
	batchBytes = 128 << 10
)

var (
	errFull   = errors.New("redisbus: too much waits to be published")
	errClosed = errors.New("redisbus: closed")
)

// execTimeout bounds a pipeline, and what else is asked of Redis.
const execTimeout = 2 * time.Second

// item is one PUBLISH.
type item struct {
	channel string
	payload []byte
	counts  bool   // among what is published, and what is lost
	series  string // the namespace in which it gets a number; "" for none
}

// publisher sends what is pushed to Redis, in order. One goroutine takes what has come
// since its last pipeline for the next: alone a message goes out at once, and many cost
// little each. Nothing is sent twice: a message whose fate is not known counts as lost.
type publisher struct {
	redis    *connections
	count    string // the channel whose subscribers are the nodes
	receipts *receipts
	state    *state
	stats    *counters
	maxItems int
	maxBytes int
	oneByOne bool   // for comparison
	denied   denial // run's

	mu      sync.Mutex // protects what follows
	waiting []item
	numbers numbers
	bytes   int
	busy    bool
	closed  bool
	wake    chan struct{}
	idle    chan struct{} // closed when nothing waits after close
}

func newPublisher(c *connections, cfg *config, count string, r *receipts, st *state, stats *counters) *publisher {
	return &publisher{redis: c, count: count, receipts: r, state: st, stats: stats, maxItems: cfg.outboxItems,
		maxBytes: cfg.outboxBytes, oneByOne: cfg.oneByOne, wake: make(chan struct{}, 1), idle: make(chan struct{})}
}

// push lets one message wait for its turn.
func (p *publisher) push(it item) error {
	exhausted, err := p.queue(it)
	if exhausted {
		p.state.log.Warn("bus: losses in further namespaces are not counted", "namespaces", maxSenders)
	}
	return err
}

// queue is push. It reports whether the message is the first one that gets no number because there are too many
// namespaces.
func (p *publisher) queue(it item) (exhausted bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return false, errClosed
	case len(p.waiting) >= p.maxItems || len(p.waiting) > 0 && p.bytes+len(it.payload) > p.maxBytes:
		return false, errFull
	}
	if it.series != "" {
		before := p.numbers.exhausted
		setNumber(it.payload, p.numbers.next(it.series))
		exhausted = p.numbers.exhausted && !before
	}
	p.waiting = append(p.waiting, it)
	p.bytes += len(it.payload)
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return exhausted, nil
}

// close lets nothing more in, and returns when all has gone out or ctx is done.
func (p *publisher) close(ctx context.Context) error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		p.leaveLocked()
	}
	p.mu.Unlock()
	select {
	case <-p.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// leaveLocked closes idle if nothing is left to be done. p.mu must be held.
func (p *publisher) leaveLocked() {
	if p.closed && !p.busy && len(p.waiting) == 0 {
		select {
		case <-p.idle:
		default:
			close(p.idle)
		}
	}
}

// run is the publishing goroutine.
func (p *publisher) run(ctx context.Context) {
	for {
		if err := p.state.await(ctx); err != nil {
			p.discard()
		}
		p.receipts.settle(ctx, p.nodes)
		if batch := p.take(); len(batch) > 0 {
			p.send(ctx, batch)
			continue
		}
		select {
		case <-p.wake:
		case <-ctx.Done():
			p.discard()
			return
		}
	}
}

// take returns what goes into the next pipeline.
func (p *publisher) take() []item {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, bytes := 0, 0
	for n < len(p.waiting) && n < batchItems && (n == 0 || bytes+len(p.waiting[n].payload) <= batchBytes) {
		bytes += len(p.waiting[n].payload)
		n++
	}
	if p.oneByOne {
		n = min(n, 1)
	}
	batch := p.waiting[:n:n]
	if p.waiting = p.waiting[n:]; len(p.waiting) == 0 {
		p.waiting = nil
	}
	for _, it := range batch {
		p.bytes -= len(it.payload)
	}
	p.busy = n > 0
	p.leaveLocked()
	return batch
}

// discard gives up what waits: the bus has been down for too long.
func (p *publisher) discard() {
	p.mu.Lock()
	batch := p.waiting
	p.waiting, p.bytes, p.busy = nil, 0, false
	p.leaveLocked()
	p.mu.Unlock()
	p.lose(batch)
}

func (p *publisher) lose(batch []item) {
	for _, it := range batch {
		if it.counts {
			p.stats.lost.Add(1)
		}
	}
}

// send publishes a batch. It counts the nodes before and after, to learn whether every node got it.
func (p *publisher) send(ctx context.Context, batch []item) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, execTimeout)
	defer cancel()
	var r replies
	err := guard.Do(func() (err error) {
		r, err = p.exec(ctx, batch)
		return err
	})
	if err != nil {
		p.lose(batch)
		p.state.published(began, err)
		return
	}
	var failed error
	out := make([]item, 0, len(batch))
	for i, cmd := range r.sent {
		switch err := cmd.Err(); {
		case isDenied(err):
			p.deny(batch[i], err)
		case err != nil:
			failed = err
			p.lose(batch[i : i+1])
		default:
			p.sent(batch[i])
			out = append(out, batch[i])
		}
	}
	p.state.published(began, failed)
	if failed == nil && !p.receipts.full(r.before, r.after) {
		p.lose(out)
	}
}

// deny gives up a message to a channel that Redis does not let us publish to. If it lets us publish
// nothing, the next probe takes the link down.
func (p *publisher) deny(it item, err error) {
	p.lose([]item{it})
	p.denied = denial{scopeOf(it.channel), time.Now()}
	p.state.limited(publish, fmt.Errorf("redisbus: PUBLISH %s: %w", it.channel, err))
}

// denial is that Redis has not let us publish. The zero denial is none.
type denial struct {
	scope string // of the channel: see scopeOf
	at    time.Time
}

// isOver reports whether a message that has gone out to a channel shows that Redis lets us publish again: it has the
// scope of the denial, or nothing was denied for a while.
func (d denial) isOver(channel string) bool {
	return d.scope != "" && (scopeOf(channel) == d.scope || time.Since(d.at) > deniedEvery)
}

// scopeOf returns what a channel has in common with the others of its kind in its namespace: a room may have one of its
// own.
func scopeOf(channel string) string {
	prefix, rest, _ := strings.Cut(channel, "#")
	namespace, _, _ := strings.Cut(rest, "#")
	return prefix + "#" + namespace
}

// sent counts a message that has gone out.
func (p *publisher) sent(it item) {
	if it.counts {
		p.stats.published.Add(1)
	}
	if p.denied.isOver(it.channel) {
		p.denied = denial{}
		p.state.limited(publish, nil)
	}
}

// replies are those to one pipeline. Each has its own error.
type replies struct {
	before, after *redis.MapStringIntCmd // how many nodes there are
	sent          []*redis.IntCmd
}

// exec sends a batch as one pipeline.
func (p *publisher) exec(ctx context.Context, batch []item) (r replies, err error) {
	client, err := p.redis.node(ctx)
	if err != nil {
		return r, err
	}
	pipe := client.Pipeline()
	r.before = pipe.PubSubNumSub(ctx, p.count)
	for _, it := range batch {
		r.sent = append(r.sent, pipe.Publish(ctx, it.channel, it.payload))
	}
	r.after = pipe.PubSubNumSub(ctx, p.count)
	_, _ = pipe.Exec(ctx)
	return r, nil
}

// nodes asks how many nodes there are.
func (p *publisher) nodes(ctx context.Context) (cmd *redis.MapStringIntCmd) {
	err := guard.Do(func() error {
		client, err := p.redis.node(ctx)
		if err == nil {
			cmd = client.PubSubNumSub(ctx, p.count)
		}
		return err
	})
	if err != nil {
		cmd = redis.NewMapStringIntCmd(ctx)
		cmd.SetErr(err)
	}
	return cmd
}

// marks returns what others have to be told of numbers, if nothing waits, and the namespaces that
// this is about.
func (p *publisher) marks(uid string) (marks [][]byte, namespaces []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > 0 || p.busy {
		return nil, nil
	}
	namespaces = p.numbers.due()
	for _, namespace := range namespaces {
		marks = append(marks, encodeMark(uid, namespace, p.numbers.last[namespace]))
	}
	return marks, namespaces
}

// unmarked lets marks of these namespaces go out again: they have not.
func (p *publisher) unmarked(namespaces []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.numbers.again(namespaces)
}

// lastMarks returns the marks that still have to be sent when the link closes.
func (p *publisher) lastMarks(uid string) (marks [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for namespace := range p.numbers.silent {
		marks = append(marks, encodeMark(uid, namespace, p.numbers.last[namespace]))
	}
	return marks
}
