package thinkws_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

func TestTargets(t *testing.T) {
	h, _ := newHandler(t, thinkws.Namespace("/other"))
	hub := h.Hub()
	names := []string{"a", "b", "c", "d"}
	clients := map[string]*fake{}
	for _, name := range names {
		clients[name] = enter(t, h, "/")
	}
	foreign := enter(t, h, "/other")
	socket := func(name string) *thinkws.Socket {
		s, ok := hub.Socket(clients[name].id)
		require.True(t, ok)
		return s
	}
	require.NoError(t, socket("a").Join("red", "both"))
	require.NoError(t, socket("b").Join("blue", "both", "both"))
	require.NoError(t, socket("c").Join("42"))

	for _, tt := range []struct {
		name   string
		target thinkws.Target
		want   string
	}{
		{"everyone", hub.To(), "abcd"},
		{"one room", hub.To("red"), "a"},
		{"two rooms, each once", hub.To("red", "both"), "ab"},
		{"rooms add up", hub.To("red").To("42"), "ac"},
		{"numeric room", hub.To("42"), "c"},
		{"id as a room", hub.To(clients["d"].id), "d"},
		{"id and room", hub.To(clients["a"].id, "red"), "a"},
		{"except a room", hub.To().Except("both"), "cd"},
		{"except an id", hub.To("both").Except(clients["a"].id), "b"},
		{"except wins", hub.To("red").Except("red"), ""},
		{"nobody there", hub.To("green"), ""},
		{"empty name", hub.To(""), ""},
		{"local", hub.To().Local(), "abcd"},
		{"volatile", hub.To("red").Volatile(), "a"},
		{"no such namespace", hub.Of("nowhere").To(), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.NoError(t, tt.target.Emit("e", tt.name))
			got := ""
			for _, name := range names {
				for range clients[name].sentCount() {
					got += name
					clients[name].take(1)
				}
			}
			assert.Equal(t, tt.want, got)
			assert.Zero(t, foreign.sentCount())
			members, err := tt.target.Sockets(t.Context())
			require.NoError(t, err)
			assert.Len(t, members, len(tt.want))
		})
	}
}

func TestTargetIsImmutable(t *testing.T) {
	h, _ := newHandler(t)
	a, b := enter(t, h, "/"), enter(t, h, "/")
	base := h.Hub().To(make([]string, 0, 8)...)
	toA, toB := base.To(a.id), base.To(b.id)
	require.NoError(t, toA.Emit("a"))
	require.NoError(t, toB.Emit("b"))
	assert.Equal(t, []string{"a[]"}, a.take(1))
	assert.Equal(t, []string{"b[]"}, b.take(1))
}

func TestTargetActsOnSockets(t *testing.T) {
	h, _ := newHandler(t)
	hub := h.Hub()
	a, b := enter(t, h, "/"), enter(t, h, "/")
	require.NoError(t, hub.To(a.id).Join("x", "y"))
	sa, _ := hub.Socket(a.id)
	assert.ElementsMatch(t, []string{a.id, "x", "y"}, sa.Rooms())
	assert.Equal(t, a.id, sa.Rooms()[0])
	hub.To("x").Leave("y", "z")
	assert.ElementsMatch(t, []string{a.id, "x"}, sa.Rooms())
	hub.To("x").Disconnect()
	assert.Equal(t, session.ReasonServerDisconnect, a.closed)
	assert.False(t, a.whole)
	hub.To().Close()
	assert.True(t, b.whole)
	_, ok := hub.Socket(b.id)
	assert.False(t, ok)
	assert.Equal(t, 0, hub.Stats().Clients)
	assert.Equal(t, 0, hub.Stats().Rooms)
}

func TestJoinLimits(t *testing.T) {
	h, _ := newHandler(t, thinkws.WithMaxRooms(3))
	a := enter(t, h, "/")
	s, _ := h.Hub().Socket(a.id)
	require.NoError(t, s.Join("1", "2"))
	assert.ErrorIs(t, s.Join("3", "4"), thinkws.ErrTooMany)
	assert.ElementsMatch(t, []string{a.id, "1", "2"}, s.Rooms(), "none of them was joined")
	require.NoError(t, s.Join("1", "2", "3"), "rooms it is in do not count")
	assert.ErrorIs(t, h.Hub().To().Join("4"), thinkws.ErrTooMany)
	s.Disconnect()
	assert.ErrorIs(t, s.Join("5"), thinkws.ErrClosed)
	assert.ErrorIs(t, s.Emit("x"), thinkws.ErrClosed)
}

