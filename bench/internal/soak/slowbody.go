package soak

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// SlowBody has clients send bodies by a byte a second, and upgrades that come to no end.
type SlowBody struct {
	Bodies   int           // half of Socket.IO, half of SockJS
	Upgrades int           // half of them in the headers, half without a probe
	Within   time.Duration // all of them have to be gone
}

// honestRate is how many honest clients come a second meanwhile.
const honestRate = 10

// Run implements Scenario.
func (s SlowBody) Run(ctx context.Context, self Self, r *Report) error {
	p, err := self.start(ctx, serverConfig{Crowd: true})
	if err != nil {
		return err
	}
	defer p.end()
	d := door{server: p.Address, from: 2}
	// What slow bodies belong to comes first, for that takes a while.
	sids := make([]string, s.Bodies/2+s.Upgrades/2)
	for i := range sids {
		if sids[i], err = d.openSession(ctx); err != nil {
			return err
		}
	}
	honest := make(chan visits, 1)
	go func() { honest <- (door{server: p.Address, from: 1}).visit(ctx, honestRate, s.Within) }()
	gone := make(chan slowGone, s.Bodies+s.Upgrades)
	var group sync.WaitGroup
	for i := range cap(gone) {
		group.Go(func() {
			took, err := d.sendSlowly(ctx, s.request(i, sids), s.Within+10*time.Second)
			gone <- slowGone{s.name(i), took, err}
		})
		if i%100 == 99 { // not all in one burst
			_ = pause(ctx, 25*time.Millisecond) // its end is everybody's
		}
	}
	group.Wait()
	close(gone)
	visited := <-honest
	slowest := map[string]time.Duration{}
	left := 0
	for one := range gone {
		if one.err != nil {
			left++
			r.note("one that stayed, "+one.name, one.err)
		}
		slowest[one.name] = max(slowest[one.name], one.took.Round(10*time.Millisecond))
	}
	exactly(r, "slow connections left", left, 0)
	for i := range slowKinds {
		atMost(r, fmt.Sprintf("the last %s is gone after", slowKinds[i]), slowest[slowKinds[i]], s.Within)
	}
	exactly(r, "honest connects that failed", visited.failed, 0)
	if visited.err != nil {
		r.note("the first of these", visited.err)
	}
	atMost(r, "p99 of an honest connect with an echo", p99(visited.took), honestBound)
	return nil
}

type slowGone struct {
	name string
	took time.Duration
	err  error
}

var slowKinds = [...]string{"POST of Socket.IO", "POST of SockJS", "upgrade without the end of its header", "upgrade without a probe"}

func (s SlowBody) name(i int) string {
	if i < s.Bodies {
		return slowKinds[i%2]
	}
	return slowKinds[2+i%2]
}

// slowRequest is what comes at once, and what trickles in behind it.
type slowRequest struct{ head, rest string }

// request is the i-th. sids are enough for all that need one.
func (s SlowBody) request(i int, sids []string) slowRequest {
	const length = 1000
	post := func(target string) slowRequest {
		all := request(http.MethodPost, target, strings.Repeat("4", length))
		return slowRequest{all[:len(all)-length], all[len(all)-length:]}
	}
	const ioTarget = "/socket.io/?EIO=4&transport="
	switch s.name(i) {
	case slowKinds[0]:
		return post(ioTarget + "polling&sid=" + sids[i/2])
	case slowKinds[1]:
		return post("/sockjs/000/" + newID() + "/xhr_send")
	case slowKinds[2]:
		all := upgradeRequest(ioTarget + "websocket")
		return slowRequest{all[:20], all[20:]}
	default:
		return slowRequest{head: upgradeRequest(ioTarget + "websocket&sid=" + sids[s.Bodies/2+(i-s.Bodies)/2])}
	}
}

// openSession opens one of Engine.IO.
func (d door) openSession(ctx context.Context) (sid string, err error) {
	c, err := d.dialHTTP(ctx)
	if err != nil {
		return "", err
	}
	defer c.close()
	c.limit(time.Now().Add(dialTimeout))
	open, err := c.do(http.MethodGet, "/socket.io/?EIO=4&transport=polling", "")
	if err != nil {
		return "", err
	}
	return sidOf(open)
}

// sendSlowly sends and reads until the server hangs up, and says after what time it has.
func (d door) sendSlowly(ctx context.Context, s slowRequest, most time.Duration) (time.Duration, error) {
	began := time.Now()
	c, err := d.begin(ctx, s.head)
	if err != nil {
		return 0, err
	}
	defer c.reset()
	began = time.Now()
	_ = c.SetDeadline(began.Add(most)) // fails on a closed connection only
	over := make(chan struct{})
	var writer sync.WaitGroup
	defer writer.Wait()
	writer.Go(func() { trickle(c, s.rest, over) })
	defer close(over)
	_, err = io.Copy(io.Discard, bufio.NewReaderSize(c, 512))
	took := time.Since(began)
	if isTimeout(err) {
		return took, err
	}
	return took, nil // cut, which is as good
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// trickle writes a byte a second.
func trickle(w io.Writer, text string, over <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := range len(text) {
		select {
		case <-tick.C:
		case <-over:
			return
		}
		if _, err := io.WriteString(w, text[i:i+1]); err != nil {
			return
		}
	}
}
