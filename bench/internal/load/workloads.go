package load

import (
	"fmt"
	"slices"
	"time"
)

// room is the clients that a broadcast reaches.
type room struct {
	name    string
	clients []*client
	sent    int64 // broadcasts
	events  int64 // deliveries
	seen    map[*client]int
	at      []time.Duration // when each broadcast was sent
}

func makeRooms(n int) []*room {
	rooms := make([]*room, n)
	for i := range rooms {
		rooms[i] = &room{name: fmt.Sprintf("r%d", i)}
	}
	return rooms
}

// Echo has every client send m, and again whenever it has come back.
func (f *Fleet) Echo(m Message, w Window) (Result, error) {
	f.onEvent = func(c *client, _ int) { c.conn.write(m) }
	defer func() { f.onEvent = nil }()
	for _, c := range f.clients {
		c.conn.write(m)
	}
	return w.measure(f.loop.run, func() int64 { return f.events })
}

// Broadcast has one client of each room send m to all of it, and again as soon as fewer than
// underWay broadcasts have not arrived everywhere.
func (f *Fleet) Broadcast(m Message, underWay int, w Window) (Result, error) {
	rooms := f.allRooms()
	publish := func(r *room) {
		for r.sent*int64(len(r.clients))-r.events <= int64((underWay-1)*len(r.clients)) {
			r.sent++
			r.clients[0].conn.write(m)
		}
	}
	f.onEvent = func(c *client, events int) {
		r := c.room
		r.events += int64(events)
		publish(r)
	}
	defer func() { f.onEvent = nil }()
	for _, r := range rooms {
		publish(r)
	}
	return w.measure(f.loop.run, func() int64 { return f.events })
}

// allRooms returns the rooms; without any, one of all clients.
func (f *Fleet) allRooms() []*room {
	if len(f.rooms) > 0 {
		return f.rooms
	}
	all := &room{clients: f.clients}
	for _, c := range f.clients {
		c.room = all
	}
	return []*room{all}
}

// Paced broadcasts m at a fixed rate, with the last deaf clients never reading, and
// measures from the publisher's write to each delivery. Only the first timed clients are
// timed. A deaf client may be lost.
func (f *Fleet) Paced(m Message, rate, timed, deaf int, w Window) (Result, error) {
	f.allRooms()
	r := f.clients[0].room
	r.seen = make(map[*client]int, timed)
	for _, c := range f.clients[:timed] {
		r.seen[c] = 0
	}
	quiet := f.clients[len(f.clients)-deaf:]
	for _, c := range quiet {
		if err := c.conn.ignore(); err != nil {
			return Result{}, err
		}
	}
	f.onLost = func(c *client, err error) {
		if !slices.Contains(quiet, c) {
			f.loop.stop(fmt.Errorf("a client that reads was lost: %w", err))
		}
	}
	var p pacer
	f.onEvent = func(c *client, events int) { p.delivered(r, c, events) }
	defer func() { f.onEvent, f.onLost = nil, nil }()

	run := func(end time.Time) error { return p.run(f, r, m, time.Second/time.Duration(rate), end) }
	p.latencies = make([]time.Duration, 0, int(w.Length.Seconds()+1)*rate*timed)
	result, err := w.measure(run, func() int64 { // asked at both ends of the time that counts
		p.timing = !p.timing
		return f.events
	})
	slices.Sort(p.latencies)
	result.Latencies = p.latencies
	return result, err
}

// pacer keeps the time of paced broadcasts.
type pacer struct {
	next      time.Time
	timing    bool
	latencies []time.Duration
}

func (p *pacer) run(f *Fleet, r *room, m Message, pause time.Duration, end time.Time) error {
	if p.next.IsZero() {
		p.next = time.Now()
	}
	for now := time.Now(); now.Before(end); now = time.Now() {
		if !now.Before(p.next) {
			r.at = append(r.at, latencyNow())
			r.clients[0].conn.write(m)
			p.next = p.next.Add(pause)
			continue
		}
		until := p.next
		if end.Before(until) {
			until = end
		}
		if err := f.loop.turn(until); err != nil {
			return err
		}
	}
	return nil
}

func (p *pacer) delivered(r *room, c *client, events int) {
	seen, timed := r.seen[c]
	if !timed {
		return
	}
	now := latencyNow()
	for i := range events {
		if p.timing && seen+i < len(r.at) {
			p.latencies = append(p.latencies, now-r.at[seen+i])
		}
	}
	r.seen[c] = seen + events
}

// Percentile returns the latency that a share p (0 to 1) of all stays below.
func (r Result) Percentile(p float64) time.Duration {
	if len(r.Latencies) == 0 {
		return 0
	}
	return r.Latencies[min(len(r.Latencies)-1, int(p*float64(len(r.Latencies))))]
}

// Connects measures clients that come, enter, and are cut at once, with as many
// under way as a Fleet has when it connects.
func Connects(cfg FleetConfig, w Window) (Result, error) {
	loop, err := NewLoop()
	if err != nil {
		return Result{}, err
	}
	f := cfg.fleet(loop)
	defer f.Close()
	f.onReady = func(c *client) {
		c.phase = gone
		c.conn.cut()
		f.clients = f.clients[:0]
		if _, err := f.dial(); err != nil {
			loop.stop(err)
		}
	}
	for range together {
		if _, err := f.dial(); err != nil {
			return Result{}, err
		}
	}
	return w.measure(loop.run, func() int64 { return int64(f.ready) })
}
