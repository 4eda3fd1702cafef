package redisbus_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// Row 3, a single Redis: all that can happen to it while three nodes publish.
func TestSingleRedisHasBadDays(t *testing.T) {
	t.Parallel()
	server, err := startRedis(0)
	require.NoError(t, err)
	defer func() { server.kill() }()
	client := clientOf(t, "redis://"+server.addr())
	tr := startTraffic(t, same(client, 3))
	for _, kind := range []string{"normal", "pubsub"} {
		require.NoError(t, client.ClientKillByFilter(t.Context(), "TYPE", kind, "SKIPME", "yes").Err())
		t.Logf("CLIENT KILL TYPE %s: traffic flows after %v", kind, tr.flows(t))
	}
	server.kill()
	server, err = startRedis(server.port)
	require.NoError(t, err)
	t.Logf("kill -9: traffic flows after %v", tr.flows(t))
	tr.check(t)
}

// A node that does not read for a while has its connection closed by Redis, with all that waited
// for it.
func TestOutputLimitIsExceeded(t *testing.T) {
	t.Parallel()
	server, err := startRedis(0, "--client-output-buffer-limit", "pubsub 64kb 32kb 5")
	require.NoError(t, err)
	defer server.kill()
	client := clientOf(t, "redis://"+server.addr())
	a := open(t, client, &hub{})
	goOn := make(chan struct{})
	b := open(t, client, &hub{answer: func(*thinkws.Envelope, func(*thinkws.Envelope)) { <-goOn }})
	long := payload(t, strings.Repeat("x", 32<<10))
	published := 0
	closed := func() bool {
		const channel = "socket.io-request#/#"
		return client.PubSubNumSub(t.Context(), channel).Val()[channel] == 1
	}
	for !closed() {
		for range 100 {
			e := &thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e", Args: long}
			if a.Publish(e) == nil {
				published++
			}
		}
	}
	close(goOn)
	require.Eventually(t, func() bool { return b.count()+int(b.Stats().Missed) == published }, time.Minute, 10*time.Millisecond,
		"%d published, %d arrived, %d missed", published, b.count(), b.Stats().Missed)
	assert.NotZero(t, b.Stats().Missed)
	b.take(t, b.count())
	b.still(t, a)
}

// Rows D8: go-redis logs nothing of our connections while Redis is away; our log does, once. It runs
// alone, so that nothing else makes go-redis log.
func TestGoRedisLogsNothing(t *testing.T) {
	server, err := startRedis(0)
	require.NoError(t, err)
	defer func() { server.kill() }()
	client := clientOf(t, "redis://"+server.addr())
	before := goRedis.count()
	registryLog := &lines{}
	registry(t, "redis://"+server.addr(), registryLog)
	tr := startTraffic(t, same(client, 2))
	server.kill()
	require.Eventually(t, func() bool { return registryLog.count("is not reached") == 1 }, time.Minute, 10*time.Millisecond)
	time.Sleep(3 * time.Second)
	server, err = startRedis(server.port)
	require.NoError(t, err)
	tr.flows(t)
	require.Eventually(t, func() bool { return registryLog.count("is reached again") == 1 }, time.Minute, 10*time.Millisecond)
	assert.Empty(t, goRedis.since(before, ""))
	assert.Equal(t, 1, registryLog.count("is not reached"))
	tr.check(t)
	tr.checkChanges(t, 1)
}
