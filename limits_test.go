package thinkws_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// entrances are the requests by which clients of each kind come in.
var entrances = map[string]func(i int) *http.Request{
	"polling": func(int) *http.Request {
		return httptest.NewRequest(http.MethodGet, io4+"polling&hasty", nil)
	},
	"Socket.IO 2": func(int) *http.Request {
		return httptest.NewRequest(http.MethodGet, io3+"polling&hasty", nil)
	},
	"SockJS": func(i int) *http.Request {
		return httptest.NewRequest(http.MethodPost, fmt.Sprintf("/sockjs/0/flood%d/xhr?hasty", i), nil)
	},
	"WebSocket":        func(int) *http.Request { return handshakeTo(io4 + "websocket") },
	"plain":            func(int) *http.Request { return handshakeTo("/ws") },
	"SockJS WebSocket": func(int) *http.Request { return handshakeTo("/sockjs/0/abc/websocket") },
}

func handshakeTo(target string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for key, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13", "Sec-Websocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
	} {
		r.Header.Set(key, value)
	}
	return r
}

// knock answers a request that comes from an address.
func (s *site) knock(r *http.Request, remote string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r.RemoteAddr = remote
	s.router.ServeHTTP(w, r)
	return w
}

// TestHostile26Sessions: however many come, from one address or in all, who is in does not
// notice, and there is room again when they have left.
func TestHostile26Sessions(t *testing.T) {
	const honest = 4
	for name, tt := range map[string]struct {
		limits thinkws.Limits
		status int
		text   string
		limit  string
	}{
		"from one address": {thinkws.Limits{SessionsPerAddress: 50}, 429, "too many clients from your address\n", "sessions_per_address"},
		"in all":           {thinkws.Limits{Sessions: honest + 50}, 503, "too many clients\n", "sessions"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, thinkws.WithLimits(tt.limits), thinkws.WithPingInterval(time.Second), thinkws.WithPingTimeout(time.Second),
				thinkws.WithSockJS(thinkws.SockJSOptions{DisconnectDelay: time.Second}))
			refused := map[string]int{}
			for i := range 100 {
				for _, kind := range []string{"polling", "Socket.IO 2", "SockJS", "WebSocket", "plain", "SockJS WebSocket"} {
					w := s.knock(entrances[kind](i), "192.0.2.7:1")
					if w.Code == http.StatusOK || w.Code == http.StatusNotImplemented { // a recorder cannot be upgraded
						continue
					}
					refused[kind]++
					assert.Equal(t, tt.status, w.Code)
					assert.Equal(t, tt.text, w.Body.String())
					assert.NotEmpty(t, w.Header().Get("Retry-After"))
				}
			}
			assert.Equal(t, 300-50, refused["polling"]+refused["Socket.IO 2"]+refused["SockJS"])
			for kind := range entrances {
				assert.GreaterOrEqual(t, refused[kind], 80, kind)
			}
			stats := s.handler.Hub().Stats()
			assert.Equal(t, honest+50, stats.Sessions)
			assert.EqualValues(t, sum(refused), stats.Limits[tt.limit])
			assert.LessOrEqual(t, strings.Count(s.log.String(), `msg="client refused"`), 10, "the log is not flooded")
			for _, h := range s.honest {
				h.echo(t)
			}
			assert.Eventually(t, func() bool { return s.handler.Hub().Stats().Sessions == honest }, time.Minute, 10*time.Millisecond)
			assert.Equal(t, http.StatusOK, s.knock(entrances["polling"](0), "192.0.2.7:1").Code)
			s.verify() // in the end they are gone
		})
	}
}

func sum(counts map[string]int) (n int) {
	for _, count := range counts {
		n += count
	}
	return n
}

