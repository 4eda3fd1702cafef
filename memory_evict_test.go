package thinkws_test

import (
	"crypto/rand"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// B11: each client is bounded, and so are all of them together.

// blocks are handlers that return when their client has left, or when gate is closed.
func blocks(gate <-chan struct{}) []thinkws.Option {
	wait := func(c *thinkws.Context) error {
		select {
		case <-c.Context().Done():
		case <-gate:
		}
		return nil
	}
	return []thinkws.Option{thinkws.On("wait", wait), thinkws.On("beside", thinkws.Concurrent(wait))}
}

// fill sends n events of that size to a handler that blocks.
func (c *talker) fill(kind string, n, size int) {
	for range n {
		c.send(waiting(kind, size))
	}
}

func (s *site) memory() int64 { return s.handler.Hub().Stats().Memory }

func (s *site) evicted() uint64 { return s.handler.Hub().Stats().Limits["memory"] }

// holds waits until clients make the server hold that much.
func (s *site) holds(bytes int64) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return s.memory() >= bytes }, time.Minute, time.Millisecond, "%d bytes held", bytes)
}

// left waits until a client has left for that reason.
func (s *site) left(reason thinkws.Reason) {
	s.t.Helper()
	select {
	case got := <-s.reasons:
		require.Equal(s.t, reason, got)
	case <-time.After(time.Minute):
		require.FailNow(s.t, "nobody has left")
	}
}

// At the limit, the client that holds most goes. All others stay, and are served.
func TestTheLargestClientIsDisconnected(t *testing.T) {
	for _, kind := range talkers {
		t.Run(kind, func(t *testing.T) {
			gate := make(chan struct{})
			var served atomic.Int32
			s := newSite(t, append(blocks(gate), thinkws.WithLimits(thinkws.Limits{Memory: 2_000_000}),
				thinkws.On("after", func(*thinkws.Context) error { served.Add(1); return nil }))...)
			largest, middle, small := s.talk(kind), s.talk(kind), s.talk(kind)
			largest.fill(kind, 4, 300_000)
			s.holds(1_200_000)
			var sending sync.WaitGroup
			sending.Go(func() { middle.fill(kind, 1, 500_000) }) // a POST is answered when there is room for more
			s.holds(1_700_000)
			assert.Zero(t, s.evicted())
			sending.Go(func() { small.fill(kind, 1, 400_000) })
			s.left(thinkws.ReasonMemory)
			const line = `level=WARN msg="memory limit reached, client disconnected" error="thinkws: clients make the server hold too much memory: 12`
			require.Eventually(t, func() bool { return strings.Contains(s.log.String(), line) }, time.Minute, time.Millisecond)
			assert.EqualValues(t, 1, s.evicted())
			for _, h := range s.honest {
				h.echo(t)
			}
			require.Eventually(t, func() bool { return s.memory() < 1_000_000 }, time.Minute, time.Millisecond)
			close(gate)
			sending.Wait()
			middle.send(eventOf(kind, "after", "", 1))
			small.send(eventOf(kind, "after", "", 1))
			require.Eventually(t, func() bool { return served.Load() == 2 }, time.Minute, time.Millisecond)
			require.Eventually(t, func() bool { return s.memory() == 0 }, time.Minute, time.Millisecond)
		})
	}
}

// A WebSocket that is disconnected is told why, whatever it is doing.
func TestWebSocketsAreToldThatTheyHoldTooMuch(t *testing.T) {
	half := string(maskedFrame(opText, strings.Repeat("x", 900_000)))[:800_000]
	for _, network := range []string{"tcp", "TLS", "unix"} {
		for _, kind := range []string{"v4", "v3", "plain"} {
			for name, send := range map[string]string{
				"events": "", "half a message": half, "a fragment": frame(opText, true, strings.Repeat("x", 800_000)),
			} {
				t.Run(network+" "+kind+" "+name, func(t *testing.T) {
					options := append(blocks(nil), thinkws.WithLimits(thinkws.Limits{Memory: 1_000_000}))
					s := newSiteOver(t, network, options...)
					ws, _ := s.enter(kind)
					send := send
					if send == "" {
						send = string(maskedFrame(opText, eventOf(kind, "wait", "", `"`+strings.Repeat("x", 800_000)+`"`)))
					}
					ws.write([]byte(send))
					s.holds(790_000)
					other, _ := s.enter(kind)
					other.write(maskedFrame(opText, eventOf(kind, "wait", "", `"`+strings.Repeat("x", 300_000)+`"`)))
					s.left(thinkws.ReasonMemory)
					assert.Equal(t, "close 1013", ws.farewell())
					require.NoError(t, ws.conn.Close())
					require.NoError(t, other.conn.Close())
					s.left(thinkws.ReasonTransportClose)
					s.verify()
				})
			}
		}
	}
}

// newSiteOver is newSite on some network.
func newSiteOver(t *testing.T, network string, options ...thinkws.Option) *site {
	t.Helper()
	if network == "tcp" {
		return newSite(t, options...)
	}
	return newSiteOn(t, network, options...)
}

// farewell returns the close frame, "" if there is none.
func (ws *rawWS) farewell() string {
	for {
		frame, err := nextFrame(ws.in)
		if err != nil || strings.HasPrefix(frame, "close") {
			return frame
		}
	}
}

