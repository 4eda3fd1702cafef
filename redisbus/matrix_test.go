package redisbus_test

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// withAnswers opens a node that has the clients "s" and "other", and listens to the channel
// of answers.
func withAnswers(t *testing.T) (b *node, client *redis.Client, answers *redis.PubSub) {
	t.Helper()
	client = clientOf(t, shared)
	members := []thinkws.Member{{ID: "s", Rooms: []string{"s", "r"}}, {ID: "other"}}
	b = open(t, client, &hub{answer: func(_ *thinkws.Envelope, reply func(*thinkws.Envelope)) {
		if reply != nil {
			reply(&thinkws.Envelope{Kind: thinkws.BusAnswer, Members: members})
		}
	}}, prefix(t))
	answers = client.Subscribe(t.Context(), "test-"+t.Name()+"-response#/#")
	t.Cleanup(func() { answers.Close() })
	_, err := answers.Receive(t.Context())
	require.NoError(t, err)
	return b, client, answers
}

// What socket.io-redis 6 wants of one client is answered by the node that has it, and by no
// other.
func TestRequestsAboutOneClient(t *testing.T) {
	b, client, answers := withAnswers(t)
	for _, tt := range []struct {
		request string
		done    thinkws.EnvelopeKind
	}{
		{`"type":2,"sid":"s","room":7}`, thinkws.BusJoin},
		{`"type":3,"sid":"s","room":"n"}`, thinkws.BusLeave},
		{`"type":4,"sid":"s","close":true}`, thinkws.BusDisconnect},
	} {
		for _, request := range []string{`{"requestId":"nobody's","type":2,"sid":"nobody","room":"r"}`, `{"requestId":"i",` + tt.request} {
			require.NoError(t, client.Publish(t.Context(), "test-"+t.Name()+"-request#/#", request).Err())
		}
		m, err := answers.ReceiveMessage(t.Context())
		require.NoError(t, err)
		assert.JSONEq(t, `{"requestId":"i"}`, m.Payload)
		got := b.take(t, 3)
		assert.Equal(t, []thinkws.EnvelopeKind{thinkws.BusSockets, thinkws.BusSockets, tt.done},
			[]thinkws.EnvelopeKind{got[0].Kind, got[1].Kind, got[2].Kind})
		assert.Equal(t, []string{"s"}, got[2].Rooms)
	}
}

// Answers to what others have asked need not be understood.
func TestAnswersToOthers(t *testing.T) {
	b, client, answers := withAnswers(t)
	for _, answer := range []string{
		`{"requestId":"theirs","sockets":["id"]}`, `{"requestid":"theirs","clients":["id"]}`, `{"data":null}`,
		`{"requestId":"theirs","rooms":{"r":true}}`, `{"requestId":"theirs","clientCount":"many"}`,
	} {
		require.NoError(t, client.Publish(t.Context(), "test-"+t.Name()+"-response#/#", answer).Err())
		_, err := answers.ReceiveMessage(t.Context())
		require.NoError(t, err)
	}
	require.NoError(t, client.Publish(t.Context(), "test-"+t.Name()+"-request#/#", `{"requestId":"i","type":0,"rooms":[]}`).Err())
	b.take(t, 1) // which came behind all of them
	assert.Zero(t, b.Stats().Dropped)
}