// TestHostile94Storm: of all who come at once, as many are let in as there is time for; the
// others are told to come again, at different times.
func TestHostile94Storm(t *testing.T) {
	s := newSite(t, thinkws.WithLimits(thinkws.Limits{Handshakes: 50, HandshakesPerAddress: 10}),
		thinkws.WithPingInterval(time.Second), thinkws.WithPingTimeout(time.Second))
	statuses, after := map[int]int{}, map[string]int{}
	start := time.Now()
	for i := range 1000 {
		w := s.knock(entrances["polling"](i), fmt.Sprintf("192.0.2.%d:1", i%200))
		statuses[w.Code]++
		after[w.Header().Get("Retry-After")]++
	}
	most := func(perSecond int) int { return 1 + int((2+time.Since(start).Seconds())*float64(perSecond)) }
	assert.GreaterOrEqual(t, statuses[200], 90, "two seconds' worth, but for the honest")
	assert.LessOrEqual(t, statuses[200], most(50), "and what has come since")
	assert.Equal(t, 1000, statuses[200]+statuses[503])
	assert.Greater(t, len(after), 3)
	alone := map[int]int{}
	for range 100 {
		alone[s.knock(entrances["plain"](0), "198.51.100.1:1").Code]++
	}
	assert.Equal(t, 100, alone[503]+alone[429]+alone[501])
	assert.LessOrEqual(t, alone[501], most(10), "handshakes that fail count, too")
	s.verify()
}

// Limits per address are those of the client, not of the proxy.
func TestTrustedProxies(t *testing.T) {
	s := newSite(t, thinkws.WithLimits(thinkws.Limits{SessionsPerAddress: 5}),
		thinkws.WithTrustedProxies(netip.MustParsePrefix("10.0.0.0/8")), thinkws.WithPingInterval(time.Second), thinkws.WithPingTimeout(time.Second))
	for i := range 10 {
		r := entrances["polling"](i)
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("192.0.2.%d", i))
		assert.Equal(t, 200, s.knock(r, "10.0.0.1:1").Code)
	}
	statuses := map[int]int{}
	for i := range 10 {
		r := entrances["polling"](i)
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("192.0.2.%d", i))
		statuses[s.knock(r, "100.64.0.1:1").Code]++
	}
	assert.Equal(t, map[int]int{200: 5, 429: 5}, statuses, "it is no proxy, so what it says means nothing")
	s.verify()
}

// Each limit that a client runs into is counted under its name.
func TestLimitsAreCounted(t *testing.T) {
	s := newSite(t, thinkws.WithMaxRooms(2), thinkws.WithMaxMessage(2000), thinkws.WithConnectTimeout(100*time.Millisecond),
		thinkws.WithUpgradeTimeout(100*time.Millisecond), thinkws.WithReceiveRate(100, 1<<20),
		thinkws.WithLimits(thinkws.Limits{Attachments: 3, Namespaces: 2, Auth: 100}), thinkws.Namespace("/room-*"),
		thinkws.On("join", func(c *thinkws.Context) error { return c.Join("a", "b", "c") }))
	posts := func(packets ...string) func() {
		return func() {
			p := s.open(4, "&hasty")
			for _, packet := range packets {
				p.post(packet)
			}
		}
	}
	for _, tt := range []struct {
		limit   string
		provoke func()
	}{
		{"attachments", posts(`454-["x"]`)},
		{"depth", posts(`42["x",` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `]`)},
		{"number", posts(`42["x",` + strings.Repeat("1", 1100) + `]`)},
		{"name", posts("40/" + strings.Repeat("n", 300) + ",")},
		{"namespaces", posts("40/room-a,", "40/room-b,")},
		{"auth", posts(`40/a,{"x":"` + strings.Repeat("a", 200) + `"}`)},
		{"ignored", posts(strings.Repeat("42/none,[\"x\"]\x1e", 11) + "2")},
		{"message", posts(strings.Repeat("x", 2001))},
		{"rooms", posts(`42["join"]`)},
		{"receive_rate", posts(strings.Repeat("42[\"none\"]\x1e", 150)+`42["none"]`, strings.Repeat("42[\"none\"]\x1e", 150)+`42["none"]`)},
		{"connect_time", func() { s.knock(entrances["polling"](0), "192.0.2.9:1") }},
		{"upgrade_time", func() { upgrade(t, s.dial(), io4+"websocket&hasty&sid="+s.open(4, "&hasty").sid()) }},
		{"guesses", func() {
			for range 30 {
				s.knock(httptest.NewRequest(http.MethodGet, io4+"polling&sid=nobody", nil), "192.0.2.9:1")
			}
		}},
	} {
		t.Run(tt.limit, func(t *testing.T) {
			before := s.handler.Hub().Stats().Limits[tt.limit]
			tt.provoke()
			assert.Eventually(t, func() bool { return s.handler.Hub().Stats().Limits[tt.limit] > before }, time.Minute, time.Millisecond)
		})
	}
	assert.Len(t, s.handler.Hub().Stats().Limits, 30)
}

