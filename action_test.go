package thinkws_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

func nan() float64 { return math.NaN() }

func TestActionGetsTheEvent(t *testing.T) {
	var client *fake
	h, _ := newHandler(t, thinkws.On("e", func(c *thinkws.Context) error {
		assert.Equal(t, "e", c.Event())
		assert.JSONEq(t, `{"n":1}`, string(c.WsData()))
		assert.Len(t, c.Args(), 3)
		var n int
		assert.NoError(t, c.Arg(1, &n))
		assert.Equal(t, 2, n)
		var first map[string]int
		var second float64
		assert.NoError(t, c.Bind(&first, &second))
		assert.Equal(t, map[string]int{"n": 1}, first)
		assert.InDelta(t, 2.0, second, 0)
		var bad *thinkws.Error
		assert.ErrorAs(t, c.Arg(3, &n), &bad)
		assert.Equal(t, thinkws.BadRequest, bad.Name)
		assert.ErrorAs(t, c.Arg(2, &n), &bad)
		assert.True(t, c.IsWebsocket())
		assert.Equal(t, client.id, c.ID())
		assert.Equal(t, client.id, c.Websocket().ID())
		assert.Equal(t, "/", c.Websocket().Namespace())
		assert.Equal(t, "fake", c.Websocket().Transport())
		assert.Equal(t, []string{client.id}, c.Rooms())
		assert.Empty(t, c.Reason())
		assert.Equal(t, c.Websocket().Request(), c.Request())
		assert.Equal(t, 0, c.Hub().Stats().Rooms)
		return c.Emit("done")
	}))
	client = enter(t, h, "/")
	client.emit("e", "", `{"n":1},2,"x"`)
	assert.Equal(t, []string{"done[]"}, client.take(1))
}

func TestBinaryArguments(t *testing.T) {
	type file struct {
		Name string
		Body []byte
	}
	h, _ := newHandler(t, thinkws.On("file", thinkws.Reply(func(c *thinkws.Context, f file) (int, error) {
		var raw []byte
		assert.NoError(t, c.Arg(1, &raw))
		assert.Equal(t, []byte{3, 4}, raw)
		return len(f.Body), nil
	})))
	a := enter(t, h, "/")
	a.receive(&session.Message{Name: "file", ID: "7", Args: session.Args{
		Text: []byte(`{"Name":"x","Body":},`), Count: 2,
		Parts: []session.Part{{At: 19, Data: []byte{1, 2}}, {At: 21, Data: []byte{3, 4}}},
	}})
	assert.Equal(t, []string{"ack 7[2]"}, a.take(1))
}

func TestLifeOfAClient(t *testing.T) {
	var mu sync.Mutex
	var steps []string
	step := func(c *thinkws.Context) error {
		mu.Lock()
		defer mu.Unlock()
		steps = append(steps, c.Event())
		return nil
	}
	h, _ := newHandler(t,
		thinkws.On("open", func(c *thinkws.Context) error {
			assert.NoError(t, c.Join("room"))
			_ = step(c)
			return c.Broadcast("joined", c.ID())
		}),
		thinkws.On("close", func(c *thinkws.Context) error {
			assert.Equal(t, thinkws.ReasonTransportClose, c.Reason())
			assert.ElementsMatch(t, []string{c.ID(), "room"}, c.Rooms())
			assert.ErrorIs(t, c.Emit("x"), thinkws.ErrClosed)
			assert.ErrorIs(t, c.Context().Err(), context.Canceled)
			assert.ErrorIs(t, context.Cause(c.Context()), thinkws.ErrClosed)
			_ = step(c)
			return c.To(c.Rooms()...).Emit("left", c.ID())
		}),
		thinkws.WithMessages(thinkws.Messages{"one": step, "two": step}),
	)
	a := enter(t, h, "/")
	assert.Equal(t, []string{`joined["` + a.id + `"]`}, a.take(1))
	b := enter(t, h, "/")
	assert.Equal(t, []string{`joined["` + b.id + `"]`}, a.take(1))
	assert.Equal(t, []string{`joined["` + b.id + `"]`}, b.take(1))
	for _, name := range []string{"one", "two", "open", "close", "one"} {
		a.emit(name, "", "")
	}
	a.end(session.ReasonTransportClose, true)
	assert.Equal(t, []string{`left["` + a.id + `"]`}, b.take(1))
	assert.Equal(t, []string{"open", "open", "one", "two", "one", "close"}, steps,
		"in order, and open and close are not dispatched from the wire")
}

