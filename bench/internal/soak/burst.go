package soak

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Burst has clients of every kind send, and be sent, more at once than any queue holds.
type Burst struct {
	For    time.Duration // that a client sends as fast as it can
	Events int           // at once
	Sleep  time.Duration // of a handler in front of a full queue
	Drops  int           // messages from one handler
	Large  int           // bytes of the message after these
}

// Sizes in bytes, and bounds.
const (
	dropSize     = 200
	fillSize     = 1300             // of events that fill any queue
	burstPart    = 500              // events in one request, if there are several
	burstTime    = 90 * time.Second // for a client to have everything
	shortBeat    = 2 * time.Second  // interval and timeout of heartbeats while a handler sleeps
	paceOfPosts  = 100              // events in each request of a client that sends as fast as it can
	lastOfStream = "the last one"
)

// burstKinds are all kinds of clients.
var burstKinds = [...]kind{plain, socketIO, polling, upgraded, older, olderPolling, sockJS, xhr, streaming}

// burst is one thing that a client does.
type burst struct {
	name  string
	sleep bool // on a server with short heartbeats
	run   func(*client) error
}

func (b Burst) bursts() []burst {
	return []burst{
		{name: fmt.Sprintf("sending and echoing as fast as it can for %v", b.For), run: b.stream},
		{name: fmt.Sprintf("%d events at once", b.Events), run: func(c *client) error { return b.echoes(c, b.Events) }},
		{name: fmt.Sprintf("%d events in several requests", b.Events), run: func(c *client) error { return b.echoes(c, burstPart) }},
		{name: fmt.Sprintf("a question to a client with %d events waiting", b.Events), run: b.question},
		{name: fmt.Sprintf("a handler that sleeps %v before a full queue", b.Sleep), sleep: true, run: b.sleeping},
		{name: fmt.Sprintf("%d messages and one of %v from one handler", b.Drops, size(b.Large)), run: b.poured},
	}
}

// Run implements Scenario.
func (b Burst) Run(ctx context.Context, self Self, r *Report) error {
	for _, one := range b.bursts() {
		if err := b.play(ctx, self, r, one); err != nil {
			return err
		}
	}
	return nil
}

// play has a client of every kind do the same thing.
func (b Burst) play(ctx context.Context, self Self, r *Report, one burst) error {
	cfg := serverConfig{}
	if one.sleep {
		cfg = serverConfig{PingInterval: shortBeat, PingTimeout: shortBeat}
	}
	p, err := self.start(ctx, cfg)
	if err != nil {
		return err
	}
	defer p.end()
	began := time.Now()
	var failed [everyKind]error
	var group sync.WaitGroup
	for _, k := range burstKinds {
		group.Go(func() { failed[k] = burstOf(ctx, door{server: p.Address, short: true}, k, one) })
	}
	group.Wait()
	good := 0
	for _, k := range burstKinds {
		if failed[k] == nil {
			good++
			continue
		}
		r.note(fmt.Sprintf("%s, %v", one.name, k), failed[k])
	}
	exactly(r, one.name+": kinds of clients that stay and get everything in order", good, len(burstKinds))
	st, err := p.ask("stats")
	if err != nil {
		return err
	}
	r.note(one.name+" took", time.Since(began).Round(100*time.Millisecond))
	exactly(r, one.name+": messages refused because a client was slow", st.Slow, 0)
	return nil
}

// burstOf is one client. In the end it has to be there still.
func burstOf(ctx context.Context, d door, k kind, one burst) error {
	c, err := d.enter(ctx, k)
	if err != nil {
		return err
	}
	defer c.leave()
	c.limit(time.Now().Add(burstTime))
	if err := one.run(c); err != nil {
		return err
	}
	return c.echo("still here")
}

// stream sends for a time without waiting for anything.
func (b Burst) stream(c *client) error {
	sent := make(chan error, 1)
	go func() { sent <- b.pump(c) }()
	for n := 0; ; n++ {
		done, err := c.expect("echo", n, lastOfStream)
		if err != nil {
			return err
		}
		if done {
			return <-sent
		}
	}
}

