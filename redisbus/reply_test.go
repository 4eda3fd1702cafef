package redisbus_test

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/redisbus"
	"github.com/seed-ce09063a/thinkws/stickiness"
)

// oddReplies are shapes that no command has which these packages use, as a confused proxy or
// another version might answer.
var oddReplies = map[string]string{
	"odd length":              list(bulk("n1aB")),
	"odd length, longer":      list(bulk("n1aB"), bulk("{}"), bulk("n2aB")),
	"numbers":                 list(":1\r\n", ":2\r\n"),
	"nothing twice":           list("$-1\r\n", "$-1\r\n"),
	"lists":                   list(list(), list(bulk("x"))),
	"errors":                  list("-ERR x\r\n", "-ERR y\r\n"),
	"name and no number":      list(bulk("x"), bulk("y")),
	"name and another number": list(bulk("x"), ":7\r\n"),
	"text":                    bulk("text"),
	"status":                  "+QUEUED\r\n",
	"map":                     "%1\r\n+a\r\n+b\r\n",
	"set":                     "~1\r\n+a\r\n",
	"boolean":                 "#t\r\n",
	"double":                  ",1.5\r\n",
	"big number":              "(123456789012345678901234567890\r\n",
	"list without end":        "*9223372036854775807\r\n",
	"text without end":        "$9223372036854775807\r\n",
	"negative length":         "*-7\r\n",
	"no reply":                "hello\r\n",
	"empty line":              "\r\n",
	"error":                   "-ERR nothing\r\n",
}

// Row A5: what Redis answers to the registry's scripts is an error if it has not their shape,
// logged once, and changes nothing.
func TestRegistryTakesNoOddReply(t *testing.T) {
	t.Parallel()
	entry := `{"ID":"n1aB","URL":"http://127.0.0.1:1"}`
	for name, odd := range oddReplies {
		if name == "name and no number" {
			continue // here it is an entry
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := newFakeRedis(t)
			fake.answers("EVALSHA", odd)
			_, err := redisbus.NewRegistry(t.Context(), clientOf(t, fake.url()), nil, prefix(t))
			require.ErrorContains(t, err, "redisbus: registry")

			fake.answers("EVALSHA", list(bulk("n1aB"), bulk(entry)))
			log := &lines{}
			r, err := redisbus.NewRegistry(t.Context(), clientOf(t, fake.url()), log.logger(), prefix(t))
			require.NoError(t, err)
			defer func() { assert.NoError(t, r.Close()) }()
			known := []stickiness.Node{nodeAt("n1aB", 1)}
			require.Equal(t, known, r.Nodes())

			fake.answers("EVALSHA", odd)
			before := fake.times("EVALSHA")
			require.Eventually(t, func() bool {
				fake.push(list(bulk("message"), bulk("test-"+t.Name()+"-thinkws-changes"), bulk("+x")))
				return fake.times("EVALSHA") >= before+5
			}, time.Minute, 10*time.Millisecond, "it goes on to ask")
			assert.Error(t, r.Register(t.Context(), nodeAt("n2aB", 2)))
			assert.Equal(t, known, r.Nodes())
			assert.Equal(t, 1, log.count("is not reached"))

			fake.answers("EVALSHA", list(bulk("n1aB"), bulk(entry)))
			require.Eventually(t, func() bool { return log.count("reached again") == 1 }, time.Minute, 10*time.Millisecond)
			assert.Equal(t, known, r.Nodes())
		})
	}
}

// An entry that is no node is named once, not with every look.
func TestRegistryNamesABadEntryOnce(t *testing.T) {
	t.Parallel()
	fake := newFakeRedis(t)
	fake.answers("EVALSHA", list(bulk("n1aB"), bulk("{"), bulk("n2aB"), bulk("[]")))
	log := &lines{}
	r, err := redisbus.NewRegistry(t.Context(), clientOf(t, fake.url()), log.logger(), prefix(t))
	require.NoError(t, err)
	defer func() { assert.NoError(t, r.Close()) }()
	look := func(times int) {
		before := fake.times("EVALSHA")
		require.Eventually(t, func() bool {
			fake.push(list(bulk("message"), bulk("test-"+t.Name()+"-thinkws-changes"), bulk("+x")))
			return fake.times("EVALSHA") >= before+times
		}, time.Minute, 10*time.Millisecond)
	}
	look(5)
	assert.Equal(t, 2, log.count("entry is no node"))
	fake.answers("EVALSHA", list(bulk("n1aB"), bulk("{ "), bulk("n2aB"), bulk("[]")))
	look(5)
	assert.Equal(t, 3, log.count("entry is no node"), "this one has changed")
	assert.Empty(t, r.Nodes())
}

