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
	for n := range int64(2) {
		require.NoError(t, client.ClientKillByFilter(ctx, "TYPE", "pubsub").Err())
		whole(n + 2)
		assert.Equal(t, n+1, downs.Load(), "the one interruption, and none that we caused")
	}
	server.kill()
	server, err = startRedis(server.port, "--client-output-buffer-limit", "pubsub 4mb 2mb 10")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return ups.Load() == 4 }, time.Minute, 10*time.Millisecond)
}
