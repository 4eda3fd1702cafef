package thinkws_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// bomb is an argument whose marshaling panics, dud one whose marshaling fails.
type (
	bomb struct{}
	dud  struct{}
)

func (bomb) MarshalJSON() ([]byte, error) { panic("boom") }
func (*bomb) UnmarshalJSON([]byte) error  { panic("boom") }
func (dud) MarshalJSON() ([]byte, error)  { return nil, errors.New("dud") }

// Row 88: a panic costs one event: the ack is an internal error, the log has an error with its
// stack, and the client stays.
func TestHostile88Panic(t *testing.T) {
	boom := func(*thinkws.Context) error { panic("boom") }
	for _, tt := range []struct {
		name   string
		option thinkws.Option
	}{
		{"action", thinkws.On("attack", boom)},
		{"runtime error", thinkws.On("attack", func(c *thinkws.Context) error { return c.Ack(c.Args()[9]) })},
		{"nil error", thinkws.On("attack", func(c *thinkws.Context) error { panic(c.Context().Err()) })},
		{"concurrent action", thinkws.On("attack", thinkws.Concurrent(boom))},
		{"middleware", thinkws.Namespace("/", thinkws.On("attack", func(*thinkws.Context) error { return nil }), thinkws.Use(func(next thinkws.HandlerFunc) thinkws.HandlerFunc {
			return func(c *thinkws.Context) error {
				if c.Event() == "attack" {
					panic("boom")
				}
				return next(c)
			}
		}))},
		{"any", thinkws.OnAny(func(c *thinkws.Context) error {
			if c.Event() == "attack" {
				panic("boom")
			}
			return nil
		})},
		{"marshaler of an ack", thinkws.On("attack", func(c *thinkws.Context) error { return c.Ack(bomb{}) })},
		{"marshaler of an event", thinkws.On("attack", func(c *thinkws.Context) error { return c.Emit("e", bomb{}) })},
		{"marshaler of a broadcast", thinkws.On("attack", func(c *thinkws.Context) error { return c.Broadcast("e", bomb{}) })},
		{"unmarshaler", thinkws.On("attack", thinkws.Bind(func(*thinkws.Context, bomb) error { return nil }))},
	} {
		for kind, attack := range map[string]string{"v4": `421["attack","x"]`, "v3": `421["attack","x"]`, "plain": `{"event":"attack","data":"x","cid":1}`} {
			t.Run("88 "+tt.name+", "+kind, func(t *testing.T) {
				s := newSite(t, tt.option)
				ws, _ := s.enter(kind)
				for range 3 {
					ws.send(attack)
					assert.Contains(t, []string{
						`431[{"error":{"name":"Internal","message":"internal error"}}]`,
						`{"rid":1,"error":{"name":"Internal","message":"internal error"}}`,
					}, ws.read())
				}
				s.alive(ws, kind)
				require.Eventually(t, func() bool { return strings.Count(s.log.String(), `msg="action failed"`) == 3 }, time.Minute, time.Millisecond)
				assert.Equal(t, 3, strings.Count(s.log.String(), `level=ERROR msg="action failed"`))
				assert.Equal(t, 3, strings.Count(s.log.String(), `stack="goroutine `))
				assert.Equal(t, uint64(3), s.handler.Hub().Stats().Failed)
			})
		}
	}
}

// Row 88: a panic of who decides on entry refuses, one in "open" or "close" does not.
func TestHostile88PanicAtTheDoor(t *testing.T) {
	hostile := func(*thinkws.Context) error { panic("boom") }
	authorize := thinkws.Authorize(func(c *thinkws.Context) error {
		if !c.Request().URL.Query().Has("honest") {
			panic("secret")
		}
		return nil
	})
	for target, want := range map[string][]string{
		io4 + "websocket": {"0{", `44{"message":"internal error"}`},
		io3 + "websocket": {"0{", `44"internal error"`},
		"/ws":             {`{"error":{"name":"Internal","message":"internal error"}}`, policy},
	} {
		t.Run("88 Authorize, "+target, func(t *testing.T) {
			s := newSite(t, authorize)
			ws := s.upgrade(target)
			if strings.Contains(target, "EIO=4") {
				ws.send("40")
			}
			ws.expect(want...)
			require.NoError(t, ws.conn.Close())
			assert.Contains(t, s.log.String(), "level=ERROR msg=\"action failed\"")
			assert.Contains(t, s.log.String(), "secret")
			s.verify()
		})
	}
	for _, event := range []string{"open", "close"} {
		t.Run("88 "+event, func(t *testing.T) {
			s := newSite(t, thinkws.Namespace("/n", thinkws.On(event, hostile)))
			ws, _ := s.enter("v4")
			ws.send("40/n,")
			ws.expect("40/n,")
			ws.send("41/n,")
			s.alive(ws, "v4")
			require.Eventually(t, func() bool { return strings.Contains(s.log.String(), "panic: boom") }, time.Minute, time.Millisecond)
			assert.Equal(t, uint64(1), s.handler.Hub().Stats().Failed)
		})
	}
}

