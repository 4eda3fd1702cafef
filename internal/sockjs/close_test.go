package sockjs_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

func TestCloseByTheServer(t *testing.T) {
	for reason, want := range map[string]string{
		session.ReasonServerDisconnect: `c[1000,"Normal closure"]`,
		session.ReasonServerShutdown:   `c[1001,"server shutting down"]`,
		session.ReasonSlow:             `c[1013,"slow client"]`,
	} {
		t.Run(reason, func(t *testing.T) {
			bubble(t, func(t *testing.T, h *harness) {
				target, c := h.open()
				polled := h.poll(target)
				synctest.Wait()
				c.Conn.Leave(reason)
				c.Conn.Close("too late")
				start := time.Now()
				assert.Equal(t, want, <-polled)
				assert.Equal(t, "closed "+reason, c.next(t))
				assert.ErrorIs(t, c.send("x"), session.ErrClosed)
				for range 4 { // and again, until the delay has passed
					assert.Equal(t, want, h.frame(target))
					a := h.post(target+"/xhr_send", `["{\"event\":\"late\"}"]`)
					assert.Equal(t, 204, a.status, "dropped")
					assert.Equal(t, 200, h.post(target+"/jsonp_send", `["x"]`).status)
					time.Sleep(time.Second)
				}
				assert.Equal(t, want, h.frame(target))
				time.Sleep(h.cfg.DisconnectDelay - time.Since(start) + time.Millisecond)
				assert.Equal(t, 404, h.post(target+"/xhr_send", `[]`).status)
				assert.Equal(t, "o", h.frame(target))
				assert.Empty(t, c.events)
			})
		})
	}
}

// What waits goes before the close frame, whatever carries it, and the client has time to
// fetch both.
func TestCloseWithMessagesWaiting(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		target, c := h.open()
		require.NoError(t, c.send("last", "words"))
		c.Conn.Close(session.ReasonServerDisconnect)
		time.Sleep(h.cfg.DisconnectDelay - time.Millisecond)
		assert.Equal(t, e("last", "words"), h.frame(target))
		time.Sleep(h.cfg.DisconnectDelay - time.Millisecond)
		assert.Equal(t, `c[1000,"Normal closure"]`, h.frame(target))

		target, c = h.open()
		require.NoError(t, c.send("last", "words"))
		c.Conn.Close(session.ReasonServerDisconnect)
		s := h.stream("GET", target+"/eventsource")
		s.expect("\r\n", "data: "+e("last", "words")+"\r\n\r\n", "data: "+`c[1000,"Normal closure"]`+"\r\n\r\n", "end")

		target, c = h.open()
		c.Conn.Close(session.ReasonServerDisconnect)
		time.Sleep(h.cfg.DisconnectDelay + time.Millisecond)
		h.empty()
		_ = target
	})
}

// Requests that race with the close get what the service had to say, never 2010.
func TestRequestsThatRaceWithTheClose(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		target, c := h.open()
		first := h.poll(target)
		synctest.Wait()
		second, third := h.poll(target), h.poll(target)
		synctest.Wait()
		c.Conn.Close(session.ReasonServerDisconnect)
		for _, frames := range []<-chan string{first, second, third} {
			assert.Equal(t, `c[1000,"Normal closure"]`, <-frames)
		}
	})
}

// While the last messages are still on their way the close frame waits for its turn, however
// long that takes, and a request that comes meanwhile is told what the service had to say.
func TestCloseBehindASlowStream(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		const goodbye = `c[1000,"Normal closure"]`
		target := h.id()
		s := h.stream("GET", target+"/eventsource")
		s.expect("\r\n", "data: o\r\n\r\n")
		c := <-h.clients
		require.NoError(t, c.send("1"))
		synctest.Wait()
		require.NoError(t, c.send("2"))
		c.Conn.Close(session.ReasonServerDisconnect)
		start := time.Now()
		assert.Equal(t, goodbye, h.frame(target))
		assert.NotZero(t, time.Since(start), "it has waited for its seat")
		time.Sleep(h.cfg.DisconnectDelay + time.Second)
		s.expect("data: "+e("1")+"\r\n\r\n", "data: "+e("2")+"\r\n\r\n", "data: "+goodbye+"\r\n\r\n", "end")
	})
}

// Whoever waits for the server's end waits for what is being written.
func TestServerCloseWaits(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		s := h.stream("GET", h.id()+"/eventsource")
		s.expect("\r\n", "data: o\r\n\r\n")
		require.NoError(t, (<-h.clients).send("last words"))
		h.server.Shut(session.ReasonServerShutdown)
		ended := make(chan error, 1)
		go func() { ended <- h.group.Wait(t.Context()) }()
		time.Sleep(h.cfg.WriteTimeout - time.Second)
		assert.Empty(t, ended)
		s.expect("data: "+e("last words")+"\r\n\r\n", "data: c[1001,\"server shutting down\"]\r\n\r\n", "end")
		assert.NoError(t, <-ended)
	})
}

// It does not wait for sessions that are only there to say once more that they are closed, but
// for clients between two requests it does, for as long as it is told, once.
func TestServerCloseWaitsForPolls(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		h.open()
		target, _ := h.open()
		polled := h.poll(target)
		synctest.Wait()
		start := time.Now()
		h.server.Shut(session.ReasonServerShutdown)
		assert.Equal(t, `c[1001,"server shutting down"]`, <-polled)
		require.NoError(t, h.group.Wait(t.Context()))
		assert.Equal(t, time.Second, time.Since(start), "for the one that does not poll")
		h.server.Shut(session.ReasonServerShutdown)
		require.NoError(t, h.group.Wait(t.Context()))
		assert.Equal(t, time.Second, time.Since(start))
	}, func(h *harness) { h.cfg.Farewell = time.Second })
	bubble(t, func(t *testing.T, h *harness) {
		target, c := h.open()
		require.NoError(t, c.send("last words"))
		start := time.Now()
		h.server.Shut(session.ReasonServerShutdown)
		waited := make(chan error, 1)
		go func() { waited <- h.group.Wait(t.Context()) }()
		assert.Equal(t, e("last words"), h.frame(target))
		synctest.Wait()
		assert.Empty(t, waited, "it has not been told yet")
		assert.Equal(t, `c[1001,"server shutting down"]`, h.frame(target))
		require.NoError(t, <-waited)
		assert.Zero(t, time.Since(start))
	}, func(h *harness) { h.cfg.Farewell = time.Second })
}

func TestServerClose(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		waiting, c := h.open()
		polled := h.poll(waiting)
		away, c2 := h.open()
		require.NoError(t, c2.send("last words"))
		synctest.Wait()
		h.server.Shut(session.ReasonServerShutdown)
		assert.Equal(t, `c[1001,"server shutting down"]`, <-polled)
		assert.Equal(t, "closed "+session.ReasonServerShutdown, c.next(t))
		assert.Equal(t, "closed "+session.ReasonServerShutdown, c2.next(t))
		assert.Equal(t, e("last words"), h.frame(away))
		assert.Equal(t, `c[1001,"server shutting down"]`, h.frame(away))
		a := h.post(h.id()+"/xhr", "")
		assert.Equal(t, 503, a.status)
		assert.Equal(t, "5", a.header.Get("Retry-After"))
		assert.Equal(t, 503, h.handshake(h.id()+"/websocket").status)
	})
}