// Joins, leaves and disconnects from many sides leave no trace behind.
func TestMembershipStorm(t *testing.T) {
	h, _ := newHandler(t, thinkws.Namespace("/room-*"))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 50 {
				f := knock(t, h, peer{namespace: fmt.Sprintf("/room-%d", n%3)})
				f.until(func() bool { return f.accepted })
				s, ok := h.Hub().Of(fmt.Sprintf("/room-%d", n%3)).Socket(f.id)
				if !assert.True(t, ok) {
					return
				}
				assert.NoError(t, s.Join("all", fmt.Sprint("r", i), fmt.Sprint("n", n)))
				assert.NoError(t, h.Hub().Of("/room-0").To("all").Emit("e"))
				s.Leave(fmt.Sprint("r", i))
				go f.end(session.ReasonTransportClose, true)
				_ = s.Join("late", "later") // may come before the end or after it
			}
		})
	}
	wg.Wait()
	require.Eventually(t, func() bool {
		st := h.Hub().Stats()
		return st.Clients == 0 && st.Rooms == 0 && st.Namespaces == 1
	}, time.Minute, time.Millisecond)
}

func TestVolatileMessagesAreCounted(t *testing.T) {
	h, _ := newHandler(t)
	a := enter(t, h, "/")
	a.busy = true
	require.NoError(t, h.Hub().To().Volatile().Emit("v"))
	require.NoError(t, h.Hub().Emit("e"))
	assert.Equal(t, []string{"e[]"}, a.take(1))
	a.full = true
	require.NoError(t, h.Hub().Emit("e"))
	s, _ := h.Hub().Socket(a.id)
	assert.ErrorIs(t, s.Emit("e"), thinkws.ErrSlow)
	assert.EqualValues(t, 1, h.Hub().Stats().Dropped)
}

func TestBroadcastSharesOneMessage(t *testing.T) {
	h, _ := newHandler(t)
	var clients []*fake
	for range 1000 {
		clients = append(clients, enter(t, h, "/"))
	}
	calls := &marshalCounter{}
	require.NoError(t, h.Hub().Emit("e", calls))
	for _, f := range clients {
		require.Same(t, clients[0].originals[0], f.originals[0])
	}
	assert.Equal(t, 1, calls.n, "marshaled once")
}

type marshalCounter struct{ n int }

func (m *marshalCounter) MarshalJSON() ([]byte, error) {
	m.n++
	return []byte("1"), nil
}

func TestEmitRefuses(t *testing.T) {
	h, _ := newHandler(t)
	a := enter(t, h, "/")
	s, _ := h.Hub().Socket(a.id)
	cycle := map[string]any{}
	cycle["self"] = cycle
	for _, name := range []string{"", "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
		assert.ErrorIs(t, s.Emit(name), thinkws.ErrReserved)
		assert.ErrorIs(t, h.Hub().Emit(name), thinkws.ErrReserved)
		_, err := s.EmitAck(t.Context(), name)
		assert.ErrorIs(t, err, thinkws.ErrReserved)
	}
	for _, bad := range []any{make(chan int), func() {}, nan(), cycle, []any{[]byte("x"), nan()}, panicMarshaler{}} {
		assert.Error(t, s.Emit("e", "fine", bad))
		assert.Error(t, h.Hub().Emit("e", bad))
	}
	assert.Zero(t, a.sentCount(), "nothing was sent")
}

type panicMarshaler struct{}

func (panicMarshaler) MarshalJSON() ([]byte, error) { panic("no") }

func TestEmitAckOfOne(t *testing.T) {
	h, _ := newHandler(t)
	a := enter(t, h, "/")
	s, _ := h.Hub().Socket(a.id)
	go func() {
		for i := range 2 {
			assert.Equal(t, []string{fmt.Sprintf("q?%d[%d]", i, i)}, a.take(1))
			a.answer(fmt.Sprint(i), `"yes",2`)
			a.answer(fmt.Sprint(i), `"twice"`)
		}
	}()
	for i := range 2 {
		answer, err := s.EmitAck(t.Context(), "q", i)
		require.NoError(t, err)
		var yes string
		var two int
		require.NoError(t, answer.Bind(&yes, &two))
		assert.Equal(t, "yes", yes)
		assert.Equal(t, 2, two)
		assert.Equal(t, a.id, answer.ID)
		assert.Len(t, answer.Args(), 2)
		assert.NoError(t, answer.Err())
	}
	require.Eventually(t, func() bool { return h.Hub().Stats().Ignored == 2 }, time.Minute, time.Millisecond)
}

