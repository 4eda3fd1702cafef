package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Mixed has honest clients of all kinds echo, join a room and hear what is said there, and
// come again, among faults of every sort.
type Mixed struct {
	For      time.Duration
	Warm     time.Duration // before that, for what to compare with
	Honest   int           // clients at a time
	Stay     time.Duration // of one, at most
	Speak    time.Duration // between two things said in the room
	Fault    time.Duration // between two faults of each sort
	Expire   time.Duration // after which the server has forgotten what nobody came for
	Settle   time.Duration // in which the server has to be what it was before
	Progress time.Duration // between two lines
}

// NewMixed is Mixed at full size.
func NewMixed(length time.Duration) Mixed {
	return Mixed{
		For: length, Warm: min(time.Minute, length/5), Honest: 60, Stay: 20 * time.Second, Speak: 20 * time.Millisecond,
		Fault: 250 * time.Millisecond, Expire: 11 * time.Second, Settle: time.Minute, Progress: time.Minute,
	}
}

// tally counts what honest clients have done, and what went wrong.
type tally struct {
	clients, echoes, said, heard, faults atomic.Int64

	failures failures
	faulty   failures // faults that could not be committed
}

// Run implements Scenario.
func (m Mixed) Run(ctx context.Context, self Self, r *Report) error {
	p, err := self.start(ctx, serverConfig{PingInterval: 5 * time.Second, PingTimeout: 5 * time.Second, Crowd: true})
	if err != nil {
		return err
	}
	defer p.end()
	t := &tally{}
	if err := m.load(ctx, p, t, m.Warm); err != nil {
		return err
	}
	before, err := p.quiet(ctx, m.Expire, m.Settle)
	if err != nil {
		return err
	}
	r.note("before", before)
	var watching sync.WaitGroup
	progress, stop := context.WithCancel(ctx)
	watching.Go(func() { m.watch(progress, p, t, r) })
	err = m.load(ctx, p, t, m.For)
	stop()
	watching.Wait()
	if err != nil {
		return err
	}
	t.report(r)

	goroutines, heap, rss := before.Goroutines+5, size(before.Heap).percent(10, keptHeap), before.rss.percent(10, keptRSS)
	after, took, err := p.settle(ctx, m.Settle, func(s state) bool {
		return s.Goroutines <= goroutines && size(s.Heap) <= heap && s.rss <= rss && s.Clients == 0
	})
	if err != nil {
		return err
	}
	r.note("after", after)
	r.note("messages that the server received", after.Received)
	r.note("times that it delayed a flood, and messages refused because a client was slow", fmt.Sprint(after.Flooded, ", ", after.Slow))
	atMost(r, "goroutines", after.Goroutines, goroutines)
	atMost(r, "heap", size(after.Heap), heap)
	atMost(r, "RSS", after.rss, rss)
	exactly(r, "clients left", after.Clients, 0)
	r.note("back to that after", took)
	return nil
}

func (t *tally) report(r *Report) {
	r.note("honest clients that came and went", t.clients.Load())
	r.note("faults", t.faults.Load())
	r.note("echoes", t.echoes.Load())
	r.note("said in the room", t.said.Load())
	r.note("deliveries of that, all in order", t.heard.Load())
	exactly(r, "honest clients that lost something, or failed", t.failures.count.Load(), 0)
	if err := t.failures.err; err != nil {
		r.note("the first of these", err)
	}
	r.note("faults that could not be committed", t.faulty.count.Load())
	if err := t.faulty.err; err != nil {
		r.note("the first of these", err)
	}
}

// watch prints what the server holds, under way.
func (m Mixed) watch(ctx context.Context, p *process, t *tally, r *Report) {
	began := time.Now()
	for pause(ctx, m.Progress) == nil {
		s, err := p.state()
		if err != nil {
			return // the run notices
		}
		r.note(fmt.Sprint("at ", time.Since(began).Round(time.Second)),
			fmt.Sprintf("%v; %d received, %d heard in order, %d failures", s, s.Received, t.heard.Load(), t.failures.count.Load()))
	}
}