func TestAcks(t *testing.T) {
	type point struct{ X, Y int }
	h, out := newHandler(t,
		thinkws.On("none", func(*thinkws.Context) error { return nil }),
		thinkws.On("twice", func(c *thinkws.Context) error {
			assert.NoError(t, c.Ack("a", 2))
			return c.Ack("b")
		}),
		thinkws.On("bind", thinkws.Bind(func(c *thinkws.Context, p point) error { return c.Ack(p.X + p.Y) })),
		thinkws.On("reply", thinkws.Reply(func(_ *thinkws.Context, v []int) (int, error) { return len(v), nil })),
		thinkws.On("public", func(*thinkws.Context) error {
			return &thinkws.Error{Name: "Full", Message: "no room", Data: 7, Err: errors.New("secret")}
		}),
		thinkws.On("private", func(*thinkws.Context) error { return errors.New("the password is 123") }),
		thinkws.On("late", func(c *thinkws.Context) error { _ = c.Ack(1); return errors.New("after the answer") }),
		thinkws.On("panic", func(*thinkws.Context) error { panic("boom") }),
		thinkws.On("nan", func(c *thinkws.Context) error { return c.Ack(nan()) }),
	)
	a := enter(t, h, "/")
	for _, tt := range []struct{ event, args, want string }{
		{"twice", ``, `ack 1["a",2]`}, // the second is an error
		{"bind", `{"X":1,"Y":2}`, `ack 1[3]`},
		{"bind", ``, `ack 1[0]`},
		{"bind", `"x"`, `ack 1 failed: BadRequest: argument 0 is not what the action takes`},
		{"reply", `[1,2,3]`, `ack 1[3]`},
		{"reply", `1e400`, `ack 1 failed: BadRequest: argument 0 is not what the action takes`},
		{"public", ``, `ack 1 failed: Full: no room7`},
		{"private", ``, `ack 1 failed: Internal: internal error`},
		{"late", ``, `ack 1[1]`},
		{"unknown", ``, `ack 1 failed: NotFound: no such event`},
		{"open", ``, `ack 1 failed: NotFound: no such event`},
		{"nan", ``, `ack 1 failed: Internal: internal error`},
		{"panic", ``, `ack 1 failed: Internal: internal error`},
	} {
		a.emit(tt.event, "1", tt.args)
		assert.Equal(t, []string{tt.want}, a.take(1), tt.event)
		a.emit(tt.event, "", tt.args)
	}
	a.emit("none", "2", "")
	a.emit("reply", "4", "[]")
	assert.Equal(t, []string{`ack 4[0]`}, a.take(1), "no answer to an action without one; the client lives")
	assert.Equal(t, 2, strings.Count(out.String(), "the password is 123"), "logged once each")
	assert.Contains(t, out.String(), "boom")
	assert.Contains(t, out.String(), "action_test.go", "with its stack")
}

func TestOnErrorReplacesTheLog(t *testing.T) {
	var got []string
	h, out := newHandler(t,
		thinkws.WithOnError(func(c *thinkws.Context, err error) { got = append(got, c.Event()+": "+err.Error()) }),
		thinkws.On("bad", func(*thinkws.Context) error { return errors.New("no luck") }),
		thinkws.On("panic", func(*thinkws.Context) error { panic("boom") }))
	a := enter(t, h, "/")
	a.emit("bad", "1", "")
	a.emit("panic", "", "")
	a.emit("bad", "2", "")
	a.take(2)
	assert.Equal(t, []string{"bad: no luck", "panic: thinkws: panic: boom", "bad: no luck"}, got)
	assert.NotContains(t, out.String(), "no luck")
	assert.EqualValues(t, 3, h.Hub().Stats().Failed)
}

func TestUseAndOnAny(t *testing.T) {
	var steps []string
	note := func(name string) func(thinkws.HandlerFunc) thinkws.HandlerFunc {
		return func(next thinkws.HandlerFunc) thinkws.HandlerFunc {
			return func(c *thinkws.Context) error {
				steps = append(steps, name)
				return next(c)
			}
		}
	}
	action := func(name string) thinkws.HandlerFunc {
		return func(*thinkws.Context) error { steps = append(steps, name); return nil }
	}
	h, _ := newHandler(t,
		thinkws.Namespace("chat", thinkws.Use(note("inner")), thinkws.On("e", action("e")),
			thinkws.OnAny(func(c *thinkws.Context) error {
				steps = append(steps, "any")
				if c.Event() == "stop" {
					return errors.New("stopped")
				}
				return nil
			}), thinkws.On("stop", action("never"))),
		thinkws.Use(note("outer"), note("outer2")))
	a := enter(t, h, "/chat")
	for _, event := range []string{"e", "unknown", "stop"} {
		a.emit(event, "1", "")
	}
	a.take(1) // "stop" is answered, after the others have run
	assert.Equal(t, "outer outer2 inner any e outer outer2 inner any outer outer2 inner any", strings.Join(steps, " "))
}

