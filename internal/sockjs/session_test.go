package sockjs_test

import (
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// bubble runs f with a fresh server where time passes as soon as everybody waits.
func bubble(t *testing.T, f func(t *testing.T, h *harness), change ...func(*harness)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newHarness(t, change...)) })
}

// empty says that nothing is left of any session.
func (h *harness) empty() {
	h.t.Helper()
	sessions, sockets := h.server.Len()
	assert.Zero(h.t, sessions)
	assert.Zero(h.t, sockets)
}

func TestPolling(t *testing.T) {
	h := newHarness(t)
	target := h.id()
	a := h.post(target+"/xhr", "")
	assert.Equal(t, "o\n", a.body)
	c := <-h.clients
	assert.Len(t, c.ID, 20)
	assert.Equal(t, "/", c.Namespace)
	assert.Nil(t, c.Auth)
	assert.Equal(t, "xhr-polling", c.Conn.Transport())
	c.Conn.Accept()

	// what the client sends
	assert.Equal(t, 204, h.post(target+"/xhr_send", `["{\"event\":\"a\",\"data\":[1]}","{\"event\":\"b\",\"cid\":7}"]`).status)
	assert.Equal(t, "a [1]", c.next(t))
	assert.Equal(t, "b  ?7", c.next(t))

	// what it gets: what waits is in one frame
	require.NoError(t, c.send("x", "y", "z"))
	assert.Equal(t, e("x", "y", "z"), h.frame(target))
	polled := h.poll(target)
	require.NoError(t, c.send("late"))
	assert.Equal(t, e("late"), <-polled)
	require.NoError(t, c.Conn.Send(&session.Message{Kind: session.Answer, ID: "7", Args: event("", "3").Args}))
	assert.Equal(t, `a["{\"rid\":7,\"data\":3}"]`, h.frame(target))

	// another session is another client, and the server part means nothing
	other := "/001" + target[len("/000"):]
	require.NoError(t, c.send("here"))
	assert.Equal(t, e("here"), h.frame(other))
	_, c2 := h.open()
	require.NoError(t, c2.send("2"))
	assert.NotEqual(t, c.ID, c2.ID)
}

func TestNamespaceOfASession(t *testing.T) {
	h := newHarness(t)
	target := h.id()
	assert.Equal(t, "o\n", h.post(target+"/xhr?nsp=chat", "").body)
	c := <-h.clients
	assert.Equal(t, "/chat", c.Namespace)
	assert.Equal(t, base+target+"/xhr?nsp=chat", c.Handshake.Request().URL.String())
}

// A session that is polled by one transport can be polled by any.
func TestTransportsShareASession(t *testing.T) {
	h := newHarness(t)
	target, c := h.open()
	require.NoError(t, c.send("1"))
	assert.Contains(t, h.get(target+"/jsonp?c=cb").body, `/**/cb("a[\"{`)
	assert.Equal(t, "jsonp-polling", c.Conn.Transport())
	assert.Equal(t, 200, h.post(target+"/jsonp_send", `["{\"event\":\"a\"}"]`).status)
	assert.Equal(t, "a ", c.next(t))
	for _, tt := range []struct{ method, path, name string }{
		{"POST", "/xhr_streaming", "xhr-streaming"}, {"GET", "/eventsource", "eventsource"}, {"GET", "/htmlfile?c=x", "htmlfile"},
	} {
		require.NoError(t, c.send("2"))
		s := h.stream(tt.method, target+tt.path)
		s.chunk()
		assert.Contains(t, s.chunk(), "event", tt.name)
		assert.Equal(t, tt.name, c.Conn.Transport())
		require.NoError(t, c.send(strings.Repeat("x", h.cfg.ResponseLimit)))
		s.chunk()
		s.expect("end")
	}
}

// The same id below another mount point is another session.
func TestMountsShareNoSessions(t *testing.T) {
	h := newHarness(t)
	target, c := h.open()
	require.NoError(t, c.send("secret"))
	h2 := newHarness(t)
	assert.Equal(t, "o", h2.frame(target))
	assert.Equal(t, 404, newHarness(t).post(target+"/xhr_send", `[]`).status)
	assert.Equal(t, e("secret"), h.frame(target))
}

func TestHeartbeatOfAPoll(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		target, c := h.open()
		for range 3 {
			start := time.Now()
			assert.Equal(t, "h", h.frame(target))
			assert.Equal(t, h.cfg.PingInterval, time.Since(start))
		}
		require.NoError(t, c.send("x"))
		assert.Equal(t, e("x"), h.frame(target))
	})
}

