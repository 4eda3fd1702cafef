package thinkws_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// nodes returns handlers on one bus.
func nodes(t *testing.T, n int, options ...thinkws.Option) []*thinkws.Handler {
	t.Helper()
	bus := &thinkws.MemoryBus{}
	all := make([]*thinkws.Handler, n)
	for i := range all {
		all[i], _ = newHandler(t, append(slices.Clone(options), thinkws.WithBus(bus))...)
	}
	return all
}

// none checks that nothing has come but what was taken.
func none(t *testing.T, fakes ...*fake) {
	t.Helper()
	for _, f := range fakes {
		assert.Zero(t, f.sentCount())
	}
}

func TestTargetsReachAllNodes(t *testing.T) {
	h := nodes(t, 2, thinkws.On("join", func(c *thinkws.Context) error { return c.Join("room") }),
		thinkws.On("others", func(c *thinkws.Context) error { return c.Others().Emit("hello", []byte{1}) }),
		thinkws.Namespace("/chat"))
	a, b, c := enter(t, h[0], "/"), enter(t, h[1], "/"), enter(t, h[1], "/")
	elsewhere := enter(t, h[1], "/chat")
	hub := h[0].Hub()
	b.emit("join", "1", "")
	require.Eventually(t, func() bool { return h[1].Hub().Stats().Rooms == 1 }, time.Minute, time.Millisecond)

	require.NoError(t, hub.Emit("all", 1))
	for _, f := range []*fake{a, b, c} {
		assert.Equal(t, []string{"all[1]"}, f.take(1))
	}
	require.NoError(t, hub.To("room", b.id).Emit("once"))
	require.NoError(t, hub.To().Except("room").Emit("not there"))
	require.NoError(t, hub.To(c.id).Emit("one"))
	require.NoError(t, hub.To().Local().Emit("here"))
	a.emit("others", "", "")
	assert.Equal(t, []string{"not there[]", "here[]"}, a.take(2))
	assert.Equal(t, []string{"once[]", `hello["AQ=="]`}, b.take(2))
	assert.Equal(t, []string{"not there[]", "one[]", `hello["AQ=="]`}, c.take(3))
	require.NoError(t, hub.Of("chat").Emit("chat"))
	assert.Equal(t, []string{"chat[]"}, elsewhere.take(1))
	none(t, a, b, c, elsewhere)
}

func TestVolatileAndReservedOverNodes(t *testing.T) {
	h := nodes(t, 2)
	b := enter(t, h[1], "/")
	b.mu.Lock()
	b.busy = true
	b.mu.Unlock()
	require.NoError(t, h[0].Hub().To().Volatile().Emit("gone"))
	require.NoError(t, h[0].Hub().Emit("kept"))
	assert.ErrorIs(t, h[0].Hub().Emit("connect"), thinkws.ErrReserved)
	assert.Error(t, h[0].Hub().Emit("bad", make(chan int)))
	assert.Equal(t, []string{"kept[]"}, b.take(1))
	assert.EqualValues(t, 1, h[1].Hub().Stats().Dropped)
	none(t, b)
}

func TestJoinLeaveAndDisconnectOverNodes(t *testing.T) {
	h := nodes(t, 2, thinkws.WithMaxRooms(2))
	a, b := enter(t, h[0], "/"), enter(t, h[1], "/")
	hub := h[0].Hub()
	require.NoError(t, hub.To(b.id).Join("x", "y"))
	require.NoError(t, hub.To("x").Leave("y"))
	require.NoError(t, hub.To("x").Emit("in x"))
	require.NoError(t, hub.To("y").Emit("in y"))
	assert.Equal(t, []string{"in x[]"}, b.take(1))
	assert.ErrorIs(t, hub.To(b.id).Join("1", "2", "3"), thinkws.ErrTooMany, "no client may be in three")
	require.NoError(t, hub.To(b.id).Join("2", "3"), "past the limit there, with x: that node's log tells")
	require.NoError(t, hub.To("3").Emit("nobody"))
	require.NoError(t, hub.To("x").Disconnect())
	b.until(func() bool { return b.closed == session.ReasonServerDisconnect && !b.whole })
	c := enter(t, h[1], "/")
	require.NoError(t, hub.To(c.id).Close())
	c.until(func() bool { return c.whole })
	none(t, a, b, c)
}

