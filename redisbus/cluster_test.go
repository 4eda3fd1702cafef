package redisbus_test

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/redisbus"
)

// startCluster starts a Redis Cluster of three masters.
func startCluster(t *testing.T) *redis.ClusterClient {
	t.Helper()
	var addrs []string
	for failures := 0; len(addrs) < 3; {
		server, err := startRedis(0, "--cluster-enabled", "yes", "--cluster-config-file", filepath.Join(t.TempDir(), "nodes.conf"),
			"--cluster-port", "0")
		if err != nil { // the port of its own traffic, 10,000 above, may be taken or too high
			failures++
			require.Less(t, failures, 20, err)
			continue
		}
		t.Cleanup(server.kill)
		addrs = append(addrs, server.addr())
	}
	out, err := exec.CommandContext(t.Context(), "redis-cli", append([]string{"--cluster", "create", "--cluster-yes"}, addrs...)...).CombinedOutput()
	require.NoError(t, err, string(out))
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	t.Cleanup(func() { client.Close() })
	require.Eventually(t, func() bool {
		return client.ClusterInfo(t.Context()).Err() == nil && client.Set(t.Context(), "a", 1, 0).Err() == nil
	}, 20*time.Second, 50*time.Millisecond)
	return client
}

func TestRedisCluster(t *testing.T) {
	client := startCluster(t)
	a := open(t, client, &hub{})
	b := open(t, client, &hub{answer: func(e *thinkws.Envelope, reply func(*thinkws.Envelope)) {
		if reply != nil {
			reply(&thinkws.Envelope{Kind: thinkws.BusAnswer, Names: []string{"b"}})
		}
	}})
	b.subscribe(t, "/chat")
	for i := range 100 { // in order, whatever the channel
		require.NoError(t, a.Publish(&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e", Rooms: []string{string(rune('a' + i%26))}, Args: payload(t, i)}))
	}
	for i, e := range b.take(t, 100) {
		assert.Equal(t, payload(t, i), e.Args)
	}
	var got []*thinkws.Envelope
	require.NoError(t, a.Ask(t.Context(), &thinkws.Envelope{Kind: thinkws.BusRooms, Namespace: "/chat"}, func(e *thinkws.Envelope) { got = append(got, e) }))
	assert.Len(t, got, 1)
	require.NoError(t, redisbus.NewEmitter(client).Emit(t.Context(), "e"))
	assert.Equal(t, "e", b.take(t, 2)[1].Event)
	assert.Zero(t, a.Stats().Lost+b.Stats().Missed)
}
