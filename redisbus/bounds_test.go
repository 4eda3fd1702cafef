package redisbus_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/redisbus"
)

// never is a time that a test does not wait.
const never = time.Hour

// ask returns the answers to a question, for which nothing but the answers ends the wait.
func (n *node) ask(t *testing.T, e *thinkws.Envelope) (got []*thinkws.Envelope, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = n.Ask(ctx, e, func(a *thinkws.Envelope) { got = append(got, a) })
	require.NoError(t, ctx.Err(), "nobody answers")
	return got, err
}

// Row D2: values that clients may send, as deep as the deepest, go over the bus and back.
func TestDeepValuesGoOverTheBus(t *testing.T) {
	client := clientOf(t, shared)
	for _, depth := range []int{64, 65, 512, 10_000} {
		args := nested(depth)
		a := open(t, client, &hub{}, prefix(t), redisbus.WithRequestTimeout(never))
		b := open(t, client, &hub{answer: func(e *thinkws.Envelope, reply func(*thinkws.Envelope)) {
			switch {
			case reply == nil:
			case e.Kind == thinkws.BusSockets:
				reply(&thinkws.Envelope{Kind: thinkws.BusAnswer, Members: []thinkws.Member{{ID: "1", Data: args.Text, Auth: args.Text}, {ID: "2"}}})
			case e.Kind == thinkws.BusEmit:
				reply(&thinkws.Envelope{Kind: thinkws.BusClients, Clients: 1})
				fallthrough
			default:
				reply(&thinkws.Envelope{Kind: thinkws.BusAnswer, Args: e.Args})
			}
		}}, prefix(t))
		for _, kind := range []thinkws.EnvelopeKind{thinkws.BusEmit, thinkws.BusServerEmit} {
			e := &thinkws.Envelope{Kind: kind, Namespace: "/", Event: "e", Args: args}
			require.NoError(t, a.Publish(e))
			assert.Equal(t, args, b.take(t, 1)[0].Args)
			got, err := a.ask(t, e)
			require.NoError(t, err)
			assert.Equal(t, args, got[len(got)-1].Args)
			b.take(t, 1)
		}
		got, err := a.ask(t, &thinkws.Envelope{Kind: thinkws.BusSockets, Namespace: "/"})
		require.NoError(t, err)
		require.Len(t, got[0].Members, 2)
		assert.Equal(t, args.Text, []byte(got[0].Members[0].Data))
		assert.Equal(t, args.Text, []byte(got[0].Members[0].Auth))
		b.take(t, 1)

		emitter := redisbus.NewEmitter(client, prefix(t))
		require.NoError(t, emitter.Emit(t.Context(), "e", json.RawMessage(args.Text)))
		assert.Equal(t, args, b.take(t, 1)[0].Args)
		assert.Zero(t, a.Stats().Dropped+b.Stats().Dropped)
		require.NoError(t, a.Close(t.Context()))
		require.NoError(t, b.Close(t.Context()))
	}
}

func TestEmitterRefusesWhatIsTooDeep(t *testing.T) {
	client := clientOf(t, shared)
	b := open(t, client, &hub{}, prefix(t))
	emitter := redisbus.NewEmitter(client, prefix(t))
	value := any(1)
	for range 10_001 {
		value = []any{value}
	}
	for _, deep := range []any{value, json.RawMessage(nested(10_001).Text)} {
		assert.ErrorContains(t, emitter.Emit(t.Context(), "e", deep), "nested deeper than 10000")
		assert.ErrorContains(t, emitter.ServerEmit(t.Context(), "e", deep), "nested deeper than 10000")
	}
	require.NoError(t, emitter.Emit(t.Context(), "last"))
	assert.Equal(t, "last", b.take(t, 1)[0].Event)
}

