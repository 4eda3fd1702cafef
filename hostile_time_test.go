package thinkws_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// timed runs an attack in a bubble, where time passes as soon as everybody waits, and
// says how long it took.
func timed(t *testing.T, name string, want time.Duration, attack func(t *testing.T, s *site), options ...thinkws.Option) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newMemorySite(t, options...)
			start := time.Now()
			attack(t, s)
			assert.Equal(t, want, time.Since(start))
			s.verify()
		})
	})
}

// goesSilent writes what there is and reads until the server hangs up.
func (s *site) goesSilent(request string) string {
	s.t.Helper()
	conn := s.dial()
	go func() { _, _ = io.WriteString(conn, request) }()
	answer, err := io.ReadAll(conn)
	require.NoError(s.t, err)
	line, _, _ := strings.Cut(string(answer), "\r\n")
	return line
}

// untilClose reads frames up to the close frame. The replies are the client's to
// frames.
func untilClose(t *testing.T, ws *rawWS, replies map[string]string) (frames []string) {
	t.Helper()
	require.NoError(t, ws.conn.SetReadDeadline(time.Time{}))
	for {
		frame, err := nextFrame(ws.in)
		require.NoError(t, err)
		frames = append(frames, frame)
		if strings.HasPrefix(frame, "close") {
			return frames
		}
		if reply, ok := replies[frame]; ok {
			ws.send(reply)
		}
	}
}

// Rows 12 and 14: a body that does not come, or comes slowly, ends its session after
// ten seconds from the first byte, whatever trickles in.
func TestHostile12And14SlowBody(t *testing.T) {
	for _, eio := range []int{4, 3} {
		timed(t, "12 body that does not come", 10*time.Second, func(t *testing.T, s *site) {
			p := s.open(eio, "")
			assert.Equal(t, "HTTP/1.1 408 Request Timeout", s.goesSilent(raw("POST", p.target, "4", "Content-Length: 100")))
			p.dead(thinkws.ReasonTransportError)
		})
		timed(t, "12 chunk that does not come", 10*time.Second, func(t *testing.T, s *site) {
			p := s.open(eio, "")
			assert.Equal(t, "HTTP/1.1 408 Request Timeout", s.goesSilent(raw("POST", p.target, "9\r\n4", "Transfer-Encoding: chunked")))
			p.dead(thinkws.ReasonTransportError)
		})
		timed(t, "14 a byte each second", 10*time.Second, func(t *testing.T, s *site) {
			p := s.open(eio, "")
			conn := s.dial()
			var writer sync.WaitGroup
			t.Cleanup(writer.Wait)
			writer.Go(func() {
				_, err := io.WriteString(conn, raw("POST", p.target, "4", "Content-Length: 100"))
				for err == nil {
					<-time.After(time.Second)
					_, err = conn.Write([]byte("x"))
				}
			})
			answer, err := io.ReadAll(conn)
			require.NoError(t, err)
			assert.Contains(t, string(answer), "408 Request Timeout")
			p.dead(thinkws.ReasonTransportError)
		})
	}
	timed(t, "CVE-2026-59725 binary body that does not come", 0, func(t *testing.T, s *site) {
		p := s.open(4, "")
		assert.Equal(t, "HTTP/1.1 400 Bad Request", s.goesSilent(raw("POST", p.target, "4", "Content-Length: 10", "Content-Type: application/octet-stream")))
		p.dead(thinkws.ReasonTransportError)
	})
	const some = "Content-Length: 10"
	const four = io4 + "polling&sid={sid}"
	for _, tt := range []struct{ name, request, want string }{
		{"to nobody", raw("POST", io4+"polling&sid=x", "4", some), "400 Bad Request"},
		{"of a handshake", raw("POST", io4+"polling", "4", some), "400 Bad Request"},
		{"of no transport", raw("POST", "/socket.io/", "4", some), "400 Bad Request"},
		{"of a GET", raw("GET", io4+"polling&sid=x", "4", some), "400 Bad Request"},
		{"to another path", raw("POST", "/socket.io/../", "4", some), "404 Not Found"},
		{"from another site", raw("POST", four, "4", some, "Origin: https://evil.net", "Cookie: a=b"), "403 Forbidden"},
		{"by another method", raw("PUT", four, "4", some), "405 Method Not Allowed"},
		{"of another revision", raw("POST", io3+"polling&sid={sid}", "4", some), "400 Bad Request"},
		{"in another encoding", raw("POST", four, "4", some, "Content-Encoding: br"), "415 Unsupported Media Type"},
		{"that is too large", raw("POST", four, "4", "Content-Length: 2000"), "413 Request Entity Too Large"},
		{"of a plain WebSocket", raw("POST", "/ws", "4", some), "400 Bad Request"},
	} {
		timed(t, "12 body "+tt.name, 10*time.Second, func(t *testing.T, s *site) {
			p := s.open(4, "")
			_, sid, _ := strings.Cut(p.target, "&sid=")
			assert.Equal(t, "HTTP/1.1 "+tt.want, s.goesSilent(strings.ReplaceAll(tt.request, "{sid}", sid)))
			p.alive()
		}, thinkws.WithMaxMessage(1_000))
	}
	timed(t, "15 headers that do not come", 5*time.Second, func(t *testing.T, s *site) {
		assert.Empty(t, s.goesSilent("GET / HTTP/1.1\r\nHost: localhost\r\nX: "))
	})
}

