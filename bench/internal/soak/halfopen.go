package soak

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// HalfOpen has clients begin handshakes that they never finish, from eight addresses, one of
// which sends half of them.
type HalfOpen struct {
	Rate   int // handshakes a second
	For    time.Duration
	Warm   time.Duration // of the same before, without a bound: the runtime keeps the descriptor of every goroutine that there ever was
	Honest int           // connects a second, from another address
	Expire time.Duration // after which the server has forgotten what nobody came for
	Settle time.Duration // in which the server has to be what it was before
}

// honestBound is what an honest connect and an echo may take.
const honestBound = time.Second

// headerTimeout is longer than http.Server.ReadHeaderTimeout.
const headerTimeout = 6 * time.Second

// flood is what has become of handshakes.
type flood struct {
	begun, capped, rude, failed atomic.Int64

	mu    sync.Mutex // protects what follows
	err   error      // the first of failed
	conns []rawConn  // that stay
}

// Run implements Scenario.
func (h HalfOpen) Run(ctx context.Context, self Self, r *Report) error {
	p, err := self.start(ctx, serverConfig{Abroad: true})
	if err != nil {
		return err
	}
	defer p.end()
	warm := &flood{}
	h.flood(ctx, p, warm, h.Warm)
	warm.reset()
	before, err := p.quiet(ctx, h.Expire, h.Settle)
	if err != nil {
		return err
	}
	r.note("before", before)

	sampling, stop := context.WithCancel(ctx)
	defer stop()
	most := peak(sampling, p.RSS)
	attack := &flood{}
	visited := make(chan visits, 1)
	go func() { visited <- (door{server: p.Address, from: 1}).visit(ctx, h.Honest, h.For) }()
	began := time.Now()
	h.flood(ctx, p, attack, h.For)
	flooded := time.Since(began).Round(100 * time.Millisecond)
	honest := <-visited
	stop()
	r.note("half-open handshakes", fmt.Sprintf("%d in %v", attack.begun.Load(), flooded))
	r.check(attack.capped.Load() > 0 || h.Rate < 1000, "of these refused by a limit", attack.capped.Load(), "some")
	exactly(r, "refused without Retry-After", attack.rude.Load(), 0)
	r.note("failed otherwise", fmt.Sprint(attack.failed.Load(), " ", attack.err))
	r.note("peak RSS of the server", <-most)
	r.note("honest connects", len(honest.took))
	exactly(r, "honest connects that failed", honest.failed, 0)
	if honest.err != nil {
		r.note("the first of these", honest.err)
	}
	atMost(r, "p99 of an honest connect with an echo", p99(honest.took), honestBound)

	heap, rss := size(before.Heap).percent(10, keptHeap), before.rss.percent(10, keptRSS)
	after, took, err := p.settle(ctx, h.Settle, func(s state) bool {
		return size(s.Heap) <= heap && s.rss <= rss && s.Clients == 0
	})
	attack.reset()
	if err != nil {
		return err
	}
	r.note("after", after)
	atMost(r, "heap", size(after.Heap), heap)
	atMost(r, "RSS", after.rss, rss)
	exactly(r, "clients left", after.Clients, 0)
	r.note("back to that after", took)
	return nil
}

// underWay is how many answers may be waited for at a time.
const underWay = 2000

// flood begins handshakes at the rate, or slower if the answers are late.
func (h HalfOpen) flood(ctx context.Context, p *process, f *flood, length time.Duration) {
	var group errgroup.Group
	group.SetLimit(underWay)
	began := time.Now()
	for i := range int(length.Seconds() * float64(h.Rate)) {
		if pause(ctx, time.Until(began.Add(time.Duration(i)*time.Second/time.Duration(h.Rate)))) != nil {
			break
		}
		from := byte(2)
		if i%2 == 1 {
			from += byte(1 + i/2%7)
		}
		group.Go(func() error {
			f.begin(ctx, door{server: p.Address, from: from}, i)
			return nil
		})
	}
	_ = group.Wait() // none fails
}

// begin begins one handshake, of four kinds by turns.
func (f *flood) begin(ctx context.Context, d door, i int) {
	f.begun.Add(1)
	var err error
	switch i / 2 % 10 { // both of an even and an odd i
	case 0, 1, 2: // a session that nobody polls
		err = d.once(ctx, http.MethodGet, "/socket.io/?EIO=4&transport=polling")
	case 3, 4, 5:
		err = d.once(ctx, http.MethodPost, "/sockjs/000/"+newID()+"/xhr")
	case 6, 7: // a WebSocket that enters no namespace
		var w *webSocket
		if w, err = d.dialWebSocket(ctx, "/socket.io/?EIO=4&transport=websocket", "0"); err == nil {
			f.keep(rawConn{w.tcp()})
		}
	default: // half a header
		var c rawConn
		if c, err = d.begin(ctx, "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgr"); err == nil {
			time.AfterFunc(headerTimeout, c.reset) // the server has given it up by then
		}
	}
	f.count(err)
}

// once makes a request on a connection of its own.
func (d door) once(ctx context.Context, method, target string) error {
	c, err := d.dialHTTP(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	c.limit(time.Now().Add(dialTimeout))
	_, err = c.do(method, target, "")
	return err
}

func (f *flood) keep(c rawConn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns = append(f.conns, c)
}

func (f *flood) count(err error) {
	if err == nil {
		return
	}
	if refused, ok := errors.AsType[*refusedError](err); ok {
		if capped, polite := refused.byCap(); capped {
			f.capped.Add(1)
			if !polite {
				f.rude.Add(1)
			}
			return
		}
	}
	f.failed.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *flood) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		c.reset()
	}
	f.conns = nil
}
