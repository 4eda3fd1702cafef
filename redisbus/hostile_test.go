package redisbus_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/redisbus"
)

// still checks that a node hears others as before.
func (n *node) still(t *testing.T, from *node) {
	t.Helper()
	require.NoError(t, from.Publish(&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "still"}))
	assert.Equal(t, "still", n.take(t, 1)[0].Event)
}

// Row 76: characters that patterns give a meaning.
func TestHostile76Globs(t *testing.T) {
	client := clientOf(t, shared)
	a, b := open(t, client, &hub{}, prefix(t)), open(t, client, &hub{}, prefix(t))
	for _, namespace := range []string{"/*", "/[a-z]", "/?", `/\*`} {
		b.subscribe(t, namespace)
	}
	for _, namespace := range []string{"/x", "/a", "/secret", "/*x"} {
		require.NoError(t, a.Publish(&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: namespace, Event: "e"}))
		require.NoError(t, a.Publish(&thinkws.Envelope{Kind: thinkws.BusServerEmit, Namespace: namespace, Event: "e"}))
	}
	b.still(t, a)
	assert.Zero(t, b.count())
}

// Row 77: names of rooms that look like something else.
func TestHostile77Rooms(t *testing.T) {
	client := clientOf(t, shared)
	a, b := open(t, client, &hub{}, prefix(t)), open(t, client, &hub{}, prefix(t))
	for _, room := range []string{"a#b", "#", "", "thinkws-uid", strings.Repeat("x", 256), strings.Repeat("x", 257), strings.Repeat("y", 1<<20), "*", "NaN", "1e3", "01", "-0"} {
		require.NoError(t, a.Publish(&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e", Rooms: []string{room}}))
		assert.Equal(t, []string{room}, b.take(t, 1)[0].Rooms)
	}
	for _, channel := range client.PubSubChannels(t.Context(), "*").Val() {
		assert.Less(t, len(channel), 600)
	}
}

// Row 78: lists of four billion, a depth of a million, a message beyond the limit.
func TestHostile78Bombs(t *testing.T) {
	client := clientOf(t, shared)
	log := &lines{}
	a := open(t, client, &hub{}, prefix(t))
	b := open(t, client, &hub{log: log.logger()}, prefix(t), redisbus.WithMaxPayload(1<<20))
	key := "test-" + t.Name()
	deep := strings.Repeat("\x91", 500_000)
	bombs := 0
	for channel, texts := range map[string][]string{
		key + "#/#":          {"\x93\xa1x\xdf\xff\xff\xff\xff", "\x93\xa1x" + deep, strings.Repeat("x", 1<<20+1)},
		key + "-request#/#":  {"\xdf\xff\xff\xff\xff", "\x81\xa6packet" + deep, `{"a":` + strings.Repeat("[", 500_000), `{"type":"`, strings.Repeat("{", 1<<20+1)},
		key + "-response#/#": {"\xdf\xff\xff\xff\xff\xa9requestId", "\x81\xa6packet" + deep, `{"requestId":` + strings.Repeat(`{"a":`, 1000)},
		key + "-thinkws#":    {"\xdf\xff\xff\xff\xff", "x", "\x93\xa1x\xa0\x00"},
	} {
		for _, text := range texts {
			require.NoError(t, client.Publish(t.Context(), channel, text).Err())
			bombs++
		}
	}
	b.still(t, a)
	assert.EqualValues(t, bombs, b.Stats().Dropped)
	assert.GreaterOrEqual(t, log.count("message dropped"), 1)
	assert.LessOrEqual(t, log.count("message dropped"), 10, "the log is not flooded")
}

// Row 79: what nobody knows, and what comes back to its sender.
func TestHostile79Unknown(t *testing.T) {
	client := clientOf(t, shared)
	a, b := open(t, client, &hub{}, prefix(t)), open(t, client, &hub{}, prefix(t))
	for _, text := range []string{`{"uid":"x","requestId":"i","type":99}`, `{"type":8}`, `{}`, `{"type":3,"rooms":["x"]}`, `{"requestid":"i","type":77,"sid":"s"}`} {
		require.NoError(t, client.Publish(t.Context(), "test-"+t.Name()+"-request#/#", text).Err())
	}
	assert.Equal(t, thinkws.BusSockets, b.take(t, 1)[0].Kind, "the old form asks whether the client is here")
	b.still(t, a)
	assert.Zero(t, b.count())
	assert.Zero(t, b.Stats().Dropped, "others may know it")
}

// Row 80: answers that nobody has asked for, or not twice.
func TestHostile80Answers(t *testing.T) {
	client := clientOf(t, shared)
	a := open(t, client, &hub{}, prefix(t))
	answered := make(chan struct{})
	b := open(t, client, &hub{answer: func(_ *thinkws.Envelope, reply func(*thinkws.Envelope)) {
		for range 3 {
			reply(&thinkws.Envelope{Kind: thinkws.BusAnswer, Names: []string{"b"}})
		}
		close(answered)
	}}, prefix(t))
	open(t, client, &hub{}, prefix(t)) // a third one, silent, so that the question stays open

	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var got []*thinkws.Envelope
	err := a.Ask(ctx, &thinkws.Envelope{Kind: thinkws.BusRooms, Namespace: "/"}, func(e *thinkws.Envelope) { got = append(got, e) })
	<-answered
	missing := &thinkws.NodesError{}
	require.ErrorAs(t, err, &missing)
	assert.Equal(t, 1, missing.Count, "one node's second answer is not that of another")
	assert.Len(t, got, 1)

	clients := 0
	b.hub.answer = func(_ *thinkws.Envelope, reply func(*thinkws.Envelope)) {
		reply(&thinkws.Envelope{Kind: thinkws.BusAnswer}) // before it has said of how many
		reply(&thinkws.Envelope{Kind: thinkws.BusClients, Clients: 1})
		for range 3 {
			reply(&thinkws.Envelope{Kind: thinkws.BusAnswer})
		}
		reply(&thinkws.Envelope{Kind: thinkws.BusClients, Clients: -5})
	}
	short, cancelShort := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancelShort()
	err = a.Ask(short, &thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e"}, func(e *thinkws.Envelope) {
		if e.Kind == thinkws.BusAnswer {
			clients++
		}
	})
	require.ErrorAs(t, err, &missing)
	assert.Equal(t, 1, missing.Count, "the third node has not said how many clients it asks")
	assert.Equal(t, 1, clients)

	response := "test-" + t.Name() + "-response#/#"
	for _, text := range []string{`{"requestId":"guessed","rooms":["x"]}`, `{"rooms":["x"]}`, `{"requestId":"","type":8,"clientCount":-5}`} {
		require.NoError(t, client.Publish(t.Context(), response, text).Err())
	}
	b.hub.answer = nil
	a.still(t, b)
}

// Row 81: a Redis that refuses; see TestRedisRefuses for rights, TestOutboxIsBounded.
func TestHostile81RedisRefuses(t *testing.T) {
	server, err := startRedis(0)
	require.NoError(t, err)
	defer server.kill()
	client := clientOf(t, "redis://"+server.addr())
	log := &lines{}
	a := open(t, client, &hub{log: log.logger()})
	for _, tt := range []struct{ name, on, off string }{
		{"OOM", "config set maxmemory 1", "config set maxmemory 0"},
		{"MASTERDOWN", "replicaof 127.0.0.1 1", "replicaof no one"},
	} {
		do := func(command string) {
			args := []any{}
			for word := range strings.FieldsSeq(command) {
				args = append(args, word)
			}
			require.NoError(t, client.Do(t.Context(), args...).Err(), command)
		}
		do(tt.on)
		e := &thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e"}
		lost := a.Stats().Lost
		refused, published := 0, a.Stats().Published
		for range 50 {
			if a.Publish(e) != nil {
				refused++
			}
			time.Sleep(time.Millisecond)
		}
		require.Eventually(t, func() bool {
			s := a.Stats()
			return s.Lost-lost+s.Published-published+uint64(refused) >= 50
		}, time.Minute, 10*time.Millisecond, tt.name+": each one went out or was reported")
		do(tt.off)
		require.Eventually(t, func() bool { return a.Stats().Up }, time.Minute, time.Millisecond)
		require.NoError(t, a.Publish(e))
	}
	assert.LessOrEqual(t, log.count("bus is down"), 2, "one line for one change")
}
