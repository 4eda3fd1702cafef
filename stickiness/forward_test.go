package stickiness_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/stickiness"
)

func TestForwardOptions(t *testing.T) {
	local := func(*http.Request) bool { return false }
	good := stickiness.Options{Node: "n1aB", Secret: secret, Local: local}
	for _, tt := range []struct {
		name   string
		change func(*stickiness.Options)
		want   string
	}{
		{"node", func(o *stickiness.Options) { o.Node = "n1" }, `Node "n1"`},
		{"secret", func(o *stickiness.Options) { o.Secret = []byte("short") }, "Secret has 5 bytes"},
		{"local", func(o *stickiness.Options) { o.Local = nil }, "Local is missing"},
		{"timeout", func(o *stickiness.Options) { o.ResponseTimeout = -1 }, "ResponseTimeout -1ns"},
		{"active", func(o *stickiness.Options) { o.MaxActive = -1 }, "MaxActive -1"},
		{"places", func(o *stickiness.Options) { o.MaxPlaces = -2 }, "MaxPlaces -2"},
		{"path", func(o *stickiness.Options) { o.SocketIO = "socket.io" }, `"socket.io"`},
		{"SockJS", func(o *stickiness.Options) { o.SockJS = "/sockjs/" }, `"/sockjs/"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := good
			tt.change(&o)
			_, err := stickiness.Forward(new(stickiness.Static), o)
			require.ErrorContains(t, err, "stickiness: Forward: ")
			assert.ErrorContains(t, err, tt.want)
		})
	}
	f, err := stickiness.Forward(new(stickiness.Static), good)
	require.NoError(t, err)
	assert.NoError(t, f.Close(t.Context()))
}

// TestForwardPolling is what does not work without: each request goes to another node.
func TestForwardPolling(t *testing.T) {
	g := newGroup(t, 3)
	client := freshClient(t, "")
	survivors(t, 200, func(int) error { return (&poller{http: client, pick: g.any}).live(10) })
	stats := g.stats()
	assert.Zero(t, stats.Gone)
	assert.Zero(t, stats.Forged)
	assert.InDelta(t, 200*22*2/3, stats.Forwarded, 600, "two of three requests come to the wrong node")
}

func TestForwardSockJS(t *testing.T) {
	g := newGroup(t, 3)
	client := freshClient(t, "")
	survivors(t, 100, func(i int) error { return newSock(client, g.any, fmt.Sprintf("session%d", i)).live(10) })
	stats := g.stats()
	assert.Zero(t, stats.Gone)
	t.Logf("%d forwarded, %d questions", stats.Forwarded, stats.Asked)
}

func TestForwardUpgrade(t *testing.T) {
	g := newGroup(t, 3)
	client := freshClient(t, "")
	survivors(t, 50, func(int) error {
		p := &poller{http: client, pick: g.any}
		if err := p.live(1); err != nil {
			return err
		}
		conn, err := p.upgrade(t)
		if err != nil {
			return err
		}
		return conn.Close(websocket.StatusNormalClosure, "")
	})
}

func TestForwardNoUpgrade(t *testing.T) {
	g := newGroup(t, 2, func(o *stickiness.Options) { o.NoUpgrade = true })
	p := &poller{http: freshClient(t, ""), pick: fixed(g.members[0].url())}
	require.NoError(t, p.live(1))
	p.pick = fixed(g.members[1].url())
	_, err := p.upgrade(t)
	require.ErrorContains(t, err, "400")
	_, err = p.echo()
	assert.NoError(t, err, "it stays on polling")
}

// TestForwardKeepsRequest looks at what reaches the owner.
func TestForwardKeepsRequest(t *testing.T) {
	g := newGroup(t, 2)
	p := &poller{http: freshClient(t, "127.0.0.9"), pick: fixed(g.members[0].url())}
	require.NoError(t, p.open())
	node, err := p.echo()
	require.NoError(t, err)
	assert.Equal(t, "n0aB", node)
	assert.Equal(t, []string{"n0aB"}, p.header["X-Sio-Node"])

	p.pick = fixed(g.members[1].url())
	node, err = p.echo()
	require.NoError(t, err)
	assert.Equal(t, "n0aB", node)
	assert.Equal(t, []string{"n0aB"}, p.header["X-Sio-Node"], "who has answered, not who has forwarded")

	s := newSock(p.http, p.pick, "abc") // begins wherever it belongs, with its own address
	require.NoError(t, s.open())
	for _, m := range g.members {
		m.remotes.Range(func(address, _ any) bool {
			assert.Contains(t, address, "127.0.0.9:", "the client's address, not the node's")
			return true
		})
	}
}

func TestForwardCORS(t *testing.T) {
	g := newGroup(t, 2)
	p := &poller{http: freshClient(t, ""), pick: g.any, extra: http.Header{"Origin": {"https://app.example.com"}}}
	require.NoError(t, p.open())
	for range 4 {
		_, err := p.echo()
		require.NoError(t, err)
		assert.Equal(t, []string{"https://app.example.com"}, p.header["Access-Control-Allow-Origin"], "once")
		assert.Equal(t, []string{"true"}, p.header["Access-Control-Allow-Credentials"])
	}
	p.extra = http.Header{"Origin": {"https://evil.example.com"}}
	for range 2 {
		_, err := p.echo()
		assert.ErrorContains(t, err, "403")
	}
}

const sidUnknown = `400 {"code":1,"message":"Session ID unknown"}`

// TestForwardDead kills a node: its clients learn it at once and may read it, all others
// notice nothing.
func TestForwardDead(t *testing.T) {
	g := newGroup(t, 3)
	client := freshClient(t, "")
	pollers := make([]*poller, 30)
	for i := range pollers {
		pollers[i] = &poller{http: client, pick: g.any, extra: http.Header{"Origin": {"https://app.example.com"}}}
		require.NoError(t, pollers[i].live(1))
	}
	dead := g.members[2]
	dead.kill()
	g.members = g.members[:2]
	start, lost := time.Now(), 0
	for _, p := range pollers {
		if stickiness.Owner(p.sid) != dead.id {
			_, err := p.echo()
			assert.NoError(t, err)
			continue
		}
		lost++
		for range 6 { // also through the breaker
			answer, err := p.request(http.MethodGet, p.target(), "")
			require.NoError(t, err)
			assert.Equal(t, sidUnknown, answer)
			assert.Equal(t, []string{"https://app.example.com"}, p.header["Access-Control-Allow-Origin"])
		}
		assert.NoError(t, p.live(1), "begins anew")
	}
	assert.Equal(t, 10, lost)
	assert.Less(t, time.Since(start), 5*time.Second)
	assert.Contains(t, g.members[0].log.String()+g.members[1].log.String(), "a node does not answer")
}

// openSocks opens sessions of SockJS on nodes of a group, and returns on which.
func openSocks(t *testing.T, g *group, client *http.Client, n int) (socks []*sock, at map[*sock]string) {
	t.Helper()
	at = make(map[*sock]string)
	for i := range n {
		s := newSock(client, g.any, fmt.Sprint("early", i))
		require.NoError(t, s.open())
		node, err := s.echo()
		require.NoError(t, err)
		socks, at[s] = append(socks, s), node
	}
	return socks, at
}

// TestForwardDeadSockJS: new sessions do not wait for a node that is dead, others go on.
func TestForwardDeadSockJS(t *testing.T) {
	g := newGroup(t, 3)
	client := freshClient(t, "")
	socks, at := openSocks(t, g, client, 30)
	dead := g.members[2]
	dead.kill()
	g.members = g.members[:2]
	for _, s := range socks {
		if at[s] == dead.id {
			_, err := s.echo()
			assert.Error(t, err)
			continue
		}
		node, err := s.echo()
		assert.NoError(t, err)
		assert.Equal(t, at[s], node)
	}
	failed := 0
	for i := range 60 {
		if err := newSock(client, g.any, fmt.Sprint("after", i)).live(2); err != nil {
			failed++
		}
	}
	assert.LessOrEqual(t, failed, 2)
}

// TestForwardJoin: sessions of SockJS are found where they began, though a node has come
// that their ids prefer, and new ones use it.
func TestForwardJoin(t *testing.T) {
	g := newGroup(t, 2)
	client := freshClient(t, "")
	socks, at := openSocks(t, g, client, 40)
	for _, id := range []string{"n7aB", "n8aB"} {
		m := newMember(t, id, g.registry)
		g.members = append(g.members, m)
		require.NoError(t, g.registry.Register(t.Context(), stickiness.Node{ID: id, URL: m.url()}))
	}
	for _, s := range socks {
		for range 4 {
			node, err := s.echo()
			require.NoError(t, err)
			assert.Equal(t, at[s], node)
		}
	}
	begun := map[string]int{}
	for i := range 40 {
		s := newSock(client, g.any, fmt.Sprint("late", i))
		require.NoError(t, s.open())
		node, err := s.echo()
		require.NoError(t, err)
		begun[node]++
	}
	assert.Len(t, begun, 4)
}

// TestDrain: a node that drains keeps its sessions and gets no new ones.
func TestDrain(t *testing.T) {
	g := newGroup(t, 3)
	client := freshClient(t, "")
	leaving := g.members[1]
	old := &poller{http: client, pick: fixed(leaving.url())}
	require.NoError(t, old.live(1))
	require.NoError(t, leaving.forward.Drain(t.Context()))
	old.pick = g.any
	for i := range 20 {
		node, err := old.echo()
		require.NoError(t, err)
		assert.Equal(t, leaving.id, node)

		fresh := &poller{http: client, pick: fixed(leaving.url())}
		require.NoError(t, fresh.live(1))
		assert.NotEqual(t, leaving.id, stickiness.Owner(fresh.sid))
		s := newSock(client, g.any, fmt.Sprint("s", i))
		require.NoError(t, s.open())
		node, err = s.echo()
		require.NoError(t, err)
		assert.NotEqual(t, leaving.id, node)
	}
	require.NoError(t, g.registry.Unregister(t.Context(), leaving.id))
	assert.ErrorContains(t, leaving.forward.Drain(t.Context()), leaving.id)
}

func TestForwardOverload(t *testing.T) {
	g := newGroup(t, 2, func(o *stickiness.Options) { o.MaxActive = 1 })
	p := &poller{http: freshClient(t, ""), pick: fixed(g.members[0].url())}
	require.NoError(t, p.open())
	q := &poller{http: p.http, pick: fixed(g.members[1].url()), sid: p.sid}
	waiting := make(chan string, 1)
	go func() {
		answer, err := (&poller{http: p.http, pick: q.pick, sid: p.sid}).request(http.MethodGet, p.target(), "")
		waiting <- fmt.Sprint(answer, err)
	}()
	require.Eventually(t, func() bool { return g.stats().Forwarded == 1 }, time.Minute, time.Millisecond)
	assert.Eventually(t, func() bool {
		answer, err := q.request(http.MethodPost, q.target(), `42["nothing"]`)
		return err == nil && answer == "503 Service Unavailable\n" && q.header.Get("Retry-After") == "1"
	}, time.Minute, 10*time.Millisecond)
	require.NoError(t, p.post(`421["echo",1]`), "at the owner itself nothing is the matter")
	assert.Equal(t, `200 431["n0aB",1]<nil>`, <-waiting)
}

// TestForwardClose cuts a WebSocket that goes through.
func TestForwardClose(t *testing.T) {
	g := newGroup(t, 2)
	p := &poller{http: freshClient(t, ""), pick: fixed(g.members[0].url())}
	require.NoError(t, p.open())
	p.pick = fixed(g.members[1].url())
	conn, err := p.upgrade(t)
	require.NoError(t, err)
	require.NoError(t, g.members[1].forward.Close(t.Context()))
	_, _, err = conn.Read(t.Context())
	assert.Error(t, err)
	answer, err := p.request(http.MethodGet, p.target(), "")
	require.NoError(t, err)
	assert.Equal(t, "503 Service Unavailable\n", answer)
}

// TestForwardLarge sends messages of all sizes through a WebSocket that is forwarded.
func TestForwardLarge(t *testing.T) {
	g := newGroup(t, 2)
	p := &poller{http: freshClient(t, ""), pick: fixed(g.members[0].url())}
	require.NoError(t, p.open())
	p.pick = fixed(g.members[1].url())
	conn, err := p.upgrade(t)
	require.NoError(t, err)
	conn.SetReadLimit(1 << 20)
	for _, size := range []int{1, 1000, 1023, 1024, 1025, 16_384, 100_000, 900_000} {
		text := strings.Repeat("x", size)
		require.NoError(t, conn.Write(t.Context(), websocket.MessageText, fmt.Appendf(nil, `421["echo",%q]`, text)))
		_, got, err := conn.Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf(`431["n0aB",%q]`, text), string(got), size)
	}
	require.NoError(t, conn.Close(websocket.StatusNormalClosure, ""))
}
