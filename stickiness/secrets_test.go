package stickiness_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/stickiness"
)

var nextSecret = []byte("the next secret of all nodes")

// traffic is clients that poll until it stops, each request through another server.
type traffic struct {
	t       *testing.T
	answers []atomic.Int64 // by client
	stopped atomic.Bool
	ended   chan error
}

// startTraffic opens sessions, every fourth of SockJS, and has them ask and get answers.
func startTraffic(t *testing.T, g *group, clients int) *traffic {
	t.Helper()
	tr := &traffic{t: t, answers: make([]atomic.Int64, clients), ended: make(chan error, clients)}
	client := freshClient(t, "")
	opened := make(chan error, clients)
	for i := range clients {
		var c interface {
			open() error
			echo() (string, error)
		} = &poller{http: client, pick: g.any}
		if i%4 == 3 {
			c = newSock(client, g.any, fmt.Sprint("rolling", i))
		}
		go func() {
			err := c.open()
			opened <- err
			for err == nil && !tr.stopped.Load() {
				if _, err = c.echo(); err == nil {
					tr.answers[i].Add(1)
				}
			}
			tr.ended <- err
		}()
	}
	for range clients {
		require.NoError(t, <-opened)
	}
	return tr
}

// pass returns when each client has got an answer to a question that it asked after the call.
func (tr *traffic) pass() {
	tr.t.Helper()
	want := make([]int64, len(tr.answers))
	for i := range want {
		want[i] = tr.answers[i].Load() + 2
	}
	require.Eventually(tr.t, func() bool {
		for i := range want {
			if tr.answers[i].Load() < want[i] {
				return len(tr.ended) > 0 // a client that has failed never gets there
			}
		}
		return true
	}, time.Minute, time.Millisecond)
	select {
	case err := <-tr.ended:
		require.NoError(tr.t, err, "a session is lost")
	default:
	}
}

func (tr *traffic) stop() {
	tr.t.Helper()
	tr.stopped.Store(true)
	for range tr.answers {
		require.NoError(tr.t, <-tr.ended)
	}
}

// TestSecretChangesUnderTraffic takes each step on one server after the other. D7.
func TestSecretChangesUnderTraffic(t *testing.T) {
	g := newGroup(t, 3)
	clients := startTraffic(t, g, 200)
	clients.pass()
	for _, step := range [][][]byte{{secret, nextSecret}, {nextSecret, secret}, {nextSecret}} {
		for _, m := range g.members {
			require.NoError(t, m.forward.SetSecrets(step[0], step[1:]...))
			clients.pass()
		}
	}
	clients.stop()
	stats := g.stats()
	assert.Zero(t, stats.Forged)
	assert.Zero(t, stats.Gone)
	t.Logf("%d sessions, %d requests forwarded, %d questions, none lost", len(clients.answers), stats.Forwarded, stats.Asked)
}

// TestSecretInTheWrongOrder: a server signs with a secret that the others do not accept yet, and accepts one no longer
// that they sign with.
func TestSecretInTheWrongOrder(t *testing.T) {
	g := newGroup(t, 2)
	p := &poller{http: freshClient(t, ""), pick: fixed(g.members[0].url())}
	require.NoError(t, p.open())
	p.pick = fixed(g.members[1].url())
	require.NoError(t, g.members[1].forward.SetSecrets(nextSecret))
	_, err := p.echo()
	require.NoError(t, err, "it is served as the request of a client")
	assert.Equal(t, uint64(2), g.members[0].forward.Stats().Forged)
	assert.Contains(t, g.members[0].log.String(), "not authentic")

	require.NoError(t, g.members[0].forward.SetSecrets(secret, nextSecret))
	_, err = p.echo()
	require.NoError(t, err)
	assert.Equal(t, uint64(2), g.members[0].forward.Stats().Forged, "accepted now")
}

// TestSecretsAcceptedByAServerThatStarts: a server that starts while the secret changes has the secrets in its options.
func TestSecretsAcceptedByAServerThatStarts(t *testing.T) {
	g := newGroup(t, 2)
	fresh := newMember(t, "n7aB", g.registry, func(o *stickiness.Options) { o.Secret, o.AcceptSecrets = nextSecret, [][]byte{secret} })
	require.NoError(t, g.registry.Register(t.Context(), stickiness.Node{ID: fresh.id, URL: fresh.url()}))
	p := &poller{http: freshClient(t, ""), pick: fixed(fresh.url())}
	require.NoError(t, p.open())
	p.pick = fixed(g.members[0].url())
	node, err := p.echo()
	require.NoError(t, err)
	assert.Equal(t, fresh.id, node)
	assert.Zero(t, fresh.forward.Stats().Forged)
}

func TestSetSecretsRefusesShortOnesAndKeepsCopies(t *testing.T) {
	local := func(*http.Request) bool { return false }
	options := stickiness.Options{Node: "n1aB", Secret: secret, Local: local, AcceptSecrets: [][]byte{nextSecret, []byte("short")}}
	_, err := stickiness.Forward(new(stickiness.Static), options)
	require.EqualError(t, err, "stickiness: Forward: AcceptSecrets[1] has 5 bytes, less than 16")

	mine := bytes.Clone(secret)
	g := newGroup(t, 2, func(o *stickiness.Options) { o.Secret = mine })
	forward := g.members[0].forward
	require.EqualError(t, forward.SetSecrets(nil), "stickiness: SetSecrets: Secret has 0 bytes, less than 16")
	require.EqualError(t, forward.SetSecrets(nextSecret, secret, []byte("short")), "stickiness: SetSecrets: AcceptSecrets[1] has 5 bytes, less than 16")
	clear(mine)
	accepted := bytes.Clone(nextSecret)
	require.NoError(t, forward.SetSecrets(secret, accepted))
	clear(accepted)
	for _, signing := range [][]byte{secret, nextSecret} {
		require.NoError(t, g.members[1].forward.SetSecrets(signing, secret))
		p := &poller{http: freshClient(t, ""), pick: fixed(g.members[0].url())}
		require.NoError(t, p.open())
		p.pick = fixed(g.members[1].url())
		_, err := p.echo()
		require.NoError(t, err)
	}
	assert.Zero(t, g.stats().Forged)
}

// TestSetSecretsBesideRequests is for the race detector.
func TestSetSecretsBesideRequests(t *testing.T) {
	g := newGroup(t, 2)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	for _, m := range g.members {
		go func() {
			var err error
			for err == nil && ctx.Err() == nil {
				err = m.forward.SetSecrets(secret, nextSecret)
			}
			done <- err
		}()
	}
	survivors(t, 20, func(int) error { return (&poller{http: freshClient(t, ""), pick: g.any}).live(3) })
	cancel()
	require.NoError(t, <-done)
	require.NoError(t, <-done)
	assert.Zero(t, g.stats().Forged)
}