func TestEmitAckEndsWithClientOrContext(t *testing.T) {
	h, _ := newHandler(t)
	a := enter(t, h, "/")
	s, _ := h.Hub().Socket(a.id)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.EmitAck(ctx, "q")
	assert.ErrorIs(t, err, thinkws.ErrNoAck)
	assert.ErrorIs(t, err, context.Canceled)

	a.take(1)
	go func() {
		a.take(1)
		a.end(session.ReasonTransportClose, true)
	}()
	_, err = s.EmitAck(t.Context(), "q")
	assert.ErrorIs(t, err, thinkws.ErrClosed)
	_, err = s.EmitAck(t.Context(), "q")
	assert.ErrorIs(t, err, thinkws.ErrClosed)
}

func TestEmitAckOfMany(t *testing.T) {
	h, _ := newHandler(t)
	a, b, c := enter(t, h, "/"), enter(t, h, "/"), enter(t, h, "/")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for _, f := range []*fake{a, b, c} {
			f.take(1)
		}
		a.answer("0", `1`)
		b.receive(&session.Message{Kind: session.Answer, ID: "0",
			Failure: &session.Failure{Name: "Busy", Message: "later"}})
		cancel()
	}()
	answers, err := h.Hub().EmitAck(ctx, "q")
	var missing *thinkws.NoAckError
	require.ErrorAs(t, err, &missing)
	assert.Equal(t, []string{c.id}, missing.Missing)
	assert.ErrorIs(t, err, context.Canceled)
	assert.ErrorContains(t, err, c.id)
	require.Len(t, answers, 2)
	assert.Equal(t, a.id, answers[0].ID)
	var failure *thinkws.Error
	require.ErrorAs(t, answers[1].Err(), &failure)
	assert.Equal(t, "Busy", failure.Name)

	answers, err = h.Hub().Of("/nobody").EmitAck(t.Context(), "q")
	assert.NoError(t, err)
	assert.Empty(t, answers)
}

func TestShutdownRunsCloseAndRefuses(t *testing.T) {
	var reasons []thinkws.Reason
	h, err := thinkws.New(thinkws.On("close", func(c *thinkws.Context) error {
		reasons = append(reasons, c.Reason())
		return nil
	}))
	require.NoError(t, err)
	a := enter(t, h, "/")
	a.end(session.ReasonServerShutdown, true) // the protocol does this
	shutdown(t, h)
	assert.Equal(t, []thinkws.Reason{thinkws.ReasonServerShutdown}, reasons)
	late := knock(t, h, peer{})
	late.until(func() bool { return late.refused != nil })
}

// Clients of revision 3 of Engine.IO come back into a namespace under the same id,
// and the end of their first stay may be reported after that.
func TestComingBackUnderTheSameID(t *testing.T) {
	h, _ := newHandler(t)
	a := enter(t, h, "/")
	b := &fake{t: t, id: a.id, changed: make(chan struct{}, 1)}
	b.receiver = h.Admitter().Admit(session.Peer{ID: a.id, Namespace: "/", Conn: b, Flow: new(session.Flow), Handshake: session.Keep(httptest.NewRequest(http.MethodGet, "/", nil))})
	b.until(func() bool { return b.accepted })
	a.end(session.ReasonClientDisconnect, false)
	require.NoError(t, h.Hub().To(a.id).Emit("e"))
	assert.Equal(t, []string{"e[]"}, b.take(1))
	assert.Equal(t, 1, h.Hub().Stats().Clients)
	b.end(session.ReasonTransportClose, true)
	assert.Equal(t, 0, h.Hub().Stats().Clients)
}

// unspeakable stands for a message that the protocol of a client cannot carry.
type unspeakable struct{ *fake }

func (unspeakable) Send(*session.Message) error { return errors.New("cannot be encoded") }

func TestBroadcastReportsWhatCannotBeEncoded(t *testing.T) {
	h, out := newHandler(t)
	for range 3 {
		f := &fake{t: t, id: session.NewID(), changed: make(chan struct{}, 1)}
		f.receiver = h.Admitter().Admit(session.Peer{ID: f.id, Namespace: "/", Conn: unspeakable{f}, Flow: new(session.Flow), Handshake: session.Keep(httptest.NewRequest(http.MethodGet, "/", nil))})
		f.until(func() bool { return f.accepted })
		defer f.end(session.ReasonTransportClose, true)
	}
	require.NoError(t, h.Hub().Emit("e"))
	assert.Equal(t, 1, strings.Count(out.String(), "cannot be encoded"), "once, not for each")
}
