package stickiness_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/stickiness"
)

// relay sends a request as another node would, and breaks it off with ctx, as if that died.
func relay(ctx context.Context, t *testing.T, m *member, method, target, id string) string {
	req, err := http.NewRequestWithContext(ctx, method, m.url()+target, http.NoBody)
	if err != nil {
		return err.Error()
	}
	req.Header.Set("X-Sio-Hop", stickiness.Hop(secret, 'f', "n9aB", m.id, "192.0.2.1:1", method, req.URL.RequestURI(), time.Now()))
	if id != "" {
		req.Header.Set("X-Request-Id", id)
	}
	res, err := freshClient(t, "").Do(req)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	return res.Status[:4] + string(body)
}

// TestRelayLost: a node dies with a poll on its way. The session lives, and the poll comes
// again by way of another, before its owner has noticed or after.
func TestRelayLost(t *testing.T) {
	for name, pause := range map[string]time.Duration{"at once": 0, "later": 100 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			m := newGroup(t, 1).members[0]
			p := &poller{http: freshClient(t, ""), pick: fixed(m.url())}
			require.NoError(t, p.open())
			s := newSock(p.http, p.pick, "abc")
			require.NoError(t, s.open())
			for _, poll := range []struct{ method, target string }{{http.MethodGet, p.target()}, {http.MethodPost, s.path + "/xhr"}} {
				ctx, die := context.WithCancel(t.Context())
				lost := make(chan string, 1)
				m.comes(t, func() { go func() { lost <- relay(ctx, t, m, poll.method, poll.target, "lost") }() })
				time.Sleep(pause)
				die()
				assert.Contains(t, <-lost, "canceled")
				if pause > 0 {
					time.Sleep(50 * time.Millisecond)
				}
				again := make(chan string, 1)
				m.comes(t, func() { go func() { again <- relay(t.Context(), t, m, poll.method, poll.target, "lost") }() })
				if poll.method == http.MethodGet {
					require.NoError(t, p.post(`425["echo",1]`))
					answer := <-again
					if answer == "200 6" { // the lost poll has come to its place later
						answer = relay(t.Context(), t, m, poll.method, poll.target, "next")
					}
					assert.Equal(t, `200 435["n0aB",1]`, answer)
				} else {
					_, err := s.request(http.MethodPost, s.path+"/xhr_send", `["{\"event\":\"echo\",\"data\":1,\"cid\":9}"]`)
					require.NoError(t, err)
					assert.Contains(t, <-again, `200 a["{\"rid\":9`)
				}
			}
		})
	}
}

// TestRelayAnswered: a poll is sent again though it has been answered. What was in the answer
// may be lost, so the client has to know.
func TestRelayAnswered(t *testing.T) {
	m := newGroup(t, 1).members[0]
	p := &poller{http: freshClient(t, ""), pick: fixed(m.url())}
	require.NoError(t, p.open())
	s := newSock(p.http, p.pick, "abc")
	require.NoError(t, s.open())

	require.NoError(t, p.post(`421["echo",1]`))
	assert.Equal(t, `200 431["n0aB",1]`, relay(t.Context(), t, m, http.MethodGet, p.target(), "one"))
	require.NoError(t, p.post(`422["echo",2]`))
	assert.Equal(t, `200 432["n0aB",2]`, relay(t.Context(), t, m, http.MethodGet, p.target(), "two"))
	assert.Equal(t, "400 ", relay(t.Context(), t, m, http.MethodGet, p.target(), "two"))
	answer, err := p.request(http.MethodGet, p.target(), "")
	require.NoError(t, err)
	assert.Equal(t, sidUnknown, answer)

	_, err = s.request(http.MethodPost, s.path+"/xhr_send", `["{\"event\":\"echo\",\"data\":1,\"cid\":9}"]`)
	require.NoError(t, err)
	assert.Contains(t, relay(t.Context(), t, m, http.MethodPost, s.path+"/xhr", "one"), `200 a[`)
	assert.Equal(t, "200 c[1002,\"Connection interrupted\"]\n", relay(t.Context(), t, m, http.MethodPost, s.path+"/xhr", "one"))
}

// TestRelayClientLeaves: a client breaks off a poll that was forwarded. Its node lives and says so
// to the owner, for which the session ends at once, as without a node in between.
func TestRelayClientLeaves(t *testing.T) {
	g := newGroup(t, 2)
	p := &poller{http: freshClient(t, ""), pick: fixed(g.members[0].url())}
	require.NoError(t, p.open())
	s := newSock(p.http, p.pick, "abc")
	home, _ := stickiness.Rendezvous("abc", g.registry.Nodes())
	require.NoError(t, s.open())
	other := g.members[1]
	if home.ID == other.id {
		other = g.members[0]
	}
	for _, poll := range []struct{ method, url string }{{http.MethodGet, g.members[1].url() + p.target()}, {http.MethodPost, other.url() + s.path + "/xhr"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		req, err := http.NewRequestWithContext(ctx, poll.method, poll.url, http.NoBody)
		require.NoError(t, err)
		_, err = p.http.Do(req)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		cancel()
	}
	assert.Eventually(t, func() bool {
		var gone int
		for _, m := range g.members {
			gone += m.ws.Hub().Stats().Clients
		}
		return gone == 0
	}, 3*time.Second, 20*time.Millisecond)
	answer, err := p.request(http.MethodGet, p.target(), "")
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(answer, sidUnknown), answer)
}