func TestAuthorize(t *testing.T) {
	type key struct{}
	h, out := newHandler(t,
		thinkws.Authorize(func(c *thinkws.Context) error {
			switch string(c.Websocket().Auth()) {
			case `{"token":"good"}`:
				c.Set(key{}, "ann")
				return c.Join("users")
			case `{"token":"broken"}`:
				return errors.New("database is down at 10.0.0.7")
			case `{"token":"panic"}`:
				panic("oh")
			}
			return &thinkws.Error{Name: thinkws.Forbidden, Message: "who are you?", Data: map[string]int{"code": 9}}
		}),
		thinkws.Namespace("/admin", thinkws.Authorize(func(c *thinkws.Context) error {
			if c.Request().Header.Get("X-Admin") == "" {
				return &thinkws.Error{Name: thinkws.Forbidden, Message: "not for you"}
			}
			return nil
		})),
		thinkws.On("whoami", thinkws.Reply(func(c *thinkws.Context, _ any) (any, error) { return c.Get(key{}), nil })))

	for _, tt := range []struct {
		name, namespace, auth, admin string
		refused                      *session.Failure
	}{
		{name: "good", auth: `{"token":"good"}`},
		{name: "no auth", refused: &session.Failure{Name: thinkws.Forbidden, Message: "who are you?", Data: json.RawMessage(`{"code":9}`)}},
		{name: "private error", auth: `{"token":"broken"}`, refused: &session.Failure{Name: thinkws.Internal, Message: "internal error"}},
		{name: "panic", auth: `{"token":"panic"}`, refused: &session.Failure{Name: thinkws.Internal, Message: "internal error"}},
		{name: "both must agree", namespace: "/admin", auth: `{"token":"good"}`, refused: &session.Failure{Name: thinkws.Forbidden, Message: "not for you"}},
		{name: "top level first", namespace: "/admin", admin: "1", refused: &session.Failure{Name: thinkws.Forbidden, Message: "who are you?", Data: json.RawMessage(`{"code":9}`)}},
		{name: "admin", namespace: "/admin", auth: `{"token":"good"}`, admin: "1"},
		{name: "unknown namespace", namespace: "/nope", auth: `{"token":"good"}`, refused: &session.Failure{Name: thinkws.NotFound, Message: "Invalid namespace"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			if tt.admin != "" {
				r.Header.Set("X-Admin", tt.admin)
			}
			f := knock(t, h, peer{namespace: tt.namespace, auth: tt.auth, request: r})
			f.emit("whoami", "1", "")
			f.until(func() bool { return f.accepted || f.refused != nil })
			assert.Equal(t, tt.refused, f.refused)
			if tt.refused == nil && tt.namespace == "" {
				assert.Equal(t, []string{`ack 1["ann"]`}, f.take(1))
				s, _ := h.Hub().Socket(f.id)
				assert.Equal(t, []string{f.id, "users"}, s.Rooms())
			}
			f.end(session.ReasonTransportClose, true)
		})
	}
	shutdown(t, h)
	assert.Zero(t, h.Hub().Stats().Rooms, "the rooms of the refused are gone")
	assert.Contains(t, out.String(), "10.0.0.7")
	assert.Contains(t, out.String(), "who are you?")
}

func TestClientLeavesDuringAuthorize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := false
		h, err := thinkws.New(
			thinkws.Authorize(func(c *thinkws.Context) error {
				<-c.Context().Done()
				return nil
			}),
			thinkws.On("close", func(*thinkws.Context) error { closed = true; return nil }))
		require.NoError(t, err)
		f := knock(t, h, peer{})
		synctest.Wait()
		f.end(session.ReasonTransportClose, true)
		shutdown(t, h)
		assert.False(t, f.accepted)
		assert.Nil(t, f.refused)
		assert.False(t, closed, "it was never open")
		assert.Zero(t, h.Hub().Stats().Clients)
	})
}