// Row A5, of the bus: replies to what it publishes and to what it asks about others.
func TestBusTakesNoOddReply(t *testing.T) {
	t.Parallel()
	for name, odd := range oddReplies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, command := range []string{"PUBLISH", "PUBSUB NUMSUB", "PUBSUB CHANNELS"} {
				fake := newFakeRedis(t)
				log := &lines{}
				a := open(t, clientOf(t, fake.url()), &hub{log: log.logger()}, prefix(t))
				fake.answers(command, odd)
				before := fake.times(command)
				_ = a.Publish(&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e"}) // may be refused
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				_ = a.Ask(ctx, &thinkws.Envelope{Kind: thinkws.BusRooms, Namespace: "/"}, func(*thinkws.Envelope) {})
				cancel()
				require.Eventually(t, func() bool { return fake.times(command) > before }, time.Minute, time.Millisecond, command)
				assert.LessOrEqual(t, log.count("number of nodes is not known"), 1, command)

				fake.answers(command, "")
				// What was published before may fail until now, and take the bus down once more.
				require.Eventually(t, func() bool {
					event := &thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e"}
					rooms := &thinkws.Envelope{Kind: thinkws.BusRooms, Namespace: "/"}
					return a.Publish(event) == nil && a.Ask(t.Context(), rooms, func(*thinkws.Envelope) {}) == nil
				}, time.Minute, time.Millisecond, command)
			}
		})
	}
}

// Row A5, of subscriptions: the connection is given up, and there is another one.
func TestSubscriberTakesNoOddMessage(t *testing.T) {
	t.Parallel()
	odd := map[string]string{
		"empty list":                list(),
		"kind only":                 list(bulk("message")),
		"kind is a number":          list(":1\r\n", ":2\r\n", ":3\r\n"),
		"kind is nothing":           list("$-1\r\n"),
		"kind is a list":            list(list(), bulk("x"), bulk("y")),
		"message without a channel": list(bulk("message"), "$-1\r\n", bulk("x")),
		"message without a text":    list(bulk("message"), bulk("x"), "$-1\r\n"),
		"message of numbers":        list(bulk("message"), bulk("x"), list(":1\r\n")),
		"pmessage cut off":          list(bulk("pmessage"), bulk("x"), bulk("y")),
		"pmessage of numbers":       list(bulk("pmessage"), ":1\r\n", ":2\r\n", ":3\r\n"),
		"subscription cut off":      list(bulk("subscribe"), bulk("x")),
		"subscription of a text":    list(bulk("subscribe"), bulk("x"), bulk("y")),
		"pong cut off":              list(bulk("pong")),
	}
	maps.Copy(odd, oddReplies)
	for name, text := range odd {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := newFakeRedis(t)
			node := &hub{}
			a := open(t, clientOf(t, fake.url()), node, prefix(t))
			connections := fake.times("PSUBSCRIBE")
			fake.push(text)
			if name == "text" || name == "status" {
				connections-- // this is what Redis answers to PING before it is subscribed to anything
			}
			require.Eventually(t, func() bool { return a.Stats().Up && fake.times("PSUBSCRIBE") > connections }, time.Minute, time.Millisecond)
			a.subscribe(t, "/other")
			channel := "test-" + t.Name() + "-request#/other#"
			fake.push(list(bulk("message"), bulk(channel), bulk(`{"uid":"x","type":6,"data":["e"]}`)))
			assert.Equal(t, "e", node.take(t, 1)[0].Event)
		})
	}
}
