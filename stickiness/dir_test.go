//go:build unix

package stickiness_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/stickiness"
)

// TestDir runs nodes that meet in a directory and share a port.
func TestDir(t *testing.T) {
	path := t.TempDir()
	open := func() *stickiness.Dir {
		d, err := stickiness.NewDir(path)
		require.NoError(t, err)
		return d
	}
	var members []*member
	for _, id := range []string{"n0aB", "n1aB"} {
		d := open() // a process of its own
		m := newMember(t, id, d, func(o *stickiness.Options) { o.SocketDir = d.Path() })
		l, err := d.Listen(t.Context(), id)
		require.NoError(t, err)
		server := &http.Server{Handler: m.server.Config.Handler, ReadHeaderTimeout: time.Second}
		go func() { _ = server.Serve(l) }()
		t.Cleanup(func() { _ = server.Close() })
		require.NoError(t, d.Register(t.Context(), d.Node(id)))
		members = append(members, m)
	}
	g := &group{t: t, members: members}
	require.Eventually(t, func() bool { return len(open().Nodes()) == 2 }, time.Minute, time.Millisecond)
	survivors(t, 20, func(int) error { return (&poller{http: freshClient(t, ""), pick: g.any}).live(3) })
	survivors(t, 20, func(i int) error { return newSock(freshClient(t, ""), g.any, fmt.Sprint("s", i)).live(3) })
	assert.NotZero(t, g.stats().Forwarded)

	_, err := open().Listen(t.Context(), "n0aB")
	require.ErrorIs(t, err, stickiness.ErrNode, "in use")
	require.NoError(t, members[0].forward.Drain(t.Context()))
	node, ok := open().Lookup("n0aB")
	assert.True(t, ok)
	assert.True(t, node.Draining)
	require.NoError(t, open().Unregister(t.Context(), "n0aB"))
	require.NoError(t, open().Unregister(t.Context(), "n0aB"))
	require.NoError(t, open().Unregister(t.Context(), "../x"))
	_, ok = open().Lookup("n0aB")
	assert.False(t, ok)
	assert.ErrorIs(t, open().Register(t.Context(), stickiness.Node{ID: "n2aB", URL: "unix:///elsewhere/n2aB.sock"}), stickiness.ErrNode)
	_, err = open().Listen(t.Context(), "../x")
	assert.ErrorIs(t, err, stickiness.ErrNode)
	_, err = stickiness.NewDir(path + "/none")
	assert.Error(t, err)
}