// The sender refuses messages that are one byte longer than the limit.
func TestWhatIsTooLargeIsRefused(t *testing.T) {
	const limit = 1000
	client := clientOf(t, shared)
	a, b := open(t, client, &hub{}, prefix(t), redisbus.WithMaxPayload(limit)), open(t, client, &hub{}, prefix(t))
	emitter := redisbus.NewEmitter(client, prefix(t), redisbus.WithMaxPayload(limit))
	long := strings.Repeat("x", limit)
	for _, e := range []*thinkws.Envelope{
		{Kind: thinkws.BusEmit, Event: "e", Args: payload(t, long)},
		{Kind: thinkws.BusEmit, Event: "e", Args: payload(t, []byte(long))},
		{Kind: thinkws.BusEmit, Event: long},
		{Kind: thinkws.BusEmit, Event: "e", Rooms: []string{long}},
		{Kind: thinkws.BusEmit, Event: "e", Except: strings.Split(long, "")},
		{Kind: thinkws.BusServerEmit, Event: "e", Args: payload(t, long)},
		{Kind: thinkws.BusJoin, Names: []string{long}},
		{Kind: thinkws.BusLeave, Names: []string{long}},
		{Kind: thinkws.BusDisconnect, Rooms: []string{long}},
	} {
		e.Namespace = "/"
		err := a.Publish(e)
		require.ErrorIs(t, err, thinkws.ErrBus)
		require.ErrorIs(t, err, thinkws.ErrTooLarge)
		assert.Regexp(t, `a message has \d{4} bytes, the limit is 1000$`, err)
		if e.Kind == thinkws.BusJoin || e.Kind == thinkws.BusLeave {
			continue
		}
		_, err = a.ask(t, e)
		require.ErrorIs(t, err, thinkws.ErrTooLarge)
		missing := &thinkws.NodesError{}
		require.ErrorAs(t, err, &missing)
	}
	for _, err := range []error{
		emitter.Emit(t.Context(), "e", long), emitter.ServerEmit(t.Context(), "e", long), emitter.To(long).Emit(t.Context(), "e"),
		emitter.To().Join(t.Context(), long), emitter.To(long).Disconnect(t.Context()),
	} {
		require.ErrorIs(t, err, thinkws.ErrTooLarge)
	}
	accepted := 0
	for n := range limit {
		err := a.Publish(&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: long[:n+1]})
		if err != nil {
			require.ErrorIs(t, err, thinkws.ErrTooLarge)
			break
		}
		accepted++
	}
	assert.Greater(t, accepted, limit/2)
	assert.Len(t, b.take(t, accepted)[accepted-1].Event, accepted)
	require.NoError(t, a.Publish(&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "last"}))
	assert.Equal(t, "last", b.take(t, 1)[0].Event)
	assert.Zero(t, a.Stats().Lost+b.Stats().Dropped+b.Stats().Missed)
}