// Row 91: what JSON cannot hold is an error, and nothing is sent of it.
func TestHostile91Arguments(t *testing.T) {
	type ring struct{ Next *ring }
	cycle := &ring{}
	cycle.Next = cycle
	loop := map[string]any{"data": []byte("x")}
	loop["loop"] = loop
	for name, value := range map[string]any{
		"chan": make(chan int), "func": func() {}, "NaN": math.NaN(), "infinity": math.Inf(-1), "complex": 1i,
		"cycle": cycle, "cycle with binary": loop, "map of bools": map[bool]int{true: 1}, "failing marshaler": dud{},
		"deep inside": []any{[]byte("x"), map[string]any{"a": func() {}}},
	} {
		for kind, attack := range map[string]string{"v4": `421["attack"]`, "v3": `421["attack"]`, "plain": `{"event":"attack","cid":1}`} {
			t.Run("91 "+name+", "+kind, func(t *testing.T) {
				s := newSite(t, thinkws.On("attack", func(c *thinkws.Context) error {
					_, err := c.EmitAck(c.Context(), "e", "fine", value)
					for _, err := range []error{
						err, c.Emit("e", "fine", value), c.Ack(value), c.Broadcast("e", value), c.Others().Emit("e", value),
						c.Hub().Emit("e", value), c.Websocket().Emit("e", value), c.Hub().To(c.ID()).Volatile().Emit("e", value),
					} {
						assert.Error(t, err)
					}
					return c.Ack("still free")
				}))
				ws, _ := s.enter(kind)
				ws.send(attack)
				assert.Contains(t, []string{`431["still free"]`, `{"rid":1,"data":"still free"}`}, ws.read())
				s.alive(ws, kind)
			})
		}
	}
}

// Rows 60 and 91: the names that clients keep for themselves are not to be emitted.
func TestHostile60And91ReservedNames(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"", "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
		assert.ErrorIs(t, s.handler.Hub().Emit(name, "x"), thinkws.ErrReserved, name)
		_, err := thinkws.New(thinkws.On(name, func(*thinkws.Context) error { return nil }))
		assert.ErrorIs(t, err, thinkws.ErrReserved, name)
	}
	s.verify()
}

// Row 90: nothing reaches a client that has left, and who tries is told.
func TestHostile90EmitAfterClose(t *testing.T) {
	for _, kind := range []string{"v4", "v3", "plain", "polling 4", "polling 3"} {
		t.Run("90 "+kind, func(t *testing.T) {
			sockets := make(chan *thinkws.Socket, 1)
			s := newSite(t, thinkws.On("remember", func(c *thinkws.Context) error {
				sockets <- c.Websocket()
				return nil
			}))
			if eio, ok := strings.CutPrefix(kind, "polling "); ok {
				p := s.open(map[string]int{"4": 4, "3": 3}[eio], "")
				require.Equal(t, "200 ok", p.post(`42["remember"]`))
				p.alive()
			} else {
				ws, _ := s.enter(kind)
				ws.send(map[string]string{"plain": `{"event":"remember"}`, "v4": `42["remember"]`, "v3": `42["remember"]`}[kind])
				s.alive(ws, kind)
			}
			socket := <-sockets
			assert.ErrorIs(t, socket.Emit("e"), thinkws.ErrClosed)
			assert.ErrorIs(t, socket.Join("room"), thinkws.ErrClosed)
			_, err := socket.EmitAck(t.Context(), "e")
			assert.ErrorIs(t, err, thinkws.ErrClosed)
			assert.ErrorIs(t, context.Cause(socket.Context()), thinkws.ErrClosed)
			assert.NoError(t, s.handler.Hub().To(socket.ID()).Emit("e"), "there is nobody, which is no error")
			socket.Disconnect()
			socket.Close()
			s.verify()
		})
	}
}

// GHSA-pxg6-pf52-xh8x: what makes no cookie is found out at the start.
func TestHostileCookie(t *testing.T) {
	for _, cookie := range []http.Cookie{
		{Name: "i o"}, {Name: "io;x"}, {Name: "io=x"}, {Name: "io\r\nX: y"}, {Name: "ü"}, {Path: "/;x"}, {Path: "/\r\nX: y"}, {Path: "/\x00"},
		{Domain: "a b"}, {Domain: "a;b"}, {Domain: "a\r\nb"}, {Domain: "-a-.example"},
	} {
		_, err := thinkws.New(thinkws.WithCookie(cookie))
		assert.ErrorContains(t, err, "WithCookie", "%+v", cookie)
	}
}