func TestSocketsAndRoomsOfAllNodes(t *testing.T) {
	h := nodes(t, 3, thinkws.On("open", func(c *thinkws.Context) error {
		if err := c.Websocket().SetData(map[string]string{"name": "n"}); err != nil {
			return err
		}
		return c.Join("room")
	}), thinkws.Namespace("/empty"))
	a, b := enter(t, h[0], "/"), enter(t, h[1], "/")
	require.Eventually(t, func() bool { return h[0].Hub().Stats().Rooms+h[1].Hub().Stats().Rooms == 2 }, time.Minute, time.Millisecond)
	members, err := h[2].Hub().To("room").Sockets(t.Context())
	require.NoError(t, err)
	ids := []string{}
	for _, m := range members {
		ids = append(ids, m.ID)
		assert.Equal(t, []string{m.ID, "room"}, m.Rooms)
		assert.JSONEq(t, `{"name":"n"}`, string(m.Data))
		assert.Equal(t, "fake", m.Transport)
		assert.NotNil(t, m.Request().Header)
	}
	assert.ElementsMatch(t, []string{a.id, b.id}, ids)
	members, err = h[2].Hub().To("room").Local().Sockets(t.Context())
	require.NoError(t, err)
	assert.Empty(t, members)

	rooms, err := h[0].Hub().Of("/").Rooms(t.Context())
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{a.id, b.id, "room"}, rooms)
	rooms, err = h[0].Hub().Of("/empty").Rooms(t.Context())
	require.NoError(t, err)
	assert.Empty(t, rooms)
}

func TestAcksOfAllNodes(t *testing.T) {
	h := nodes(t, 3)
	a, b, c := enter(t, h[0], "/"), enter(t, h[1], "/"), enter(t, h[1], "/")
	type result struct {
		answers []thinkws.Answer
		err     error
	}
	ask := func(timeout time.Duration) <-chan result {
		done := make(chan result, 1)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			answers, err := h[0].Hub().EmitAck(ctx, "sure?")
			done <- result{answers, err}
		}()
		return done
	}
	reply := func(f *fake, answer string) {
		f.take(1)
		f.mu.Lock()
		id := f.originals[len(f.originals)-1].ID
		f.mu.Unlock()
		f.answer(id, answer)
	}
	done := ask(5 * time.Second)
	reply(a, `"a"`)
	reply(b, `"b",2`)
	reply(c, "")
	got := <-done
	require.NoError(t, got.err)
	texts := []string{}
	for _, answer := range got.answers {
		text := ""
		for _, arg := range answer.Args() {
			text += string(arg)
		}
		texts = append(texts, text)
	}
	assert.ElementsMatch(t, []string{`"a"`, `"b"2`, ""}, texts)

	done = ask(5 * time.Second) // who leaves is not waited for
	reply(a, `"a"`)
	reply(b, `"b"`)
	c.take(1)
	c.end(session.ReasonTransportClose, true)
	got = <-done
	gone := &thinkws.NodesError{}
	require.ErrorAs(t, got.err, &gone)
	assert.Equal(t, 1, gone.Clients)
	assert.ErrorIs(t, got.err, thinkws.ErrClosed, "as of a client of this node")
	assert.Len(t, got.answers, 2)

	done = ask(100 * time.Millisecond)
	reply(b, `"b"`)
	got = <-done
	assert.Len(t, got.answers, 1)
	here := &thinkws.NoAckError{}
	require.ErrorAs(t, got.err, &here)
	assert.Equal(t, []string{a.id}, here.Missing)
	a.take(1)

	done = ask(100 * time.Millisecond)
	reply(a, `"a"`)
	got = <-done
	there := &thinkws.NodesError{}
	require.ErrorAs(t, got.err, &there)
	assert.Equal(t, 1, there.Clients)
	assert.Zero(t, there.Count)
	assert.ErrorIs(t, got.err, thinkws.ErrNoAck)
	assert.ErrorIs(t, got.err, context.DeadlineExceeded)
	assert.ErrorContains(t, got.err, "1 clients of other nodes")
}

func TestEventsOfOtherNodes(t *testing.T) {
	seen := make(chan string, 10)
	h := nodes(t, 3, thinkws.OnServer("reload", func(c *thinkws.Context) error {
		assert.False(t, c.IsWebsocket())
		assert.Nil(t, c.Request())
		assert.ErrorIs(t, c.Emit("e"), thinkws.ErrNoClient)
		require.NoError(t, c.Context().Err())
		seen <- string(c.WsData())
		return c.Broadcast("reloaded")
	}), thinkws.OnServer("sum", thinkws.Reply(func(_ *thinkws.Context, v []int) (int, error) {
		if len(v) == 0 {
			return 0, &thinkws.Error{Name: thinkws.BadRequest, Message: "nothing to add"}
		}
		return v[0] + v[1], nil
	})), thinkws.OnServer("panics", func(*thinkws.Context) error { panic("here") }),
		thinkws.Namespace("/chat", thinkws.OnServer("where", func(c *thinkws.Context) error { return c.Ack(c.Event()) })))
	a := enter(t, h[0], "/")
	require.NoError(t, h[0].Hub().ServerEmit("reload", "now"))
	assert.Equal(t, `"now"`, <-seen)
	assert.Equal(t, `"now"`, <-seen)
	assert.Equal(t, []string{"reloaded[]", "reloaded[]"}, a.take(2))

	answers, err := h[0].Hub().ServerEmitAck(t.Context(), "sum", []int{1, 2})
	require.NoError(t, err)
	require.Len(t, answers, 2)
	n := 0
	require.NoError(t, answers[0].Arg(0, &n))
	assert.Equal(t, 3, n)
	answers, err = h[0].Hub().ServerEmitAck(t.Context(), "sum", []int{})
	require.NoError(t, err)
	assert.Contains(t, string(answers[1].Args()[0]), "nothing to add")
	answers, err = h[0].Hub().Of("chat").ServerEmitAck(t.Context(), "where")
	require.NoError(t, err)
	assert.Len(t, answers, 2)
	answers, err = h[0].Hub().ServerEmitAck(t.Context(), "nobody's")
	require.NoError(t, err, "who has no action for it is not waited for")
	assert.Empty(t, answers)
	answers, err = h[0].Hub().ServerEmitAck(t.Context(), "panics")
	require.NoError(t, err)
	assert.Len(t, answers, 2)
	assert.Error(t, h[0].Hub().ServerEmit("bad", make(chan int)))
	_, err = h[0].Hub().ServerEmitAck(t.Context(), "bad", make(chan int))
	assert.Error(t, err)

	_, err = thinkws.New(thinkws.OnServer("", nil))
	assert.Error(t, err)
	twice := thinkws.OnServer("e", func(*thinkws.Context) error { return nil })
	_, err = thinkws.New(twice, twice)
	assert.ErrorContains(t, err, "has an action")
}

