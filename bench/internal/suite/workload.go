package suite

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed-ce09063a/thinkws/bench/internal/load"
)

// workload is something that a server is made to do.
type workload struct {
	Name      string
	needs     ability
	full      bool // not part of the quick run
	steady    bool // has little to gain from being repeated: once in the quick run
	deflate   bool
	tls       bool // ends in the server's process
	bothCores bool // for the server, and the load generator anywhere
	run       func(*measurement) error
}

const (
	eventSize  = 64
	textSize   = 1024
	binarySize = 10 << 10
)

var workloads = []*workload{
	{Name: "echo100", run: echo(100)},
	{Name: "echo1000", run: echo(1000)},
	{Name: "single1000", run: single(1000)},
	{Name: "single5000", full: true, run: single(5000)},
	{Name: "broadcast1000", run: broadcast(1000, 0, eventSize)},
	{Name: "broadcast5000", run: broadcast(5000, 0, eventSize)},
	{Name: "rooms2cores", bothCores: true, run: broadcast(1000, 4, eventSize)},
	{Name: "binary", needs: binary, run: binaryEcho},
	{Name: "polling", needs: polling, run: pollingEcho},
	{Name: "connects", run: connects},
	{Name: "deflate", needs: deflate, deflate: true, run: broadcast(1000, 0, textSize)},
	{Name: "idle", steady: true, run: idle},
	{Name: "idlepolling", steady: true, needs: polling, run: idlePolling},
	{Name: "broadcast15000", full: true, run: broadcast(15000, 0, eventSize)},
	{Name: "tlsecho100", tls: true, full: true, run: echo(100)},
	{Name: "tlssingle1000", tls: true, full: true, run: single(1000)},
	{Name: "memory", full: true, run: memory},
	{Name: "rooms10", needs: hub, full: true, run: rooms(false)},
	{Name: "rooms100k", needs: hub, full: true, run: rooms(true)},
	{Name: "heard", needs: deaf, full: true, run: paced(0)},
	{Name: "unheard", needs: deaf, full: true, run: paced(100)},
}

func echo(clients int) func(*measurement) error {
	return func(m *measurement) error {
		f, err := m.fleet(clients, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		return m.throughput(f.Echo(m.target.Dialect.Event("e", eventSize), m.window()))
	}
}

// single has one broadcast under way at a time.
func single(clients int) func(*measurement) error { return broadcasts(clients, 0, eventSize, 1) }

// broadcast has two of each room under way at a time.
func broadcast(clients, rooms, size int) func(*measurement) error {
	return broadcasts(clients, rooms, size, 2)
}

func broadcasts(clients, rooms, size, underWay int) func(*measurement) error {
	return func(m *measurement) error {
		f, err := m.fleet(clients, rooms)
		if err != nil {
			return err
		}
		defer f.Close()
		return m.throughput(f.Broadcast(m.target.Dialect.Event("b", size), underWay, m.window()))
	}
}

func binaryEcho(m *measurement) error {
	f, err := m.fleet(100, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return m.throughput(f.Echo(m.target.Dialect.Binary(binarySize), m.window()))
}

func pollingEcho(m *measurement) error {
	p, err := load.NewPollers(m.process.Address, 100, connectTimeout)
	if err != nil {
		return err
	}
	defer p.Close()
	return m.throughput(p.Echo(eventSize, m.window()))
}

func connects(m *measurement) error {
	return m.throughput(load.Connects(m.fleetConfig(0, 0), m.window()))
}

// crowd is how many idle clients share what they cost.
const crowd = 10_000

func idle(m *measurement) error {
	return m.perClient(func() (holder, error) { return m.fleet(crowd, 0) })
}

func idlePolling(m *measurement) error {
	return m.perClient(func() (holder, error) {
		return load.NewPollers(m.process.Address, crowd, connectTimeout)
	})
}

// perClient measures the memory that a crowd adds.
func (m *measurement) perClient(connect func() (holder, error)) error {
	before, err := m.rss(nil)
	if err != nil {
		return err
	}
	clients, err := connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	after, err := m.rss(clients)
	m.out[size] = (after - before) / crowd
	if m.profiled() {
		err = errors.Join(err, m.heapProfile())
	}
	return err
}

// memory measures what each client adds at 1,000 and at 15,000, above what the first
// 500 have made the server map and touch.
func memory(m *measurement) error {
	const first, few, many = 500, 1_000, 15_000
	f, err := m.fleet(first, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var used [3]float64
	for i, clients := range []int{first, first + few, first + many} {
		if err := f.Grow(clients, connectTimeout); err != nil {
			return err
		}
		if used[i], err = m.rss(f); err != nil {
			return err
		}
	}
	m.out[size] = (used[2] - used[0]) / many
	m.out[growth] = m.out[size] / ((used[1] - used[0]) / few)
	return nil
}

// rooms measures clients that are in ten rooms with everybody else: leaving one of
// them and joining it again, and disconnecting. With many, the other half of the clients is
// in 100,000 more rooms, which should make no difference.
func rooms(many bool) func(*measurement) error {
	fill := "fill few"
	if many {
		fill = "fill many"
	}
	return func(m *measurement) error {
		f, err := m.fleet(crowd, 2)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := m.process.Ask(fill); err != nil {
			return err
		}
		if _, err := m.process.Ask("gc"); err != nil {
			return err
		}
		const times = 300_000
		st, err := m.process.Ask(fmt.Sprintf("rejoin %d", times))
		if err != nil {
			return err
		}
		m.out[rejoin] = float64(st.Took.Nanoseconds()) / times
		return m.part(f)
	}
}

// part measures the CPU of disconnects.
func (m *measurement) part(f *load.Fleet) error {
	before, err := m.process.CPU()
	if err != nil {
		return err
	}
	left := f.CutRoom(0)
	if err := m.await(crowd - left); err != nil {
		return err
	}
	after, err := m.process.CPU()
	m.out[parted] = float64(after.Since(before).Total.Nanoseconds()) / 1e3 / float64(left)
	return err
}

// await waits until the server has no more than so many clients.
func (m *measurement) await(clients int) error {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		st, err := m.process.Ask("stats")
		if err != nil || st.Clients <= clients {
			return err
		}
	}
	return errors.New("clients that were cut are still there")
}

// paced measures the tail of deliveries to 900 clients well below saturation, with some
// of 1,000 deaf.
func paced(quiet int) func(*measurement) error {
	const clients, timed, perSecond = 1000, 900, 50
	return func(m *measurement) error {
		f, err := m.fleet(clients, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		w := m.window()
		w.Warm, w.Length = max(w.Warm, 2*time.Second), max(w.Length, 4*time.Second)
		r, err := f.Paced(m.target.Dialect.Event("b", textSize), perSecond, timed, quiet, w)
		if err != nil {
			return err
		}
		m.out[tail] = float64(r.Percentile(0.99).Microseconds()) / 1e3
		return nil
	}
}
