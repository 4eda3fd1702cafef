package soak

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Drain shuts a server down with many clients on it, right after broadcasts.
type Drain struct {
	Clients  int
	Messages int // broadcasts before
	Size     int // of one, in bytes
}

// drainBound is what Shutdown may take.
const drainBound = 5 * time.Second

// drainKinds of clients come by turns, as many of one as of another.
var drainKinds = [...]kind{plain, socketIO, polling, sockJS, plain, socketIO, polling, xhr}

// rightEnd is how a server says goodbye that shuts down.
var rightEnd = map[kind]string{
	plain:    "close 1001 server shutting down",
	socketIO: "close 1001",
	polling:  "packet 1",
	sockJS:   `c[1001,"server shutting down"]`,
	xhr:      `c[1001,"server shutting down"]`,
}

// Run implements Scenario.
func (d Drain) Run(ctx context.Context, self Self, r *Report) error {
	p, err := self.start(ctx, serverConfig{Crowd: true})
	if err != nil {
		return err
	}
	defer p.end()
	clients, err := (door{server: p.Address, from: 2}).enterAll(ctx, d.Clients)
	defer func() {
		for _, c := range clients {
			if c != nil {
				c.reset()
			}
		}
	}()
	if err != nil {
		return err
	}
	ends := newDrained()
	var group sync.WaitGroup
	for _, c := range clients {
		c.limit(time.Now().Add(3 * dialTimeout))
		group.Go(func() {
			messages, how := c.untilEnd()
			ends.add(c.kind, messages, d.Messages, how)
		})
	}
	if err := pause(ctx, 2*time.Second); err != nil { // all polls wait, some of them without their handler
		return err
	}
	st, err := p.ask("drain %d %d", d.Messages, d.Size)
	if err != nil {
		r.note("Shutdown", err)
	}
	group.Wait()
	exactly(r, "clients", st.Clients, 0)
	atMost(r, "Shutdown took", st.Took.Round(time.Millisecond), drainBound)
	for _, k := range slices.Sorted(maps.Keys(ends.all)) {
		exactly(r, fmt.Sprintf("%v, %q after all messages", k, rightEnd[k]), ends.right[k], ends.all[k])
	}
	for _, how := range slices.Sorted(maps.Keys(ends.wrong)) {
		r.note("otherwise", fmt.Sprint(ends.wrong[how], " x ", how))
	}
	return nil
}

// enterAll connects clients of drainKinds. What there is of them is returned with an error too.
func (d door) enterAll(ctx context.Context, n int) ([]*client, error) {
	clients := make([]*client, n)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(32)
	for i := range clients {
		group.Go(func() (err error) {
			clients[i], err = d.enter(ctx, drainKinds[i%len(drainKinds)])
			return err
		})
	}
	return clients, group.Wait()
}

// untilEnd listens until the connection has ended, and says how many broadcasts have come, in
// order, and how it ended.
func (c *client) untilEnd() (messages int, how string) {
	for {
		if _, err := c.news(messages + 1); err != nil {
			return messages, endOf(err)
		}
		messages++
	}
}

// drained counts how clients have ended. It is safe for concurrent use.
type drained struct {
	mu         sync.Mutex // protects what follows
	all, right map[kind]int
	wrong      map[string]int
}

func newDrained() *drained {
	return &drained{all: map[kind]int{}, right: map[kind]int{}, wrong: map[string]int{}}
}

func (d *drained) add(k kind, messages, want int, how string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all[k]++
	if messages == want && how == rightEnd[k] {
		d.right[k]++
		return
	}
	d.wrong[fmt.Sprintf("%v, after %d of %d messages %s", k, messages, want, how)]++
}
