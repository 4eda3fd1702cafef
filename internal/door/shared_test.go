package door_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/seed-ce09063a/thinkws/internal/door"
)

var tight = door.Config{Sessions: 1e6, SessionsPerAddress: 10, Handshakes: 1e6, HandshakesPerAddress: 10}

// A proxy that the service does not name makes all clients have one address.
func TestLimitsPerAddressDoNotApplyToProxies(t *testing.T) {
	for name, tt := range map[string]struct {
		remote  string
		headers []string
		level   string
		set     string
	}{
		"loopback":             {"127.0.0.1:1", nil, "INFO", "WithTrustedProxies"},
		"nginx on this host":   {"127.0.0.1:1", []string{"X-Forwarded-For", "192.0.2.1"}, "WARN", "WithTrustedProxies"},
		"a unix socket":        {"@", nil, "WARN", "WithTrustedUnixProxies"},
		"a private balancer":   {"10.0.0.7:1", []string{"X-Forwarded-Proto", "https"}, "WARN", "WithTrustedProxies"},
		"a link-local sidecar": {"169.254.0.1:1", []string{"Via", "1.1 envoy"}, "WARN", "WithTrustedProxies"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEntrance(tight)
			for range 1000 {
				assert.Equal(t, http.StatusOK, e.enter(tt.remote, tt.headers...))
			}
			assert.EqualValues(t, 1000, e.tally.Counts()["shared_address"])
			assert.Equal(t, 1, strings.Count(e.log.String(), "\n"), "the first request logs what to set")
			assert.Contains(t, e.log.String(), `level=`+tt.level+` msg="limits per address do not apply"`)
			assert.Contains(t, e.log.String(), " set="+tt.set)
		})
	}
	t.Run("once more for a proxy that marks its requests", func(t *testing.T) {
		e := newEntrance(tight)
		e.enter("127.0.0.1:1")
		e.enter("127.0.0.1:1", "Via", "1.1 x")
		assert.Equal(t, 2, strings.Count(e.log.String(), "limits per address do not apply"))
	})
}

func TestLimitsPerAddressApply(t *testing.T) {
	trusted := tight
	trusted.Trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.1/32")}
	trusted.TrustUnix = true
	for name, tt := range map[string]struct {
		cfg     door.Config
		remote  string
		headers []string
	}{
		"to the internet, whatever it sends":        {tight, "192.0.2.1:1", []string{"Via", "1.1 x", "X-Forwarded-For", "127.0.0.1"}},
		"to carrier-grade NAT":                      {tight, "100.64.0.1:1", []string{"X-Forwarded-For", "192.0.2.1"}},
		"to a private network":                      {tight, "192.168.0.1:1", nil},
		"to a trusted proxy that names nobody":      {trusted, "10.0.0.7:1", []string{"Via", "1.1 x"}},
		"to clients of a trusted proxy":             {trusted, "10.0.0.7:1", []string{"X-Forwarded-For", "192.0.2.1"}},
		"to clients of a trusted proxy on loopback": {trusted, "127.0.0.1:1", []string{"X-Forwarded-For", "192.0.2.1"}},
		"to clients of a trusted unix proxy":        {trusted, "@", []string{"X-Forwarded-For", "192.0.2.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEntrance(tt.cfg)
			for range 10 {
				assert.Equal(t, http.StatusOK, e.enter(tt.remote, tt.headers...))
			}
			assert.Equal(t, http.StatusTooManyRequests, e.enter(tt.remote, tt.headers...))
			assert.Zero(t, e.tally.Counts()["shared_address"])
			assert.Contains(t, e.log.String(), `set="WithTrustedProxies if this is the address of a proxy, else WithLimits"`)
		})
	}
}

// unknown is the id of a session that has ended.
func unknown() string { return rand.Text()[:20] }

// The guard is on for shared peers too: it cannot go by their address.
func TestGuessesThroughUnnamedProxies(t *testing.T) {
	for name, remote := range map[string]string{"nginx on this host": "127.0.0.1:1", "a unix socket": "@", "a private balancer": "10.0.0.7:1"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEntrance(door.Config{})
				guesses := func(n int, id func(int) string) (usual int) {
					for i := range n {
						if !e.guess(remote, id(i), "Via", "1.1 x") {
							usual++
						}
					}
					return usual
				}
				for range 2 {
					assert.Equal(t, 20, guesses(200, func(i int) string { return fmt.Sprintf("n1aBsame%012d", i) }), "ids that begin alike")
					assert.Equal(t, 20, guesses(200, func(i int) string { return fmt.Sprintf("same%04d", i) }), "short ids that begin alike")
					assert.Equal(t, 500, guesses(500, func(int) string { return unknown() }), "clients that lost their server")
					assert.Equal(t, 100, guesses(5000, func(int) string { return unknown() }), "a thousand in all")
					time.Sleep(time.Minute)
				}
				assert.Equal(t, 4+2, strings.Count(e.log.String(), "many requests with unknown session ids"), "once per prefix, and once in all")
				assert.LessOrEqual(t, e.GuessSources(), 4097)
				assert.False(t, e.guess("192.0.2.1:1", unknown()), "others are not worse off for it")
			})
		})
	}
}

// Direct connections from this host are counted by their address.
func TestGuessesFromLoopback(t *testing.T) {
	e := newEntrance(door.Config{})
	usual := 0
	for range 200 {
		if !e.guess("127.0.0.1:1", unknown()) {
			usual++
		}
	}
	assert.Equal(t, 20, usual)
}

func TestAddressOf(t *testing.T) {
	d := door.New(door.Config{TrustUnix: true})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "@"
	assert.False(t, d.Address(r).IsValid())
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	assert.Equal(t, "192.0.2.1", d.Address(r).String())
}
