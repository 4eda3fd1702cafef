package stickiness_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/stickiness"
)

var nextSecret = []byte("the next secret of all nodes")

// traffic is clients that ask and get an answer, all at once, whenever they are told to.
type traffic struct {
	t        *testing.T
	turns    []chan bool // by client
	answered chan error
}

// startTraffic opens sessions, every fourth of SockJS. Each request goes to another server, on a connection of its own.
// Each server has seen each session once, so none asks another one where a session lives: that has a time limit, and a
// question that was given up on may arrive at any time.
func startTraffic(t *testing.T, g *group, clients int) *traffic {
	t.Helper()
	tr := &traffic{t: t, answered: make(chan error, clients)}
	client := freshClient(t, "")
	few := make(chan bool, 8) // or a busy machine does not answer such questions in time
	for i := range clients {
		pick := g.any
		p := &poller{http: client, pick: func() string { return pick() }}
		open, echo := p.open, p.echo
		if i%4 == 3 {
			s := newSock(client, p.pick, fmt.Sprint("rolling", i))
			open, echo = s.open, s.echo
		}
		turns := make(chan bool)
		tr.turns = append(tr.turns, turns)
		go func() {
			few <- true
			err := open()
			for _, m := range g.members {
				pick = fixed(m.url())
				if err == nil {
					_, err = echo()
				}
			}
			pick = g.any
			<-few
			tr.answered <- err
			for range turns {
				_, err := echo()
				tr.answered <- err
			}
		}()
	}
	t.Cleanup(func() {
		for _, turns := range tr.turns {
			close(turns)
		}
	})
	tr.wait(clients)
	return tr
}

func (tr *traffic) wait(answers int) {
	tr.t.Helper()
	for range answers {
		require.NoError(tr.t, <-tr.answered, "a session is lost")
	}
}

// round has each client ask once, and calls during while some of them have their answer and others have not. When it
// returns, nothing is on its way.
func (tr *traffic) round(during func()) {
	tr.t.Helper()
	early := len(tr.turns) / 4
	for _, turns := range tr.turns {
		turns <- true
	}
	tr.wait(early)
	during()
	tr.wait(len(tr.turns) - early)
}

// TestSecretChangesUnderTraffic takes each step on one server after the other. D7.
func TestSecretChangesUnderTraffic(t *testing.T) {
	g := newGroup(t, 3)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%+v", g.stats())
			for _, m := range g.members {
				for line := range strings.SplitSeq(m.log.String(), "\n") {
					if !strings.Contains(line, "level=INFO") && !strings.Contains(line, "client connected") && !strings.Contains(line, "msg=\"client") {
						t.Log(m.id, line)
					}
				}
			}
		}
	})
	clients := startTraffic(t, g, 200)
	for _, step := range [][][]byte{{secret, nextSecret}, {nextSecret, secret}, {nextSecret}} {
		for _, m := range g.members {
			clients.round(func() { require.NoError(t, m.forward.SetSecrets(step[0], step[1:]...)) })
		}
	}
	clients.round(func() {})
	stats := g.stats()
	assert.Zero(t, stats.Forged)
	t.Logf("%d sessions, %d requests forwarded, none lost", len(clients.turns), stats.Forwarded)
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