func TestHeartbeatOfAStream(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		s := h.stream("GET", h.id()+"/eventsource")
		s.expect("\r\n", "data: o\r\n\r\n")
		c := <-h.clients
		start := time.Now()
		s.expect("data: h\r\n\r\n", "data: h\r\n\r\n")
		assert.Equal(t, 2*h.cfg.PingInterval, time.Since(start))
		time.Sleep(h.cfg.PingInterval - time.Second)
		require.NoError(t, c.send("x"))
		s.chunk()
		start = time.Now()
		s.expect("data: h\r\n\r\n")
		assert.Equal(t, h.cfg.PingInterval, time.Since(start), "silence counts, not time")
	})
}

// Who is being sent something needs no heartbeat, however long that takes.
func TestHeartbeatOfABusyStream(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		s := h.stream("GET", h.id()+"/eventsource")
		s.expect("\r\n", "data: o\r\n\r\n")
		c := <-h.clients
		time.Sleep(h.cfg.PingInterval - time.Second)
		require.NoError(t, c.send("x"))
		time.Sleep(5 * time.Second)
		s.expect("data: " + e("x") + "\r\n\r\n")
		start := time.Now()
		s.expect("data: h\r\n\r\n")
		assert.Equal(t, h.cfg.PingInterval, time.Since(start))
	})
}

// Who stays away for too long is gone, and begins anew.
func TestDisconnectDelay(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		target, c := h.open()
		require.NoError(t, c.send("lost"))
		start := time.Now()
		assert.Equal(t, "closed "+session.ReasonTransportClose, c.next(t))
		assert.Equal(t, h.cfg.DisconnectDelay, time.Since(start))
		assert.ErrorIs(t, c.send("x"), session.ErrClosed)
		assert.Equal(t, 404, h.post(target+"/xhr_send", `[]`).status)
		h.empty()
		assert.Equal(t, "o", h.frame(target))
		assert.NotEqual(t, c.ID, (<-h.clients).ID)
	})
}

// Time counts from the end of a request, and requests that send do not count.
func TestDisconnectDelayAfterARequest(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		target, c := h.open()
		for range 5 {
			time.Sleep(h.cfg.DisconnectDelay - time.Millisecond)
			require.NoError(t, c.send("x"))
			assert.Equal(t, e("x"), h.frame(target))
		}
		start := time.Now()
		time.Sleep(h.cfg.DisconnectDelay - time.Second)
		assert.Equal(t, 204, h.post(target+"/xhr_send", `[]`).status)
		assert.Equal(t, "closed "+session.ReasonTransportClose, c.next(t))
		assert.Equal(t, h.cfg.DisconnectDelay, time.Since(start))
	})
}

// While an answer is being written the client is there, however long it takes.
func TestDisconnectDelayOfASlowAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		target, c := h.open()
		require.NoError(t, c.send(strings.Repeat("x", 8000))) // more than a pipe's reader takes at once
		conn, in := h.raw("POST " + base + target + "/xhr HTTP/1.1\r\nHost: x\r\n\r\n")
		time.Sleep(h.cfg.DisconnectDelay + time.Second)
		assert.Empty(t, c.events)
		line, err := in.ReadString('\n')
		require.NoError(t, err)
		assert.Equal(t, "HTTP/1.1 200 OK\r\n", line)
		go func() { // the rest
			for err == nil {
				_, err = in.ReadByte()
			}
		}()
		synctest.Wait()
		start := time.Now()
		assert.Equal(t, "closed "+session.ReasonTransportClose, c.next(t))
		assert.Equal(t, h.cfg.DisconnectDelay, time.Since(start))
		conn.Close()
	})
}

// A client that does not read is cut off in the end.
func TestWriteTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		target, c := h.open()
		require.NoError(t, c.send(strings.Repeat("x", 8000)))
		h.raw("POST " + base + target + "/xhr HTTP/1.1\r\nHost: x\r\n\r\n")
		start := time.Now()
		assert.Equal(t, "closed "+session.ReasonTransportClose, c.next(t))
		assert.Equal(t, h.cfg.WriteTimeout, time.Since(start))
		h.empty()
	}, func(h *harness) { h.cfg.WriteTimeout = 3 * time.Second })
}

