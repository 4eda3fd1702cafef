package redisbus

import (
	"context"
	"errors"
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
	client   redis.UniversalClient
	count    string // the channel whose subscribers are the nodes
	receipts *receipts
	state    *state
	stats    *counters
	maxItems int
	maxBytes int
	oneByOne bool // for comparison

	mu      sync.Mutex // protects what follows
	waiting []item
	numbers numbers
	bytes   int
	busy    bool
	closed  bool
	wake    chan struct{}
	idle    chan struct{} // closed when nothing waits after close
}

func newPublisher(client redis.UniversalClient, cfg *config, count string, r *receipts, st *state, stats *counters) *publisher {
	return &publisher{client: client, count: count, receipts: r, state: st, stats: stats, maxItems: cfg.outboxItems,
		maxBytes: cfg.outboxBytes, oneByOne: cfg.oneByOne, wake: make(chan struct{}, 1), idle: make(chan struct{})}
}

// push lets one message wait for its turn.
func (p *publisher) push(it item) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return errClosed
	case len(p.waiting) >= p.maxItems || len(p.waiting) > 0 && p.bytes+len(it.payload) > p.maxBytes:
		return errFull
	}
	if it.series != "" {
		setNumber(it.payload, p.numbers.next(it.series))
	}
	p.waiting = append(p.waiting, it)
	p.bytes += len(it.payload)
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return nil
}

// close lets nothing more in, and returns when all has gone out or ctx is done.
func (p *publisher) close(ctx context.Context) error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		p.leave()
	}
	p.mu.Unlock()
	select {
	case <-p.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// leave says if nothing is left to be done. It takes p.mu as held.
func (p *publisher) leave() {
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
	p.leave()
	return batch
}

// discard gives up what waits: the bus has been down for too long.
func (p *publisher) discard() {
	p.mu.Lock()
	batch := p.waiting
	p.waiting, p.bytes, p.busy = nil, 0, false
	p.leave()
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

// send publishes a batch. How many nodes were there before and after reports whether all of
// them have got it.
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
	for i, cmd := range r.sent {
		switch err := cmd.Err(); {
		case err != nil:
			failed = err
			p.lose(batch[i : i+1])
		case batch[i].counts:
			p.stats.published.Add(1)
		}
	}
	p.state.published(began, failed)
	if failed == nil && !p.receipts.full(r.before, r.after) {
		p.lose(batch)
	}
}

// replies are those to one pipeline. Each has its own error.
type replies struct {
	before, after *redis.MapStringIntCmd // how many nodes there are
	sent          []*redis.IntCmd
}

// exec sends a batch as one pipeline.
func (p *publisher) exec(ctx context.Context, batch []item) (r replies, err error) {
	client, err := master(ctx, p.client, p.count)
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
		cmd = p.client.PubSubNumSub(ctx, p.count)
		return nil
	})
	if err != nil {
		cmd = redis.NewMapStringIntCmd(ctx)
		cmd.SetErr(err)
	}
	return cmd
}

// marks returns what others have to be told of numbers, if nothing waits: a mark for each
// namespace in which there was something since the last time.
func (p *publisher) marks(uid string) (marks [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > 0 || p.busy {
		return nil
	}
	for namespace := range p.numbers.silent {
		marks = append(marks, encodeMark(uid, namespace, p.numbers.last[namespace]))
	}
	clear(p.numbers.silent)
	return marks
}
