package stickiness_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/stickiness"
)

var loopback = netip.MustParsePrefix("127.0.0.0/8")

func startDispatcher(t *testing.T, g *group, o stickiness.DispatcherOptions) string {
	t.Helper()
	d, err := stickiness.NewDispatcher(g.registry, o)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(d)
	server.Config.ReadHeaderTimeout = 5 * time.Second
	server.Start()
	t.Cleanup(func() {
		server.Close()
		d.Close()
	})
	return server.URL
}

// TestSourceHash compares with npm's string-hash 1.1.3, which ThinkJS's master uses.
func TestSourceHash(t *testing.T) {
	for _, tt := range []struct {
		address string
		hash    uint32
		worker  [4]int // of 2, 3, 4 and 7
	}{
		{"127.0.0.1", 340519950, [4]int{0, 0, 2, 1}},
		{"::ffff:127.0.0.1", 339916724, [4]int{0, 2, 0, 0}},
		{"::1", 193359316, [4]int{0, 1, 0, 3}},
		{"10.0.0.1", 3394232379, [4]int{1, 0, 3, 6}},
		{"10.0.0.2", 408837080, [4]int{0, 2, 0, 1}},
		{"192.168.1.77", 2513734559, [4]int{1, 2, 3, 0}},
		{"203.0.113.9", 590950496, [4]int{0, 2, 0, 3}},
		{"255.255.255.255", 2390231627, [4]int{1, 2, 3, 0}},
		{"2001:db8::1", 825529651, [4]int{1, 1, 3, 2}},
		{"fe80::1%eth0", 2739542867, [4]int{1, 2, 3, 5}},
		{"", 5381, [4]int{1, 2, 1, 5}},
	} {
		assert.Equal(t, tt.hash, stickiness.SourceHash(tt.address), tt.address)
		for i, n := range []int{2, 3, 4, 7} {
			assert.Equal(t, tt.worker[i], stickiness.SourceIndex(tt.address, n), "%s of %d", tt.address, n)
		}
	}
}

func TestPolicies(t *testing.T) {
	nodes := make([]stickiness.Load, 4)
	for i, node := range cluster(4) {
		nodes[i].Node = node
	}
	request := func(target, remote string, header ...string) *http.Request {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
		r.RemoteAddr = remote
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return r
	}
	poll := "/socket.io/?EIO=4&transport=polling"

	session := stickiness.BySession("", "")
	assert.Equal(t, "n002", session(request(poll+"&sid=n002AAAAAAAAAAAAAAAA", "x"), nodes))
	assert.Empty(t, session(request(poll, "x"), nodes))
	assert.Empty(t, session(request("/users", "x"), nodes))
	home, _ := stickiness.Rendezvous("abc", cluster(4))
	assert.Equal(t, home.ID, session(request("/sockjs/000/abc/xhr", "x"), nodes))
	assert.Equal(t, "n001", stickiness.BySession("/rt", "/s")(request("/rt/?transport=polling&sid=n001AAAAAAAAAAAAAAAA", "x"), nodes))

	cookie := stickiness.ByCookie("")
	assert.Equal(t, "n003", cookie(request(poll, "x", "Cookie", "a=b; sio_node=n003"), nodes))
	assert.Empty(t, cookie(request(poll, "x"), nodes))

	source := stickiness.BySource(loopback)
	assert.Equal(t, nodes[3].ID, source(request(poll, "10.0.0.1:99"), nodes))
	assert.Equal(t, nodes[3].ID, source(request(poll, "127.0.0.1:99", "X-Forwarded-For", "10.0.0.1"), nodes))
	assert.Equal(t, nodes[2].ID, source(request(poll, "127.0.0.1:99"), nodes))
	nodes[3].Failed = true
	other := source(request(poll, "10.0.0.1:99"), nodes)
	assert.Contains(t, []string{"n000", "n001", "n002"}, other, "nobody hangs, as in ThinkJS")
	assert.Equal(t, nodes[2].ID, source(request(poll, "127.0.0.1:99"), nodes), "others stay")

	least := stickiness.LeastConnections()
	nodes[0].Active, nodes[1].Active, nodes[2].Active = 7, 2, 5
	assert.Equal(t, "n001", least(request(poll, "x"), nodes))
	nodes[0].Weight = 10
	assert.Equal(t, "n000", least(request(poll, "x"), nodes))
	nodes[0].Draining = true
	assert.Equal(t, "n001", least(request(poll, "x"), nodes))
	for i := range nodes {
		nodes[i].Draining = true
	}
	assert.NotEqual(t, "n003", least(request(poll, "x"), nodes), "which has failed")
}

