package serial

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/guard"
)

// Bounds of the goroutines that wait for more work.
const (
	maxIdle = 128                   // at a time
	trim    = 50 * time.Millisecond // after which those that were not needed end
)

// Group counts goroutines, so that somebody can wait for all of them. Unlike
// sync.WaitGroup it may be waited for with a deadline and while others start. A
// goroutine that is done waits a moment for more work: its stack has grown already.
// The zero value is ready. A Group is safe for concurrent use.
//
// It is the last resort of its goroutines: a panic that nobody else has stopped is a mistake of
// ours. It is reported with its stack and ends its task, and the client of that if the task is a
// [Failer]. The process goes on. A goroutine that is lost by runtime.Goexit is counted as ended.
type Group struct {
	Logger *slog.Logger // gets the reports; nil for slog.Default(). Set it before the first use.

	running atomic.Int64
	idle    atomic.Pointer[chan struct{}] // set by Wait, signalled at zero

	mu      sync.Mutex // protects what follows
	workers []*worker  // idle, the last one is the next to work
	unused  int        // of these, how many have not been needed since the last trim
	timer   *time.Timer
	timing  bool
	over    bool // Wait has returned: nobody rests any more
}

// Task is work for a goroutine.
type Task = interface{ Run() }

// Failer is a task that knows its client.
type Failer interface {
	// Fail ends the client, because Run has panicked: err says with what.
	Fail(err error)
}

// Func is a task without a client.
type Func func()

// Run implements Task.
func (f Func) Run() { f() }

// worker is a goroutine of the group.
type worker struct{ next chan Task } // nil ends it

// Go runs f on a goroutine of its own.
func (g *Group) Go(f func()) { g.Start(Func(f)) }

// Start runs t on a goroutine of its own.
func (g *Group) Start(t Task) {
	g.Begin()
	g.mu.Lock()
	if last := len(g.workers) - 1; last >= 0 {
		w := g.workers[last]
		g.workers[last] = nil
		g.workers = g.workers[:last]
		g.unused = min(g.unused, last)
		g.mu.Unlock()
		w.next <- t // there is room
		return
	}
	g.mu.Unlock()
	w := &worker{next: make(chan Task, 1)}
	go g.work(w, t)
}

// Fresh runs t on a new goroutine, whose stack is as small as they come and goes with it:
// for what waits long and does little.
func (g *Group) Fresh(t Task) {
	g.Begin()
	go func() {
		defer g.End()
		g.run(t)
	}()
}

// AfterFunc calls f after d, as time.AfterFunc does. Nobody waits for it.
func (g *Group) AfterFunc(d time.Duration, f func()) *time.Timer {
	return time.AfterFunc(d, func() { g.run(Func(f)) })
}

func (g *Group) work(w *worker, t Task) {
	running := true
	defer func() {
		if running { // it was lost by runtime.Goexit
			g.End()
		}
	}()
	for t != nil {
		g.run(t)
		stays := g.rest(w)
		running = false
		g.End()
		if !stays {
			return
		}
		t = <-w.next
		running = true
	}
	running = false
}

// run runs t, and stops its panic.
func (g *Group) run(t Task) {
	defer func() {
		if p := recover(); p != nil {
			g.Crashed(t, p)
		}
	}()
	t.Run()
}

// Crashed reports the panic of a task, p being the result of recover, and ends its client. It is
// for callers that run a task of the group themselves.
func (g *Group) Crashed(t any, p any) {
	err := guard.Caught(p)
	g.logger().Error("task panicked", "error", err, "stack", string(err.Stack))
	if f, ok := t.(Failer); ok {
		g.Go(func() { f.Fail(err) }) // the panic may have left a lock that Fail waits for
	}
}

func (g *Group) logger() *slog.Logger {
	if g.Logger == nil {
		return slog.Default()
	}
	return g.Logger
}

// rest lets a worker wait for more, unless enough do or the end has come.
func (g *Group) rest(w *worker) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over || len(g.workers) >= maxIdle {
		return false
	}
	g.workers = append(g.workers, w)
	if !g.timing {
		g.timing = true
		if g.timer == nil {
			g.timer = time.AfterFunc(trim, g.trim)
		} else {
			g.timer.Reset(trim)
		}
	}
	return true
}

// trim ends the workers that were not needed.
func (g *Group) trim() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dismissLocked(g.unused)
	g.unused = len(g.workers)
	if g.timing = len(g.workers) > 0; g.timing {
		g.timer.Reset(trim)
	}
}

// dismissLocked ends the first n idle workers. g.mu must be held.
func (g *Group) dismissLocked(n int) {
	for _, w := range g.workers[:n] {
		w.next <- nil // there is room
	}
	rest := copy(g.workers, g.workers[n:])
	clear(g.workers[rest:])
	g.workers = g.workers[:rest]
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

// Linger holds the group until left is called, but not for longer than d. left may be
// called again, and by any goroutine.
func (g *Group) Linger(d time.Duration) (left func()) {
	gone := make(chan struct{})
	g.Go(func() {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-gone:
		case <-timer.C:
		}
	})
	return sync.OnceFunc(func() { close(gone) })
}

// Wait returns when nothing of the group runs, or with ctx's error.
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
	g.mu.Lock()
	g.dismissLocked(len(g.workers))
	g.unused, g.over = 0, true
	g.mu.Unlock()
	return nil
}