// pump sends numbered events until the time is over, then the last one.
func (b Burst) pump(c *client) error {
	end := time.Now().Add(b.For)
	for n := 0; time.Now().Before(end); {
		texts := make([]string, paceOfPosts)
		for i := range texts {
			texts[i] = c.event("echo", padded(n, 0))
			n++
		}
		if err := c.send(texts...); err != nil {
			return fmt.Errorf("sending event %d: %w", n, err)
		}
	}
	return c.say("echo", lastOfStream)
}

// expect takes the n-th event of a name. The text last, if it is not "", is the end.
func (c *client) expect(name string, n int, last string) (done bool, err error) {
	event, data, err := c.hear()
	switch {
	case err == nil && event == name && strings.HasPrefix(data, padded(n, 0)):
		return false, nil
	case err == nil && event == name && data == last:
		return true, nil
	}
	return false, unexpected(fmt.Sprint(name, " ", n), event, data, err)
}

// unexpected returns err, or else an error about an event that is not the one that is due.
func unexpected(due, event, data string, err error) error {
	if err != nil {
		return fmt.Errorf("waiting for %s: %w", due, err)
	}
	return fmt.Errorf("%w: instead of %s came %s %.20q of %d bytes", errOrder, due, event, data, len(data))
}

// sendEvents sends b.Events echoes of so many bytes, part of them in each request. before goes first.
func (b Burst) sendEvents(c *client, bytes, part int, before ...string) error {
	texts := before
	for n := range b.Events {
		texts = append(texts, c.event("echo", padded(n, bytes)))
		if len(texts) >= part || n == b.Events-1 {
			if err := c.send(texts...); err != nil {
				return fmt.Errorf("sending event %d: %w", n, err)
			}
			texts = nil
		}
	}
	return nil
}

// heard takes b.Events echoes.
func (b Burst) heard(c *client) error {
	for n := range b.Events {
		if _, err := c.expect("echo", n, ""); err != nil {
			return err
		}
	}
	return nil
}

// echoes sends all events, part of them in each request, and hears them all.
func (b Burst) echoes(c *client, part int) error {
	return both(func() error { return b.sendEvents(c, 0, part) }, func() error { return b.heard(c) })
}

// question has a handler ask the client behind whose question all its events wait.
func (b Burst) question(c *client) error {
	return both(
		func() error { return b.sendEvents(c, 0, burstPart, c.event("ask", "me")) },
		func() error {
			event, data, id, err := c.hearQuestion()
			if err != nil || event != "question" {
				return unexpected("question", event, data, err)
			}
			answered := make(chan error, 1)
			go func() { answered <- c.answer(id, "yes") }() // behind the events
			event, data, err = c.hear()
			if err != nil || event != "answered" || data != "yes" && data != tooMany {
				return unexpected("answered", event, data, err)
			}
			if err := b.heard(c); err != nil {
				return err
			}
			return <-answered
		})
}

// sleeping has more events wait for a handler than a queue holds.
func (b Burst) sleeping(c *client) error {
	return both(
		func() error { return b.sendEvents(c, fillSize, burstPart, c.event("sleep", b.Sleep.String())) },
		func() error {
			if event, data, err := c.hear(); err != nil || event != "slept" {
				return unexpected("slept", event, data, err)
			}
			return b.heard(c)
		})
}

// poured has one handler send much.
func (b Burst) poured(c *client) error {
	if err := c.say("pour", fmt.Sprintf("%d %d %d", b.Drops, dropSize, b.Large)); err != nil {
		return err
	}
	for n := range b.Drops {
		if _, err := c.expect("drop", n, ""); err != nil {
			return err
		}
	}
	event, data, err := c.hear()
	if err != nil || event != "last" || len(data) != b.Large {
		return unexpected("last", event, data, err)
	}
	return nil
}

// both runs two functions at a time. An error of the second, which hears, tells more.
func both(send, hear func() error) error {
	sent := make(chan error, 1)
	go func() { sent <- send() }()
	if err := hear(); err != nil {
		select {
		case also := <-sent:
			if also != nil {
				return fmt.Errorf("%w; %w", err, also)
			}
		default:
		}
		return err
	}
	return <-sent
}