// A second receiver waits only for a first one whose connection has just died, and that is noticed at once.
func TestSecondReceiverIsAnsweredSoon(t *testing.T) {
	receivers := []struct {
		method, path string
		answer       func(*stream)
	}{
		{"POST", "/xhr", nil},
		{"GET", "/jsonp?c=f", nil},
		{"POST", "/xhr_streaming", func(s *stream) { s.chunk(); s.expect(busy+"\n", "end") }},
		{"GET", "/eventsource", func(s *stream) { s.expect("\r\n", "data: "+busy+"\r\n\r\n", "end") }},
		{"GET", "/htmlfile?c=f", func(s *stream) { s.chunk(); s.chunk(); s.expect("end") }},
	}
	for _, first := range receivers {
		for _, second := range receivers {
			t.Run(first.path+second.path, func(t *testing.T) {
				bubble(t, func(t *testing.T, h *harness) {
					target, c := h.open()
					h.raw(first.method + " " + base + target + first.path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
					synctest.Wait()
					start := time.Now()
					if second.answer == nil {
						assert.Contains(t, h.do(second.method, target+second.path, "").body, "2010")
					} else {
						second.answer(h.stream(second.method, target+second.path))
					}
					assert.LessOrEqual(t, time.Since(start), 300*time.Millisecond)
					require.NoError(t, c.send("the session goes on"))
					synctest.Wait()
					assert.Empty(t, c.events)
				})
			})
		}
	}
}

func TestSecondReceiverLeavesTheSessionAsItIs(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		target, c := h.open()
		first := h.poll(target)
		synctest.Wait()
		assert.Equal(t, busy, h.frame(target))
		require.NoError(t, c.send("the session goes on"))
		assert.Equal(t, e("the session goes on"), <-first)
		require.NoError(t, c.send("after all"))
		assert.Equal(t, e("after all"), h.frame(target))
		assert.Empty(t, c.events)
	})
}

// The second receiver of a stream, too, and one that gives up before it is told.
func TestSecondReceiverOfAStream(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		target := h.id()
		s := h.stream("POST", target+"/xhr_streaming")
		s.chunk()
		s.expect("o\n")
		c := <-h.clients
		assert.Equal(t, busy, h.frame(target))
		conn, _ := h.raw("POST " + base + target + "/xhr HTTP/1.1\r\nHost: x\r\n\r\n")
		time.Sleep(10 * time.Millisecond)
		conn.Close()
		synctest.Wait()
		require.NoError(t, c.send("x"))
		s.expect(e("x") + "\n")
		assert.Empty(t, c.events)
	})
}

// A client that has broken off a request comes again before that is noticed: it has not to
// be told that it is there twice. Here the first request is stuck for a while.
func TestReceiverWaitsForTheOneBefore(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		target, c := h.open()
		first := h.poll(target)
		synctest.Wait()
		second := h.poll(target)
		time.Sleep(50 * time.Millisecond)
		require.NoError(t, c.send("for the first"))
		assert.Equal(t, e("for the first"), <-first)
		synctest.Wait()
		require.NoError(t, c.send("for the second"))
		assert.Equal(t, e("for the second"), <-second)
	})
}

// A waiting request whose client vanishes ends the session at once, with a body that
// comes with the request as well.
func TestVanishedClient(t *testing.T) {
	for name, request := range map[string]string{
		"xhr":                 "POST %s/xhr HTTP/1.1\r\nHost: x\r\n\r\n",
		"xhr with a body":     "POST %s/xhr HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
		"xhr with chunks":     "POST %s/xhr HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
		"jsonp":               "GET %s/jsonp?c=x HTTP/1.1\r\nHost: x\r\n\r\n",
		"jsonp with a body":   "GET %s/jsonp?c=x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
		"xhr_streaming":       "POST %s/xhr_streaming HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
		"eventsource":         "GET %s/eventsource HTTP/1.1\r\nHost: x\r\n\r\n",
		"htmlfile":            "GET %s/htmlfile?c=x HTTP/1.1\r\nHost: x\r\n\r\n",
		"streaming, HTTP/1.0": "POST %s/xhr_streaming HTTP/1.0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, h *harness) {
				target, c := h.open()
				conn, in := h.raw(replace(request, base+target))
				go in.Discard(1 << 20)
				time.Sleep(20 * time.Second) // longer than the body may take
				assert.Empty(t, c.events)
				start := time.Now()
				conn.Close()
				assert.Equal(t, "closed "+session.ReasonTransportClose, c.next(t))
				assert.Zero(t, time.Since(start))
				h.empty()
				assert.Equal(t, "o", h.frame(target), "what comes next is a new session")
			})
		})
	}
}

func TestRefusal(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		target, c := h.open()
		c.Conn.Refuse(&session.Failure{Name: "Forbidden", Message: "not \"you\""})
		c.Conn.Refuse(&session.Failure{Name: "Forbidden", Message: "twice"})
		assert.Equal(t, `a["{\"error\":{\"name\":\"Forbidden\",\"message\":\"not \\\"you\\\"\"}}"]`, h.frame(target))
		assert.Equal(t, `c[1008,"not \"you\""]`, h.frame(target))
		time.Sleep(time.Minute)
		assert.Empty(t, c.events, "nobody has to be told")
		h.empty()
	})
}

