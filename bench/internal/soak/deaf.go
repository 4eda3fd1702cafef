package soak

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Deaf has clients that never read while much is broadcast.
type Deaf struct {
	Clients int // that are deaf
	Honest  int
	Rate    int // broadcasts a second
	Size    int // of one, in bytes
	For     time.Duration
	Rounds  int // without and with the deaf, by turns
}

// What the deaf may cost.
const (
	deafCost   = 1 << 20          // bytes for each client; broadcasts are shared
	deafBound  = 15 * time.Second // the write timeout of 10 s, which begins when a queue exceeds its bound
	deafFactor = 2                // of the latency without them
)

// deafHonest are the honest clients.
var deafHonest = [...]kind{plain, socketIO, polling, sockJS, upgraded, xhr}

// deafRound is what one run has shown.
type deafRound struct {
	p99      time.Duration // of delivery to the honest
	peak     size
	gone     time.Duration // until none of the deaf was left
	left     int           // of them, in the end
	received int64         // broadcasts that the honest got
	sent     int64         // times the honest
	lost     error         // why these are fewer
}

// Run implements Scenario.
func (d Deaf) Run(ctx context.Context, self Self, r *Report) error {
	var without, with []time.Duration
	var worst deafRound
	var received [2]int64
	for range d.Rounds {
		alone, err := d.round(ctx, self, 0)
		if err != nil {
			return err
		}
		beside, err := d.round(ctx, self, d.Clients)
		if err != nil {
			return err
		}
		without, with = append(without, alone.p99), append(with, beside.p99)
		worst.peak, worst.gone = max(worst.peak, beside.peak), max(worst.gone, beside.gone)
		worst.left += beside.left
		received[0], received[1] = received[0]+alone.received, received[1]+beside.received
		worst.sent += beside.sent
		worst.lost = cmp.Or(worst.lost, beside.lost, alone.lost)
	}
	atMost(r, "peak RSS of the server", worst.peak, size(1.2*float64(d.Clients)*deafCost))
	exactly(r, "deaf clients left", worst.left, 0)
	atMost(r, "the deaf are gone after", worst.gone, deafBound)
	r.note("broadcasts that honest clients got without the deaf", fmt.Sprintf("%d of %d", received[0], worst.sent))
	r.check(received[1] >= received[0], "with them", received[1], fmt.Sprintf("≥ %d", received[0]))
	if worst.lost != nil { // the machine is too slow for this
		r.note("why not all", worst.lost)
	}
	r.note("p99 of delivery to honest clients without the deaf", without)
	r.note("p99 with them", with)
	atMost(r, "median of these", median(with), deafFactor*median(without))
	return nil
}

func (d Deaf) round(ctx context.Context, self Self, deaf int) (result deafRound, err error) {
	p, err := self.start(ctx, serverConfig{Crowd: true})
	if err != nil {
		return result, err
	}
	defer p.end()
	honest := make([]*client, d.Honest)
	for i := range honest {
		if honest[i], err = (door{server: p.Address, wide: true}).enter(ctx, deafHonest[i%len(deafHonest)]); err != nil {
			return result, err
		}
		defer honest[i].reset()
	}
	closeDeaf, err := d.enterDeaf(ctx, p, deaf)
	defer closeDeaf()
	if err != nil {
		return result, err
	}
	if err := p.await(ctx, d.Honest+deaf); err != nil { // a WebSocket is open before its client is in
		return result, err
	}
	sampling, stop := context.WithCancel(ctx)
	defer stop()
	most := peak(sampling, p.RSS)
	messages := int(d.For.Seconds() * float64(d.Rate))
	began := time.Now()
	if _, err := p.ask("broadcast %d %d %v", d.Rate, d.Size, d.For); err != nil {
		return result, err
	}
	heard := make(chan listened, 1)
	go func() { heard <- listen(honest, messages, d.For+dialTimeout) }()
	result.left = deaf
	for result.left > 0 && time.Since(began) < deafBound+time.Second {
		st, err := p.ask("stats")
		if err != nil {
			return result, err
		}
		result.left = max(0, st.Clients-d.Honest)
		result.gone = time.Since(began).Round(10 * time.Millisecond)
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return result, err
		}
	}
	all := <-heard
	stop()
	result.peak, result.p99 = <-most, p99(all.latencies)
	result.received, result.sent = int64(len(all.latencies)), int64(messages)*int64(d.Honest)
	result.lost = all.err
	return result, nil
}

// listened is what honest clients have heard.
type listened struct {
	latencies []time.Duration
	err       error
}

// listen has clients take so many broadcasts each.
func listen(clients []*client, messages int, limit time.Duration) (all listened) {
	var mu sync.Mutex
	var group errgroup.Group
	for _, c := range clients {
		c.limit(time.Now().Add(limit))
		group.Go(func() error {
			latencies := make([]time.Duration, 0, messages)
			var failed error
			for n := 1; n <= messages && failed == nil; n++ {
				var took time.Duration
				if took, failed = c.news(n); failed == nil {
					latencies = append(latencies, took)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all.latencies = append(all.latencies, latencies...)
			if failed != nil {
				return fmt.Errorf("an honest client, %v, after %d broadcasts: %w", c.kind, len(latencies), failed)
			}
			return nil
		})
	}
	all.err = group.Wait()
	return all
}

var errOrder = errors.New("out of order")

// news takes the n-th broadcast and says how long it was on its way.
func (c *client) news(n int) (time.Duration, error) {
	event, data, err := c.hear()
	if err != nil {
		return 0, err
	}
	number, rest, _ := strings.Cut(data, " ")
	at, _, _ := strings.Cut(rest, " ")
	if event != "news" || number != strconv.Itoa(n) {
		return 0, fmt.Errorf("%w: instead of broadcast %d came %s %s", errOrder, n, event, number)
	}
	nanoseconds, err := strconv.ParseInt(at, 10, 64)
	return time.Duration(time.Now().UnixNano() - nanoseconds), err
}

// deafKinds are the ways of not reading: the clients of kinds, those that poll without ever
// polling, and those that ask for an answer and do not take it.
const deafKinds = int(kinds) + 3

// enterDeaf connects clients that never read again. close is there also with an error.
func (d Deaf) enterDeaf(ctx context.Context, p *process, n int) (closeAll func(), err error) {
	var conns []interface{ reset() }
	closeAll = func() {
		for _, c := range conns {
			c.reset()
		}
	}
	for i := range n {
		c, err := (door{server: p.Address, narrow: true}).enterDeaf(ctx, i%deafKinds)
		if err != nil {
			return closeAll, fmt.Errorf("deaf client %d: %w", i, err)
		}
		conns = append(conns, c)
	}
	return closeAll, nil
}

func (d door) enterDeaf(ctx context.Context, way int) (interface{ reset() }, error) {
	switch way - int(kinds) {
	case 0: // a poll whose answer is never read
		c, err := d.enter(ctx, polling)
		if err != nil {
			return nil, err
		}
		w := c.wire.(*poller)
		_, err = io.WriteString(w.poll, request(http.MethodGet, w.target, ""))
		return c, err
	case 1: // the same of SockJS
		c, err := d.enter(ctx, xhr)
		if err != nil {
			return nil, err
		}
		w := c.wire.(*xhrPoller)
		_, err = io.WriteString(w.poll, request(http.MethodPost, w.session+"/xhr", ""))
		return c, err
	case 2: // a stream
		return d.begin(ctx, request(http.MethodPost, "/sockjs/000/"+newID()+"/xhr_streaming", ""))
	default:
		return d.enter(ctx, kind(way))
	}
}
