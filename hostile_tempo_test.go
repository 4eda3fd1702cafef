package thinkws_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// What comes too slowly, too fast, or is not fetched.

// Row 44: a message in fragments without an end has thirty seconds, whatever it is.
func TestHostile44EndlessFragments(t *testing.T) {
	for _, kind := range []string{"v4", "v3", "plain"} {
		for name, fragment := range map[string]string{"empty": "", "of a byte": "x"} {
			timed(t, "44 fragments "+name+", "+kind, 30*time.Second, func(t *testing.T, s *site) {
				ws, _ := s.enter(kind)
				var writer sync.WaitGroup
				t.Cleanup(writer.Wait)
				writer.Go(func() {
					_, err := ws.conn.Write([]byte(frame(opText, true, "4")))
					for err == nil {
						<-time.After(time.Second)
						_, err = ws.conn.Write([]byte(frame(opContinue, true, fragment)))
					}
				})
				frames := untilClose(t, ws, nil)
				assert.Equal(t, policy, frames[len(frames)-1])
				require.NoError(t, ws.conn.Close())
				s.verify(thinkws.ReasonParseError)
			})
		}
	}
}

// Row 45: twenty pings in a second are answered, whether they are WebSocket's or those of
// Engine.IO 3, and one more is too many.
func TestHostile45PingFlood(t *testing.T) {
	for name, tt := range map[string]struct{ kind, ping, pong string }{
		"v4":                {"v4", frame(fin|opPing, true, "x"), "binary:x"},
		"v3":                {"v3", frame(fin|opPing, true, "x"), "binary:x"},
		"plain":             {"plain", frame(fin|opPing, true, "x"), "binary:x"},
		"packets":           {"v3", frame(fin|opText, true, "2"), "3"},
		"packets with data": {"v3", frame(fin|opText, true, "2probe"), "3probe"},
	} {
		timed(t, "45 pings, "+name, time.Second, func(t *testing.T, s *site) {
			ws, _ := s.enter(tt.kind)
			for n := range 40 {
				if n == 20 {
					<-time.After(time.Second)
				}
				ws.write([]byte(tt.ping))
				got := ws.read()
				assert.Contains(t, []string{tt.pong, "3"}, got)
			}
			ws.write([]byte(tt.ping))
			assert.Equal(t, policy, ws.read())
			require.NoError(t, ws.conn.Close())
			s.verify(thinkws.ReasonParseError)
			synctest.Wait() // the log comes last
			assert.Regexp(t, `level=WARN msg=.*too many pings`, s.log.String())
		})
	}
	timed(t, "45 pings in one POST", 0, func(t *testing.T, s *site) {
		p := s.open(3, "")
		require.Equal(t, "200 ok", p.do("POST", strings.Repeat("1:2", 20)))
		require.Len(t, p.get(), 20)
		require.Equal(t, "400 ", p.do("POST", "1:2"))
		p.dead(thinkws.ReasonParseError)
		assert.Regexp(t, `level=WARN msg=.*too many pings`, s.log.String())
	})
}

// Row 47: what a client does not read waits, but not without end, and the client is told to
// come back later. See TestSlowPolicies for other ways.
func TestHostile47SlowReader(t *testing.T) {
	const bound = 1 << 20
	for name, size := range map[string]int{"small messages": 1, "large messages": 50_000} {
		sent := make(chan int, 1)
		flood := thinkws.On("flood", func(c *thinkws.Context) error {
			n := 0
			for c.Emit("e", strings.Repeat("x", size)) == nil {
				n++
			}
			sent <- n
			return nil
		})
		slow := func(t *testing.T, s *site) {
			n := <-sent
			assert.LessOrEqual(t, (n-1)*(size+100), 4*bound)
			assert.GreaterOrEqual(t, (n+1)*(size+150), 4*bound)
			require.Equal(t, thinkws.ReasonSlow, <-s.reasons)
			assert.EqualValues(t, 1, s.handler.Hub().Stats().Slow)
		}
		for kind, say := range map[string]string{"v4": `42["flood"]`, "v3": `42["flood"]`, "plain": `{"event":"flood"}`} {
			timed(t, "47 "+name+" that are read late, "+kind, 5*time.Second, func(t *testing.T, s *site) {
				ws, _ := s.enter(kind)
				ws.send(say)
				slow(t, s)
				<-time.After(5 * time.Second)
				frames := untilClose(t, ws, nil)
				assert.Equal(t, "close 1013", frames[len(frames)-1])
				require.NoError(t, ws.conn.Close())
			}, flood, thinkws.WithSendQueue(bound))
			timed(t, "47 "+name+" that are not read, "+kind, 10*time.Second, func(t *testing.T, s *site) {
				ws, _ := s.enter(kind)
				ws.send(say)
				slow(t, s)
				<-time.After(10 * time.Second)
				synctest.Wait()
				frame, err := nextFrame(ws.in)
				assert.Error(t, err, frame)
			}, flood, thinkws.WithSendQueue(bound))
		}
		for _, eio := range []int{4, 3} {
			timed(t, "47 "+name+" that are not polled", 0, func(t *testing.T, s *site) {
				p := s.open(eio, "")
				require.Equal(t, "200 ok", p.post(`42["flood"]`))
				slow(t, s)
				assert.Equal(t, sidUnknown, p.do("GET", ""))
			}, flood, thinkws.WithSendQueue(bound))
		}
		timed(t, "47 "+name+" that SockJS does not poll", 0, func(t *testing.T, s *site) {
			p := s.sockjs("/sockjs/0/slow", "")
			require.Equal(t, "204 ", p.send(`{"event":"flood"}`))
			slow(t, s)
			assert.Contains(t, p.poll(), "c[1013,")
		}, flood, thinkws.WithSendQueue(bound))
	}
}
