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

// Redis keeps the confirmations of subscriptions until they are read, and ends a connection on which that is too much:
// by default 32 MiB. Here the limit is 1 MiB, which is less than what all of them take, so one command could never
// succeed.
func TestManySubscriptionsAreMadeAgain(t *testing.T) {
	const channels = 50_000
	limit := []string{"--client-output-buffer-limit", "pubsub 1mb 1mb 10"}
	server, err := startRedis(0, limit...)
	require.NoError(t, err)
	defer func() { server.kill() }()
	client := clientOf(t, "redis://"+server.addr())

	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	defer ended.Wait()
	defer cancel()
	var ups atomic.Int64
	heard := make(chan string, 10)
	ended.Go(func() {
		redisbus.Subscribing(ctx, client, channels, func(channel string) { heard <- channel }, func(err error) {
			if err == nil {
				ups.Add(1)
			}
		})
	})
	whole := func(before int64) {
		t.Helper()
		require.Eventually(t, func() bool { return ups.Load() > before }, time.Minute, 10*time.Millisecond)
		for _, i := range []int{0, channels / 2, channels - 1} {
			channel := "channel:" + strconv.Itoa(i)
			require.NoError(t, client.Publish(ctx, channel, "").Err())
			assert.Equal(t, channel, <-heard)
		}
	}
	whole(0)
	before := ups.Load()
	require.NoError(t, client.ClientKillByFilter(ctx, "TYPE", "pubsub").Err())
	whole(before)
	before = ups.Load()
	server.kill()
	server, err = startRedis(server.port, limit...)
	require.NoError(t, err)
	whole(before)
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