// load runs everything for a time. It returns when all have left.
func (m Mixed) load(ctx context.Context, p *process, t *tally, length time.Duration) error {
	running, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var group sync.WaitGroup
	for i := range m.Honest {
		group.Go(func() { m.honest(running, p, t, i) })
	}
	for i := range faults {
		group.Go(func() { m.fail(running, p, t, i) })
	}
	group.Go(func() { t.failures.add(m.speak(running, p, t)) })
	group.Wait()
	return ctx.Err()
}

// honest has clients come one after another until ctx ends.
func (m Mixed) honest(ctx context.Context, p *process, t *tally, i int) {
	for turn := 0; ctx.Err() == nil; turn++ {
		err := m.stay(ctx, door{server: p.Address, from: 1}, t, kind(i+turn)%kinds)
		t.failures.add(err)
		t.clients.Add(1)
		if err != nil { // what fails at once must not fail a thousand times
			_ = pause(ctx, time.Second)
		}
	}
}

// stay is one client: it enters the room, asks for echoes, and hears without a gap what is said.
func (m Mixed) stay(ctx context.Context, d door, t *tally, k kind) error {
	c, err := d.enter(context.WithoutCancel(ctx), k) // it comes to its end in any case
	if err != nil {
		return err
	}
	defer c.leave()
	if err := c.say("join", room); err != nil {
		return err
	}
	until := time.Now().Add(m.Stay/4 + rand.N(m.Stay*3/4))
	guest := guest{client: c, tally: t}
	for n := 0; ctx.Err() == nil && time.Now().Before(until); n++ {
		if err := guest.echo(strconv.Itoa(n)); err != nil {
			return fmt.Errorf("%v: %w", k, err)
		}
	}
	return nil
}

// guest is an honest client in the room.
type guest struct {
	client *client
	tally  *tally
	joined bool
	last   int // number of what was said last; 0 for nothing yet
}

// echo asks for one, and takes what else comes meanwhile.
func (g *guest) echo(text string) error {
	g.client.limit(time.Now().Add(dialTimeout))
	if err := g.client.say("echo", text); err != nil {
		return err
	}
	for {
		event, data, err := g.client.hear()
		switch {
		case err != nil:
			return err
		case event == "joined" && !g.joined:
			g.joined = true
		case event == "said":
			if err := g.heard(data); err != nil {
				return err
			}
		case event == "echo" && data == text:
			g.tally.echoes.Add(1)
			return nil
		default:
			return fmt.Errorf("%w: waiting for echo %s, came %s %.20s", errOrder, text, event, data)
		}
	}
}

func (g *guest) heard(data string) error {
	n, err := strconv.Atoi(data)
	if err != nil {
		return err
	}
	if g.last != 0 && n != g.last+1 {
		return fmt.Errorf("%w: behind number %d came %d", errOrder, g.last, n)
	}
	g.last = n
	g.tally.heard.Add(1)
	return nil
}

// speak is who speaks in the room, by numbers that go on. Of what is echoed it takes one at a
// time, so that it is not ahead.
func (m Mixed) speak(ctx context.Context, p *process, t *tally) error {
	c, err := (door{server: p.Address, from: 1}).enter(context.WithoutCancel(ctx), socketIO)
	if err != nil {
		return err
	}
	defer c.leave()
	for pause(ctx, m.Speak) == nil {
		if err := c.say("say", strconv.FormatInt(t.said.Add(1), 10)); err != nil {
			return fmt.Errorf("who speaks: %w", err)
		}
		if err := c.echo("heard"); err != nil {
			return fmt.Errorf("who speaks: %w", err)
		}
	}
	return nil
}

// fail commits faults of one sort.
func (m Mixed) fail(ctx context.Context, p *process, t *tally, i int) {
	d := door{server: p.Address, from: byte(2 + i)}
	for turn := 0; pause(ctx, m.Fault) == nil; turn++ {
		if err := faults[i](ctx, d, turn); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.faulty.add(fmt.Errorf("fault %d: %w", i, err))
		}
		t.faults.Add(1)
	}
}
