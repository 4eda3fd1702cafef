package suite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-ce09063a/thinkws/bench/internal/child"
	"github.com/seed-ce09063a/thinkws/bench/internal/load"
	"github.com/seed-ce09063a/thinkws/bench/internal/servers"
)

// metric is one kind of figure that a workload gives.
type metric string

const (
	rate   metric = "rate"        // per second
	user   metric = "user us"     // of the server's CPU in user space, per message
	total  metric = "cpu us"      // of the server's CPU in all, per message
	allocs metric = "allocs"      // in the server, per message
	busy   metric = "server busy" // share of its core
	driver metric = "load busy"   // share of the load generator's core
	size   metric = "bytes"       // of RSS per client
	tail   metric = "p99 ms"      // of delivery
	rejoin metric = "rejoin ns"   // a leave and a join
	parted metric = "parted us"   // CPU of a disconnect
	growth metric = "growth"      // of bytes per client, from 1,000 to 15,000
)

// figures is what one measurement gave.
type figures map[metric]float64

// measurement is one run of a workload on one server.
type measurement struct {
	cfg      *Config
	workload *workload
	target   *Target
	process  *child.Process
	out      figures

	// What was used at the beginning of the time that counts.
	cpu     child.CPU
	own     time.Duration
	stats   servers.Stats
	mallocs uint64 // made in it
}

// longest is what one measurement may take.
const longest = 90 * time.Second

// measure starts the server, runs the workload, and kills it.
func measure(ctx context.Context, cfg *Config, w *workload, t *Target) (figures, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	m := &measurement{cfg: cfg, workload: w, target: t, out: figures{}}
	cores := cfg.ServerCores
	if w.bothCores {
		cores = cfg.AllCores
	}
	if err := m.start(ctx, cores); err != nil {
		return nil, err
	}
	defer m.process.Kill()
	run := func() error { return w.run(m) }
	if w.bothCores {
		inner := run
		run = func() error { return child.OnCores(cfg.AllCores, inner) }
	}
	if err := run(); err != nil {
		return nil, err
	}
	return m.out, nil
}

// nodeWarm is how long V8 takes until it has compiled what is hot.
const nodeWarm = time.Second

// window is the time that the workload takes.
func (m *measurement) window() load.Window {
	w := load.Window{Warm: m.cfg.Warm, Length: m.cfg.Window, Meter: m}
	if m.target.node {
		w.Warm = max(w.Warm, nodeWarm)
	}
	return w
}

// Start notes what the server has used so far.
func (m *measurement) Start() error {
	var err error
	if m.profiled() {
		if _, err = m.process.Ask("cpu " + m.profilePath("cpu")); err != nil {
			return err
		}
	}
	if m.stats, err = m.process.Ask("stats"); err != nil {
		return err
	}
	m.own = ownCPU()
	m.cpu, err = m.process.CPU()
	return err
}

// Stop notes what it has used since.
func (m *measurement) Stop() error {
	cpu, err := m.process.CPU()
	if err != nil {
		return err
	}
	m.cpu, m.own = cpu.Since(m.cpu), ownCPU()-m.own
	st, err := m.process.Ask("stats")
	if err != nil {
		return err
	}
	m.mallocs = st.Mallocs - m.stats.Mallocs
	if !m.profiled() {
		return nil
	}
	_, err = m.process.Ask("stop")
	return errors.Join(err, m.heapProfile())
}

func (m *measurement) profiled() bool { return m.cfg.Profiles != "" && m.target.can&stats != 0 }

func (m *measurement) heapProfile() error {
	_, err := m.process.Ask("heap " + m.profilePath("heap"))
	return err
}

// throughput turns a result into figures.
func (m *measurement) throughput(r load.Result, err error) error {
	if err != nil {
		return err
	}
	n := float64(r.Count)
	m.out[rate] = r.Rate()
	m.out[user] = float64(m.cpu.User.Nanoseconds()) / 1e3 / n
	m.out[total] = float64(m.cpu.Total.Nanoseconds()) / 1e3 / n
	m.out[busy] = m.cpu.Total.Seconds() / r.Elapsed.Seconds()
	m.out[driver] = m.own.Seconds() / r.Elapsed.Seconds()
	if m.target.can&stats != 0 {
		m.out[allocs] = float64(m.mallocs) / n
	}
	return nil
}

// ownCPU is what this process, the load generator, has used.
func ownCPU() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// holder is clients that have to be kept alive.
type holder interface {
	Hold(time.Duration) error
	Close()
}

// idleAfter is how long clients have to be silent to count as idle, startedAfter how long a
// server takes to come to rest.
const (
	idleAfter    = 2500 * time.Millisecond
	startedAfter = 500 * time.Millisecond
)

// rss is the server's memory after it has collected its garbage.
func (m *measurement) rss(clients holder) (float64, error) {
	rest := func(d time.Duration) error {
		if clients == nil {
			time.Sleep(min(d, startedAfter))
			return nil
		}
		return clients.Hold(d)
	}
	if err := rest(idleAfter); err != nil {
		return 0, err
	}
	if _, err := m.process.Ask("gc"); err != nil {
		return 0, err
	}
	if err := rest(100 * time.Millisecond); err != nil {
		return 0, err
	}
	bytes, err := m.process.RSS()
	return float64(bytes), err
}

// fleet connects clients that are closed by the caller.
func (m *measurement) fleet(clients, rooms int) (*load.Fleet, error) {
	return load.NewFleet(m.fleetConfig(clients, rooms), connectTimeout)
}

func (m *measurement) fleetConfig(clients, rooms int) load.FleetConfig {
	cfg := load.FleetConfig{
		Server: m.process.Address, Dialect: m.target.Dialect,
		Clients: clients, Rooms: rooms, Deflate: m.workload.deflate,
	}
	if m.workload.tls {
		cfg.TLS = m.cfg.trust
	}
	return cfg
}

const connectTimeout = 40 * time.Second

// String is the line of progress.
func (f figures) String() string {
	s := ""
	for _, k := range []metric{rate, user, total, allocs, busy, driver, size, growth, tail, rejoin, parted} {
		if v, ok := f[k]; ok {
			s += fmt.Sprintf("  %s %.5g", k, v)
		}
	}
	return s
}
