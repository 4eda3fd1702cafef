package serial

import (
	"context"
	"sync/atomic"
)

// Group counts goroutines, so that somebody can wait for all of them. Unlike
// sync.WaitGroup it may be waited for with a deadline and while others start.
// The zero value is ready. A Group is safe for concurrent use.
type Group struct {
	running atomic.Int64
	idle    atomic.Pointer[chan struct{}] // set by Wait, signalled at zero
}

// Go runs f on a goroutine of its own.
func (g *Group) Go(f func()) {
	g.Begin()
	go func() {
		defer g.End()
		f()
	}()
}

// Begin counts something that is to be waited for though it owns no goroutine at
// all times. End must follow.
func (g *Group) Begin() { g.running.Add(1) }

// End is the end of what Begin has counted.
func (g *Group) End() {
	if g.running.Add(-1) > 0 {
		return
	}
	if idle := g.idle.Load(); idle != nil {
		select {
		case *idle <- struct{}{}:
		default:
		}
	}
}

// Wait returns when no goroutine of the group runs, or with ctx's error.
func (g *Group) Wait(ctx context.Context) error {
	idle := make(chan struct{}, 1)
	if !g.idle.CompareAndSwap(nil, &idle) {
		idle = *g.idle.Load() // several may wait: each passes the signal on
	}
	for g.running.Load() > 0 {
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case idle <- struct{}{}:
	default:
	}
	return nil
}
