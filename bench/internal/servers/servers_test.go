package servers_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/bench/internal/load"
	"github.com/seed-ce09063a/thinkws/bench/internal/servers"
)

// running is a server in this process.
type running struct {
	address netip.AddrPort
	stdin   io.Writer
	stdout  *bufio.Scanner
}

func start(t *testing.T, name string, cfg servers.Config) *running {
	t.Helper()
	in, stdin := io.Pipe()
	stdout, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- servers.Run(name, cfg, in, out) }()
	t.Cleanup(func() {
		stdin.Close()
		assert.NoError(t, <-ended)
	})
	r := &running{stdin: stdin, stdout: bufio.NewScanner(stdout)}
	var hello struct{ Address string }
	r.answer(t, &hello)
	r.address = netip.MustParseAddrPort(hello.Address)
	return r
}

func (r *running) answer(t *testing.T, to any) {
	t.Helper()
	require.True(t, r.stdout.Scan())
	require.NoError(t, json.Unmarshal(r.stdout.Bytes(), to))
}

func (r *running) ask(t *testing.T, command string) servers.Stats {
	t.Helper()
	_, err := io.WriteString(r.stdin, command+"\n")
	require.NoError(t, err)
	var st servers.Stats
	r.answer(t, &st)
	return st
}

type noMeter struct{}

func (noMeter) Start() error { return nil }
func (noMeter) Stop() error  { return nil }

var window = load.Window{Length: 250 * time.Millisecond, Meter: noMeter{}}

func dialectOf(name string) *load.Dialect {
	switch name {
	case "ours":
		return load.SocketIO
	case "centrifuge":
		return load.Centrifuge
	}
	return load.Raw
}

func fleet(t *testing.T, r *running, cfg load.FleetConfig) *load.Fleet {
	t.Helper()
	cfg.Server = r.address
	f, err := load.NewFleet(cfg, 10*time.Second)
	require.NoError(t, err)
	t.Cleanup(f.Close)
	return f
}

func works(t *testing.T, r load.Result, err error) {
	t.Helper()
	require.NoError(t, err)
	assert.Positive(t, r.Count)
}

func TestServersDoWhatIsMeasured(t *testing.T) {
	for _, name := range servers.Names() {
		t.Run(name, func(t *testing.T) {
			s, dialect := start(t, name, servers.Config{}), dialectOf(name)
			f := fleet(t, s, load.FleetConfig{Dialect: dialect, Clients: 5})
			r, err := f.Echo(dialect.Event("e", 64), window)
			works(t, r, err)
			if dialect != load.Centrifuge {
				r, err = fleet(t, s, load.FleetConfig{Dialect: dialect, Clients: 2}).Echo(dialect.Binary(10<<10), window)
				works(t, r, err)
			}
			r, err = fleet(t, s, load.FleetConfig{Dialect: dialect, Clients: 6, Rooms: 2}).Broadcast(dialect.Event("b", 64), 2, window)
			works(t, r, err)
			r, err = load.Connects(load.FleetConfig{Server: s.address, Dialect: dialect}, window)
			works(t, r, err)
		})
	}
}

func TestBroadcastReachesTheRoomOnce(t *testing.T) {
	for _, name := range servers.Names() {
		t.Run(name, func(t *testing.T) {
			s, dialect := start(t, name, servers.Config{}), dialectOf(name)
			f := fleet(t, s, load.FleetConfig{Dialect: dialect, Clients: 4})
			r, err := f.Paced(dialect.Event("b", 1024), 100, 4, 0, window)
			require.NoError(t, err)
			assert.Positive(t, r.Count)
			assert.LessOrEqual(t, r.Count, int64(4*26), "26 broadcasts fall into the window")
			assert.Len(t, r.Latencies, int(r.Count))
			assert.Less(t, r.Percentile(0.5), 5*time.Second)
		})
	}
}

func TestDeflate(t *testing.T) {
	for _, name := range []string{"coder", "gorilla", "gws", "melody", "centrifuge"} {
		t.Run(name, func(t *testing.T) {
			s, dialect := start(t, name, servers.Config{Deflate: true}), dialectOf(name)
			f := fleet(t, s, load.FleetConfig{Dialect: dialect, Clients: 3, Deflate: true})
			r, err := f.Broadcast(dialect.Event("b", 1024), 2, window)
			works(t, r, err)
		})
	}
}

func TestTLS(t *testing.T) {
	file := t.TempDir() + "/certificate.pem"
	require.NoError(t, servers.WriteCertificate(file))
	trust, err := servers.Trust(file)
	require.NoError(t, err)
	for _, name := range servers.Names() {
		t.Run(name, func(t *testing.T) {
			s, dialect := start(t, name, servers.Config{TLS: file}), dialectOf(name)
			f := fleet(t, s, load.FleetConfig{Dialect: dialect, Clients: 4, TLS: trust})
			r, err := f.Echo(dialect.Event("e", 64), window)
			works(t, r, err)
			f = fleet(t, s, load.FleetConfig{Dialect: dialect, Clients: 4, TLS: trust})
			r, err = f.Broadcast(dialect.Event("b", 64), 1, window)
			works(t, r, err)
			_, err = load.NewFleet(load.FleetConfig{Server: s.address, Dialect: dialect, Clients: 1}, time.Second)
			require.Error(t, err, "without TLS nobody answers")
		})
	}
}

func TestLongPolling(t *testing.T) {
	for _, name := range []string{"ours", "limit-go", "net-http"} {
		t.Run(name, func(t *testing.T) {
			p, err := load.NewPollers(start(t, name, servers.Config{}).address, 3, 10*time.Second)
			require.NoError(t, err)
			defer p.Close()
			r, err := p.Echo(64, window)
			works(t, r, err)
		})
	}
}

func TestCommands(t *testing.T) {
	s := start(t, "ours", servers.Config{})
	fleet(t, s, load.FleetConfig{Dialect: load.SocketIO, Clients: 4, Rooms: 2})
	st := s.ask(t, "stats")
	assert.Equal(t, 4, st.Clients)
	assert.Positive(t, st.Mallocs)
	assert.Empty(t, s.ask(t, "fill many").Error)
	assert.Positive(t, s.ask(t, "rejoin 10").Took)
	assert.Empty(t, s.ask(t, "gc").Error)
	assert.Empty(t, s.ask(t, "heap "+t.TempDir()+"/heap.pprof").Error)
	assert.NotEmpty(t, s.ask(t, "dance").Error)
	assert.Contains(t, start(t, "gws", servers.Config{}).ask(t, "fill few").Error, "no rooms")
}

func TestUnknownServer(t *testing.T) {
	require.Error(t, servers.Run("nobody", servers.Config{}, nil, io.Discard))
}
