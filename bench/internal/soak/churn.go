package soak

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Churn has many clients come and go, in due form and not, half of the latter within their
// handshakes.
type Churn struct {
	Connects int
	Warm     int           // of these before, so that what the server keeps is there
	Workers  int           // at a time
	Expire   time.Duration // after which the server has forgotten what nobody came for
	Settle   time.Duration // in which the server has to be what it was before
}

// Run implements Scenario.
func (c Churn) Run(ctx context.Context, self Self, r *Report) error {
	// Sessions that nobody has ended last for seconds, not for a minute.
	p, err := self.start(ctx, serverConfig{PingInterval: time.Second, PingTimeout: time.Second, DisconnectDelay: time.Second, Crowd: true})
	if err != nil {
		return err
	}
	defer p.end()
	if _, err := c.turns(ctx, p, c.Warm); err != nil {
		return err
	}
	before, err := p.quiet(ctx, c.Expire, c.Settle)
	if err != nil {
		return err
	}
	r.note("before", before)
	began := time.Now()
	failed, err := c.turns(ctx, p, c.Connects)
	if err != nil {
		return err
	}
	r.note("connects", fmt.Sprintf("%d in %v", c.Connects, time.Since(began).Round(100*time.Millisecond)))
	exactly(r, "that failed", failed.count.Load(), 0)
	if err := failed.err; err != nil {
		r.note("the first of these", err)
	}
	goroutines, heap := before.Goroutines+5, size(before.Heap).percent(10, keptHeap)
	after, took, err := p.settle(ctx, c.Settle, func(s state) bool {
		return s.Goroutines <= goroutines && size(s.Heap) <= heap && s.Clients == 0
	})
	if err != nil {
		return err
	}
	r.note("after", after)
	atMost(r, "goroutines", after.Goroutines, goroutines)
	atMost(r, "heap", size(after.Heap), heap)
	exactly(r, "clients left", after.Clients, 0)
	r.note("back to that after", took)
	return nil
}

// failures counts, and keeps the first.
type failures struct {
	count atomic.Int64
	once  sync.Once
	err   error
}

func (f *failures) add(err error) {
	if err != nil {
		f.count.Add(1)
		f.once.Do(func() { f.err = err })
	}
}

// turns has so many clients come and go.
func (c Churn) turns(ctx context.Context, p *process, n int) (*failures, error) {
	failed := &failures{}
	var group errgroup.Group
	group.SetLimit(c.Workers)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			// An address has 28,000 ports, which rest for a minute after the client has closed.
			failed.add((door{server: p.Address, from: byte(2 + i%20)}).comeAndGo(ctx, i))
			return nil
		})
	}
	_ = group.Wait() // none fails
	return failed, ctx.Err()
}

// ways of coming and going: half of each number are clients of kinds that leave.
const ways = 2 * int(kinds)

// comeAndGo is one client.
func (d door) comeAndGo(ctx context.Context, i int) error {
	way := i % ways
	if way < int(kinds) {
		return d.callOn(ctx, kind(way))
	}
	switch way - int(kinds) {
	case 0, 1: // cut after an event
		c, err := d.enter(ctx, kind(i/ways)%kinds)
		if err != nil {
			return err
		}
		defer c.reset()
		return c.say("echo", "nobody waits for it")
	case 2: // cut between transport and namespace
		w, err := d.connect(ctx, kind(i/ways)%kinds)
		if err != nil {
			return err
		}
		w.reset()
		return nil
	case 3: // within the header
		return d.beginAndCut(ctx, "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgr")
	case 4: // without waiting for the answer
		return d.beginAndCut(ctx, upgradeRequest("/socket.io/?EIO=4&transport=websocket"))
	default: // the same of a handshake without an upgrade
		if i/ways%2 == 0 {
			return d.beginAndCut(ctx, request(http.MethodPost, "/sockjs/000/"+newID()+"/xhr", ""))
		}
		return d.beginAndCut(ctx, request(http.MethodGet, "/socket.io/?EIO=4&transport=polling", ""))
	}
}

func (d door) beginAndCut(ctx context.Context, text string) error {
	c, err := d.begin(ctx, text)
	if err != nil {
		return err
	}
	c.reset()
	return nil
}
