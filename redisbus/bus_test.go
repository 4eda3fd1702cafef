package redisbus_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/redisbus"
)

func TestEnvelopesArrive(t *testing.T) {
	client := clientOf(t, shared)
	a, b := open(t, client, &hub{}, prefix(t)), open(t, client, &hub{}, prefix(t))
	for _, e := range []*thinkws.Envelope{
		{Kind: thinkws.BusEmit, Namespace: "/", Event: "hello", Args: payload(t, "x", 7, []byte{1, 2}, map[string]any{"deep": []byte{3}})},
		{Kind: thinkws.BusEmit, Namespace: "/", Event: "empty"},
		{Kind: thinkws.BusEmit, Namespace: "/", Event: "e", Rooms: []string{"room:1"}, Except: []string{"id"}, Volatile: true, Plain: true},
		{Kind: thinkws.BusEmit, Namespace: "/", Event: "e", Rooms: []string{"1", "a#b", ""}, Except: []string{"2", "2x"}},
		{Kind: thinkws.BusEmit, Namespace: "/", Event: "e", Rooms: []string{"-17"}},
		{Kind: thinkws.BusJoin, Namespace: "/", Rooms: []string{"a", "3"}, Except: []string{"b"}, Names: []string{"c", "4"}},
		{Kind: thinkws.BusLeave, Namespace: "/", Rooms: []string{"a"}, Names: []string{"c", "4"}},
		{Kind: thinkws.BusDisconnect, Namespace: "/", Rooms: []string{"a"}},
		{Kind: thinkws.BusDisconnect, Namespace: "/", Whole: true},
		{Kind: thinkws.BusServerEmit, Namespace: "/", Event: "reload", Args: payload(t, "now", 1)},
		{Kind: thinkws.BusServerEmit, Namespace: "/", Event: "reload"},
	} {
		require.NoError(t, a.Publish(e))
		got := b.take(t, 1)[0]
		if len(got.Args.Text) == 0 {
			got.Args.Text = e.Args.Text
		}
		assert.Equal(t, e, got)
	}
	assert.Zero(t, a.count(), "a node does not hear itself")
	require.Eventually(t, func() bool { return a.Stats().Published == 11 }, time.Minute, time.Millisecond, "which is counted behind the arrival")
	assert.EqualValues(t, 11, b.Stats().Received)
	assert.Equal(t, 2, a.Stats().Nodes)
	assert.Zero(t, a.Stats().Lost)
}

