package sockjs_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// overTCP serves h on loopback too: what a client's end looks like is the network's matter.
func (h *harness) overTCP() (dial func() net.Conn) {
	h.t.Helper()
	server := httptest.NewServer(h.http.Handler)
	h.t.Cleanup(server.Close)
	return func() net.Conn {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(h.t, err)
		h.t.Cleanup(func() { c.Close() })
		return c
	}
}

// once sends a request on a connection of its own and returns the body.
func once(t *testing.T, c net.Conn, request string) string {
	t.Helper()
	_, err := io.WriteString(c, request)
	require.NoError(t, err)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	body, err := io.ReadAll(c)
	require.NoError(t, err)
	_, text, _ := strings.Cut(string(body), "\r\n\r\n")
	return text
}

// A client that breaks its request off and comes again at once is never told that it is
// there already: its session has ended, and it begins a new one, or it is told so.
func TestAbortThenPollAgain(t *testing.T) {
	h := newHarness(t, func(h *harness) { h.cfg.Patience = time.Minute }) // on a busy machine net/http may notice late
	dial := h.overTCP()
	const tries = 1000
	var wg sync.WaitGroup
	for worker := range 2 { // so that the machine has something else to do
		wg.Go(func() {
			for i := range tries / 2 {
				id := fmt.Sprintf("abort%d-%d", worker, i)
				poll := "POST " + base + "/000/" + id + "/xhr HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
				assert.Equal(t, "o\n", once(t, dial(), poll))
				waiting := dial()
				_, err := io.WriteString(waiting, poll)
				assert.NoError(t, err)
				for !h.server.Waiting(id) {
					runtime.Gosched()
				}
				waiting.Close()
				assert.Contains(t, []string{"o\n", "c[1002,\"Connection interrupted\"]\n"}, once(t, dial(), poll))
			}
		})
	}
	wg.Wait()
	for range tries {
		assert.Equal(t, "closed "+session.ReasonTransportClose, (<-h.clients).next(t))
	}
}

// Requests, sends and closes of one session at once: everything comes exactly once and in
// order, or the session ends.
func TestRaceOfReceivers(t *testing.T) {
	h := newHarness(t)
	for range 20 {
		target, c := h.open()
		const messages = 50
		var got strings.Builder
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range messages {
				assert.NoError(t, c.send(fmt.Sprint("m", i, ".")))
				runtime.Gosched()
			}
		})
		wg.Go(func() {
			for strings.Count(got.String(), "m") < messages {
				got.WriteString(h.frame(target))
			}
		})
		wg.Go(func() {
			for i := range messages {
				assert.Equal(t, 204, h.post(target+"/xhr_send", fmt.Sprintf(`["{\"event\":\"m\",\"data\":%d}"]`, i)).status)
			}
		})
		wg.Wait()
		for i := range messages {
			assert.Equal(t, fmt.Sprintf("m %d", i), c.next(t))
			assert.Equal(t, 1, strings.Count(got.String(), fmt.Sprint("m", i, ".")))
		}
		c.Conn.Close(session.ReasonServerDisconnect)
		assert.Equal(t, "closed "+session.ReasonServerDisconnect, c.next(t))
	}
}

// Everything that can end a session, at once: it ends once, which the client of this
// package watches.
func TestRaceOfEndings(t *testing.T) {
	h := newHarness(t, func(h *harness) { h.cfg.PingInterval = 10 * time.Millisecond })
	for range 100 {
		target, c := h.open()
		conn, _ := h.raw("POST " + base + target + "/xhr HTTP/1.1\r\nHost: x\r\n\r\n")
		var wg sync.WaitGroup
		for _, f := range []func(){
			func() { c.Conn.Close(session.ReasonServerDisconnect) },
			func() { conn.Close() },
			func() { h.post(target+"/xhr_send", `["{\"event\":\"a\"}"`+strings.Repeat(`,"no event"`, 11)+`]`) },
			func() { h.try(request("POST", target+"/xhr", "")) },
			func() { c.send("x") },
		} {
			wg.Go(f)
		}
		wg.Wait()
		for e := c.next(t); !strings.HasPrefix(e, "closed "); e = c.next(t) {
			assert.Equal(t, "a ", e)
		}
		assert.ErrorIs(t, c.send("x"), session.ErrClosed)
	}
}

// The first requests of a session, at once: one opens it.
func TestRaceOfFirstRequests(t *testing.T) {
	h := newHarness(t)
	for range 50 {
		target := h.id()
		frames := make(chan string, 4)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { frames <- <-h.poll(target) })
		}
		c := <-h.clients
		for range 3 {
			assert.NoError(t, c.send("x"))
			runtime.Gosched()
		}
		c.Conn.Close(session.ReasonServerDisconnect)
		wg.Wait()
		opened := 0
		for range 4 {
			if <-frames == "o" {
				opened++
			}
		}
		assert.Equal(t, 1, opened)
		assert.Empty(t, h.clients)
	}
}

// Idle sessions own no goroutine, and neither do requests that send.
func TestIdleSessionsOwnNoGoroutine(t *testing.T) {
	h := newHarness(t, func(h *harness) { h.cfg.DisconnectDelay = time.Minute })
	h.open()
	h.client.CloseIdleConnections()
	before := runtime.NumGoroutine()
	const sessions = 1000
	for range sessions {
		w := httptest.NewRecorder()
		h.http.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, base+h.id()+"/xhr", nil))
		require.Equal(t, "o\n", w.Body.String())
	}
	n, _ := h.server.Len()
	assert.Equal(t, sessions+1, n)
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, time.Minute, time.Millisecond)
}

// A waiting request costs what net/http makes of it, and nothing of ours.
func TestWaitingRequestsOwnNoGoroutineOfOurs(t *testing.T) {
	h := newHarness(t)
	target, _ := h.open()
	stacks := func() string {
		buf := make([]byte, 1<<20)
		return string(buf[:runtime.Stack(buf, true)])
	}
	waiting := h.poll(target)
	require.Eventually(t, func() bool { return strings.Contains(stacks(), "sockjs.(*receiver).wait") }, time.Minute, time.Millisecond)
	for goroutine := range strings.SplitSeq(stacks(), "\n\n") {
		if strings.Contains(goroutine, "/sockjs.(") {
			assert.Contains(t, goroutine, "net/http.(*conn).serve", "not a goroutine of net/http")
		}
	}
	h.server.Shut(session.ReasonServerDisconnect)
	assert.Equal(t, `c[1000,"Normal closure"]`, <-waiting)
}
