package thinkws_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// vital checks that something comes from the server at least every so often, as clients do: those of Engine.IO 4 for
// pings, those of Engine.IO 3 for anything while they wait for a pong.
type vital struct {
	mu   sync.Mutex // protects what follows
	last time.Time
	gap  time.Duration // the longest time in which nothing came
}

func (v *vital) sign() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.gap = max(v.gap, time.Since(v.last))
	v.last = time.Now()
}

// A handler sleeps behind a full queue for longer than heartbeats may take. Pings cannot be answered meanwhile. The
// client stays, hears of the server often enough to stay by itself, and everything arrives.
func TestSleepBehindAFullQueue(t *testing.T) {
	const (
		interval, timeout = 25 * time.Second, 20 * time.Second
		sleep             = 3 * (interval + timeout)
		events            = 50
	)
	for _, kind := range talkers {
		bubbled(t, kind, func(t *testing.T, s *site) {
			c := s.talk(kind)
			sent := make(chan struct{})
			go func() { defer close(sent); c.send(numbered(kind, events)...) }()
			v := &vital{last: time.Now()}
			c.sign = v.sign
			done := make(chan struct{})
			if strings.HasPrefix(kind, "v3") {
				c.answering.Go(func() { c.ping(interval, done) })
			}
			began := time.Now()
			require.Equal(t, answerOf(kind, "5", events-1), c.hear())
			assert.GreaterOrEqual(t, time.Since(began), sleep)
			<-sent
			close(done)
			c.answering.Wait()
			if strings.HasPrefix(kind, "v4") {
				assert.LessOrEqual(t, v.gap, interval+timeout)
			} else if strings.HasPrefix(kind, "v3") {
				assert.Less(t, v.gap, timeout)
			}
			c.quit()
			assert.Contains(t, []thinkws.Reason{thinkws.ReasonTransportClose, thinkws.ReasonServerDisconnect}, <-s.reasons)
		}, thinkws.WithReceiveQueue(10, 1<<20), thinkws.WithPingInterval(interval), thinkws.WithPingTimeout(timeout), thinkws.On("count", sleepsFirst(t, sleep)))
	}
}

// ping is what a client of Engine.IO 3 does.
func (c *talker) ping(interval time.Duration, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(interval):
			c.answering.Go(func() { c.send("2") })
		}
	}
}

// sleepsFirst is a handler of numbered events that sleeps in the first one.
func sleepsFirst(t *testing.T, d time.Duration) thinkws.HandlerFunc {
	count := inOrder(t)
	return func(c *thinkws.Context) error {
		if string(c.WsData()) == "0" {
			time.Sleep(d)
		}
		return count(c)
	}
}

// A client that has gone while it was not read is found by writing to it, however long its handler takes.
func TestGoneBehindAFullQueue(t *testing.T) {
	for _, kind := range []string{"v4", "v3", "plain", "SockJS websocket", "SockJS raw websocket", "v4 polling", "v3 polling", "SockJS xhr-polling"} {
		bubbled(t, kind, func(t *testing.T, s *site) {
			c := s.talk(kind)
			ctx, cancel := context.WithCancel(context.Background())
			c.context(ctx)
			c.lenient = true
			go c.send(numbered(kind, 50)...)
			time.Sleep(time.Second) // until another goroutine reads
			assert.EqualValues(t, 1, s.handler.Hub().Stats().Limits["receive_queue"])
			began := time.Now()
			cancel()
			reason := <-s.reasons
			assert.Contains(t, []thinkws.Reason{thinkws.ReasonTransportClose, thinkws.ReasonTransportError}, reason)
			assert.LessOrEqual(t, time.Since(began), 50*time.Second)
		}, thinkws.WithReceiveQueue(10, 1<<20), thinkws.On("count", func(c *thinkws.Context) error { <-c.Context().Done(); return nil }))
	}
}

// The end of a client whose connection is not read is prompt, whoever ends it. Its handler "close" runs once, and no
// goroutine is left, which the end of the test shows.
func TestEndsBehindAFullQueue(t *testing.T) {
	ends := map[string]struct {
		end    func(s *site, socket *thinkws.Socket)
		reason thinkws.Reason
	}{
		"disconnected": {func(_ *site, socket *thinkws.Socket) { socket.Disconnect() }, thinkws.ReasonServerDisconnect},
		"closed":       {func(_ *site, socket *thinkws.Socket) { socket.Close() }, thinkws.ReasonServerDisconnect},
		"shut down":    {func(s *site, _ *thinkws.Socket) { s.over.Store(true); shutdown(s.t, s.handler) }, thinkws.ReasonServerShutdown},
	}
	for name, tt := range ends {
		for _, kind := range talkers {
			t.Run(name+" "+kind, func(t *testing.T) {
				var handled, closed atomic.Int32
				first := make(chan *thinkws.Socket, 50)
				s := newSite(t, thinkws.WithReceiveQueue(10, 1<<20), thinkws.On("count", func(c *thinkws.Context) error {
					handled.Add(1)
					first <- c.Websocket()
					<-c.Context().Done()
					return nil
				}), thinkws.Use(func(next thinkws.HandlerFunc) thinkws.HandlerFunc {
					return func(c *thinkws.Context) error {
						if c.Event() == "close" && !c.Request().URL.Query().Has("honest") {
							closed.Add(1)
						}
						return next(c)
					}
				}))
				c := s.talk(kind)
				c.lenient = true
				sent := make(chan struct{})
				go func() { defer close(sent); c.send(numbered(kind, 200)...) }()
				socket := <-first
				s.paused()
				tt.end(s, socket)
				assert.Equal(t, tt.reason, <-s.reasons)
				ctx, cancel := context.WithCancel(t.Context())
				c.context(ctx)
				cancel()
				<-sent
				assert.EqualValues(t, 1, closed.Load())
				assert.LessOrEqual(t, handled.Load(), int32(12), "what has not been read is dropped")
			})
		}
	}
}