// The limit of the sender counts: servers need not agree on it.
func TestAServerTakesWhatOthersMaySend(t *testing.T) {
	client := clientOf(t, shared)
	a, b := open(t, client, &hub{}, prefix(t), redisbus.WithMaxPayload(64<<20)), open(t, client, &hub{}, prefix(t), redisbus.WithMaxPayload(1))
	args := payload(t, strings.Repeat("x", 17<<20))
	require.NoError(t, a.Publish(&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e", Args: args}))
	assert.Len(t, b.take(t, 1)[0].Args.Text, len(args.Text))
	_, err := redisbus.New(client, redisbus.WithMaxPayload(256<<20+1)).Open(&hub{})
	assert.ErrorContains(t, err, "WithMaxPayload")
}

// An answer that is too large is an error at once where the question was asked, and a line in the log
// where it was answered. The answers of others come with it.
func TestAnswersThatAreTooLarge(t *testing.T) {
	client := clientOf(t, shared)
	log := &lines{}
	answers := func(text string) *hub {
		return &hub{log: log.logger(), answer: func(e *thinkws.Envelope, reply func(*thinkws.Envelope)) {
			a := &thinkws.Envelope{Kind: thinkws.BusAnswer, Args: payload(t, text), Names: []string{text}}
			for range 20 {
				a.Members = append(a.Members, thinkws.Member{ID: "m", Data: json.RawMessage(payload(t, text).Text)})
			}
			if e.Kind == thinkws.BusEmit {
				reply(&thinkws.Envelope{Kind: thinkws.BusClients, Clients: 2})
				reply(&thinkws.Envelope{Kind: thinkws.BusAnswer, Args: payload(t, "one")})
			}
			reply(a)
		}}
	}
	a := open(t, client, &hub{}, prefix(t), redisbus.WithRequestTimeout(never))
	open(t, client, answers("small"), prefix(t))
	open(t, client, answers(strings.Repeat("x", 100_000)), prefix(t), redisbus.WithMaxPayload(100_000))
	for i, kind := range []thinkws.EnvelopeKind{thinkws.BusSockets, thinkws.BusRooms, thinkws.BusServerEmit, thinkws.BusEmit} {
		got, err := a.ask(t, &thinkws.Envelope{Kind: kind, Namespace: "/", Event: "e"})
		missing := &thinkws.NodesError{}
		require.ErrorAs(t, err, &missing)
		require.ErrorIs(t, err, thinkws.ErrTooLarge)
		require.ErrorIs(t, err, thinkws.ErrNoAck)
		assert.ErrorContains(t, err, "more than 100000 bytes")
		received := 0
		for _, e := range got {
			if e.Kind == thinkws.BusAnswer {
				received++
			}
		}
		if kind == thinkws.BusEmit {
			assert.Equal(t, []int{0, 1, 3}, []int{missing.Count, missing.Clients, received}, "that of one client is missing")
		} else {
			assert.Equal(t, []int{1, 0, 1}, []int{missing.Count, missing.Clients, received})
			assert.Len(t, missing.Missing, 1)
		}
		assert.GreaterOrEqual(t, log.count("not sent"), i+1)
	}
}

// The same with what has gone meanwhile: both causes are told.
func TestAnswerTooLargeBesideAServerThatIsSilent(t *testing.T) {
	client := clientOf(t, shared)
	a := open(t, client, &hub{}, prefix(t))
	open(t, client, &hub{}, prefix(t))
	open(t, client, &hub{answer: func(_ *thinkws.Envelope, reply func(*thinkws.Envelope)) {
		reply(&thinkws.Envelope{Kind: thinkws.BusAnswer, Names: []string{strings.Repeat("x", 1000)}})
	}}, prefix(t), redisbus.WithMaxPayload(500))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := a.Ask(ctx, &thinkws.Envelope{Kind: thinkws.BusRooms, Namespace: "/"}, func(*thinkws.Envelope) {})
	missing := &thinkws.NodesError{}
	require.ErrorAs(t, err, &missing)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorIs(t, err, thinkws.ErrTooLarge)
	assert.Equal(t, 2, missing.Count)
	assert.Len(t, missing.Missing, 2)
}

// Requests of Socket.IO 2 are JSON: binary would be text at clients of other servers.
func TestEmitAckForSocketIO2TakesNoBinary(t *testing.T) {
	client := clientOf(t, shared)
	a, b := open(t, client, &hub{}, prefix(t), redisbus.WithSocketIO2()), open(t, client, &hub{}, prefix(t))
	_, err := a.ask(t, &thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e", Args: payload(t, []byte("x"))})
	missing := &thinkws.NodesError{}
	require.ErrorAs(t, err, &missing)
	assert.ErrorIs(t, err, thinkws.ErrBus)
	assert.ErrorContains(t, err, "no binary")
	assert.Zero(t, b.count())
}

// Other servers have names in UTF-8 only.
func TestEmitterRefusesNamesThatAreNotUTF8(t *testing.T) {
	client := clientOf(t, shared)
	b := open(t, client, &hub{}, prefix(t))
	emitter := redisbus.NewEmitter(client, prefix(t))
	for _, err := range []error{
		emitter.Emit(t.Context(), "\xff"), emitter.ServerEmit(t.Context(), "\xff"), emitter.To("\xff").Emit(t.Context(), "e"),
		emitter.Except("\xff").Emit(t.Context(), "e"), emitter.To().Join(t.Context(), "\xff"), emitter.To().Leave(t.Context(), "\xff"),
		emitter.To("\xff").Close(t.Context()),
	} {
		assert.ErrorContains(t, err, "not UTF-8")
	}
	require.NoError(t, emitter.Emit(t.Context(), "last"))
	assert.Equal(t, "last", b.take(t, 1)[0].Event)
}

// server is a handler on the shared Redis with its address.
func server(t *testing.T, options ...thinkws.Option) (*thinkws.Handler, string) {
	t.Helper()
	h, err := thinkws.New(append(options, thinkws.WithLogger(slog.New(slog.DiscardHandler)), thinkws.WithBus(redisbus.New(clientOf(t, shared), prefix(t))))...)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", h)
	mux.Handle("/ws", h.WebSocket())
	s := httptest.NewServer(mux)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		assert.NoError(t, h.Shutdown(ctx))
		s.Close()
	})
	require.Eventually(t, func() bool { return h.Health() == nil }, time.Minute, time.Millisecond)
	return h, s.URL
}

// talk is a WebSocket that has said something.
func talk(t *testing.T, url string, texts ...string) *websocket.Conn {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), url, nil)
	require.NoError(t, err)
	t.Cleanup(func() { ws.CloseNow() })
	ws.SetReadLimit(-1)
	for _, text := range texts {
		require.NoError(t, ws.Write(t.Context(), websocket.MessageText, []byte(text)))
	}
	return ws
}

