package thinkws_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// unixSite serves a handler on a unix socket, as behind nginx's proxy_pass http://unix:….
func unixSite(t *testing.T, options ...thinkws.Option) (knock func(kind string, i int, forwardedFor string) int, out *logs) {
	t.Helper()
	s := prepare(t, options)
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	require.NoError(t, err)
	server := &http.Server{Handler: s.router}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return func(kind string, i int, forwardedFor string) int {
		r := entrances[kind](i).WithContext(t.Context())
		r.RequestURI, r.URL.Scheme, r.URL.Host = "", "http", "unix"
		if forwardedFor != "" {
			r.Header.Set("X-Forwarded-For", forwardedFor)
		}
		res, err := transport.RoundTrip(r)
		require.NoError(t, err)
		if res.StatusCode != http.StatusSwitchingProtocols {
			_, _ = io.Copy(io.Discard, res.Body) // a SockJS poll opens the session first
		}
		_ = res.Body.Close()
		return res.StatusCode
	}, s.log
}

// C9: a proxy on a unix socket can be trusted, and then names the clients.
func TestTrustedUnixProxies(t *testing.T) {
	for kind := range entrances {
		t.Run(kind, func(t *testing.T) {
			want := map[string]int{"polling": 200, "Socket.IO 2": 200, "SockJS": 200}[kind]
			if want == 0 {
				want = http.StatusSwitchingProtocols
			}
			knock, out := unixSite(t, thinkws.WithLimits(thinkws.Limits{SessionsPerAddress: 3, HandshakesPerAddress: 2}), thinkws.WithTrustedUnixProxies())
			for i := range 10 {
				assert.Equal(t, want, knock(kind, i, fmt.Sprintf("192.0.2.%d", i)), "each has an address of its own")
			}
			statuses, began := map[int]int{}, time.Now()
			for i := 0; i < 10 || statuses[http.StatusTooManyRequests] == 0 && i < 100; i++ {
				statuses[knock(kind, 10+i, "198.51.100.1, 203.0.113.9")]++
			}
			assert.Positive(t, statuses[http.StatusTooManyRequests])
			assert.LessOrEqual(t, statuses[want], 4+int(2*time.Since(began).Seconds()), "two a second may come")
			assert.Contains(t, out.String(), `msg="client refused"`)
			assert.Contains(t, out.String(), "address=203.0.113.9 ", "the log names the client")
		})
	}
}

// C13: without the option all clients have no address, and nobody is refused for it.
func TestUnnamedUnixProxies(t *testing.T) {
	for kind := range entrances {
		t.Run(kind, func(t *testing.T) {
			knock, out := unixSite(t, thinkws.WithLimits(thinkws.Limits{SessionsPerAddress: 3, HandshakesPerAddress: 2}))
			for i := range 20 {
				assert.NotEqual(t, http.StatusTooManyRequests, knock(kind, i, "192.0.2.1"))
			}
			assert.Equal(t, 1, strings.Count(out.String(), `level=WARN msg="limits per address do not apply"`))
			assert.Contains(t, out.String(), "set=WithTrustedUnixProxies")
		})
	}
}

// C13: 10,000 clients behind a proxy that nobody has named are not one client.
func TestUnnamedProxiesOnPrivateNetworks(t *testing.T) {
	s := newSite(t, thinkws.WithLimits(thinkws.Limits{SessionsPerAddress: 3, HandshakesPerAddress: 2}))
	for _, kind := range []string{"polling", "Socket.IO 2", "SockJS"} {
		for remote, refused := range map[string]bool{
			"127.0.0.1:1": false, "[::1]:1": false, "10.0.0.1:1": false, "[fd00::1]:1": false, "169.254.0.1:1": false,
			"100.64.0.1:1": true, "203.0.113.1:1": true, "[2001:db8::1]:1": true,
		} {
			statuses := map[int]int{}
			for i := range 20 {
				r := entrances[kind](i)
				r.URL.Path = strings.Replace(r.URL.Path, "flood", "flood"+strings.NewReplacer(":", "", ".", "", "[", "", "]", "").Replace(remote), 1)
				r.Header.Set("X-Forwarded-For", "192.0.2.1")
				statuses[s.knock(r, remote).Code]++
			}
			assert.Equal(t, refused, statuses[http.StatusTooManyRequests] > 0, "%s from %s: %v", kind, remote, statuses)
		}
	}
	assert.Positive(t, s.handler.Hub().Stats().Limits["shared_address"])
	assert.Contains(t, s.log.String(), `set="WithTrustedProxies if this is the address of a proxy, else WithLimits"`)
}

// C9 and C13: limits, guards and logs go by one address, which is the client's.
func TestLogsNameTheClientBehindAProxy(t *testing.T) {
	s := newSite(t, thinkws.WithTrustedProxies(netip.MustParsePrefix("127.0.0.1/32")), thinkws.WithAllowedHosts("localhost", "127.0.0.1"))
	const client = "X-Forwarded-For: 192.0.2.66, 203.0.113.9"
	for line, provoke := range map[string]func(){
		"origin refused":            func() { s.exchange(get(io4+"polling", client, "Origin: http://evil.test", "Cookie: a=b")) },
		"host refused":              func() { s.exchange(at("evil.test", get(io4+"polling", client))) },
		"headers too large":         func() { s.exchange(get(io4+"polling", client, "X: "+strings.Repeat("x", 20<<10))) },
		"Engine.IO request refused": func() { s.exchange(get(io4+"nothing", client)) },
		"websocket refused":         func() { s.exchange(raw("GET", "/ws", "", client, "Connection: Upgrade", "Upgrade: websocket")) },
		"unknown session ids": func() {
			for range 30 {
				s.exchange(get(io4+"polling&sid=nobody", client))
			}
		},
		"violates the protocol": func() {
			answer, _ := s.exchange(get(io4+"polling&hasty", client))
			s.exchange(post(io4+"polling&sid="+sidOf(t, answer), "rubbish"))
		},
	} {
		provoke()
		found := false
		for got := range strings.Lines(s.log.String()) {
			if strings.Contains(got, line) {
				found = true
				assert.Contains(t, got, "address=203.0.113.9", got)
			}
		}
		assert.True(t, found, line)
	}
}
