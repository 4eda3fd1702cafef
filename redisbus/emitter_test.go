package redisbus_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/redisbus"
)

func TestEmitter(t *testing.T) {
	client := clientOf(t, shared)
	ctx := t.Context()
	emitter := redisbus.NewEmitter(client, prefix(t))
	assert.ErrorIs(t, emitter.Emit(ctx, "e"), redisbus.ErrNobody)
	b := open(t, client, &hub{}, prefix(t))
	b.subscribe(t, "/chat")
	target := func(e thinkws.Envelope) *thinkws.Envelope {
		e.Namespace, e.Rooms, e.Except = "/chat", []string{"r", "7"}, []string{"x"}
		return &e
	}
	some := emitter.Of("chat").To("r", "7").Except("x")
	for _, tt := range []struct {
		send func() error
		want *thinkws.Envelope
	}{
		{func() error { return emitter.Emit(ctx, "e", "x", []byte{1}) },
			&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e", Args: payload(t, "x", []byte{1})}},
		{func() error { return emitter.To("a").Volatile().Emit(ctx, "e") },
			&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e", Rooms: []string{"a"}, Volatile: true}},
		{func() error { return emitter.Except("a").Compress(false).Emit(ctx, "e") },
			&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e", Except: []string{"a"}, Plain: true}},
		{func() error { return emitter.ServerEmit(ctx, "e", 1) },
			&thinkws.Envelope{Kind: thinkws.BusServerEmit, Namespace: "/", Event: "e", Args: payload(t, 1)}},
		{func() error { return some.Emit(ctx, "e") }, target(thinkws.Envelope{Kind: thinkws.BusEmit, Event: "e"})},
		{func() error { return some.Join(ctx, "n") }, target(thinkws.Envelope{Kind: thinkws.BusJoin, Names: []string{"n"}})},
		{func() error { return some.Leave(ctx, "n") }, target(thinkws.Envelope{Kind: thinkws.BusLeave, Names: []string{"n"}})},
		{func() error { return some.Disconnect(ctx) }, target(thinkws.Envelope{Kind: thinkws.BusDisconnect})},
		{func() error { return some.Close(ctx) }, target(thinkws.Envelope{Kind: thinkws.BusDisconnect, Whole: true})},
	} {
		require.NoError(t, tt.send())
		got := b.take(t, 1)[0]
		if len(got.Args.Text) == 0 {
			got.Args.Text = tt.want.Args.Text
		}
		assert.Equal(t, tt.want, got)
	}
	assert.ErrorIs(t, emitter.Emit(ctx, "connect"), thinkws.ErrReserved)
	assert.Error(t, emitter.Emit(ctx, "e", make(chan int)))
	assert.ErrorContains(t, emitter.Emit(ctx, "a\xff"), "UTF-8")
}

// The nodes of Node.js hand on what they get: text has to be UTF-8 here already.
func TestBroadcastsAreUTF8(t *testing.T) {
	args := payload(t, json.RawMessage("\"a\xff\xfeb\""), map[string]any{"k\xff\xfe": json.RawMessage("[\"\xff\xfe\"]")}, "\xff\xfe")
	assert.True(t, utf8.Valid(args.Text))
	for _, old := range []bool{false, true} {
		data := redisbus.EncodeBroadcast("uid", &thinkws.Envelope{Namespace: "/", Event: "e", Args: args}, old)
		assert.NotContains(t, string(data), "\xff\xfe")
		_, e, _, err := redisbus.DecodeBroadcast(data)
		require.NoError(t, err)
		assert.True(t, utf8.Valid(e.Args.Text))
		assert.Contains(t, string(e.Args.Text), "a\uFFFDb")
	}
}

func TestEmitterWithoutRedis(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	assert.ErrorContains(t, redisbus.NewEmitter(client).Emit(ctx, "e"), "redisbus: PUBLISH")
}

// What socket.io-redis 5, of Socket.IO 2, asks for, and how it expects to be answered.
func TestRequestsOfSocketIO2(t *testing.T) {
	client := clientOf(t, shared)
	members := []thinkws.Member{{ID: "s", Rooms: []string{"s", "r"}}, {ID: "other"}}
	b := open(t, client, &hub{answer: func(e *thinkws.Envelope, reply func(*thinkws.Envelope)) {
		if reply != nil {
			reply(&thinkws.Envelope{Kind: thinkws.BusAnswer, Members: members, Names: []string{"s", "r"}})
		}
	}}, prefix(t))
	answers := client.Subscribe(t.Context(), "test-"+t.Name()+"-response#/#")
	defer answers.Close()
	_, err := answers.Receive(t.Context())
	require.NoError(t, err)
	for _, tt := range []struct {
		name, request, answer string
		done                  thinkws.EnvelopeKind
	}{
		{"clients", `{"requestid":"i","type":0,"rooms":["r"]}`, `{"requestid":"i","clients":["s","other"]}`, 0},
		{"client rooms", `{"requestid":"i","type":1,"sid":"s"}`, `{"requestid":"i","rooms":["s","r"]}`, 0},
		{"all rooms", `{"requestid":"i","type":2}`, `{"requestid":"i","rooms":["s","r"]}`, 0},
		{"join", `{"requestid":"i","type":3,"sid":"s","room":7}`, `{"requestid":"i"}`, thinkws.BusJoin},
		{"leave", `{"requestid":"i","type":4,"sid":"s","room":"n"}`, `{"requestid":"i"}`, thinkws.BusLeave},
		{"custom", `{"requestid":"i","type":5,"data":{}}`, `{"requestid":"i","data":null}`, 0},
		{"disconnect", `{"requestid":"i","type":6,"sid":"s","close":true}`, `{"requestid":"i"}`, thinkws.BusDisconnect},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.NoError(t, client.Publish(t.Context(), "test-TestRequestsOfSocketIO2-request#/#", tt.request).Err())
			m, err := answers.ReceiveMessage(t.Context())
			require.NoError(t, err)
			assert.JSONEq(t, tt.answer, m.Payload)
			if tt.done != 0 {
				b.take(t, 1)
				assert.Equal(t, tt.done, b.take(t, 1)[0].Kind)
			} else if tt.name != "custom" {
				b.take(t, 1)
			}
		})
	}
}
