package redisbus_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// Row B4: namespaces that clients of other servers have named are not taken for servers, and
// neither is whatever else listens to a channel.
func TestNamesOfClientsAreNoServers(t *testing.T) {
	const namespace = "/room-1"
	for _, tt := range []struct {
		name     string
		channels []string // that somebody listens to, without the prefix
		servers  int
	}{
		{"nobody else", nil, 1},
		{"a namespace that is named like a server in this one", []string{
			"-request#/room-1#x#", "-response#/room-1#x#", "-response#/room-1#x#abcdef#",
		}, 1},
		{"the same with a name of this library", []string{
			"-request#/room-1#thinkws-AAAAAAAAAAAAAAAA#", "-response#/room-1#thinkws-AAAAAAAAAAAAAAAA#",
			"-response#/room-1#thinkws-AAAAAAAAAAAAAAAA#thinkws-BBBBBBBBBBBBBBBB#",
		}, 1},
		{"two such namespaces, beside a server that has no name", []string{
			"-request#/room-1#x#", "-response#/room-1#x#", "-request#/room-1#y#", "-response#/room-1#y#", "-request#/room-1#",
		}, 2},
		{"more names than there are servers", []string{
			"-response#/room-1#x#", "-response#/room-1#y#", "-response#/room-1##", "-response#/room-1#a#b#",
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := clientOf(t, shared)
			a := open(t, client, &hub{}, prefix(t))
			b := open(t, client, &hub{answer: func(_ *thinkws.Envelope, reply func(*thinkws.Envelope)) {
				reply(&thinkws.Envelope{Kind: thinkws.BusAnswer, Names: []string{"b"}})
			}}, prefix(t))
			a.subscribe(t, namespace)
			b.subscribe(t, namespace)
			if len(tt.channels) > 0 {
				channels := make([]string, len(tt.channels))
				for i, channel := range tt.channels {
					channels[i] = "test-" + t.Name() + channel
				}
				others := client.Subscribe(t.Context(), channels...)
				defer others.Close()
				for range channels {
					_, err := others.Receive(t.Context())
					require.NoError(t, err)
				}
			}
			answers := 0
			err := a.Ask(t.Context(), &thinkws.Envelope{Kind: thinkws.BusRooms, Namespace: namespace}, func(*thinkws.Envelope) { answers++ })
			assert.Equal(t, 1, answers)
			if tt.servers == 1 {
				assert.NoError(t, err)
				return
			}
			missing := &thinkws.NodesError{}
			require.ErrorAs(t, err, &missing, "the server without a name does not answer")
			assert.Equal(t, 1, missing.Count)
			assert.Empty(t, missing.Missing)
		})
	}
}

// Names that a client may choose for a dynamic namespace, and that patterns of Redis give a
// meaning, reach and count the servers of no other one.
func TestNamesOfClientsAreNoPatterns(t *testing.T) {
	client := clientOf(t, shared)
	a := open(t, client, &hub{}, prefix(t))
	b := open(t, client, &hub{answer: func(_ *thinkws.Envelope, reply func(*thinkws.Envelope)) {
		reply(&thinkws.Envelope{Kind: thinkws.BusAnswer, Names: []string{"b"}})
	}}, prefix(t))
	b.subscribe(t, "/room-1")
	for _, namespace := range []string{"/room-*", "/room-[0-9]", "/room-?", `/room-\1`, "/room-[^x]", "/*", "/room-1*", "/room-"} {
		a.subscribe(t, namespace)
		answers := 0
		err := a.Ask(t.Context(), &thinkws.Envelope{Kind: thinkws.BusRooms, Namespace: namespace}, func(*thinkws.Envelope) { answers++ })
		assert.NoError(t, err, namespace)
		assert.Zero(t, answers, namespace)
	}
	require.NoError(t, b.Publish(&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/room-1", Event: "e", Rooms: []string{"*"}}))
	require.NoError(t, b.Publish(&thinkws.Envelope{Kind: thinkws.BusServerEmit, Namespace: "/room-1", Event: "e"}))
	require.NoError(t, b.Publish(&thinkws.Envelope{Kind: thinkws.BusServerEmit, Namespace: "/room-*", Event: "last"}))
	assert.Equal(t, "last", a.take(t, 1)[0].Event)
	assert.Zero(t, a.count())
}
