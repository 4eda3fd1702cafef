package thinkws_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// nest returns a value in lists, as Go's and as JSON.
func nest(depth int) (value any, text json.RawMessage) {
	value = 1
	for range depth {
		value = []any{value}
	}
	return value, json.RawMessage(strings.Repeat("[", depth) + "1" + strings.Repeat("]", depth))
}

// Row D2: what no server could decode is refused by everything that sends, before anybody gets it.
func TestWhatIsTooDeepIsSentToNobody(t *testing.T) {
	const message = "nested deeper than 10000"
	value, text := nest(session.MaxDepth + 1)
	acked := make(chan error, 1)
	h := nodes(t, 2,
		thinkws.OnServer("ask", func(c *thinkws.Context) error {
			acked <- c.Ack(value)
			return c.Ack("instead")
		}),
		thinkws.On("ask", func(c *thinkws.Context) error {
			acked <- c.Ack(value)
			return &thinkws.Error{Name: "Deep", Data: value}
		}))
	a, b := enter(t, h[0], "/"), enter(t, h[1], "/")
	hub := h[0].Hub()
	for _, deep := range []any{value, text, struct{ A json.RawMessage }{text[1 : len(text)-1]}, map[string]any{"a": []any{text}}} {
		errs := []error{hub.Emit("e", deep), hub.To(b.id).Emit("e", 1, deep), hub.ServerEmit("ask", deep)}
		_, err := hub.To().EmitAck(t.Context(), "e", deep)
		errs = append(errs, err)
		_, err = hub.ServerEmitAck(t.Context(), "ask", deep)
		for _, err := range append(errs, err) {
			assert.Regexp(t, "deeper|depth", err)
			assert.NotErrorIs(t, err, thinkws.ErrBus)
		}
	}
	assert.ErrorContains(t, hub.Emit("e", value), message)
	assert.ErrorContains(t, hub.Emit("e", text), message)
	none(t, a, b)

	answers, err := hub.ServerEmitAck(t.Context(), "ask")
	require.NoError(t, err)
	require.ErrorContains(t, <-acked, message)
	assert.Equal(t, []json.RawMessage{json.RawMessage(`"instead"`)}, answers[0].Args())
	a.emit("ask", "1", "")
	require.ErrorContains(t, <-acked, message)
	assert.Equal(t, []string{"ack 1 failed: Deep: "}, a.take(1), "without its data")
}

func TestDataThatIsTooDeepIsNotKept(t *testing.T) {
	value, _ := nest(session.MaxDepth + 1)
	fits, text := nest(session.MaxDepth)
	set := make(chan error, 3)
	h := nodes(t, 2, thinkws.On("open", func(c *thinkws.Context) error {
		set <- c.Websocket().SetData("first")
		set <- c.Websocket().SetData(value)
		return nil
	}), thinkws.On("again", func(c *thinkws.Context) error { return c.Websocket().SetData(fits) }))
	a := enter(t, h[0], "/")
	require.NoError(t, <-set)
	require.ErrorContains(t, <-set, "nested deeper than 10000")
	data := func() string {
		members, err := h[1].Hub().To().Sockets(t.Context())
		require.NoError(t, err)
		return string(members[0].Data)
	}
	assert.Equal(t, `"first"`, data())
	a.emit("again", "", "")
	require.Eventually(t, func() bool { return data() == string(text) }, time.Minute, time.Millisecond)
}

// The deepest values pass through everything.
func TestTheDeepestValuesArrive(t *testing.T) {
	value, text := nest(session.MaxDepth)
	h := nodes(t, 2, thinkws.OnServer("ask", func(c *thinkws.Context) error { return c.Ack(c.WsData()) }))
	b := enter(t, h[1], "/")
	for _, deep := range []any{value, text} {
		require.NoError(t, h[0].Hub().Emit("e", deep))
		assert.Equal(t, []string{"e[" + string(text) + "]"}, b.take(1))
		answers, err := h[0].Hub().ServerEmitAck(t.Context(), "ask", deep)
		require.NoError(t, err)
		assert.Equal(t, text, answers[0].Args()[0])
	}
}

// Other servers have names in UTF-8 only. Any bus refuses others.
func TestNamesThatOtherServersCannotHave(t *testing.T) {
	h := nodes(t, 2)
	b := enter(t, h[1], "/")
	hub := h[0].Hub()
	for _, err := range []error{
		hub.To("\xff").Emit("e"), hub.To().Except("\xff").Emit("e"), hub.To().Join("\xff"), hub.To().Leave("\xff"),
		hub.To("\xff").Close(), hub.To("\xff").Disconnect(), hub.ServerEmit("\xff"),
	} {
		assert.ErrorIs(t, err, thinkws.ErrBus)
		assert.ErrorContains(t, err, "not UTF-8")
	}
	_, err := hub.To("\xff").Sockets(t.Context())
	missing := &thinkws.NodesError{}
	require.ErrorAs(t, err, &missing)
	assert.ErrorIs(t, err, thinkws.ErrBus)
	none(t, b)
	require.NoError(t, hub.To("\xff").Local().Emit("e"), "within a server any name will do")
}

// More rooms than a client may be in are refused where they are asked for. The same one twice is one.
func TestTooManyRoomsAreRefusedWhereTheyAreAskedFor(t *testing.T) {
	h := nodes(t, 2, thinkws.WithMaxRooms(2))
	b := enter(t, h[1], "/")
	hub := h[0].Hub()
	assert.ErrorIs(t, hub.To(b.id).Join("1", "2", "3"), thinkws.ErrTooMany)
	assert.EqualValues(t, 1, hub.Stats().Limits["rooms"])
	require.NoError(t, hub.To(b.id).Join("1", "2", "1"))
	require.NoError(t, hub.To("2").Emit("e"))
	assert.Equal(t, []string{"e[]"}, b.take(1))
	none(t, b)
}

// Events of other servers may be larger than what a client may send.
func TestLargeEventsOfOtherServersWaitForTheirHandler(t *testing.T) {
	goOn, done := make(chan bool), make(chan int, 3)
	h := nodes(t, 2, thinkws.WithReceiveQueue(10, 1000), thinkws.OnServer("large", func(c *thinkws.Context) error {
		<-goOn
		done <- len(c.WsData())
		return nil
	}))
	for range 3 {
		require.NoError(t, h[0].Hub().ServerEmit("large", strings.Repeat("x", 5<<20)))
	}
	close(goOn)
	for range 3 {
		assert.Equal(t, 5<<20+2, <-done)
	}
}
