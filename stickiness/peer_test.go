package stickiness_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/stickiness"
)

// TestForwardSilent: an owner takes requests and never answers. Its clients hear 503 after the
// time, then at once that their session is over; later one request tries again.
func TestForwardSilent(t *testing.T) {
	release := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(silent.Close)
	t.Cleanup(func() { close(release) })
	g := newGroup(t, 1, func(o *stickiness.Options) { o.ResponseTimeout = 100 * time.Millisecond })
	require.NoError(t, g.registry.Register(t.Context(), stickiness.Node{ID: "n7aB", URL: silent.URL}))
	p := &poller{http: freshClient(t, ""), pick: g.any, sid: "n7aB" + otherSID}
	ask := func() string {
		answer, err := p.request(http.MethodGet, p.target(), "")
		require.NoError(t, err)
		return answer
	}
	for range 3 {
		assert.Equal(t, "503 Service Unavailable\n", ask())
	}
	for range 3 {
		start := time.Now()
		assert.Equal(t, sidUnknown, ask())
		assert.Less(t, time.Since(start), 90*time.Millisecond)
	}
	assert.Equal(t, stickiness.Stats{Forwarded: 3, Refused: 3, Gone: 3}, g.stats())
	assert.Eventually(t, func() bool { return ask() == "503 Service Unavailable\n" }, 4*time.Second, 200*time.Millisecond)
	assert.NoError(t, (&poller{http: p.http, pick: p.pick}).live(1), "nobody else is affected")
}

// TestForwardReturns: a node that is back, at another address, is used at once.
func TestForwardReturns(t *testing.T) {
	g := newGroup(t, 1)
	require.NoError(t, g.registry.Register(t.Context(), stickiness.Node{ID: "n7aB", URL: "http://127.0.0.1:1"}))
	p := &poller{http: freshClient(t, ""), pick: g.any, sid: "n7aB" + otherSID}
	for range 5 {
		answer, err := p.request(http.MethodGet, p.target(), "")
		require.NoError(t, err)
		assert.Equal(t, sidUnknown, answer)
	}
	m := newMember(t, "n7aB", g.registry)
	require.NoError(t, g.registry.Register(t.Context(), stickiness.Node{ID: "n7aB", URL: m.url()}))
	p.pick = fixed(m.url())
	require.NoError(t, p.open())
	p.pick = g.any
	node, err := p.echo()
	require.NoError(t, err)
	assert.Equal(t, "n7aB", node)
}

func TestForwardTLS(t *testing.T) {
	plain := newGroup(t, 1).members[0]
	secure := httptest.NewTLSServer(plain.server.Config.Handler)
	t.Cleanup(secure.Close)
	g := newGroup(t, 0)
	m := newMember(t, "n7aB", g.registry, func(o *stickiness.Options) {
		pool := secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		o.TLS = &tls.Config{RootCAs: pool, ServerName: "example.com", MinVersion: tls.VersionTLS13}
	})
	p := &poller{http: freshClient(t, ""), pick: fixed(plain.url())}
	require.NoError(t, p.open())
	p.pick = fixed(m.url())
	for url, want := range map[string]string{secure.URL: "200 ok", plain.url(): sidUnknown} {
		require.NoError(t, g.registry.Register(t.Context(), stickiness.Node{ID: "n0aB", URL: url}))
		answer, err := p.request(http.MethodPost, p.target(), `42["x"]`)
		require.NoError(t, err)
		assert.Equal(t, want, answer, url)
	}
	require.NoError(t, g.registry.Register(t.Context(), stickiness.Node{ID: "n0aB", URL: secure.URL}))
	conn, err := p.upgrade(t)
	require.NoError(t, err)
	assert.NoError(t, conn.CloseNow())
}

// TestIdleConnectionsEndBeforeServersCloseThem: a server closes a connection that was dialled and not needed after
// ReadHeaderTimeout. A POST that meets it is lost, and its session with it.
func TestIdleConnectionsEndBeforeServersCloseThem(t *testing.T) {
	const usual = 5 * time.Second // of ReadHeaderTimeout
	assert.LessOrEqual(t, stickiness.IdleTimeout, usual/2)
}
