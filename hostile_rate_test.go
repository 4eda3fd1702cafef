package thinkws_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// burst is how many messages a client may send at once at the rate of these tests.
const burst = 10

var slowRate = thinkws.WithReceiveRate(burst/2, 1<<20)

// exceed sends messages one by one. The one after allowed closes the connection.
func (s *site) exceed(allowed int, send func(i int)) {
	s.t.Helper()
	overruns := func() uint64 {
		synctest.Wait()
		return s.handler.Hub().Stats().Limits["receive_rate"]
	}
	for i := range allowed {
		send(i)
		require.Zero(s.t, overruns(), "message %d", i)
	}
	send(allowed)
	require.EqualValues(s.t, 1, overruns())
}

// Row 49, B1: every message draws on the one allowance of the connection, whatever it is.
func TestHostile49EveryMessageIsCharged(t *testing.T) {
	text := func(texts ...string) func(i int) string {
		return func(i int) string { return string(maskedFrame(opText, texts[i%len(texts)])) }
	}
	raw := func(f string) func(int) string { return func(int) string { return f } }
	const attachment = `451-["echo",{"_placeholder":true,"num":0}]`
	for _, tt := range []struct {
		name, kind string
		frame      func(i int) string
	}{
		{"events", "v4", text(`42["echo"]`)},
		{"events in two namespaces", "v4", text("40/chat,", `42["echo"]`, `42/chat,["echo"]`)},
		{"unsolicited answers", "v4", text(`43999[]`)},
		{"CONNECT and DISCONNECT", "v4", text("40/chat,", "41/chat,")},
		{"packets for a namespace that it is not in", "v4", text("41/none,")},
		{"attachments", "v4", func(i int) string {
			if i%2 == 0 {
				return string(maskedFrame(opText, attachment))
			}
			return string(maskedFrame(opBinary, "x"))
		}},
		{"noop packets", "v4", text("6")},
		{"upgrade packets", "v4", text("5")},
		{"open packets", "v4", text("0")},
		{"pong packets", "v4", text("3")},
		{"pong frames", "v4", raw(frame(fin|opPong, true, ""))},
		{"events", "v3", text(`42["echo"]`)},
		{"ping packets", "v3", text("2")},
		{"noop packets", "v3", text("6")},
		{"probes", "probe", text("2probe")},
		{"probes", "probe3", text("2probe")},
		{"pong frames", "probe", raw(frame(fin|opPong, true, ""))},
		{"events", "plain", text(`{"event":"echo"}`)},
		{"reserved events", "plain", text(`{"event":"open"}`)},
		{"unsolicited answers", "plain", text(`{"rid":999}`)},
		{"malformed frames", "plain", text("nonsense")},
		{"binary frames", "plain", raw(string(maskedFrame(opBinary, "x")))},
		{"pong frames", "plain", raw(frame(fin|opPong, true, ""))},
		{"malformed frames", "SockJS raw", text("nonsense")},
		{"pong frames", "SockJS raw", raw(frame(fin|opPong, true, ""))},
		{"events", "SockJS", text(array(`{"event":"echo"}`))},
		{"empty arrays", "SockJS", text("[]")},
		{"empty frames", "SockJS", text("")},
		{"malformed strings", "SockJS", text(`"nonsense"`)},
		{"pong frames", "SockJS", raw(frame(fin|opPong, true, ""))},
	} {
		timed(t, tt.kind+" "+tt.name, 0, func(t *testing.T, s *site) {
			var ws *rawWS
			left := burst - 1 // what remains after entering
			switch tt.kind {
			case "SockJS raw":
				ws, left = s.upgrade("/sockjs/websocket"), burst
			case "SockJS":
				ws, left = s.upgrade("/sockjs/0/flood/websocket"), burst
				ws.expect("o")
			case "v3":
				ws, _ = s.enter(tt.kind)
				left = burst
			case "probe":
				ws, _ = s.enter(tt.kind)
				left = burst - 2 // the probe, too
			default:
				ws, _ = s.enter(tt.kind)
			}
			closed := make(chan string)
			go func() {
				frame := ""
				for frame != "gone" && !strings.HasPrefix(frame, "close") {
					frame = ws.read()
				}
				closed <- frame
			}()
			s.exceed(left, func(i int) { ws.write([]byte(tt.frame(i))) })
			assert.Equal(t, policy, <-closed)
			require.NoError(t, ws.conn.Close())
			s.verify(thinkws.ReasonOverrun)
			synctest.Wait() // the log comes last
			assert.Equal(t, 1, strings.Count(s.log.String(), "receive rate exceeded"))
		}, slowRate, thinkws.Namespace("/chat", thinkws.On("echo", func(*thinkws.Context) error { return nil })))
	}
}

