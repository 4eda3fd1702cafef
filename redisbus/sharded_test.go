package redisbus_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/redisbus"
)

// Row D6: a server of Node.js with the sharded adapter shares nothing with the bus. The log warns once
// when one comes, also in a Redis Cluster, and not of one with another key.
func TestShardedAdapterIsNoticed(t *testing.T) {
	t.Parallel()
	server, err := startRedis(0)
	require.NoError(t, err)
	defer server.kill()
	client := clientOf(t, "redis://"+server.addr())
	log := &lines{}
	a := open(t, client, &hub{log: log.logger()}, redisbus.WithPrefix("k[1]*"), redisbus.SurveyEvery(time.Millisecond))
	other := client.SSubscribe(t.Context(), "k1x#/#")
	defer other.Close()
	const found, gone = "sharded adapter found", "sharded adapter is gone"
	for round := 1; round <= 2; round++ {
		sharded := client.SSubscribe(t.Context(), "k[1]*#/#", "k[1]*#/#0123456789abcdef#")
		require.Eventually(t, func() bool { return log.count(found) == round }, time.Minute, 10*time.Millisecond)
		time.Sleep(2500 * time.Millisecond) // it looks two times more
		assert.Equal(t, round, log.count(found), "once")
		require.NoError(t, sharded.Close())
		require.Eventually(t, func() bool { return log.count(gone) == round }, time.Minute, 10*time.Millisecond)
	}
	assert.NoError(t, a.Stats().Err, "it is no fault of the bus")
}

// Redis before version 7 does not know the command.
func TestShardedAdapterOfOldRedis(t *testing.T) {
	t.Parallel()
	fake := newFakeRedis(t)
	fake.answers("PUBSUB SHARDCHANNELS", "-ERR Unknown subcommand or wrong number of arguments for 'SHARDCHANNELS'. Try PUBSUB HELP.\r\n")
	log := &lines{}
	a := open(t, clientOf(t, fake.url()), &hub{log: log.logger()}, redisbus.SurveyEvery(time.Millisecond))
	require.Eventually(t, func() bool { return fake.times("PUBSUB SHARDCHANNELS") >= 2 }, time.Minute, 10*time.Millisecond)
	assert.NoError(t, a.Stats().Err)
	assert.NotContains(t, log.String(), "level=WARN")
}