// The hub may do anything before Admit returns; the open frame is the first all the same.
func TestAnswersWithinAdmit(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		h.onAdmit = func(c *client) { assert.NoError(t, c.send("early")) }
		target := h.id()
		assert.Equal(t, "o", h.frame(target))
		assert.Equal(t, e("early"), h.frame(target))
		h.onAdmit = func(c *client) { c.Conn.Close(session.ReasonServerDisconnect) }
		s := h.stream("GET", h.id()+"/eventsource")
		s.expect("\r\n", "data: o\r\n\r\n", "data: c[1000,\"Normal closure\"]\r\n\r\n", "end")
		<-h.clients
		assert.Equal(t, "closed "+session.ReasonServerDisconnect, (<-h.clients).next(t))
	})
}

// What is sent to a session whose client is just being admitted waits for that.
func TestSendDuringAdmit(t *testing.T) {
	admitting, sending, admit := make(chan struct{}), make(chan struct{}), make(chan struct{})
	h := newHarness(t, func(h *harness) {
		h.onAdmit = func(*client) { close(admitting); <-admit }
		inner := h.http.Handler
		h.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/xhr_send") {
				close(sending)
			}
			inner.ServeHTTP(w, r)
		})
	})
	target := h.id()
	polled := h.poll(target)
	<-admitting
	sent := make(chan answer, 1)
	go func() { sent <- h.post(target+"/xhr_send", `["{\"event\":\"a\"}"]`) }()
	<-sending
	for range 100 {
		runtime.Gosched()
	}
	assert.Empty(t, sent)
	close(admit)
	assert.Equal(t, "o", <-polled)
	assert.Equal(t, 204, (<-sent).status)
	assert.Equal(t, "a ", (<-h.clients).next(t))
}

// A panic of the service's own code in Admit is net/http's; nothing is left behind.
func TestPanicWithinAdmit(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		h.onAdmit = func(*client) { panic("the service's") }
		target := h.id()
		assert.Equal(t, "gone", <-h.poll(target))
		h.empty()
		h.onAdmit = nil
		assert.Equal(t, "o", h.frame(target))
	})
}

// A violation ends the session. What waits for its client, and what the client has sent behind it, is dropped.
func TestViolationEndsTheSession(t *testing.T) {
	h := newHarness(t)
	target, c := h.open()
	require.NoError(t, c.send("does not matter any more"))
	body := `["{\"event\":\"a\"}"` + strings.Repeat(`,"no event"`, 11) + `,"{\"event\":\"b\"}"]`
	assert.Equal(t, 204, h.post(target+"/xhr_send", body).status)
	assert.Equal(t, "a ", c.next(t))
	assert.Equal(t, "closed "+session.ReasonParseError, c.next(t))
	assert.Equal(t, `c[1008,"parse error"]`, h.frame(target))
	assert.Empty(t, c.events)
}

// A client that sends what is no JSON event is told so, and sent away if it goes on.
func TestMalformedEvents(t *testing.T) {
	h := newHarness(t)
	target, c := h.open()
	for range 10 {
		assert.Equal(t, 204, h.post(target+"/xhr_send", `["no event"]`).status)
		assert.Equal(t, `a["{\"error\":{\"name\":\"BadRequest\",\"message\":\"not valid JSON\"}}"]`, h.frame(target))
	}
	assert.Equal(t, 204, h.post(target+"/xhr_send", `["{\"event\":\"error\",\"cid\":1}"]`).status)
	assert.Equal(t, "error  ?1", c.next(t), "no name counts as malformed")
	assert.Equal(t, 204, h.post(target+"/xhr_send", `["no event"]`).status)
	assert.Equal(t, `c[1008,"parse error"]`, h.frame(target))
	assert.Equal(t, "closed "+session.ReasonParseError, c.next(t))
}

func TestVolatile(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		v := event("e", `"v"`)
		v.Volatile = true
		target, c := h.open()
		assert.ErrorIs(t, c.Conn.Send(v), session.ErrDropped, "nobody waits")
		polled := h.poll(target)
		synctest.Wait()
		assert.NoError(t, c.Conn.Send(v))
		assert.Equal(t, e("v"), <-polled)
		polled = h.poll(target)
		synctest.Wait()
		require.NoError(t, c.send("x"))
		assert.ErrorIs(t, c.Conn.Send(v), session.ErrDropped, "something goes before it")
		assert.Equal(t, e("x"), <-polled)
	})
}
