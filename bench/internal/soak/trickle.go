package soak

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Trickle has clients that read one byte now and then, each of which is sent messages of its own.
type Trickle struct {
	Clients int
	Pause   time.Duration // between two bytes that a client reads
	Rate    int           // messages a second for each
	Size    int           // of one, in bytes
	For     time.Duration // once with each policy for slow clients
}

// What one client may hold in the server: its send queue as WithSendQueue has it by default. A client that
// is to be disconnected is given time up to four times that.
const (
	queueBound  = 4 << 20
	queueExcess = 4
)

// trickleKinds are the ways to be sent something. Those that poll read the answer to one poll.
var trickleKinds = [...]kind{plain, socketIO, sockJS, polling, xhr, streaming, older, olderPolling}

// Run implements Scenario.
func (t Trickle) Run(ctx context.Context, self Self, r *Report) error {
	for _, drop := range []bool{false, true} {
		name, bound := "disconnected when slow", size(queueExcess*queueBound)
		if drop {
			name, bound = "messages dropped when slow", size(queueBound)
		}
		if err := t.round(ctx, self, r, name, drop, bound+size(t.Size)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (t Trickle) round(ctx context.Context, self Self, r *Report, name string, drop bool, bound size) error {
	p, err := self.start(ctx, serverConfig{Crowd: true, Drop: drop})
	if err != nil {
		return err
	}
	defer p.end()
	var reading sync.WaitGroup
	defer reading.Wait()
	trickling, stop := context.WithCancel(ctx)
	defer stop()
	for i := range t.Clients {
		one, err := (door{server: p.Address, narrow: true}).enterTrickle(ctx, trickleKinds[i%len(trickleKinds)])
		if err != nil {
			return err
		}
		defer one.reset()
		reading.Go(func() { sip(trickling, one, t.Pause) })
	}
	if err := p.await(ctx, t.Clients); err != nil {
		return err
	}
	before, err := p.state()
	if err != nil {
		return err
	}
	if _, err := p.ask("each %s %d %d %v", everybody, t.Rate, t.Size, t.For); err != nil {
		return err
	}
	var most, resident size
	for began := time.Now(); time.Since(began) < t.For; {
		s, err := p.state()
		if err != nil {
			return err
		}
		most, resident = max(most, size(s.Heap-before.Heap)), max(resident, s.rss)
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	after, err := p.ask("stats")
	if err != nil {
		return err
	}
	each := most / size(t.Clients)
	atMost(r, name+", live heap for each client at most", each, bound.percent(10, keptHeap))
	r.note(name+", RSS at most", resident)
	r.note(name+", clients in the end", fmt.Sprintf("%d of %d", after.Clients, t.Clients))
	return nil
}

// sipper is a client that reads bytes.
type sipper interface {
	io.Reader
	reset()
}

// enterTrickle connects a client whose answer or stream is to be read byte by byte.
func (d door) enterTrickle(ctx context.Context, k kind) (sipper, error) {
	if k == streaming {
		return d.begin(ctx, request(http.MethodPost, "/sockjs/000/"+newID()+"/xhr_streaming", ""))
	}
	c, err := d.enter(ctx, k)
	if err != nil {
		return nil, err
	}
	switch w := c.wire.(type) {
	case *webSocket:
		return rawConn{w.tcp()}, nil
	case *poller:
		_, err = io.WriteString(w.poll, request(http.MethodGet, w.target, ""))
		return rawConn{w.poll.conn}, err
	case *xhrPoller:
		_, err = io.WriteString(w.poll, request(http.MethodPost, w.session+"/xhr", ""))
		return rawConn{w.poll.conn}, err
	}
	return nil, fmt.Errorf("%v does not trickle", k)
}

// sip reads a byte now and then until the connection has ended.
func sip(ctx context.Context, from sipper, every time.Duration) {
	defer context.AfterFunc(ctx, from.reset)()
	for pause(ctx, every) == nil {
		if _, err := from.Read(make([]byte, 1)); err != nil {
			return
		}
	}
}