// Row 46: who does not answer heartbeats is sent away, on every transport.
func TestHostile46Silence(t *testing.T) {
	const due = 45 * time.Second // 25 to the ping, 20 for the answer
	closed := map[string][]string{"v4": {"2", "close 1005"}, "v3": {"close 1005"}}
	for kind, want := range closed {
		timed(t, "46 no answer, "+kind, due, func(t *testing.T, s *site) {
			ws, _ := s.enter(kind)
			assert.Equal(t, want, untilClose(t, ws, nil))
			require.NoError(t, ws.conn.Close())
			s.verify(thinkws.ReasonPingTimeout)
		})
	}
	timed(t, "46 no answer, plain", due, func(t *testing.T, s *site) {
		ws, _ := s.enter("plain")
		require.NoError(t, ws.conn.SetReadDeadline(time.Time{}))
		frame, err := nextFrame(ws.in)
		require.NoError(t, err)
		assert.Equal(t, "ping", frame)
		for err == nil { // a close frame may come, but is not waited for
			_, err = nextFrame(ws.in)
		}
		s.verify(thinkws.ReasonPingTimeout)
	})
	timed(t, "46 noise in place of an answer, v4", due, func(t *testing.T, s *site) {
		ws, _ := s.enter("v4")
		assert.Equal(t, []string{"2", `431["x"]`, "close 1005"}, untilClose(t, ws, map[string]string{"2": `421["echo","x"]`}))
		require.NoError(t, ws.conn.Close())
		s.verify(thinkws.ReasonPingTimeout)
	})
	timed(t, "46 pongs ahead of time, v4", due, func(t *testing.T, s *site) {
		ws, _ := s.enter("v4")
		for range 100 {
			ws.send("3")
		}
		assert.Equal(t, []string{"2", "close 1005"}, untilClose(t, ws, nil))
		require.NoError(t, ws.conn.Close())
		s.verify(thinkws.ReasonPingTimeout)
	})
	timed(t, "46 polls without an answer, revision 4", due, func(t *testing.T, s *site) {
		p := s.open(4, "")
		assert.Equal(t, []string{"2"}, p.get())
		assert.Equal(t, []string{"1"}, p.get())
		p.dead(thinkws.ReasonPingTimeout)
	})
	timed(t, "46 poll without a ping, revision 3", due, func(t *testing.T, s *site) {
		p := s.open(3, "")
		assert.Equal(t, []string{"1"}, p.get())
		p.dead(thinkws.ReasonPingTimeout)
	})
	for _, eio := range []int{4, 3} {
		timed(t, "46 does not even poll", due, func(t *testing.T, s *site) {
			p := s.open(eio, "")
			require.Equal(t, thinkws.ReasonPingTimeout, <-s.reasons)
			assert.Equal(t, sidUnknown, p.do(http.MethodGet, ""))
		})
		// net/http does not see it, but the heartbeat does.
		timed(t, "25 gives up its poll behind the start of another request", due, func(t *testing.T, s *site) {
			p := s.open(eio, "")
			conn := s.dial()
			_, err := io.WriteString(conn, get(p.target))
			require.NoError(t, err)
			synctest.Wait()
			go func() { _, _ = io.WriteString(conn, "GET /") }()
			synctest.Wait()
			require.NoError(t, conn.Close())
			require.Equal(t, thinkws.ReasonPingTimeout, <-s.reasons)
			assert.Equal(t, sidUnknown, p.do(http.MethodGet, ""))
		})
	}
	timed(t, "41 close frame without an answer", 5*time.Second, func(t *testing.T, s *site) {
		ws, _ := s.enter("v4")
		ws.write([]byte(frame(fin|opText, true, "\xff")))
		assert.Equal(t, []string{invalid}, untilClose(t, ws, nil))
		_, err := nextFrame(ws.in)
		assert.ErrorIs(t, err, io.EOF)
		s.verify(thinkws.ReasonParseError)
	})
}