// Near the limit, those that hold much are not read until there is room again.
func TestNearTheMemoryLimitReadingPauses(t *testing.T) {
	for _, kind := range []string{"v4", "v3", "plain", "SockJS websocket", "v4 polling", "SockJS xhr-polling"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan struct{})
				var heard []string
				s := newMemorySite(t, append(blocks(gate), thinkws.WithLimits(thinkws.Limits{Memory: 2_000_000}), thinkws.WithPingInterval(time.Hour),
					thinkws.WithSockJS(thinkws.SockJSOptions{HeartbeatDelay: time.Hour}),
					thinkws.On("more", func(c *thinkws.Context) error { heard = append(heard, string(c.WsData())); return nil }))...)
				push, quit := s.pusher(kind)
				push(waiting(kind, 700_000))
				push(waiting(kind, 700_000))
				synctest.Wait()
				require.Greater(t, s.memory(), int64(1_390_000))
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					push(waiting(kind, 200_000)) // with this, much is held
					push(eventOf(kind, "more", "", 1), eventOf(kind, "more", "", 2))
				}()
				time.Sleep(time.Minute)
				synctest.Wait()
				received := s.handler.Hub().Stats().Received
				time.Sleep(time.Minute)
				for _, h := range s.honest {
					h.echo(t)
				}
				assert.Equal(t, received+uint64(len(s.honest)), s.handler.Hub().Stats().Received, "nothing of the client is received")
				assert.Zero(t, s.evicted())
				assert.Empty(t, s.reasons)
				close(gate)
				<-sent
				synctest.Wait()
				assert.Equal(t, []string{"1", "2"}, heard)
				quit()
				time.Sleep(time.Minute)
				assert.Zero(t, s.memory())
			})
		})
	}
}

// A message to many is in memory once. Nobody is disconnected because each of its receivers is about to get it.
func TestAMessageToManyIsNoReasonToDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemorySite(t, thinkws.WithLimits(thinkws.Limits{Memory: 8_000_000}))
		var all []*rawWS
		for range 20 {
			ws, _ := s.enter("v4")
			all = append(all, ws)
		}
		synctest.Wait()
		require.NoError(t, s.handler.Hub().Emit("bystander", strings.Repeat("x", 1_000_000)))
		synctest.Wait()
		assert.Greater(t, s.memory(), int64(19_900_000))
		time.Sleep(5 * time.Second)
		assert.Zero(t, s.evicted())
		for _, ws := range all {
			assert.Contains(t, ws.read(), `42["bystander","xxx`)
			require.NoError(t, ws.conn.Close())
		}
		synctest.Wait()
		for range all {
			<-s.reasons
		}
	})
}

// pusher connects a client that listens and never answers. It returns what sends events, as long as the client is
// there.
func (s *site) pusher(kind string) (push func(events ...string), quit func()) {
	s.t.Helper()
	switch kind {
	case "v4 polling":
		p := s.open(4, "")
		go func() {
			for status, err := 200, error(nil); status == 200 && err == nil; {
				status, _, err = p.request(http.MethodGet, "")
			}
		}()
		return func(events ...string) { _, _, _ = p.request(http.MethodPost, strings.Join(events, "\x1e")) },
			func() { _, _, _ = p.request(http.MethodPost, "1") }
	case "SockJS xhr-polling":
		p := s.sockjs("/sockjs/0/"+rand.Text(), "")
		go func() {
			for status, err := 200, error(nil); status == 200 && err == nil; {
				var frame string
				if status, frame, err = p.request("/xhr", ""); strings.HasPrefix(frame, "c") {
					return
				}
			}
		}()
		return func(events ...string) { _, _, _ = p.request("/xhr_send", array(events...)) },
			func() { _, _, _ = p.request("/xhr_send", array(eventOf(kind, "kick", "", 1))) }
	default:
		var ws *rawWS
		wrap := func(event string) string { return event }
		if kind == "SockJS websocket" {
			ws, wrap = s.upgrade("/sockjs/0/"+rand.Text()+"/websocket"), func(event string) string { return array(event) }
			ws.expect("o")
		} else {
			ws, _ = s.enter(kind)
		}
		_ = ws.conn.SetReadDeadline(time.Time{})
		_ = ws.conn.SetWriteDeadline(time.Time{})
		go func() { _, _ = io.Copy(io.Discard, ws.in) }()
		return func(events ...string) {
			var all []byte
			for _, e := range events {
				all = append(all, maskedFrame(opText, wrap(e))...)
			}
			_, _ = ws.conn.Write(all)
		}, func() { _ = ws.conn.Close() }
	}
}

// waiting is an event of so many bytes for a handler that blocks.
func waiting(kind string, bytes int) string {
	return eventOf(kind, "wait", "", `"`+strings.Repeat("x", bytes)+`"`)
}

// Many clients at their bounds: the server never holds more than it may, whoever holds most goes first, and those that
// hold little are served.
func TestManyClientsAtTheirBounds(t *testing.T) {
	const limit = 8_000_000
	for _, kind := range []string{"v4", "v4 polling", "plain", "SockJS xhr-polling"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newMemorySite(t, append(blocks(nil), thinkws.WithLimits(thinkws.Limits{Memory: limit}), thinkws.WithReceiveQueue(100, 200_000))...)
				most := int64(0)
				for i := range 100 {
					push, _ := s.pusher(kind)
					go func() {
						for range 4 { // it may be disconnected meanwhile
							push(waiting(kind, 50_000+i*10))
						}
					}()
					synctest.Wait()
					most = max(most, s.memory())
				}
				time.Sleep(time.Second)
				assert.LessOrEqual(t, most, int64(limit+limit/32), "and no more while those that were disconnected go")
				assert.Greater(t, most, int64(limit/2))
				for _, h := range s.honest {
					h.echo(t)
				}
				for len(s.reasons) > 0 {
					require.Equal(t, thinkws.ReasonMemory, <-s.reasons)
				}
			})
		})
	}
}