func TestDynamicNamespaces(t *testing.T) {
	h, _ := newHandler(t,
		thinkws.Namespace("/game-*", thinkws.On("name", thinkws.Reply(func(c *thinkws.Context, _ any) (string, error) {
			return c.Websocket().Namespace(), nil
		}))),
		thinkws.NamespaceFunc(func(name string, r *http.Request) bool {
			return strings.HasPrefix(name, "/user/") && r.URL.Query().Get("ok") == "1"
		}),
		thinkws.Namespace("/game-special", thinkws.On("name", thinkws.Reply(func(*thinkws.Context, any) (string, error) { return "special", nil }))))
	one, two, special := enter(t, h, "/game-1"), enter(t, h, "/game-2"), enter(t, h, "/game-special")
	for f, want := range map[*fake]string{one: "/game-1", two: "/game-2", special: "special"} {
		f.emit("name", "1", "")
		assert.Equal(t, []string{`ack 1["` + want + `"]`}, f.take(1))
	}
	require.NoError(t, h.Hub().Of("game-1").Emit("e"))
	assert.Equal(t, []string{"e[]"}, one.take(1))
	assert.Zero(t, two.sentCount())
	for name, ok := range map[string]bool{"/user/7?ok=1": true, "/user/7": false, "/game-1/x": false, "/gam": false} {
		ns, query, _ := strings.Cut(name, "?")
		f := knock(t, h, peer{namespace: ns, request: httptest.NewRequest(http.MethodGet, "/?"+query, nil)})
		f.until(func() bool { return f.accepted || f.refused != nil })
		assert.Equal(t, ok, f.accepted, name)
		f.end(session.ReasonTransportClose, true)
	}
	require.Eventually(t, func() bool { return h.Hub().Stats().Namespaces == 4 }, time.Minute, time.Millisecond)
	one.end(session.ReasonTransportClose, true)
	require.Eventually(t, func() bool { return h.Hub().Stats().Namespaces == 3 }, time.Minute, time.Millisecond)
}

func TestConcurrent(t *testing.T) {
	release := make(chan struct{})
	h, out := newHandler(t,
		thinkws.On("slow", thinkws.Concurrent(func(c *thinkws.Context) error {
			<-release
			if string(c.WsData()) == "2" {
				return errors.New("failed beside")
			}
			return c.Ack("slow")
		})),
		thinkws.On("fast", func(c *thinkws.Context) error { return c.Ack("fast") }))
	a := enter(t, h, "/")
	a.emit("slow", "1", "1")
	a.emit("slow", "2", "2")
	a.emit("fast", "3", "")
	assert.Equal(t, []string{`ack 3["fast"]`}, a.take(1))
	close(release)
	assert.ElementsMatch(t, []string{`ack 1["slow"]`, `ack 2 failed: Internal: internal error`}, a.take(2))
	assert.Contains(t, out.String(), "failed beside")
}

func TestAnActionMayWaitForItsClient(t *testing.T) {
	h, _ := newHandler(t, thinkws.On("ask", func(c *thinkws.Context) error {
		answer, err := c.EmitAck(c.Context(), "sure?")
		if err != nil {
			return err
		}
		return c.Ack(answer.Args()[0])
	}))
	a := enter(t, h, "/")
	a.emit("ask", "9", "")
	assert.Equal(t, []string{"sure??0[]"}, a.take(1))
	a.answer("0", `"yes"`)
	assert.Equal(t, []string{`ack 9["yes"]`}, a.take(1))
}

func TestStuckActionIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, out := newHandler(t, thinkws.On("block", func(*thinkws.Context) error { time.Sleep(time.Minute); return nil }))
		a := enter(t, h, "/")
		a.emit("block", "", "")
		synctest.Wait()
		time.Sleep(9 * time.Second)
		a.emit("block", "", "")
		assert.NotContains(t, out.String(), "holds up")
		time.Sleep(2 * time.Second)
		for range 3 {
			a.emit("block", "", "")
		}
		assert.Equal(t, 1, strings.Count(out.String(), "holds up"))
		a.end(session.ReasonTransportClose, true)
		time.Sleep(10 * time.Minute)
	})
}

func TestSocketStore(t *testing.T) {
	h, _ := newHandler(t)
	a := enter(t, h, "/")
	s, _ := h.Hub().Socket(a.id)
	assert.Nil(t, s.Get("k"))
	s.Set("k", 1)
	assert.Equal(t, 1, s.Get("k"))
	assert.Nil(t, s.Auth())
}

// Events of concurrent actions are held as long as these run, so all of them together have the bound of the receive
// queue.
func TestConcurrentActionsHoldNoMoreThanTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running, gate := make(chan int, 100), make(chan struct{})
		h, _ := newHandler(t, thinkws.WithReceiveQueue(100, 4000), thinkws.On("slow", thinkws.Concurrent(thinkws.Bind(func(_ *thinkws.Context, text string) error {
			running <- len(text)
			<-gate
			return nil
		}))))
		f := enter(t, h, "/")
		for _, size := range []int{2000, 1000, 800, 2000} {
			f.emit("slow", "", `"`+strings.Repeat("x", size)+`"`)
			synctest.Wait()
		}
		assert.Len(t, running, 2, "the third would be too much")
		close(gate)
		synctest.Wait()
		assert.Len(t, running, 4, "what has waited runs when others have ended")
	})
}
