package redisbus_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/redisbus"
	"github.com/seed-ce09063a/thinkws/stickiness"
)

func registry(t *testing.T, url string, log *lines) *redisbus.Registry {
	t.Helper()
	r, err := redisbus.NewRegistry(t.Context(), clientOf(t, url), log.logger(), prefix(t))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, r.Close()) })
	return r
}

func nodeAt(id string, port int) stickiness.Node {
	return stickiness.Node{ID: id, URL: fmt.Sprintf("http://127.0.0.1:%d", port)}
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	a, b := registry(t, shared, &lines{}), registry(t, shared, &lines{})
	one, two := nodeAt("n1aB", 1), nodeAt("n2aB", 2)
	two.Weight, two.Draining = 3, true
	require.NoError(t, b.Register(t.Context(), two))
	require.NoError(t, a.Register(t.Context(), one))
	for _, r := range []*redisbus.Registry{a, b} {
		require.Eventually(t, func() bool { return len(r.Nodes()) == 2 }, 500*time.Millisecond, time.Millisecond, "at once, not when it is read next")
		assert.Equal(t, []stickiness.Node{one, two}, r.Nodes())
		got, ok := r.Lookup("n2aB")
		assert.True(t, ok)
		assert.Equal(t, two, got)
		_, ok = r.Lookup("n3aB")
		assert.False(t, ok)
	}
	one.Draining = true
	require.NoError(t, a.Register(t.Context(), one), "it may change")
	require.Eventually(t, func() bool { n, _ := b.Lookup("n1aB"); return n.Draining }, 500*time.Millisecond, time.Millisecond)
	assert.ErrorIs(t, b.Register(t.Context(), nodeAt("n1aB", 7)), stickiness.ErrNode, "another process has that id")
	assert.ErrorIs(t, b.Register(t.Context(), stickiness.Node{ID: "x"}), stickiness.ErrNode)

	require.NoError(t, a.Unregister(t.Context(), "n1aB"))
	require.NoError(t, a.Unregister(t.Context(), "none"))
	require.Eventually(t, func() bool { return len(b.Nodes()) == 1 }, 500*time.Millisecond, time.Millisecond)
	require.NoError(t, b.Register(t.Context(), nodeAt("n1aB", 7)), "now it is free")
}

// What a process changes and what it renews are not in each other's way: a node that was
// taken out is not entered again, and one that has changed is not changed back.
func TestRegistryRenewsWhatItChanges(t *testing.T) {
	t.Parallel()
	client := clientOf(t, shared)
	a, b := registry(t, shared, &lines{}), registry(t, shared, &lines{})
	key := "test-" + t.Name() + "-thinkws-"
	ended, end := make(chan struct{}), make(chan struct{})
	go func() { // each of these has both renew what they have at once
		defer close(ended)
		for {
			select {
			case <-end:
				return
			default:
				client.Publish(t.Context(), key+"changes", "+x")
			}
		}
	}()
	defer func() { close(end); <-ended }()
	for i := range 200 {
		for _, r := range []*redisbus.Registry{a, b} {
			node := nodeAt("n1aB", i+1)
			require.NoError(t, r.Register(t.Context(), node), "the other has taken it out: %d", i)
			node.Draining = true
			require.NoError(t, r.Register(t.Context(), node))
			entry, err := client.HGet(t.Context(), key+"nodes", node.ID).Result()
			require.NoError(t, err)
			require.Contains(t, entry, `"Draining":true`, "as it was changed: %d", i)
			require.NoError(t, r.Unregister(t.Context(), node.ID))
			require.Zero(t, client.HLen(t.Context(), key+"nodes").Val(), "it was taken out: %d", i)
		}
	}
}

// Row 86: what stands in Redis is not believed.
func TestHostile86Registry(t *testing.T) {
	t.Parallel()
	client := clientOf(t, shared)
	log := &lines{}
	a := registry(t, shared, log)
	require.NoError(t, a.Register(t.Context(), nodeAt("n1aB", 1)))
	later := fmt.Sprint(time.Now().Add(time.Hour).UnixMilli())
	for id, entry := range map[string]string{
		"n2aB": later + " {", "n3aB": later + ` {"ID":"n1aB","URL":"http://127.0.0.1:9"}`, "n4aB": later + ` {"ID":"n4aB","URL":"http://user:x@127.0.0.1/"}`,
		"n5aB": "soon {}", "n6aB": "", "../x": later + ` {"ID":"../x","URL":"http://127.0.0.1:1"}`,
	} {
		require.NoError(t, client.HSet(t.Context(), "test-"+t.Name()+"-thinkws-nodes", id, entry).Err())
	}
	require.Eventually(t, func() bool { return log.count("entry is no node") >= 3 }, time.Minute, 10*time.Millisecond, "it has read them")
	assert.Equal(t, []stickiness.Node{nodeAt("n1aB", 1)}, a.Nodes())
}

// A node that dies is gone after its lease; one that lives is not, and neither is anybody
// because Redis is away or has lost everything.
func TestRegistryLeases(t *testing.T) {
	t.Parallel()
	server, err := startRedis(0)
	require.NoError(t, err)
	defer func() { server.kill() }()
	url := "redis://" + server.addr()
	log := &lines{}
	a := registry(t, url, log)
	dead, err := redisbus.NewRegistry(t.Context(), clientOf(t, url), nil, prefix(t))
	require.NoError(t, err)
	require.NoError(t, a.Register(t.Context(), nodeAt("n1aB", 1)))
	require.NoError(t, dead.Register(t.Context(), nodeAt("n2aB", 2)))
	require.NoError(t, dead.Close())
	require.Eventually(t, func() bool { return len(a.Nodes()) == 2 }, time.Minute, time.Millisecond)
	died := time.Now()

	server.kill()
	require.Eventually(t, func() bool { return log.count("is not reached") == 1 }, time.Minute, 10*time.Millisecond)
	assert.Len(t, a.Nodes(), 2, "the last that was known")
	server, err = startRedis(server.port)
	require.NoError(t, err)
	b := registry(t, url, &lines{})
	require.Eventually(t, func() bool { return len(b.Nodes()) == 1 }, time.Minute, 10*time.Millisecond, "it is entered again")
	require.Eventually(t, func() bool { return len(a.Nodes()) == 1 }, 12*time.Second, 50*time.Millisecond)
	assert.Greater(t, time.Since(died), 8*time.Second)
	assert.Equal(t, 1, log.count("is not reached"))
	assert.Equal(t, 1, log.count("reached again"))
}

func TestRegistryWithoutRedis(t *testing.T) {
	_, err := redisbus.NewRegistry(t.Context(), clientOf(t, "redis://127.0.0.1:1"), nil, prefix(t))
	assert.ErrorContains(t, err, "redisbus: registry")
	_, err = redisbus.NewRegistry(t.Context(), nil, nil)
	assert.ErrorContains(t, err, "no client")
}