func TestNamespacesAreKeptApart(t *testing.T) {
	client := clientOf(t, shared)
	a, b := open(t, client, &hub{}, prefix(t)), open(t, client, &hub{}, prefix(t))
	names := []string{"/a", "/a#", "/*", "/[a-z]", "/a?", `/\`, "/ab"}
	for _, name := range names {
		b.subscribe(t, name)
	}
	for _, name := range names {
		require.NoError(t, a.Publish(&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: name, Event: "e", Rooms: []string{"r"}}))
		require.NoError(t, a.Publish(&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: name, Event: "e"}))
		for range 2 {
			assert.Equal(t, name, b.take(t, 1)[0].Namespace)
		}
	}
	require.NoError(t, a.Publish(&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/nobody", Event: "e"}))
	require.NoError(t, a.Publish(&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "last"}))
	assert.Equal(t, "last", b.take(t, 1)[0].Event)
	assert.Zero(t, b.Stats().Dropped)
}

// What is for a room that nobody is in is not decoded, and a broken one not noticed.
func TestRoomsOfNobodyAreSkipped(t *testing.T) {
	client := clientOf(t, shared)
	b := open(t, client, &hub{rooms: map[string]bool{"here": true}}, prefix(t))
	channel := "test-" + t.Name() + "#/#"
	require.NoError(t, client.Publish(t.Context(), channel+"elsewhere#", "\xc1 broken").Err())
	require.NoError(t, client.Publish(t.Context(), channel+"here#",
		redisbus.EncodeBroadcast("uid", &thinkws.Envelope{Namespace: "/", Event: "e", Rooms: []string{"here"}}, false)).Err())
	assert.Equal(t, "e", b.take(t, 1)[0].Event)
	assert.Zero(t, b.Stats().Dropped)
	require.NoError(t, client.Publish(t.Context(), channel+"here#", "\xc1 broken").Err())
	require.Eventually(t, func() bool { return b.Stats().Dropped == 1 }, time.Minute, time.Millisecond)
}

func TestUnsubscribe(t *testing.T) {
	client := clientOf(t, shared)
	a, b := open(t, client, &hub{}, prefix(t)), open(t, client, &hub{}, prefix(t))
	b.subscribe(t, "/x")
	b.subscribe(t, "/x")
	b.Unsubscribe("/x")
	e := &thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/x", Event: "e"}
	require.NoError(t, a.Publish(e))
	b.take(t, 1)
	b.Unsubscribe("/x")
	channel := "test-" + t.Name() + "-request#/x#"
	require.Eventually(t, func() bool {
		n, err := client.PubSubNumSub(t.Context(), channel).Result()
		return err == nil && n[channel] == 0
	}, 5*time.Second, 50*time.Millisecond)
	b.subscribe(t, "/x")
	require.NoError(t, a.Publish(e))
	b.take(t, 1)
}

// Namespaces that come and go leave nothing behind, in whatever order.
func TestManyNamespacesComeAndGo(t *testing.T) {
	t.Parallel()
	server, err := startRedis(0)
	require.NoError(t, err)
	defer server.kill()
	client := clientOf(t, "redis://"+server.addr())
	b := open(t, client, &hub{})
	patterns := client.PubSubNumPat(t.Context()).Val()
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 100 {
				name := fmt.Sprintf("/room-%d", (worker*37+i)%200)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				assert.NoError(t, b.Subscribe(ctx, name))
				cancel()
				b.Unsubscribe(name)
			}
		})
	}
	wg.Wait()
	require.Eventually(t, func() bool {
		channels := client.PubSubChannels(t.Context(), "*room*").Val()
		return len(channels) == 0 && client.PubSubNumPat(t.Context()).Val() == patterns
	}, 5*time.Second, 50*time.Millisecond)
	assert.True(t, b.Stats().Up)
}

func TestAsk(t *testing.T) {
	client := clientOf(t, shared)
	answers := func(uid string) *hub {
		return &hub{answer: func(e *thinkws.Envelope, reply func(*thinkws.Envelope)) {
			a := &thinkws.Envelope{Kind: thinkws.BusAnswer}
			switch e.Kind {
			case thinkws.BusSockets:
				a.Members = []thinkws.Member{{ID: uid, Rooms: []string{uid, "r"}}}
			case thinkws.BusRooms:
				a.Names = []string{uid}
			case thinkws.BusServerEmit:
				if uid == "c" {
					reply(nil)
					return
				}
				a.Args = payload(t, uid)
			case thinkws.BusEmit:
				reply(&thinkws.Envelope{Kind: thinkws.BusClients, Clients: 2})
				reply(&thinkws.Envelope{Kind: thinkws.BusClients, Clients: -1})
				a.Args = payload(t, uid, []byte("bin"))
			}
			reply(a)
		}}
	}
	a := open(t, client, &hub{}, prefix(t))
	open(t, client, answers("b"), prefix(t))
	open(t, client, answers("c"), prefix(t))
	ask := func(kind thinkws.EnvelopeKind) (got []*thinkws.Envelope) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		require.NoError(t, a.Ask(ctx, &thinkws.Envelope{Kind: kind, Namespace: "/", Event: "e", Timeout: time.Second},
			func(e *thinkws.Envelope) { got = append(got, e) }))
		return got
	}
	assert.Len(t, ask(thinkws.BusSockets), 2)
	assert.Len(t, ask(thinkws.BusRooms), 2)
	only := ask(thinkws.BusServerEmit)
	require.Len(t, only, 1)
	assert.Equal(t, `"b"`, string(only[0].Args.JSON()))
	acks := 0
	for _, e := range ask(thinkws.BusEmit) {
		if e.Kind == thinkws.BusAnswer {
			acks++
			assert.Equal(t, 2, e.Args.Count)
			assert.Len(t, e.Args.Parts, 1)
		}
	}
	assert.Equal(t, 2, acks)
}

func TestAskAlone(t *testing.T) {
	a := open(t, clientOf(t, shared), &hub{}, prefix(t))
	require.NoError(t, a.Ask(t.Context(), &thinkws.Envelope{Kind: thinkws.BusSockets, Namespace: "/"}, nil))
	require.NoError(t, a.Ask(t.Context(), &thinkws.Envelope{Kind: thinkws.BusSockets, Namespace: "/nowhere"}, nil))
}

// A node may ask in a namespace that it has nobody in.
func TestAskElsewhere(t *testing.T) {
	client := clientOf(t, shared)
	a := open(t, client, &hub{}, prefix(t))
	b := open(t, client, &hub{answer: func(_ *thinkws.Envelope, reply func(*thinkws.Envelope)) {
		reply(&thinkws.Envelope{Kind: thinkws.BusAnswer, Names: []string{"r"}})
	}}, prefix(t))
	b.subscribe(t, "/there")
	var got []*thinkws.Envelope
	require.NoError(t, a.Ask(t.Context(), &thinkws.Envelope{Kind: thinkws.BusRooms, Namespace: "/there"}, func(e *thinkws.Envelope) { got = append(got, e) }))
	assert.Len(t, got, 1)
}

func TestAskNamesWhoIsMissing(t *testing.T) {
	client := clientOf(t, shared)
	a := open(t, client, &hub{}, prefix(t))
	open(t, client, &hub{answer: func(_ *thinkws.Envelope, reply func(*thinkws.Envelope)) {
		reply(&thinkws.Envelope{Kind: thinkws.BusAnswer, Names: []string{"r"}})
	}}, prefix(t))
	silent := open(t, client, &hub{}, prefix(t))

	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var got []*thinkws.Envelope
	take := func(e *thinkws.Envelope) { got = append(got, e) }
	err := a.Ask(ctx, &thinkws.Envelope{Kind: thinkws.BusRooms, Namespace: "/"}, take)
	missing := &thinkws.NodesError{}
	require.ErrorAs(t, err, &missing)
	assert.ErrorIs(t, err, thinkws.ErrNoAck)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Equal(t, 1, missing.Count)
	assert.Len(t, missing.Missing, 1)
	assert.Len(t, got, 1)

	// One that goes away is not waited for.
	time.AfterFunc(100*time.Millisecond, func() { silent.Close(context.Background()) })
	began := time.Now()
	err = a.Ask(t.Context(), &thinkws.Envelope{Kind: thinkws.BusRooms, Namespace: "/"}, take)
	require.ErrorAs(t, err, &missing)
	assert.Equal(t, 1, missing.Count)
	assert.Less(t, time.Since(began), 2*time.Second)
	assert.Len(t, got, 2)
	require.Eventually(t, func() bool { return a.Stats().Nodes == 2 }, 5*time.Second, time.Millisecond, "it has said goodbye")
}

// A node that has said how many clients it asks, and is gone before they have answered.
func TestAskIsNotHeldUpByClientsOfANodeThatHasGone(t *testing.T) {
	client := clientOf(t, shared)
	a := open(t, client, &hub{}, prefix(t))
	asked := make(chan struct{})
	b := open(t, client, &hub{answer: func(_ *thinkws.Envelope, reply func(*thinkws.Envelope)) {
		reply(&thinkws.Envelope{Kind: thinkws.BusClients, Clients: 3})
		reply(&thinkws.Envelope{Kind: thinkws.BusAnswer, Args: payload(t, "one of them")})
		close(asked)
	}}, prefix(t))
	go func() {
		<-asked
		b.Close(context.Background())
	}()
	answers := 0
	began := time.Now()
	err := a.Ask(t.Context(), &thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e"}, func(e *thinkws.Envelope) {
		if e.Kind == thinkws.BusAnswer {
			answers++
		}
	})
	missing := &thinkws.NodesError{}
	require.ErrorAs(t, err, &missing)
	assert.Equal(t, 2, missing.Clients)
	assert.Zero(t, missing.Count)
	assert.Equal(t, 1, answers)
	assert.Less(t, time.Since(began), 3*time.Second)
}

func TestOptionsAreChecked(t *testing.T) {
	client := clientOf(t, shared)
	for name, option := range map[string]redisbus.Option{
		"prefix": redisbus.WithPrefix(""), "timeout": redisbus.WithRequestTimeout(0), "payload": redisbus.WithMaxPayload(-1),
		"outbox": redisbus.WithOutbox(0, 0),
	} {
		_, err := thinkws.New(thinkws.WithBus(redisbus.New(client, option)))
		assert.ErrorContains(t, err, "redisbus", name)
		assert.ErrorContains(t, redisbus.NewEmitter(client, option).Emit(t.Context(), "e"), "redisbus", name)
	}
	_, err := thinkws.New(thinkws.WithBus(redisbus.New(nil)))
	assert.ErrorContains(t, err, "no client")
}