// A shutdown sends clients away in batches, for they will all be back.
func TestShutdownTakesItsTime(t *testing.T) {
	for name, tt := range map[string]struct {
		departures int
		timeout    time.Duration
		least      time.Duration
		most       time.Duration
	}{
		"as fast as it says":     {200, time.Minute, 300 * time.Millisecond, 20 * time.Second},
		"faster, if it has to":   {10, 2 * time.Second, 300 * time.Millisecond, 1900 * time.Millisecond},
		"at once for so few":     {0, time.Minute, 0, 10 * time.Second},
		"at once if there is no": {1, 20 * time.Millisecond, 0, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := newHandler(t, thinkws.WithLimits(thinkws.Limits{Departures: tt.departures}))
			server := newServer(t, h.WebSocket())
			defer server.Close()
			ends := make(chan time.Duration, 100)
			began := make(chan time.Time)
			for range 100 {
				conn, err := net.Dial("tcp", server.Listener.Addr().String())
				require.NoError(t, err)
				defer conn.Close()
				ws := upgrade(t, conn, "/")
				go func() {
					frame, _ := nextFrame(ws.in)
					assert.Equal(t, "close 1001", frame)
					_, _ = ws.conn.Write(maskedFrame(8, "\x03\xe9"))
					ends <- time.Since(<-began)
				}()
			}
			require.Eventually(t, func() bool { return h.Hub().Stats().Clients == 100 }, time.Minute, time.Millisecond, "all are in")
			start := time.Now()
			go func() {
				for range 100 {
					began <- start
				}
			}()
			ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
			defer cancel()
			err := h.Shutdown(ctx)
			if tt.timeout > time.Second {
				require.NoError(t, err)
			}
			assert.GreaterOrEqual(t, time.Since(start), tt.least)
			assert.Less(t, time.Since(start), tt.most)
			for range 100 {
				<-ends
			}
		})
	}
}

// Who wants to enter meanwhile is told that the server goes, not that there is no such
// namespace.
func TestEnteringDuringShutdown(t *testing.T) {
	h, _ := newHandler(t, thinkws.WithLimits(thinkws.Limits{Departures: 10}), thinkws.Namespace("/admin"))
	server := newServer(t, h)
	defer server.Close()
	const clients = 50
	var all []*rawWS
	for range clients {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		defer conn.Close()
		ws := upgrade(t, conn, "/socket.io/?EIO=4&transport=websocket", "40")
		ws.expect("0{", "40{")
		all = append(all, ws)
	}
	done := make(chan error, 1)
	go func() { done <- h.Shutdown(t.Context()) }()
	require.Eventually(t, func() bool { return h.Health() != nil }, time.Minute, time.Millisecond)
	for _, ws := range all {
		_, _ = ws.conn.Write(maskedFrame(1, "40/admin,")) // some have been sent away by then
	}
	refused := 0
	for _, ws := range all {
		frames := untilClose(t, ws, nil)
		if len(frames) > 1 {
			refused++
			assert.Equal(t, `44/admin,{"message":"server shutting down"}`, frames[0])
		}
		assert.Equal(t, "close 1001", frames[len(frames)-1])
		require.NoError(t, ws.conn.Close())
	}
	require.NoError(t, <-done)
	assert.Positive(t, refused)
}