// Polling clients have the same allowance, whether their packets come in one POST or in many.
func TestHostile49PollingIsCharged(t *testing.T) {
	for _, packet := range []string{`42["echo"]`, "6", "3", "41/none,", `43999[]`} {
		timed(t, "one body of "+packet, 0, func(t *testing.T, s *site) {
			p := s.open(4, "")
			assert.Equal(t, "400 ", p.do("POST", strings.Repeat(packet+"\x1e", burst-1)+packet))
			p.dead(thinkws.ReasonOverrun)
		}, slowRate)
		timed(t, "many bodies of "+packet, 0, func(t *testing.T, s *site) {
			p := s.open(4, "")
			s.exceed(burst-1, func(int) { p.do("POST", packet) })
			p.dead(thinkws.ReasonOverrun)
		}, slowRate)
	}
	timed(t, "revision 3", 0, func(t *testing.T, s *site) {
		p := s.open(3, "")
		s.exceed(burst, func(int) { p.post("6") })
		p.dead(thinkws.ReasonOverrun)
	}, slowRate)
	timed(t, "through the upgrade", 0, func(t *testing.T, s *site) {
		ws, p := s.enter("probe") // CONNECT and the probe
		require.Equal(t, "200 ok", p.post("6", "6"))
		ws.send("5")
		s.exceed(burst-5, func(int) { ws.send("6") })
		assert.Equal(t, policy, ws.read())
		require.NoError(t, ws.conn.Close())
		s.verify(thinkws.ReasonOverrun)
	}, slowRate)
	for name, body := range map[string]string{"events": array(`{"event":"echo"}`), "malformed strings": `["nonsense"]`, "nothing": "[]"} {
		timed(t, "SockJS requests of "+name, 0, func(t *testing.T, s *site) {
			p := s.sockjs("/sockjs/0/flood", "")
			s.exceed(burst, func(int) { require.Equal(t, "204 ", p.post("/xhr_send", body)) })
			s.verify(thinkws.ReasonOverrun)
		}, slowRate)
	}
	timed(t, "one SockJS request", 0, func(t *testing.T, s *site) {
		p := s.sockjs("/sockjs/0/flood", "")
		require.Equal(t, "204 ", p.post("/xhr_send", array(strings.Split(strings.Repeat(`{"event":"echo"} `, burst+1), " ")[:burst+1]...)))
		s.verify(thinkws.ReasonOverrun)
	}, slowRate)
}

// B2: the rate counts bytes on the wire, not those of arguments.
func TestHostile49BytesOnTheWire(t *testing.T) {
	rate := thinkws.WithReceiveRate(1000, 1000) // 2,000 at once
	blanks := strings.Repeat(" ", 400)
	for kind, say := range map[string]string{
		"v4": `42["echo"` + blanks + `]`, "v3": `42["echo"` + blanks + `]`, "plain": `{"event":"echo"` + blanks + `}`,
		"SockJS": `["{\"event\":\"echo\"}"` + blanks + `]`,
	} {
		timed(t, kind, 0, func(t *testing.T, s *site) {
			var ws *rawWS
			if kind == "SockJS" {
				ws = s.upgrade("/sockjs/0/flood/websocket")
				ws.expect("o")
			} else {
				ws, _ = s.enter(kind)
			}
			s.exceed(5, func(int) { ws.send(say) })
			if kind == "SockJS" {
				ws.expect(`c[1008,"too many events"]`)
			}
			assert.Equal(t, policy, ws.read())
			require.NoError(t, ws.conn.Close())
			s.verify(thinkws.ReasonOverrun)
		}, rate)
	}
	timed(t, "polling", 0, func(t *testing.T, s *site) {
		p := s.open(4, "")
		s.exceed(5, func(int) { p.post(`42["echo"` + blanks + `]`) })
		p.dead(thinkws.ReasonOverrun)
	}, rate)
	timed(t, "SockJS over HTTP", 0, func(t *testing.T, s *site) {
		p := s.sockjs("/sockjs/0/flood", "")
		s.exceed(5, func(int) { p.post("/xhr_send", `["{\"event\":\"echo\"}"`+blanks+`]`) })
		s.verify(thinkws.ReasonOverrun)
	}, rate)
}

// A client that keeps to its rate stays, for as long as it likes.
func TestClientAtItsRateStays(t *testing.T) {
	timed(t, "v4", 10*time.Second, func(t *testing.T, s *site) {
		ws, _ := s.enter("v4")
		for range 10 {
			for range burst / 2 {
				ws.send("6")
			}
			time.Sleep(time.Second)
		}
		s.alive(ws, "v4")
	}, slowRate)
	_, err := thinkws.New(thinkws.WithReceiveRate(0, 1))
	assert.ErrorContains(t, err, "WithReceiveRate")
}
