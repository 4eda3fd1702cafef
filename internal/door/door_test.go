package door_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/seed-ce09063a/thinkws/internal/door"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// entrance is a door with who has come in.
type entrance struct {
	*door.Door
	tally session.Tally
	log   strings.Builder
	in    []*door.Source
}

func newEntrance(cfg door.Config) *entrance {
	e := &entrance{}
	cfg.Tally, cfg.Logger = &e.tally, slog.New(slog.NewTextHandler(&e.log, nil))
	e.Door = door.New(cfg)
	return e
}

// enter returns the status, 200 for who is let in.
func (e *entrance) enter(remote string, headers ...string) int {
	r := httptest.NewRequest(http.MethodGet, "/socket.io/", nil)
	r.RemoteAddr = remote
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	source, ok := e.Enter(w, r)
	if ok {
		e.in = append(e.in, source)
	} else if w.Header().Get("Retry-After") == "" {
		return -1
	}
	return w.Code
}

// storm returns how many of n get in.
func (e *entrance) storm(n int, remote func(int) string) (in int) {
	for i := range n {
		if e.enter(remote(i)) == http.StatusOK {
			in++
		}
	}
	return in
}

func one(remote string) func(int) string { return func(int) string { return remote } }

func many(i int) string { return fmt.Sprintf("10.%d.%d.%d:80", i>>16, i>>8&255, i&255) }

func TestSessions(t *testing.T) {
	e := newEntrance(door.Config{Sessions: 5, SessionsPerAddress: 3, Handshakes: 100, HandshakesPerAddress: 100})
	assert.Equal(t, 3, e.storm(9, one("192.0.2.1:7")))
	assert.Equal(t, 429, e.enter("192.0.2.1:8"))
	assert.Equal(t, 200, e.enter("192.0.2.2:8"))
	assert.Equal(t, 200, e.enter("192.0.2.3:8"))
	assert.Equal(t, 503, e.enter("192.0.2.4:8"))
	assert.Equal(t, 429, e.enter("192.0.2.1:8"), "that it is its own doing is what counts")
	assert.Equal(t, 5, e.Len())
	e.Leave(e.in[0])
	assert.Equal(t, 200, e.enter("192.0.2.4:8"), "there is room again")
	e.Leave(e.in[1])
	assert.Equal(t, 200, e.enter("192.0.2.1:8"))
	assert.EqualValues(t, 8, e.tally.Counts()["sessions_per_address"])
	assert.EqualValues(t, 1, e.tally.Counts()["sessions"])
	assert.Contains(t, e.log.String(), `level=WARN msg="client refused" limit=sessions_per_address address=192.0.2.1 url=/socket.io/`)
}

func TestHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEntrance(door.Config{Sessions: 1e6, SessionsPerAddress: 1e6, Handshakes: 100, HandshakesPerAddress: 10})
		assert.Equal(t, 20, e.storm(1000, one("192.0.2.1:7")), "a burst of two seconds")
		assert.Equal(t, 429, e.enter("192.0.2.1:7"))
		assert.Equal(t, 180, e.storm(1000, many), "others are not worse off for it")
		assert.Equal(t, 503, e.enter("192.0.2.3:7"))
		for range 60 {
			time.Sleep(time.Second)
			assert.Equal(t, 10, e.storm(100, one("192.0.2.1:7")))
			assert.Equal(t, 90, e.storm(300, many))
		}
	})
}

func TestAddresses(t *testing.T) {
	cfg := door.Config{Sessions: 100, SessionsPerAddress: 1, Handshakes: 1000, HandshakesPerAddress: 1000,
		Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	for _, tt := range []struct {
		name   string
		first  string
		second string
		same   bool
	}{
		{"ports", "192.0.2.1:1", "192.0.2.1:2", true},
		{"addresses", "192.0.2.1:1", "192.0.2.2:1", false},
		{"a network of IPv6", "[2001:db8:1:2::1]:1", "[2001:db8:1:2:ffff::9]:1", true},
		{"networks of IPv6", "[2001:db8:1:2::1]:1", "[2001:db8:1:3::1]:1", false},
		{"IPv4 in IPv6", "[::ffff:192.0.2.1]:1", "192.0.2.1:1", true},
		{"unix sockets", "@", "@", false},
		{"loopback", "127.0.0.1:1", "127.0.0.1:2", false},
		{"IPv6 loopback", "[::1]:1", "[::1]:2", false},
		{"a private network", "192.168.1.1:1", "192.168.1.1:2", true},
		{"carrier-grade NAT", "100.64.0.1:1", "100.64.0.1:2", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEntrance(cfg)
			assert.Equal(t, 200, e.enter(tt.first))
			want := 200
			if tt.same {
				want = 429
			}
			assert.Equal(t, want, e.enter(tt.second))
		})
	}
	e := newEntrance(cfg)
	assert.Equal(t, 200, e.enter("10.0.0.1:1", "X-Forwarded-For", "192.0.2.1"))
	assert.Equal(t, 200, e.enter("10.0.0.1:1", "X-Forwarded-For", "192.0.2.2"))
	assert.Equal(t, 429, e.enter("10.0.0.1:1", "X-Forwarded-For", "192.0.2.77, 192.0.2.2"), "82: what the client says itself")
	assert.Equal(t, 200, e.enter("192.0.2.9:1", "X-Forwarded-For", "192.0.2.10"))
	assert.Equal(t, 429, e.enter("192.0.2.9:1", "X-Forwarded-For", "192.0.2.11"), "it is no proxy")
}

// Addresses that nobody is in from do not pile up.
func TestSourcesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEntrance(door.Config{Sessions: 1e6, SessionsPerAddress: 10, Handshakes: 1000, HandshakesPerAddress: 10})
		most := 0
		for second := range 30 {
			assert.Equal(t, 1000, e.storm(1000, func(i int) string { return many(second*1000 + i) }))
			for _, s := range e.in {
				e.Leave(s)
			}
			e.in = nil
			most = max(most, e.Sources())
			time.Sleep(time.Second)
		}
		assert.Less(t, most, 10_000)
		assert.Zero(t, e.Len())
	})
}

func TestNoDoor(t *testing.T) {
	var d *door.Door
	source, ok := d.Enter(nil, nil)
	assert.True(t, ok)
	d.Leave(source)
}

func BenchmarkEnter(b *testing.B) {
	e := newEntrance(door.Config{Sessions: 1e9, SessionsPerAddress: 1e9, Handshakes: 1e9, HandshakesPerAddress: 1e9})
	r := httptest.NewRequest(http.MethodGet, "/socket.io/", nil)
	b.ReportAllocs()
	for b.Loop() {
		source, _ := e.Enter(nil, r)
		e.Leave(source)
	}
}
