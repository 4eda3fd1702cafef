package redisbus_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// A server that takes its time with what it gets, on a busy machine for one, is not deaf: its probes come back late, behind
// the messages of others.
func TestServerThatLagsKeepsItsConnection(t *testing.T) {
	t.Parallel()
	const messages, each = 50, 100 * time.Millisecond // in all longer than the silence after which a connection is dead
	client := clientOf(t, shared)
	log := &lines{}
	lags := open(t, client, &hub{log: log.logger(), answer: func(*thinkws.Envelope, func(*thinkws.Envelope)) { time.Sleep(each) }}, prefix(t))
	from := open(t, client, &hub{}, prefix(t))
	for range messages {
		require.NoError(t, from.Publish(&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e"}))
	}
	lags.take(t, messages)
	time.Sleep(each)
	assert.Zero(t, log.count("bus is down"))
	assert.Zero(t, lags.Stats().Missed+from.Stats().Lost)
}