// hears reads until a text begins like this, and returns the rest of that.
func hears(t *testing.T, ws *websocket.Conn, begin string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		_, text, err := ws.Read(ctx)
		require.NoError(t, err)
		if rest, ok := strings.CutPrefix(string(text), begin); ok {
			return rest
		}
	}
}

// Row D2 with real clients: what one server takes from its clients, as deep as it lets them, those of
// the other get; and it lists them.
func TestWhatOneServerTakesTheOtherTakes(t *testing.T) {
	for _, depth := range []int{0, 10_000} {
		options := []thinkws.Option{
			thinkws.WithLimits(thinkws.Limits{Depth: depth}), thinkws.WithMaxMessage(32 << 20),
			thinkws.On("say", func(c *thinkws.Context) error { return c.Broadcast("said", c.WsData()) }),
			thinkws.On("keep", func(c *thinkws.Context) error {
				if err := c.Websocket().SetData(c.WsData()); err != nil {
					return err
				}
				return c.Ack()
			}),
		}
		one, url := server(t, options...)
		two, other := server(t, options...)
		most := max(depth, 512) - 1 // within the frame
		auth := `{"a":` + string(nested(most).Text) + `}`
		first := talk(t, url+"/socket.io/?EIO=4&transport=websocket", "40"+auth)
		hears(t, first, "40")
		second := talk(t, other+"/ws")
		third := talk(t, other+"/socket.io/?EIO=4&transport=websocket", "40")
		hears(t, third, "40")
		require.Eventually(t, func() bool { return two.Hub().Stats().Clients == 2 }, time.Minute, time.Millisecond)

		for _, value := range []string{
			string(nested(most).Text), `"\ud800"`, "1e400", "-0", `{"__proto__":{"a":1},"":[]}`, `"` + strings.Repeat("ü", 300_000) + `"`,
		} {
			require.NoError(t, first.Write(t.Context(), websocket.MessageText, []byte(`42["say",`+value+`]`)))
			here := hears(t, first, `42["said",`)
			there := hears(t, third, `42["said",`)
			plain := hears(t, second, `{"event":"said","data":`)
			want := thinkws.Payload{Text: []byte(value), Count: 1}
			for _, got := range []string{strings.TrimSuffix(here, "]"), strings.TrimSuffix(there, "]"), strings.TrimSuffix(plain, "}")} {
				requireSame(t, want, thinkws.Payload{Text: []byte(got), Count: 1}, false)
			}
		}
		require.NoError(t, first.Write(t.Context(), websocket.MessageText, []byte(`420["keep",`+string(nested(most).Text)+`]`)))
		hears(t, first, "430[]")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		members, err := two.Hub().To().Sockets(ctx)
		cancel()
		require.NoError(t, err)
		require.Len(t, members, 3)
		for _, m := range members {
			if m.Auth != nil {
				assert.Equal(t, auth, string(m.Auth))
				assert.Equal(t, nested(most).Text, []byte(m.Data))
			}
		}
		assert.Zero(t, one.Hub().Stats().Bus.Dropped+two.Hub().Stats().Bus.Dropped)
		first.CloseNow()
		second.CloseNow()
		third.CloseNow()
	}
}
