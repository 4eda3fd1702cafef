package thinkws_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// Row 68, C3: only the namespaces beyond the limit are refused, and refusals never end the connection.
func TestHostile68Namespaces(t *testing.T) {
	const full = "too many namespaces, at most 64 over one connection"
	s := newSite(t, thinkws.Namespace("/room-*"))
	t.Run("WebSocket", func(t *testing.T) {
		s := s.within(t)
		ws, _ := s.enter("v4")
		for i := range 63 {
			ws.send(fmt.Sprintf("40/room-%d,", i))
			ws.expect(fmt.Sprintf("40/room-%d,{", i))
		}
		for i := range 100 {
			ws.send(fmt.Sprintf("40/room-x%d,", i))
			require.Equal(t, fmt.Sprintf(`44/room-x%d,{"message":%q}`, i, full), ws.read())
		}
		s.alive(ws, "v4")
		assert.EqualValues(t, 100, s.handler.Hub().Stats().Limits["namespaces"])
	})
	t.Run("WebSocket of revision 3", func(t *testing.T) {
		s := s.within(t)
		ws, _ := s.enter("v3")
		for i := range 63 {
			ws.send(fmt.Sprintf("40/room-%d,", i))
			ws.expect(fmt.Sprintf("40/room-%d", i))
		}
		ws.send("40/room-x,")
		require.Equal(t, fmt.Sprintf("44/room-x,%q", full), ws.read())
		s.alive(ws, "v3")
	})
	t.Run("polling", func(t *testing.T) {
		s := s.within(t)
		p := s.open(4, "")
		var packets []any
		for i := range 70 {
			packets = append(packets, fmt.Sprintf("40/room-%d,", i))
		}
		require.Equal(t, "200 ok", p.post(packets...))
		in, refused := 0, 0
		for in+refused < 70 {
			for _, packet := range p.get() {
				if strings.HasPrefix(packet, "40") {
					in++
				} else {
					assert.Contains(t, packet, full)
					refused++
				}
			}
		}
		assert.Equal(t, 7, refused)
		p.alive()
	})
	t.Run("namespaces that do not exist", func(t *testing.T) {
		s := s.within(t)
		ws, _ := s.enter("v4")
		for i := range 200 {
			ws.send(fmt.Sprintf("40/no%d,", i))
			require.Equal(t, fmt.Sprintf(`44/no%d,{"message":"Invalid namespace"}`, i), ws.read())
		}
		s.alive(ws, "v4")
	})
}

// B1: what runs for one connection is limited by Limits.Namespaces, whether it is Authorize, a handler
// or the action "close".
func TestHostileEnteringAndLeaving(t *testing.T) {
	const most = 4
	for name, option := range map[string]func(wait func()) thinkws.Option{
		"Authorize": func(wait func()) thinkws.Option {
			return thinkws.Authorize(func(*thinkws.Context) error { wait(); return nil })
		},
		"open": func(wait func()) thinkws.Option {
			return thinkws.On("open", func(*thinkws.Context) error { wait(); return nil })
		},
		"close": func(wait func()) thinkws.Option {
			return thinkws.On("close", func(*thinkws.Context) error { wait(); return nil })
		},
		"concurrent": func(wait func()) thinkws.Option {
			return thinkws.On("open", thinkws.Concurrent(func(*thinkws.Context) error { wait(); return nil }))
		},
	} {
		for _, kind := range []string{"v4", "v3", "polling"} {
			t.Run(name+" "+kind, func(t *testing.T) {
				release := make(chan struct{})
				var running, calls atomic.Int32
				wait := func() { calls.Add(1); running.Add(1); <-release; running.Add(-1) }
				s := newSite(t, thinkws.Namespace("/slow", option(wait)), thinkws.WithLimits(thinkws.Limits{Namespaces: most}))
				before := goroutines()
				slots := most - 1 // "/" has one
				var ws *rawWS
				var p *poller
				if kind == "polling" {
					p = s.open(4, "")
					for range 10 {
						require.Equal(t, "200 ok", p.do("POST", strings.TrimSuffix(strings.Repeat("40/slow,\x1e41/slow,\x1e", 200), "\x1e")))
					}
				} else {
					ws, _ = s.enter(kind)
					for range 2000 {
						ws.send("40/slow,")
						ws.send("41/slow,")
					}
				}
				if name == "Authorize" {
					require.Eventually(t, func() bool { return int(running.Load()) == slots }, time.Minute, time.Millisecond)
					assert.Less(t, goroutines()-before, 20)
				}
				if kind == "polling" {
					require.Equal(t, "200 ok", p.post("40/slow,"))
				} else {
					ws.send("40/slow,")
				}
				assert.LessOrEqual(t, int(running.Load()), slots)
				close(release)
				entered := "40/slow"
				if kind == "polling" {
					for last := ""; !strings.HasPrefix(last, entered); {
						for _, packet := range p.get() {
							last = packet
						}
					}
					p.alive()
				} else {
					for !strings.HasPrefix(ws.read(), entered) { // answers to others come before
					}
					require.NoError(t, ws.conn.Close())
					s.verify(thinkws.ReasonTransportClose)
				}
				require.Eventually(t, func() bool { return running.Load() == 0 }, time.Minute, time.Millisecond)
			})
		}
	}
}

// A client that connects and disconnects again and again has as many handlers as sessions.
func TestHostileConnectingAndDisconnecting(t *testing.T) {
	connect := map[string]func(s *site) (leave func()){
		"Socket.IO": func(s *site) func() {
			ws := s.upgrade(io4+"websocket", "40/slow,")
			ws.expect("0{")
			return func() { require.NoError(s.t, ws.conn.Close()) }
		},
		"polling": func(s *site) func() {
			p := &poller{s: s, eio: 4, target: io4 + "polling"}
			p.target += "&sid=" + strings.Split(p.get()[0], `"`)[3]
			require.Equal(s.t, "200 ok", p.post("40/slow,"))
			return func() { require.Equal(s.t, "200 ok", p.post("1")) }
		},
		"plain": func(s *site) func() {
			ws := s.upgrade("/ws/slow")
			return func() { require.NoError(s.t, ws.conn.Close()) }
		},
		"SockJS WebSocket": func(s *site) func() {
			ws := s.upgrade("/sockjs/0/slow/websocket?nsp=/slow")
			ws.expect("o")
			return func() { require.NoError(s.t, ws.conn.Close()) }
		},
	}
	for kind, connect := range connect {
		t.Run(kind, func(t *testing.T) {
			release := make(chan struct{})
			var calls atomic.Int32
			slow := thinkws.Namespace("/slow", thinkws.Authorize(func(*thinkws.Context) error {
				calls.Add(1)
				<-release
				return &thinkws.Error{Name: thinkws.Forbidden, Message: "no"}
			}))
			s := newSite(t, slow)
			sessions := func() int { return s.handler.Hub().Stats().Sessions }
			honest := sessions()
			leave := connect(s)
			require.Eventually(t, func() bool { return calls.Load() == 1 }, time.Minute, time.Millisecond)
			leave()
			require.Never(t, func() bool { return sessions() != honest+1 }, 50*time.Millisecond, 10*time.Millisecond)
			close(release)
			require.Eventually(t, func() bool { return sessions() == honest }, time.Minute, time.Millisecond)
		})
	}
}
