package redisbus_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/redisbus"
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

// What clients choose to call their namespaces and rooms changes nothing that a server knows about
// others: neither their number nor what it has missed of them.
func TestNamesOfClientsCountNothing(t *testing.T) {
	client := clientOf(t, shared)
	a, b := open(t, client, &hub{}, prefix(t)), open(t, client, &hub{}, prefix(t))
	b.subscribe(t, "/room")
	emit := func(namespace string, rooms ...string) {
		t.Helper()
		require.NoError(t, a.Publish(&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: namespace, Event: "e", Rooms: rooms}))
	}
	emit("/room")
	b.take(t, 1)
	key := "test-" + t.Name()
	names := []string{"/room#x", "/#", "/room#", "/-request#/", "/*", "/room#thinkws-AAAAAAAAAAAAAAAA"}
	for _, namespace := range names {
		b.subscribe(t, namespace)
	}
	for range 3 {
		for _, room := range []string{"x", "", "#", "x#", "thinkws-AAAAAAAAAAAAAAAA", "-request#/#", key + "-request#/#"} {
			emit("/room", room) // some of these channels match the pattern of another namespace
			emit("/room", room, "other")
			assert.Equal(t, "/room", b.take(t, 1)[0].Namespace)
			assert.Equal(t, "/room", b.take(t, 1)[0].Namespace)
		}
		for _, namespace := range names {
			emit(namespace, "x")
			assert.Equal(t, namespace, b.take(t, 1)[0].Namespace)
		}
	}
	// Others, of which a client may have named rooms and namespaces, listen and publish as well.
	others := client.Subscribe(t.Context(), key+"-request#/#x#", key+"-request#/##", key+"-thinkws#x#", key+"#/#thinkws-AAAAAAAAAAAAAAAA#")
	defer others.Close()
	for range 4 {
		_, err := others.Receive(t.Context())
		require.NoError(t, err)
	}
	b.still(t, a)
	for _, n := range []*node{a, b} {
		require.Eventually(t, func() bool { return n.Stats().Nodes == 2 }, time.Minute, time.Millisecond)
		s := n.Stats()
		assert.Zero(t, s.Missed)
		assert.Zero(t, s.Lost)
		assert.NoError(t, s.Err)
	}
}

// What is sent to a namespace while nobody of this server is in it is not missed.
func TestNamespaceThatWasLeftMissesNothing(t *testing.T) {
	client := clientOf(t, shared)
	a, b := open(t, client, &hub{}, prefix(t)), open(t, client, &hub{}, prefix(t))
	e := &thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/x", Event: "e"}
	b.subscribe(t, "/x")
	require.NoError(t, a.Publish(e))
	b.take(t, 1)
	b.Unsubscribe("/x")
	for range 10 {
		require.NoError(t, a.Publish(e))
	}
	b.still(t, a)
	b.subscribe(t, "/x")
	require.NoError(t, a.Publish(e))
	b.take(t, 1)
	assert.Zero(t, b.Stats().Missed)
}

// A goodbye that somebody repeats is that of one server.
func TestGoodbyeCountsOnce(t *testing.T) {
	client := clientOf(t, shared)
	a := open(t, client, &hub{}, prefix(t))
	open(t, client, &hub{}, prefix(t))
	c, err := redisbus.New(client, prefix(t)).Open(&hub{})
	require.NoError(t, err)
	require.NoError(t, c.Subscribe(t.Context(), "/"))
	require.Eventually(t, func() bool { return a.Stats().Nodes == 3 }, time.Minute, time.Millisecond)
	goodbye := client.Subscribe(t.Context(), "test-"+t.Name()+"-thinkws#")
	defer goodbye.Close()
	_, err = goodbye.Receive(t.Context())
	require.NoError(t, err)
	require.NoError(t, c.Close(t.Context()))
	m, err := goodbye.ReceiveMessage(t.Context())
	require.NoError(t, err)
	for range 5 {
		require.NoError(t, client.Publish(t.Context(), m.Channel, m.Payload).Err())
	}
	require.NoError(t, client.Publish(t.Context(), m.Channel, redisbus.EncodeMark("thinkws-0000000000000000", "", 0)).Err())
	require.Eventually(t, func() bool { return a.Stats().Nodes == 2 }, time.Minute, time.Millisecond)
	require.Never(t, func() bool { return a.Stats().Nodes != 2 }, 100*time.Millisecond, time.Millisecond)
}