// A client sends over polling while it upgrades: what waits goes before what comes over the WebSocket.
func TestBurstAroundAnUpgrade(t *testing.T) {
	for eio, probe := range map[int]string{4: "v4", 3: "v3"} {
		t.Run(probe, func(t *testing.T) {
			n := &counter{release: make(chan struct{})}
			s := newSite(t, thinkws.On("count", n.count), thinkws.WithUpgradeTimeout(100*time.Millisecond))
			p := s.open(eio, "")
			events := numbered(probe, 4_000)
			posted := make(chan string)
			go func() {
				var packets []any
				for _, e := range events[:2_000] {
					packets = append(packets, e)
				}
				_, answer, _ := p.request(http.MethodPost, p.payload(packets...))
				posted <- answer
			}()
			s.paused()
			ws := s.upgrade(p.upgradeTarget())
			ws.send("2probe")
			time.AfterFunc(300*time.Millisecond, func() { close(n.release) }) // beyond the time for an upgrade
			assert.Equal(t, "ok", <-posted)
			ws.expect("3probe")
			ws.send("5")
			for _, e := range events[2_000:] {
				ws.send(e)
			}
			require.Equal(t, answerOf("v4", "5", 3_999), ws.read())
			n.verify(t, 4_000)
			require.NoError(t, ws.conn.Close())
			s.verify(thinkws.ReasonTransportClose)
		})
	}
}

// One client of SockJS makes many requests at a time. The bodies of those that wait are not read.
func TestManySockJSRequestsHoldOneBody(t *testing.T) {
	const requests = 60
	for path, want := range map[string]int{"/xhr_send": http.StatusNoContent, "/jsonp_send": http.StatusOK} {
		t.Run(path, func(t *testing.T) {
			var handled atomic.Int32
			release := make(chan struct{})
			s := newSite(t, thinkws.WithReceiveQueue(2, 1<<20), thinkws.On("wait", func(*thinkws.Context) error {
				<-release
				handled.Add(1)
				return nil
			}))
			p := s.sockjs("/sockjs/0/crowd", "")
			go func() { // a session without a receiver ends after 5 s
				for p.alive() {
				}
			}()
			body := array(`{"event":"wait"` + strings.Repeat(" ", 900_000) + `}`)
			before := heap()
			var sending sync.WaitGroup
			var taken atomic.Int32
			for range requests {
				sending.Go(func() {
					if status, _, err := p.request(path, body); err == nil && status == want {
						taken.Add(1)
					}
				})
			}
			s.paused()
			require.Eventually(t, func() bool { return heapGrowth(before) < 8<<20 }, time.Minute, 10*time.Millisecond)
			close(release)
			sending.Wait()
			assert.EqualValues(t, requests, taken.Load())
			require.Eventually(t, func() bool { return handled.Load() == requests }, time.Minute, time.Millisecond,
				"an answer says that there is room, not that the handler has run")
			require.Equal(t, "204 ", p.send(`{"event":"kick"}`))
			s.verify(thinkws.ReasonServerDisconnect)
			runtime.KeepAlive(body)
		})
	}
}

// alive polls once, and reports whether the session is there.
func (p *sockjs) alive() bool {
	status, frame, err := p.request("/xhr", "")
	return err == nil && status == http.StatusOK && !strings.HasPrefix(frame, "c")
}

// The client of a POST that waits has gone: what follows is lost, and so is the session.
func TestPostWhoseClientHasGone(t *testing.T) {
	for _, kind := range []string{"v4 polling", "v3 polling", "v4 jsonp", "SockJS xhr-polling", "SockJS jsonp"} {
		t.Run(kind, func(t *testing.T) {
			var handled atomic.Int32
			release := make(chan struct{})
			s := newSite(t, thinkws.WithReceiveQueue(10, 1<<20), thinkws.On("count", func(*thinkws.Context) error {
				handled.Add(1)
				<-release
				return nil
			}))
			c := s.talk(kind)
			ctx, cancel := context.WithCancel(t.Context())
			c.context(ctx)
			c.lenient = true
			sent := make(chan struct{})
			go func() { defer close(sent); c.send(numbered(kind, 200)...) }()
			s.paused()
			cancel()
			<-sent
			require.Eventually(t, func() bool { return s.handler.Hub().Stats().Clients == len(s.honest) }, time.Minute, time.Millisecond)
			close(release)
			assert.Contains(t, []thinkws.Reason{thinkws.ReasonTransportClose, thinkws.ReasonTransportError}, <-s.reasons)
			assert.LessOrEqual(t, handled.Load(), int32(12), "what was not read is lost")
		})
	}
}

