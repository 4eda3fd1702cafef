package redisbus_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/redisbus"
)

// Redis keeps the confirmations of subscriptions until they are read, and ends a connection
// on which that is too much: by default 32 MiB. Here 4 MiB are less than what 200,000 take
// if they are asked for at once, so in one command it could never succeed.
func TestManySubscriptionsAreMadeAgain(t *testing.T) {
	const channels = 200_000
	server, err := startRedis(0, "--client-output-buffer-limit", "pubsub 4mb 2mb 10")
	require.NoError(t, err)
	defer func() { server.kill() }()
	client := clientOf(t, "redis://"+server.addr())

	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	defer ended.Wait()
	defer cancel()
	var ups, downs atomic.Int64
	heard := make(chan string, 10)
	ended.Go(func() {
		redisbus.Subscribing(ctx, client, channels, func(channel string) { heard <- channel }, func(err error) {
			if err == nil {
				ups.Add(1)
			} else {
				downs.Add(1)
			}
		})
	})
	whole := func(n int64) {
		t.Helper()
		began := time.Now()
		require.Eventually(t, func() bool { return ups.Load() == n }, time.Minute, 10*time.Millisecond)
		t.Logf("subscribed after %v", time.Since(began))
		for _, i := range []int{0, channels / 2, channels - 1} {
			channel := "channel:" + strconv.Itoa(i)
			require.NoError(t, client.Publish(ctx, channel, "").Err())
			assert.Equal(t, channel, <-heard)
		}
	}
	whole(1)
	assert.Zero(t, downs.Load())
	require.NoError(t, client.ClientKillByFilter(ctx, "TYPE", "pubsub").Err())
	whole(2)
	assert.EqualValues(t, 1, downs.Load(), "the one interruption, and none that we caused")
	server.kill()
	server, err = startRedis(server.port, "--client-output-buffer-limit", "pubsub 4mb 2mb 10")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return ups.Load() == 3 }, time.Minute, 10*time.Millisecond)
}

// B5: namespaces that clients enter and leave one after another do not pile up in Redis.
func TestUnusedPatternsAreLimited(t *testing.T) {
	server, err := startRedis(0)
	require.NoError(t, err)
	defer func() { server.kill() }()
	most, err := redisbus.Churning(t.Context(), clientOf(t, "redis://"+server.addr()), 6000)
	require.NoError(t, err)
	assert.Less(t, most, 2500)
}
