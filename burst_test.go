package thinkws_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// What one handler sends at once arrives, in order, and nobody is disconnected for it: thousands of short messages, one
// of 8 MB, and the answer. It is several times the bound of a send queue.
func TestBurstOfAHandlerArrives(t *testing.T) {
	const short = 5_000
	text := func(i int) string {
		size := 200
		if i == short {
			size = 8_000_000
		}
		return fmt.Sprint(i, ":", strings.Repeat("x", size))
	}
	s := newSite(t, thinkws.On("burst", func(c *thinkws.Context) error {
		for i := range short + 1 {
			if err := c.Emit("e", text(i)); err != nil {
				return err
			}
		}
		return c.Ack("done")
	}))
	for _, kind := range []string{"v4", "v3", "plain", "SockJS WebSocket", "polling", "polling 3", "polling JSONP", "SockJS"} {
		t.Run(kind, func(t *testing.T) {
			s := s.within(t)
			hear := s.burst(kind)
			for i := range short + 1 {
				want := `"` + text(i) + `"`
				if got := hear(); !strings.Contains(strings.ReplaceAll(got, `\"`, `"`), want) {
					require.FailNow(t, "another message", "%d: %.100s", i, got)
				}
			}
			assert.Contains(t, hear(), "done")
			assert.Zero(t, s.handler.Hub().Stats().Slow)
		})
	}
}

// burst has a new client ask for the burst. It returns a function that returns what the client hears, one by one.
func (s *site) burst(kind string) (hear func() string) {
	s.t.Helper()
	several := func(next func() []string) func() string {
		var waiting []string
		return func() string {
			for len(waiting) == 0 {
				waiting = next()
			}
			first := waiting[0]
			waiting = waiting[1:]
			return first
		}
	}
	switch kind {
	case "polling", "polling 3", "polling JSONP":
		p := s.open(map[string]int{"polling": 4, "polling 3": 3, "polling JSONP": 4}[kind], map[string]string{"polling JSONP": "&j=0"}[kind])
		packet := `421["burst"]`
		if p.jsonp {
			packet = "d=" + packet
		}
		require.Equal(s.t, "200 ok", p.do("POST", map[bool]string{true: packet, false: p.payload(packet)}[p.jsonp]))
		return several(p.get)
	case "SockJS":
		p := s.sockjs("/sockjs/000/burst", "")
		require.Equal(s.t, "204 ", p.send(`{"event":"burst","cid":1}`))
		return several(func() []string { return messages(p.poll()) })
	case "SockJS WebSocket":
		ws := s.upgrade("/sockjs/000/burst/websocket")
		ws.expect("o")
		ws.send(array(`{"event":"burst","cid":1}`))
		return several(func() []string { return messages(ws.read()) })
	default:
		ws, _ := s.enter(kind)
		say := `421["burst"]`
		if kind == "plain" {
			say = `{"event":"burst","cid":1}`
		}
		ws.send(say)
		return ws.read
	}
}

// A client that takes too little while more waits than the bound is disconnected, counted and reported as slow, though
// no Emit has failed.
func TestClientsThatStayBehindAreReported(t *testing.T) {
	for _, kind := range []string{"v4", "v3", "plain", "SockJS WebSocket", "polling", "polling 3", "SockJS"} {
		t.Run(kind, func(t *testing.T) {
			rs, slow := &reports{}, make(chan *thinkws.Socket, 10)
			options := rs.options(
				thinkws.WithSendQueue(1000),
				thinkws.WithOnSlow(func(s *thinkws.Socket) { slow <- s }),
				thinkws.On("burst", func(c *thinkws.Context) error {
					for range 5 {
						if err := c.Emit("e", strings.Repeat("x", 500)); err != nil {
							return err
						}
					}
					return nil
				}))
			synctest.Test(t, func(t *testing.T) {
				s := newMemorySite(t, options...)
				s.burst(kind)
				<-time.After(11 * time.Second)
				synctest.Wait()
				require.ErrorIs(t, rs.about(t).err, thinkws.ErrSlow)
				s.verify(thinkws.ReasonSlow)
				assert.EqualValues(t, 1, s.handler.Hub().Stats().Slow)
				require.Len(t, slow, 1)
			})
		})
	}
}