// The timeouts of the http.Server are for requests that are answered at once.
func TestServerTimeoutsDoNotEndAPostThatWaits(t *testing.T) {
	limits := func(w http.ResponseWriter, r *http.Request) (http.ResponseWriter, *http.Request) {
		rc := http.NewResponseController(w)
		assert.NoError(t, rc.SetReadDeadline(time.Now().Add(time.Second)))
		assert.NoError(t, rc.SetWriteDeadline(time.Now().Add(time.Second)))
		return w, r
	}
	options := []thinkws.Option{thinkws.WithReceiveQueue(2, 1<<20), thinkws.On("slow", func(*thinkws.Context) error {
		time.Sleep(20 * time.Second)
		return nil
	})}
	for _, eio := range []int{3, 4} {
		bubbled(t, fmt.Sprint("revision ", eio), func(t *testing.T, s *site) {
			s.around = limits
			p := s.open(eio, "&clumsy")
			assert.Equal(t, "200 ok", p.post(`42["slow"]`, `42["slow"]`, `42["slow"]`, `42["slow"]`))
			p.alive()
		}, options...)
	}
	bubbled(t, "SockJS", func(t *testing.T, s *site) {
		s.around = limits
		p := s.sockjs("/sockjs/0/slow", "?clumsy")
		go func() {
			for p.alive() {
			}
		}()
		body := array(slices.Repeat([]string{`{"event":"slow"}`}, 4)...)
		answers := make(chan string)
		for range 2 { // the other one waits for its turn
			go func() { answers <- p.post("/xhr_send", body) }()
		}
		assert.Equal(t, "204 ", <-answers)
		assert.Equal(t, "204 ", <-answers)
		assert.Equal(t, "204 ", p.send(`{"event":"kick"}`))
		s.verify(thinkws.ReasonServerDisconnect)
	}, options...)
}

// Requests that wait for their turn are held though their clients may have gone, so there is an end of them.
func TestTooManySockJSRequestsAtATime(t *testing.T) {
	release := make(chan struct{})
	s := newSite(t, thinkws.WithReceiveQueue(2, 1<<20), thinkws.On("wait", func(*thinkws.Context) error { <-release; return nil }))
	p := s.sockjs("/sockjs/0/crowd", "")
	go func() {
		for p.alive() {
		}
	}()
	statuses := make(chan int)
	for range 101 {
		go func() {
			status, _, err := p.request("/xhr_send", array(slices.Repeat([]string{`{"event":"wait"}`}, 2)...))
			assert.NoError(t, err)
			statuses <- status
		}()
	}
	assert.Equal(t, http.StatusServiceUnavailable, <-statuses)
	close(release)
	for range 100 {
		assert.Equal(t, http.StatusNoContent, <-statuses)
	}
	assert.Equal(t, "204 ", p.send(`{"event":"kick"}`))
	s.verify(thinkws.ReasonServerDisconnect)
}

// While an answer is awaited a client makes us hold twice the limit and one message. Otherwise it is the limit and one
// message.
func TestWhatIsHeldForAClientThatIsNotRead(t *testing.T) {
	const limit, size = 4 << 20, 100_000 // much, beside what other tests have left
	for name, most := range map[string]int{"nothing is awaited": limit + size, "an answer is awaited": 2*limit + size} {
		for _, kind := range []string{"v4", "plain", "SockJS websocket"} {
			t.Run(name+" "+kind, func(t *testing.T) {
				release := make(chan struct{})
				s := newSite(t, thinkws.WithReceiveQueue(1_000_000, limit), thinkws.On("wait", func(*thinkws.Context) error { <-release; return nil }))
				c := s.talk(kind)
				asked := make(chan error, 1)
				if most > limit+size {
					var ids []string
					require.Eventually(t, func() bool { ids = s.strangers(); return len(ids) == 1 }, time.Minute, time.Millisecond)
					socket, _ := s.handler.Hub().Of("/").Socket(ids[0])
					go func() { _, err := socket.EmitAck(t.Context(), "q"); asked <- err }()
					c.hear()
				}
				text := eventOf(kind, "wait", "", `"`+strings.Repeat("x", size)+`"`)
				before := heap()
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					for range 120 {
						c.send(text)
					}
				}()
				s.paused()
				if most > limit+size {
					require.ErrorIs(t, <-asked, thinkws.ErrTooMany)
				}
				require.Eventually(t, func() bool { return heapGrowth(before) < most*5/4 }, time.Minute, 10*time.Millisecond)
				assert.Greater(t, heapGrowth(before), most*3/4)
				close(release)
				<-sent
				s.gone(c)
			})
		}
	}
}
