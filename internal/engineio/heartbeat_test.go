package engineio_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

const (
	interval = 300 * time.Millisecond
	timeout  = 200 * time.Millisecond
	tick     = time.Millisecond
)

// quick makes heartbeats fast.
func quick(c *engineio.Config) { c.PingInterval, c.PingTimeout = interval, timeout }

func TestHeartbeatOfRevision4(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, with(quick))
		s, w := h.websocket(4, "")
		start := time.Now()
		for range 5 {
			assert.Equal(t, "2", w.read())
			assert.Equal(t, interval, time.Since(start))
			advance(timeout - tick)
			assert.Empty(t, s.events)
			w.write("3")
			synctest.Wait()
			start = time.Now()
		}
		assert.Equal(t, "2", w.read())
		start = time.Now()
		assert.Equal(t, 1005, w.closed())
		assert.Equal(t, timeout, time.Since(start))
		assert.Equal(t, "closed "+session.ReasonPingTimeout, s.next(t))
		assert.Zero(t, h.server.Len())
	})
}

func TestHeartbeatOfRevision4ByPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, with(quick))
		p := h.polling(4, "")
		start := time.Now()
		assert.Equal(t, "2", h.get(p.query).body)
		assert.Equal(t, interval, time.Since(start))
		advance(timeout - tick)
		assert.Equal(t, "ok", h.post(p.query, "3").body)
		start = time.Now()
		assert.Equal(t, "2", h.get(p.query).body, "it waits for no GET")
		assert.Equal(t, interval, time.Since(start))
		waiting := h.poll(p)
		advance(timeout - tick)
		assert.Empty(t, p.events)
		advance(tick)
		assert.Equal(t, "closed "+session.ReasonPingTimeout, p.next(t))
		assert.Equal(t, "1", (<-waiting).body)
		h.gone(p)
	})
}

// Only a pong answers a ping, and only after it.
func TestUnsolicitedPongs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, with(quick))
		s, w := h.websocket(4, "")
		start := time.Now()
		advance(interval - tick)
		w.write("3", "3x", "4busy")
		assert.Equal(t, "2", w.read())
		assert.Equal(t, interval, time.Since(start), "a pong that answers nothing puts the ping off")
		assert.Equal(t, "text busy", s.next(t))
		advance(timeout - tick)
		w.write("4busy")
		assert.Equal(t, "text busy", s.next(t))
		assert.Equal(t, 1005, w.closed())
		assert.Equal(t, interval+timeout, time.Since(start), "a message is no pong")
	})
}

func TestHeartbeatOfRevision3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, with(quick))
		s, w := h.websocket(3, "")
		for _, ping := range []string{"2", "2probe", "2", "b2"} {
			advance(interval + timeout - tick)
			w.write(ping)
			assert.Equal(t, "3", w.read())
		}
		start := time.Now()
		advance(interval)
		w.write("4busy")
		assert.Equal(t, "text busy", s.next(t))
		assert.Equal(t, 1005, w.closed())
		assert.Equal(t, interval+timeout, time.Since(start), "a message is no ping")
		assert.Equal(t, "closed "+session.ReasonPingTimeout, s.next(t))
	})
}

func TestHeartbeatOfRevision3ByPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, with(quick))
		p := h.polling(3, "")
		advance(interval + timeout - tick)
		waiting := h.poll(p)
		synctest.Wait()
		assert.Equal(t, "ok", h.post(p.query, "1:2").body)
		assert.Equal(t, "1:3", (<-waiting).body)
		waiting = h.poll(p)
		advance(interval + timeout - tick)
		assert.Empty(t, p.events)
		advance(tick)
		assert.Equal(t, "1:1", (<-waiting).body)
		assert.Equal(t, "closed "+session.ReasonPingTimeout, p.next(t))
	})
}

// Node forgets the timeout of revision 3 at the upgrade. We do not.
func TestHeartbeatAfterTheUpgrade(t *testing.T) {
	for _, revision := range []int{3, 4} {
		synctest.Test(t, func(t *testing.T) {
			h := newHarness(t, with(quick))
			p := h.polling(revision, "")
			advance(timeout - tick)
			w := h.upgrading(p)
			w.write("5")
			synctest.Wait()
			beat := func() {
				if revision == 4 {
					assert.Equal(t, "2", w.read())
					w.write("3")
				} else {
					advance(interval)
					w.write("2")
					assert.Equal(t, "3", w.read())
				}
				synctest.Wait()
			}
			beat()
			beat()
			start := time.Now()
			if revision == 4 {
				assert.Equal(t, "2", w.read())
			}
			assert.Equal(t, 1005, w.closed())
			assert.Equal(t, interval+timeout, time.Since(start))
			assert.Equal(t, "closed "+session.ReasonPingTimeout, p.next(t))
		})
	}
}

// A ping that waits to be polled when the client upgrades goes out on the WebSocket.
func TestPingAcrossTheUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, with(quick))
		p := h.polling(4, "")
		w := h.upgrading(p)
		advance(interval)
		w.write("5")
		assert.Equal(t, "2", w.read())
		w.write("3")
		start := time.Now()
		assert.Equal(t, "2", w.read())
		assert.Equal(t, interval, time.Since(start))
	})
}

// A client that has gone without a word is given up after interval and timeout.
func TestSilentClients(t *testing.T) {
	for _, revision := range []int{3, 4} {
		synctest.Test(t, func(t *testing.T) {
			h := newHarness(t, with(quick))
			p := h.polling(revision, "")
			advance(interval + timeout - tick)
			assert.Equal(t, 1, h.server.Len())
			advance(tick)
			assert.Zero(t, h.server.Len())
			assert.Equal(t, "closed "+session.ReasonPingTimeout, p.next(t))
			h.gone(p)
			require.ErrorIs(t, p.send("x"), session.ErrClosed)
		})
	}
}
