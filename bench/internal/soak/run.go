package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/seed-ce09063a/thinkws/bench/internal/child"
)

// Scenario is one kind of abuse.
type Scenario interface {
	// Run prints figures, and fails if they cannot be had.
	Run(ctx context.Context, self Self, r *Report) error
}

// Self is how this program is started as a server: Serve gets what follows Args.
type Self struct {
	Path string
	Args []string
	Log  io.Writer // progress
}

// scenarios by name, at full size, in the order in which they run. A session of Engine.IO that
// nobody polls ends after 45 s by its heartbeat or without a namespace, and then waits 30 s more for
// somebody who comes for what it has to say: hence HalfOpen.Expire.
var scenarios = []struct {
	name string
	size Scenario
}{
	{"deaf", Deaf{Clients: 1000, Honest: 6, Rate: 1000, Size: 10 << 10, For: 10 * time.Second, Rounds: 3}},
	{"halfopen", HalfOpen{Rate: 2000, For: 30 * time.Second, Warm: 30 * time.Second, Honest: 20, Expire: 50 * time.Second, Settle: time.Minute}},
	{"slowbody", SlowBody{Bodies: 2000, Upgrades: 2000, Within: 15 * time.Second}},
	{"drain", Drain{Clients: 5000, Messages: 3, Size: 200}},
	{"noise", Noise{Floods: 6, For: 10 * time.Second, Rate: 100}},
	{"burst", Burst{For: 5 * time.Second, Events: 4000, Sleep: 30 * time.Second, Drops: 5000, Large: 8 << 20}},
	{"trickle", Trickle{Clients: 24, Pause: 100 * time.Millisecond, Rate: 50, Size: 100 << 10, For: 15 * time.Second}},
	{"memory", Memory{Clients: 10_000, Limit: 512 << 20, Little: 5 << 10, For: 15 * time.Second}},
	{"churn", Churn{Connects: 100_000, Warm: 10_000, Workers: 16, Expire: 3 * time.Second, Settle: time.Minute}},
}

// Names lists the scenarios of Abuse.
func Names() []string {
	names := make([]string, len(scenarios))
	for i := range scenarios {
		names[i] = scenarios[i].name
	}
	return names
}

// Abuse runs the named scenarios, all of them if there are none, and prints figures.
func Abuse(ctx context.Context, self Self, r *Report, names ...string) error {
	if len(names) == 0 {
		names = Names()
	}
	var failed error
	for _, name := range names {
		one := byName(name)
		if one == nil {
			return errors.Join(failed, fmt.Errorf("no scenario is named %q", name))
		}
		failed = errors.Join(failed, Play(ctx, self, r, name, one)) // the others are worth knowing
	}
	return failed
}

func byName(name string) Scenario {
	for _, s := range scenarios {
		if s.name == name {
			return s.size
		}
	}
	return nil
}

// Play runs one scenario.
func Play(ctx context.Context, self Self, r *Report, name string, s Scenario) error {
	r.scenario = name
	began := time.Now()
	if err := s.Run(ctx, self, r); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	fmt.Fprintf(self.Log, "%s took %v\n", name, time.Since(began).Round(time.Second))
	return nil
}

// process is a server under test.
type process struct {
	*child.Process
	mu   sync.Mutex // held while a command is answered
	stop context.CancelFunc
}

// start runs a server of its own for a scenario.
func (s Self) start(ctx context.Context, cfg serverConfig) (*process, error) {
	config, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	args := append(s.Args[:len(s.Args):len(s.Args)], string(config))
	p, err := child.Start(ctx, child.Command{Path: s.Path, Args: args, Env: cfg.env})
	if err != nil {
		stop()
		return nil, err
	}
	return &process{Process: p, stop: stop}, nil
}

func (p *process) end() {
	p.Kill()
	p.stop()
}

// ask sends a command.
func (p *process) ask(format string, args ...any) (figures, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var f figures
	if err := p.Call(fmt.Sprintf(format, args...), &f); err != nil {
		return f, err
	}
	if f.Error != "" {
		return f, errors.New(f.Error)
	}
	return f, nil
}

// state is what a server holds, after a garbage collection.
type state struct {
	figures
	rss size
}

func (p *process) state() (state, error) {
	f, err := p.ask("gc")
	if err != nil {
		return state{}, err
	}
	rss, err := p.RSS()
	return state{f, size(rss)}, err
}

func (s state) String() string {
	return fmt.Sprintf("%d goroutines, heap %v, RSS %v, %d clients", s.Goroutines, size(s.Heap), s.rss, s.Clients)
}

// settle waits until ok says that a server holds no more than it should, for at most so long.
func (p *process) settle(ctx context.Context, most time.Duration, ok func(state) bool) (s state, took time.Duration, err error) {
	began := time.Now()
	for {
		if s, err = p.state(); err != nil || ok(s) || time.Since(began) > most {
			return s, time.Since(began).Round(100 * time.Millisecond), err
		}
		if err := pause(ctx, min(5*time.Second, most/20)); err != nil {
			return s, 0, err
		}
	}
}

// await waits until so many clients are in.
func (p *process) await(ctx context.Context, clients int) error {
	s, _, err := p.settle(ctx, 10*time.Second, func(s state) bool { return s.Clients == clients })
	if err == nil && s.Clients != clients {
		err = fmt.Errorf("%d clients are in instead of %d", s.Clients, clients)
	}
	return err
}

// quiet waits until the server has no more clients and goroutines than with nobody there, and
// its heap falls no more, and returns what it holds then: what to compare with. Sessions that nobody
// comes for are neither clients nor goroutines; they expire.
func (p *process) quiet(ctx context.Context, expire, most time.Duration) (state, error) {
	if err := pause(ctx, expire); err != nil {
		return state{}, err
	}
	lowest := int64(math.MaxInt64)
	s, _, err := p.settle(ctx, most, func(s state) bool {
		falls := s.Heap < lowest-lowest/50
		lowest = min(lowest, s.Heap)
		return s.Clients == 0 && s.Goroutines <= quietGoroutines && !falls
	})
	return s, err
}

// quietGoroutines are main, the listener, the one that reads commands, and a few that rest.
const quietGoroutines = 12

// peak samples the memory of a server, as read tells it, until ctx ends, and sends the highest.
func peak(ctx context.Context, read func() (int64, error)) <-chan size {
	highest := make(chan size, 1)
	go func() {
		var most size
		for ctx.Err() == nil {
			if now, err := read(); err == nil { // it may have ended
				most = max(most, size(now))
			}
			_ = pause(ctx, 20*time.Millisecond) // its end is the loop's
		}
		highest <- most
	}()
	return highest
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
