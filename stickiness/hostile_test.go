package stickiness_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/stickiness"
)

const otherSID = "AAAAAAAAAAAAAAAA"

// TestHostile83SIDs: "83 sid naming another/unknown node": the registry knows, or nobody does.
func TestHostile83SIDs(t *testing.T) {
	g := newGroup(t, 2)
	honest := &poller{http: freshClient(t, ""), pick: g.any}
	require.NoError(t, honest.open())
	host := strings.TrimPrefix(g.members[1].url(), "http://")
	for _, tt := range []struct{ name, sid, want string }{
		{"unknown node", "zzzz" + otherSID, sidUnknown},
		{"another node, no session", "n1aB" + otherSID, sidUnknown},
		{"this node, no session", "n0aB" + otherSID, sidUnknown},
		{"an address", host, sidUnknown},
		{"an address, escaped", strings.ReplaceAll(host, ":", "%3A"), sidUnknown},
		{"a path", "../../n1aB" + otherSID[:10], sidUnknown},
		{"too long", "n1aB" + strings.Repeat("A", 5000), sidUnknown},
		{"twice", "n1aB" + otherSID + "&sid=n1aB" + otherSID, sidUnknown},
		{"NUL", "n1aB%00" + otherSID[1:], sidUnknown},
		{"__proto__", "__proto__", sidUnknown},
	} {
		t.Run("83 "+tt.name, func(t *testing.T) {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				p := &poller{http: honest.http, pick: fixed(g.members[0].url())}
				answer, err := p.request(method, io4+"&sid="+tt.sid, "")
				require.NoError(t, err)
				assert.Equal(t, tt.want, answer)
			}
			_, err := honest.echo()
			assert.NoError(t, err)
		})
	}
}

// TestHostile84Hops: "84 forged hop header": ignored, with a line in the log.
func TestHostile84Hops(t *testing.T) {
	now := time.Now()
	g := newGroup(t, 2)
	honest := &poller{http: freshClient(t, ""), pick: g.any}
	require.NoError(t, honest.open())
	victim := &poller{http: honest.http, pick: fixed(g.members[0].url())}
	require.NoError(t, victim.open())
	target := victim.target()
	forge := func(secret string, change func(*http.Request)) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("X-Sio-Hop", stickiness.Hop([]byte(secret), 'f', "n0aB", "n1aB", "9.9.9.9:9", r.Method, r.URL.RequestURI(), now))
			if change != nil {
				change(r)
			}
		}
	}
	good := string(secret)
	for _, tt := range []struct {
		name string
		set  func(*http.Request)
	}{
		{"junk", func(r *http.Request) { r.Header.Set("X-Sio-Hop", "junk") }},
		{"empty", func(r *http.Request) { r.Header.Set("X-Sio-Hop", "") }},
		{"dots", func(r *http.Request) { r.Header.Set("X-Sio-Hop", strings.Repeat(".", 300)) }},
		{"long", func(r *http.Request) { r.Header.Set("X-Sio-Hop", strings.Repeat("f.n0aB.", 1000)) }},
		{"another secret", forge("a secret of somebody", nil)},
		{"empty secret", forge("", nil)},
		{"of another method", forge(good, func(r *http.Request) { r.Method = http.MethodOptions })},
		{"of another target", forge(good, func(r *http.Request) { r.URL.RawQuery += "&t=1" })},
		{"twice", forge(good, func(r *http.Request) { r.Header.Add("X-Sio-Hop", "x") })},
		{"old", func(r *http.Request) {
			r.Header.Set("X-Sio-Hop", stickiness.Hop(secret, 'f', "n0aB", "n1aB", "9.9.9.9:9", r.Method, r.URL.RequestURI(), now.Add(-2*time.Minute)))
		}},
		{"of the future", func(r *http.Request) {
			r.Header.Set("X-Sio-Hop", stickiness.Hop(secret, 'a', "n0aB", "n1aB", "", r.Method, r.URL.RequestURI(), now.Add(2*time.Minute)))
		}},
	} {
		t.Run("84 "+tt.name, func(t *testing.T) {
			before := g.stats().Forged
			// A POST to the wrong node: ignored means forwarded, as all others are.
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.members[1].url()+target, strings.NewReader(`42["nothing"]`))
			require.NoError(t, err)
			tt.set(req)
			res, err := honest.http.Do(req)
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, res.Body)
			require.NoError(t, res.Body.Close())
			assert.Equal(t, before+1, g.stats().Forged)
			if req.Method == http.MethodPost {
				assert.Equal(t, http.StatusOK, res.StatusCode)
				assert.Equal(t, "n0aB", res.Header.Get("X-Sio-Node"))
			}
			_, err = honest.echo()
			assert.NoError(t, err)
		})
	}
	assert.Contains(t, g.members[1].log.String(), "a header that only nodes may send was ignored")
	assert.NotContains(t, g.members[1].log.String(), "9.9.9.9")

	t.Run("84 not passed on to the service", func(t *testing.T) {
		p := &poller{http: honest.http, pick: fixed(g.members[1].url()), extra: http.Header{"X-Sio-Hop": {"junk"}, "X-Other": {"1"}}}
		answer, err := p.request(http.MethodGet, "/headers", "")
		require.NoError(t, err)
		assert.Contains(t, answer, "X-Other")
		assert.NotContains(t, answer, "Sio-Hop")
	})
	t.Run("84 by way of Connection", func(t *testing.T) {
		victim.extra = http.Header{"Connection": {"X-Sio-Hop, X-Forwarded-For"}}
		victim.pick = g.any
		for range 4 {
			_, err := victim.echo()
			assert.NoError(t, err)
		}
	})
}