// TestDispatcher is TestFronts for each policy.
func TestDispatcher(t *testing.T) {
	policies := map[string]struct {
		policies []stickiness.Policy
		direct   bool
	}{
		"session":           {nil, true},
		"source as ThinkJS": {[]stickiness.Policy{stickiness.BySource()}, false},
		"cookie":            {[]stickiness.Policy{stickiness.ByCookie("")}, false},
		"least connections": {[]stickiness.Policy{stickiness.LeastConnections()}, false},
	}
	for name, tt := range policies {
		t.Run(name, func(t *testing.T) {
			g := newGroup(t, 3)
			url := startDispatcher(t, g, stickiness.DispatcherOptions{Policies: tt.policies, Cookie: new(http.Cookie)})
			if tt.direct {
				surviveFront(t, g, url, true)
				return
			}
			client := freshClient(t, "")
			survivors(t, 50, func(int) error { return (&poller{http: client, pick: fixed(url)}).live(4) })
			survivors(t, 50, func(i int) error { return newSock(client, fixed(url), fmt.Sprint("s", i)).live(4) })
		})
	}
}

func TestDispatcherDead(t *testing.T) {
	g := newGroup(t, 3)
	url := startDispatcher(t, g, stickiness.DispatcherOptions{})
	client := freshClient(t, "")
	pollers := make([]*poller, 30)
	at := map[string]int{}
	for i := range pollers {
		pollers[i] = &poller{http: client, pick: fixed(url), extra: http.Header{"Origin": {"https://app.example.com"}}}
		require.NoError(t, pollers[i].live(1))
		at[stickiness.Owner(pollers[i].sid)]++
	}
	dead := g.members[0]
	require.NotZero(t, at[dead.id])
	dead.kill()
	for _, p := range pollers {
		if stickiness.Owner(p.sid) != dead.id {
			_, err := p.echo()
			require.NoError(t, err)
			continue
		}
		for method, body := range map[string]string{http.MethodGet: "", http.MethodPost: "42[1]"} {
			answer, err := p.request(method, p.target(), body)
			require.NoError(t, err)
			assert.Equal(t, sidUnknown, answer, "from a node that lives")
			assert.Equal(t, []string{"https://app.example.com"}, p.header["Access-Control-Allow-Origin"])
		}
		require.NoError(t, p.live(1))
	}
}

// TestDispatcherHeaders: what clients claim does not get through, cookies name the node.
func TestDispatcherHeaders(t *testing.T) {
	g := newGroup(t, 2)
	for name, tt := range map[string]struct {
		trusted []netip.Prefix
		want    string
	}{
		"82 nobody trusted":  {nil, "X-Forwarded-For: 127.0.0.1\r\n"},
		"82 a proxy trusted": {[]netip.Prefix{loopback}, "X-Forwarded-For: 9.9.9.9, 127.0.0.1\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			url := startDispatcher(t, g, stickiness.DispatcherOptions{Trusted: tt.trusted, Cookie: &http.Cookie{Secure: true}})
			p := &poller{http: freshClient(t, ""), pick: fixed(url), extra: http.Header{"X-Forwarded-For": {"9.9.9.9"}, "X-Sio-Hop": {"junk"}}}
			answer, err := p.request(http.MethodGet, "/headers", "")
			require.NoError(t, err)
			assert.Contains(t, answer, tt.want)
			assert.NotContains(t, answer, "Sio-Hop")

			require.NoError(t, p.open())
			node := stickiness.Owner(p.sid)
			require.NoError(t, p.post("42[\"x\"]"))
			assert.Equal(t, []string{"sio_node=" + node + "; Path=/; HttpOnly; Secure; SameSite=Lax"}, p.header["Set-Cookie"])
			p.extra.Set("Cookie", "sio_node="+node)
			require.NoError(t, p.post("42[\"x\"]"))
			assert.Empty(t, p.header["Set-Cookie"], "the client has it")
		})
	}
	assert.Zero(t, g.stats().Forged, "the dispatcher has taken it off")
}

func TestDispatcherOptions(t *testing.T) {
	for name, o := range map[string]stickiness.DispatcherOptions{
		"ResponseTimeout -1ns": {ResponseTimeout: -1},
		"MaxActive -1":         {MaxActive: -1},
		"policy is nil":        {Policies: []stickiness.Policy{nil}},
		"Cookie":               {Cookie: &http.Cookie{Name: "a b"}},
	} {
		_, err := stickiness.NewDispatcher(new(stickiness.Static), o)
		assert.ErrorContains(t, err, name)
	}
	url := startDispatcher(t, &group{registry: new(stickiness.Static)}, stickiness.DispatcherOptions{})
	answer, err := (&poller{http: freshClient(t, ""), pick: fixed(url)}).request(http.MethodGet, io4, "")
	require.NoError(t, err)
	assert.Equal(t, "502 Bad Gateway\n", answer, "no nodes")
}

func TestNodeCookie(t *testing.T) {
	set, err := stickiness.NodeCookie("n1aB", http.Cookie{Name: "at", MaxAge: 60})
	require.NoError(t, err)
	w := httptest.NewRecorder()
	set(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
	assert.Equal(t, "at=n1aB; Path=/; Max-Age=60; HttpOnly; SameSite=Lax", w.Header().Get("Set-Cookie"))
	_, err = stickiness.NodeCookie("n1aB", http.Cookie{Path: ";"})
	assert.Error(t, err)
}
