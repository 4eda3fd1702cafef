package redisbus_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// A server that takes its time with what it gets, on a busy machine for one, is not deaf: its probes come back late,
// behind the messages of others. In both cases that takes longer than the silence after which a connection is dead.
func TestServerThatLagsKeepsItsConnection(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		messages int
		each     time.Duration
	}{"many messages": {50, 100 * time.Millisecond}, "a long one": {1, 5 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lag(t, tt.messages, tt.each)
		})
	}
}

func lag(t *testing.T, messages int, each time.Duration) {
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