// brokenBus is a bus whose link can do nothing.
type brokenBus struct{ node thinkws.BusNode }

var errBroken = errors.Join(thinkws.ErrBus, errors.New("broken"))

func (b *brokenBus) Open(node thinkws.BusNode) (thinkws.BusLink, error) {
	b.node = node
	return b, nil
}
func (b *brokenBus) Subscribe(ctx context.Context, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}
func (b *brokenBus) Unsubscribe(string)              {}
func (b *brokenBus) Publish(*thinkws.Envelope) error { return errBroken }
func (b *brokenBus) Ask(context.Context, *thinkws.Envelope, func(*thinkws.Envelope)) error {
	return &thinkws.NodesError{Err: errBroken}
}
func (b *brokenBus) Stats() thinkws.BusStats     { return thinkws.BusStats{Err: errBroken, Lost: 7} }
func (b *brokenBus) Close(context.Context) error { return nil }

// Without the other nodes everything here goes on, and the errors tell.
func TestBusIsDown(t *testing.T) {
	h, _ := newHandler(t, thinkws.WithBus(&brokenBus{}), thinkws.Namespace("/room-*"))
	a := enter(t, h, "/")
	enter(t, h, "/room-1")
	hub := h.Hub()
	assert.ErrorIs(t, hub.Emit("here"), thinkws.ErrBus)
	assert.ErrorIs(t, hub.To(a.id).Join("x"), thinkws.ErrBus)
	assert.ErrorIs(t, hub.To("x").Emit("in x"), thinkws.ErrBus)
	assert.Equal(t, []string{"here[]", "in x[]"}, a.take(2))
	members, err := hub.Sockets(t.Context())
	assert.ErrorIs(t, err, thinkws.ErrBus)
	assert.Len(t, members, 1)
	assert.ErrorIs(t, hub.To("x").Leave("x"), thinkws.ErrBus)
	assert.ErrorIs(t, hub.To(a.id).Disconnect(), thinkws.ErrBus)
	a.until(func() bool { return a.closed != "" })
	assert.ErrorIs(t, hub.ServerEmit("e"), thinkws.ErrBus)
	assert.ErrorIs(t, h.Health(), thinkws.ErrBus)
	assert.EqualValues(t, 7, hub.Stats().Bus.Lost)
	assert.NoError(t, hub.To().Local().Emit("e"))
}

func TestHealth(t *testing.T) {
	alone, _ := newHandler(t)
	assert.NoError(t, alone.Health())
	shutdown(t, alone)
	assert.ErrorContains(t, alone.Health(), "shutting down")
	h := nodes(t, 2)
	assert.NoError(t, h[0].Health())
	assert.Equal(t, 2, h[0].Hub().Stats().Bus.Nodes)
	shutdown(t, h[0])
	assert.ErrorContains(t, h[0].Health(), "shutting down")
	assert.ErrorIs(t, h[0].Hub().Emit("e"), thinkws.ErrBus)
	assert.Equal(t, 1, h[1].Hub().Stats().Bus.Nodes)
	_, err := h[0].Hub().Sockets(t.Context())
	assert.ErrorIs(t, err, thinkws.ErrBus)
}

// Who asks is not waited for by Shutdown.
func TestShutdownEndsQuestions(t *testing.T) {
	h := nodes(t, 2)
	b := enter(t, h[1], "/")
	failed := make(chan error, 1)
	go func() {
		_, err := h[0].Hub().EmitAck(context.Background(), "sure?")
		failed <- err
	}()
	b.take(1)
	shutdown(t, h[0])
	assert.ErrorIs(t, <-failed, thinkws.ErrNoAck)
}