// Row 51: a WebSocket that does not finish its upgrade goes, the session stays.
func TestHostile51UnfinishedUpgrade(t *testing.T) {
	for _, eio := range []int{4, 3} {
		for name, frames := range map[string][]string{"without a probe": nil, "probed only": {"2probe"}, "probed again and again": {"2probe", "2probe", "2probe"}} {
			timed(t, "51 "+name, 10*time.Second, func(t *testing.T, s *site) {
				p := s.open(eio, "")
				ws := s.upgrade(p.upgradeTarget(), frames...)
				got := untilClose(t, ws, nil)
				assert.Equal(t, append(strings.Fields(strings.Repeat("3probe ", len(frames))), "close 1005"), got)
				require.NoError(t, ws.conn.Close())
				p.alive()
			})
			timed(t, "51 "+name+", nor an answer to the close frame", 11*time.Second, func(t *testing.T, s *site) {
				p := s.open(eio, "")
				ws := s.upgrade(p.upgradeTarget(), frames...)
				untilClose(t, ws, nil)
				_, err := nextFrame(ws.in)
				assert.ErrorIs(t, err, io.EOF)
				p.alive()
			})
		}
	}
}

// Row 66: attachments have thirty seconds.
func TestHostile66MissingAttachments(t *testing.T) {
	const announced = `51-["echo",{"_placeholder":true,"num":0}]`
	for _, kind := range []string{"v4", "v3"} {
		timed(t, "66 WebSocket "+kind, 30*time.Second, func(t *testing.T, s *site) {
			ws, _ := s.enter(kind)
			ws.send("4" + announced)
			frames := untilClose(t, ws, map[string]string{"2": "3"})
			assert.Equal(t, violated, frames[len(frames)-1])
			require.NoError(t, ws.conn.Close())
			s.verify(thinkws.ReasonParseError)
		})
	}
	timed(t, "66 polling", 30*time.Second, func(t *testing.T, s *site) {
		p := s.open(4, "")
		assert.Equal(t, "200 ok", p.post("4"+announced))
		assert.Equal(t, []string{"2"}, p.get())
		assert.Equal(t, "200 ok", p.post("3"))
		assert.Equal(t, []string{"1"}, p.get())
		p.dead(thinkws.ReasonParseError)
	})
}

// Row 69: who enters no namespace has no business here, heartbeats or not.
func TestHostile69NeverConnects(t *testing.T) {
	timed(t, "69 WebSocket", 45*time.Second, func(t *testing.T, s *site) {
		ws := s.upgrade(io4 + "websocket")
		ws.expect("0{")
		assert.Equal(t, []string{"2", "close 1005"}, untilClose(t, ws, map[string]string{"2": "3"}))
		require.NoError(t, ws.conn.Close())
	})
	timed(t, "69 polling", 45*time.Second, func(t *testing.T, s *site) {
		p := &poller{s: s, eio: 4, target: io4 + "polling"}
		p.target += "&sid=" + p.get()[0][9:29]
		assert.Equal(t, []string{"2"}, p.get())
		assert.Equal(t, "200 ok", p.post("3"))
		assert.Equal(t, []string{"1"}, p.get())
		assert.Equal(t, sidUnknown, p.do(http.MethodGet, ""))
	})
	timed(t, "69 a handshake and no more", 45*time.Second, func(t *testing.T, s *site) {
		p := &poller{s: s, eio: 4, target: io4 + "polling"}
		p.get()
		require.Equal(t, 5, s.handler.Hub().Stats().Sessions)
		<-time.After(45 * time.Second)
		synctest.Wait()
		assert.Equal(t, 4, s.handler.Hub().Stats().Sessions, "nothing is kept for who never came")
	})
	timed(t, "69 refused at every door", 45*time.Second, func(t *testing.T, s *site) {
		ws := s.upgrade(io4+"websocket", "40/nope,")
		ws.expect("0{", "44/nope,")
		assert.Equal(t, []string{"2", "close 1005"}, untilClose(t, ws, map[string]string{"2": "3"}))
		require.NoError(t, ws.conn.Close())
	})
}

// Row 89: a handler that does not return holds up its own client, which is not read when too much waits. Somebody is
// warned. The handler learns that the client has left, though nobody reads its connection.
func TestHostile89BlockedAction(t *testing.T) {
	for kind, say := range map[string]string{"v4": `42["block"]`, "v3": `42["block"]`, "plain": `{"event":"block"}`} {
		t.Run("89 "+kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				left := make(chan error, 10)
				block := thinkws.On("block", func(c *thinkws.Context) error {
					<-c.Context().Done()
					left <- context.Cause(c.Context())
					return nil
				})
				s := newMemorySite(t, block, thinkws.WithReceiveQueue(10, 1<<20))
				ws, _ := s.enter(kind)
				for range 9 {
					ws.send(say)
				}
				<-time.After(11 * time.Second)
				ws.send(say)
				synctest.Wait()
				assert.Equal(t, 1, strings.Count(s.log.String(), `level=WARN msg="an action holds up the client's next events"`))
				for _, h := range s.honest {
					h.echo(t)
				}
				assert.Contains(t, s.log.String(), `level=INFO msg="client slowed down" limit=receive_queue`)
				assert.Empty(t, left)
				require.NoError(t, ws.conn.Close())
				require.ErrorIs(t, <-left, thinkws.ErrClosed)
				s.verify(thinkws.ReasonTransportClose)
			})
		})
	}
}
