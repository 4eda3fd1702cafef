package jsonws_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/jsonws"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

func TestHeartbeat(t *testing.T) {
	cfg := config()
	runWith(t, cfg, func(t *testing.T, s *jsonws.Server, h *hub) {
		c := dial(t, s)
		start := time.Now()
		for i := range 5 {
			require.Equal(t, frame{pingFrame, ""}, <-c.frames)
			assert.Equal(t, time.Duration(i+1)*cfg.PingInterval, time.Since(start))
			if i%2 == 0 {
				c.send(t, pongFrame, "")
			} else {
				c.text(t, `{"event":"as good as a pong"}`)
			}
		}
		assert.Empty(t, h.reasons())
		require.Equal(t, frame{pingFrame, ""}, <-c.frames)
		pinged := time.Now()
		for f := range c.frames {
			assert.Equal(t, byte(closeFrame), f.first, "at most a close frame")
		}
		assert.Equal(t, cfg.PingTimeout, time.Since(pinged))
		synctest.Wait()
		assert.Equal(t, []string{session.ReasonPingTimeout}, h.reasons())
		assert.Zero(t, s.Len())
	})
}

// What came before the ping does not answer it.
func TestHeartbeatWantsSomethingNew(t *testing.T) {
	cfg := config()
	runWith(t, cfg, func(t *testing.T, s *jsonws.Server, h *hub) {
		c := dial(t, s)
		c.text(t, `{"event":"early"}`)
		c.send(t, pongFrame, "")
		start := time.Now()
		for range c.frames {
			continue
		}
		assert.Equal(t, cfg.PingInterval+cfg.PingTimeout, time.Since(start))
		synctest.Wait()
		assert.Equal(t, []string{session.ReasonPingTimeout}, h.reasons())
	})
}

// A timeout longer than the interval: the next ping follows the end of the wait.
func TestHeartbeatWithALongTimeout(t *testing.T) {
	cfg := config()
	cfg.PingInterval, cfg.PingTimeout = 5*time.Second, 20*time.Second
	runWith(t, cfg, func(t *testing.T, s *jsonws.Server, h *hub) {
		c := dial(t, s)
		start := time.Now()
		for _, at := range []time.Duration{5 * time.Second, 25 * time.Second, 45 * time.Second} {
			require.Equal(t, frame{pingFrame, ""}, <-c.frames)
			assert.Equal(t, at, time.Since(start))
			c.send(t, pongFrame, "")
		}
		c.Close()
		synctest.Wait()
		assert.Equal(t, []string{session.ReasonTransportClose}, h.reasons())
	})
}

// A client whose network is gone neither reads nor says so.
func TestHeartbeatOfAClientThatDoesNotRead(t *testing.T) {
	cfg := config()
	cfg.WriteTimeout = time.Minute
	runWith(t, cfg, func(t *testing.T, s *jsonws.Server, h *hub) {
		near, end := newPipe(t, s)
		defer near.Close()
		start := time.Now()
		<-end
		assert.Equal(t, cfg.PingInterval+cfg.PingTimeout, time.Since(start))
		synctest.Wait()
		assert.Equal(t, []string{session.ReasonPingTimeout}, h.reasons())
	})
}

// A connection on its way out needs no heartbeat, however long it takes.
func TestHeartbeatEndsWithTheConnection(t *testing.T) {
	ends := map[string]func(session.Conn){
		"left":    func(c session.Conn) { c.Leave("x") },
		"closed":  func(c session.Conn) { c.Close("x") },
		"refused": func(c session.Conn) { c.Refuse(&session.Failure{Name: "N", Message: "m"}) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, s *jsonws.Server, h *hub) {
				dial(t, s)
				require.Equal(t, 1, s.Beating())
				end(h.peer(0).Conn)
				synctest.Wait()
				assert.Equal(t, 1, s.Len(), "the client has not answered yet")
				assert.Zero(t, s.Beating())
			})
		})
	}
}
