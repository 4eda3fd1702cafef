package soak

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Noise has clients flood the server with frames that mean nothing, and one enter slow namespaces, while
// honest clients echo.
type Noise struct {
	Floods int           // connections
	For    time.Duration // with the default rate for clients, and again without a limit
	Rate   int           // echoes of each honest client a second
}

// noiseBound is the p99 of an honest echo.
const noiseBound = 50 * time.Millisecond

// noiseHonest are the honest clients.
var noiseHonest = [...]kind{socketIO, plain}

// noise is what the hostile clients did.
type noise struct {
	bytes, connects, entered atomic.Int64
}

// Run implements Scenario.
func (n Noise) Run(ctx context.Context, self Self, r *Report) error {
	// Each flood has a thread of its own, so that the honest clients here do not wait for the floods here.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4 * n.Floods))
	quiet, err := n.round(ctx, self, serverConfig{Crowd: true}, nil)
	if err != nil {
		return err
	}
	r.note("p99 of an honest echo without floods", p99(quiet))
	for _, cfg := range []serverConfig{{Crowd: true}, {Crowd: true, AnyRate: true}} {
		name := "with the default rate"
		if cfg.AnyRate {
			name = "without a limit of the rate"
		}
		var all noise
		took, err := n.round(ctx, self, cfg, &all)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.note(name+", noise written", fmt.Sprintf("%v over %d connections", size(all.bytes.Load()), all.connects.Load()))
		r.note(name+", slow namespaces entered", all.entered.Load())
		exactly(r, name+", honest echoes", len(took), n.echoes()*len(noiseHonest))
		atMost(r, name+", p99 of an honest echo", p99(took), noiseBound)
	}
	return nil
}

func (n Noise) echoes() int { return int(n.For.Seconds() * float64(n.Rate)) }

// round returns how long the honest echoes took. Without all there are no floods.
func (n Noise) round(ctx context.Context, self Self, cfg serverConfig, all *noise) ([]time.Duration, error) {
	p, err := self.start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer p.end()
	honest := make([]*client, len(noiseHonest))
	for i, k := range noiseHonest {
		if honest[i], err = (door{server: p.Address, from: 1}).enter(ctx, k); err != nil {
			return nil, err
		}
		defer honest[i].reset()
	}
	var hostile sync.WaitGroup
	defer hostile.Wait()
	flooding, stop := context.WithCancel(ctx)
	defer stop()
	if all != nil {
		for i := range n.Floods {
			hostile.Go(func() { (door{server: p.Address, from: byte(2 + i)}).makeNoise(flooding, noises[i%len(noises)], all) })
		}
		hostile.Go(func() { (door{server: p.Address, from: byte(2 + n.Floods)}).enterSlowly(flooding, all) })
	}
	return n.echo(ctx, honest)
}

// echo has each client echo at the rate.
func (n Noise) echo(ctx context.Context, clients []*client) (all []time.Duration, err error) {
	var mu sync.Mutex // protects all and err
	var group sync.WaitGroup
	for _, c := range clients {
		group.Go(func() {
			began := time.Now()
			for i := range n.echoes() {
				if pause(ctx, time.Until(began.Add(time.Duration(i)*time.Second/time.Duration(n.Rate)))) != nil {
					return
				}
				sent := time.Now()
				failed := c.echo("hello")
				took := time.Since(sent)
				mu.Lock()
				if failed != nil && err == nil {
					err = fmt.Errorf("an honest client, %v: %w", c.kind, failed)
				}
				all = append(all, took)
				mu.Unlock()
				if failed != nil {
					return
				}
			}
		})
	}
	group.Wait()
	return all, err
}

// noises are the kinds of frames that mean nothing, for a connection each.
var noises = []struct {
	kind   kind
	frames []byte // one after another
}{
	{socketIO, frame(1, "6")},
	{socketIO, frame(1, "")},
	{socketIO, frame(10, "")},
	{plain, frame(1, "")},
	{plain, frame(10, "pong")},
	{socketIO, append(frame(1, "6"), frame(10, strings.Repeat("p", 125))...)},
}

// frame builds a masked frame of a client. The mask is zero.
func frame(op byte, payload string) []byte {
	head := []byte{0x80 | op, 0x80 | byte(len(payload))}
	if len(payload) > 125 {
		head = binary.BigEndian.AppendUint64([]byte{0x80 | op, 0x80 | 127}, uint64(len(payload)))
	}
	return append(append(head, 0, 0, 0, 0), payload...)
}

// makeNoise writes frames until ctx ends, and connects again whenever the server has had enough.
func (d door) makeNoise(ctx context.Context, one struct {
	kind   kind
	frames []byte
}, all *noise) {
	many := bytes.Repeat(one.frames, 64<<10/len(one.frames))
	for ctx.Err() == nil {
		c, err := d.enter(ctx, one.kind)
		if err != nil {
			_ = pause(ctx, time.Millisecond) // refused; its end is the loop's
			continue
		}
		all.connects.Add(1)
		conn := c.wire.(*webSocket).tcp()
		var group sync.WaitGroup
		group.Go(func() { _, _ = io.Copy(io.Discard, conn) }) // until the connection ends
		free := context.AfterFunc(ctx, c.reset)
		for err == nil {
			var n int
			n, err = conn.Write(many)
			all.bytes.Add(int64(n))
		}
		free()
		c.reset()
		group.Wait()
	}
}

// enterSlowly enters the slow namespaces at once, and again when it is in.
func (d door) enterSlowly(ctx context.Context, all *noise) {
	for ctx.Err() == nil {
		if err := d.enterSlow(ctx, all); err != nil {
			_ = pause(ctx, 10*time.Millisecond) // its end is the loop's
		}
	}
}

func (d door) enterSlow(ctx context.Context, all *noise) error {
	c, err := d.enter(ctx, socketIO)
	if err != nil {
		return err
	}
	defer c.leave()
	c.limit(time.Now().Add(dialTimeout))
	defer context.AfterFunc(ctx, c.reset)()
	for i := range slowNamespaces {
		if err := c.send("40" + slowNamespace(i) + ","); err != nil {
			return err
		}
	}
	for range slowNamespaces {
		text, err := c.receive()
		if err != nil {
			return err
		}
		if !strings.HasPrefix(text, "40/slow-") {
			return fmt.Errorf("instead of a namespace came %.100q", text)
		}
		all.entered.Add(1)
	}
	return nil
}