// TestHostile85Loops: "85 forwarding loop": one hop, then the session is unknown.
func TestHostile85Loops(t *testing.T) {
	ask := func(t *testing.T, url string, header ...string) string {
		p := &poller{http: freshClient(t, ""), pick: fixed(url), extra: http.Header{}}
		for _, value := range header {
			p.extra.Add("Via", value)
		}
		answer, err := p.request(http.MethodGet, io4+"&sid=n7aB"+otherSID, "")
		require.NoError(t, err)
		return answer
	}
	t.Run("85 each says it is the other", func(t *testing.T) {
		g := newGroup(t, 2)
		for _, m := range g.members { // each node takes the other one for n7aB
			require.NoError(t, g.registry.Register(t.Context(), stickiness.Node{ID: "n7aB", URL: m.url()}))
			for _, m := range g.members {
				assert.Equal(t, sidUnknown, ask(t, m.url()))
			}
		}
		assert.LessOrEqual(t, g.stats().Forwarded, uint64(4))
		assert.Contains(t, g.members[0].log.String()+g.members[1].log.String(), "meant for another node")
	})
	t.Run("85 with secrets that differ", func(t *testing.T) {
		one, two := new(stickiness.Static), new(stickiness.Static)
		a := newMember(t, "n0aB", one)
		b := newMember(t, "n1aB", two, func(o *stickiness.Options) { o.Secret = []byte("another secret of nodes") })
		require.NoError(t, one.Register(t.Context(), stickiness.Node{ID: "n7aB", URL: b.url()}))
		require.NoError(t, two.Register(t.Context(), stickiness.Node{ID: "n7aB", URL: a.url()}))
		assert.Equal(t, sidUnknown, ask(t, a.url()))
		assert.Equal(t, uint64(1), a.forward.Stats().Forwarded)
		assert.Equal(t, uint64(1), b.forward.Stats().Forwarded)
	})
	t.Run("85 a node that is itself", func(t *testing.T) {
		g := newGroup(t, 1)
		require.NoError(t, g.registry.Register(t.Context(), stickiness.Node{ID: "n7aB", URL: g.members[0].url()}))
		assert.Equal(t, sidUnknown, ask(t, g.members[0].url()))
		assert.Equal(t, sidUnknown, ask(t, g.members[0].url(), "1.1 thinkws-n0aB"))
	})
}

// TestHostile86Registry: "86 registry poisoning": what is not in the networks is not dialled.
func TestHostile86Registry(t *testing.T) {
	touched := make(chan string, 10)
	inside := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { touched <- r.URL.String() }))
	t.Cleanup(inside.Close)
	_, port, err := net.SplitHostPort(inside.Listener.Addr().String())
	require.NoError(t, err)
	elsewhere := func(o *stickiness.Options) { o.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }
	for _, tt := range []struct {
		name, url string
		change    func(*stickiness.Options)
	}{
		{"address outside of the networks", inside.URL, elsewhere},
		{"name that resolves to one", "http://localhost:" + port, elsewhere},
		{"IPv4 in IPv6", "http://[::ffff:127.0.0.1]:" + port, elsewhere},
		{"metadata of a cloud", "http://169.254.169.254", nil},
		{"public address", "http://8.8.8.8", nil},
		{"unix socket without SocketDir", "unix:///var/run/docker.sock", nil},
		{"unix socket elsewhere", "unix:///run/app/../docker.sock", func(o *stickiness.Options) { o.SocketDir = "/run/app" }},
	} {
		t.Run("86 "+tt.name, func(t *testing.T) {
			g := newGroup(t, 1)
			change := tt.change
			if change == nil {
				change = func(*stickiness.Options) {}
			}
			m := newMember(t, "n5aB", g.registry, change)
			require.NoError(t, g.registry.Register(t.Context(), stickiness.Node{ID: "n7aB", URL: tt.url}))
			p := &poller{http: freshClient(t, ""), pick: fixed(m.url())}
			for range 5 {
				answer, err := p.request(http.MethodGet, io4+"&sid=n7aB"+otherSID, "")
				require.NoError(t, err)
				assert.Equal(t, sidUnknown, answer)
			}
			assert.Empty(t, touched)
			assert.NoError(t, p.live(1))
		})
	}
}

// TestHostileBodies: a client that sends badly must not make a node look dead.
func TestHostileBodies(t *testing.T) {
	g := newGroup(t, 2)
	honest := &poller{http: freshClient(t, ""), pick: fixed(g.members[0].url())}
	require.NoError(t, honest.open())
	honest.pick = fixed(g.members[1].url())
	for i := range 8 {
		conn, err := net.Dial("tcp", g.members[1].server.Listener.Addr().String())
		require.NoError(t, err)
		chunk := "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxx\r\n" // no chunk
		if i%2 == 0 {
			chunk = "Content-Length: 100\r\n\r\nhello" // and no more
		}
		g.members[1].comes(t, func() {
			_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\n%s", honest.target(), chunk)
			require.NoError(t, err)
		})
		if i%2 != 0 {
			_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
			_, _ = http.ReadResponse(bufio.NewReader(conn), nil)
		}
		require.NoError(t, conn.Close())
	}
	assert.NotContains(t, g.members[1].log.String(), "does not answer")
	fresh := &poller{http: honest.http, pick: fixed(g.members[0].url())}
	require.NoError(t, fresh.open())
	fresh.pick = honest.pick
	_, err := fresh.echo()
	assert.NoError(t, err, "the way to the other node is open")
}
