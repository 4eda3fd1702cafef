package thinkws_test

import (
	"fmt"
	"slices"
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

// exceed sends messages one by one. The one after allowed makes the server pause.
func (s *site) exceed(allowed int, send func(i int)) {
	s.t.Helper()
	pauses := func() uint64 {
		synctest.Wait()
		return s.handler.Hub().Stats().Limits["receive_rate"]
	}
	for i := range allowed {
		send(i)
		require.Zero(s.t, pauses(), "message %d", i)
	}
	send(allowed)
	require.EqualValues(s.t, 1, pauses())
	require.Equal(s.t, 1, strings.Count(s.log.String(), `level=INFO msg="client slowed down" limit=receive_rate`))
}

// bubbled runs an attack in a bubble, for as long as it takes.
func bubbled(t *testing.T, name string, attack func(t *testing.T, s *site), options ...thinkws.Option) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newMemorySite(t, options...)
			attack(t, s)
			s.verify()
		})
	})
}

// Row 49, B1: every message draws on the one allowance of the connection, whatever it is. A client that exceeds it is
// read again when it may send more.
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
		{"packets for a namespace that it is not in", "v4", text("41/none,", "6")},
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
		{"malformed frames", "plain", text("nonsense", `{"event":"echo"}`)},
		{"binary frames", "plain", func(i int) string { return string(maskedFrame([]byte{opBinary, opText}[i%2], `{"event":"echo"}`)) }},
		{"pong frames", "plain", raw(frame(fin|opPong, true, ""))},
		{"malformed frames", "SockJS raw", text("nonsense", `{"event":"echo"}`)},
		{"pong frames", "SockJS raw", raw(frame(fin|opPong, true, ""))},
		{"events", "SockJS", text(array(`{"event":"echo"}`))},
		{"empty arrays", "SockJS", text("[]")},
		{"empty frames", "SockJS", text("")},
		{"malformed strings", "SockJS", text(`"nonsense"`, array(`{"event":"echo"}`))},
		{"pong frames", "SockJS", raw(frame(fin|opPong, true, ""))},
	} {
		bubbled(t, tt.kind+" "+tt.name, func(t *testing.T, s *site) {
			var ws *rawWS
			var p *poller
			left := burst - 1 // what remains after entering
			switch tt.kind {
			case "SockJS raw":
				ws, left = s.upgrade("/sockjs/websocket"), burst
			case "SockJS":
				ws, left = s.upgrade("/sockjs/0/flood/websocket"), burst
				ws.expect("o")
			case "v3", "probe3":
				ws, p = s.enter(tt.kind)
				left = burst
				if p != nil {
					left-- // the probe
				}
			case "probe":
				ws, p = s.enter(tt.kind)
				left = burst - 2 // the probe, too
			default:
				ws, _ = s.enter(tt.kind)
			}
			go func() { // what is answered must be read
				for ws.read() != "gone" {
				}
			}()
			began := time.Now()
			s.exceed(left, func(i int) { ws.write([]byte(tt.frame(i))) })
			assert.Zero(t, time.Since(began))
			ws.write([]byte(tt.frame(left + 1)))
			assert.Equal(t, time.Second/(burst/2), time.Since(began), "it is read at the rate")
			require.NoError(t, ws.conn.Close())
			if p != nil {
				require.Equal(t, "200 ok", p.post("1"))
			}
			s.verify(thinkws.ReasonTransportClose)
		}, slowRate, thinkws.Namespace("/chat", thinkws.On("echo", func(*thinkws.Context) error { return nil })))
	}
}

// Polling clients have the same allowance, whether their packets come in one POST or in many. The answer to a POST
// comes when they may send more.
func TestHostile49PollingIsCharged(t *testing.T) {
	const pause = time.Second / (burst / 2)
	for _, packet := range []string{`42["echo"]`, "6", "3", "41/none,", `43999[]`} {
		bubbled(t, "one body of "+packet, func(t *testing.T, s *site) {
			p := s.open(4, "")
			began := time.Now()
			require.Equal(t, "200 ok", p.do("POST", strings.Repeat(packet+"\x1e", burst-1)+packet))
			assert.Equal(t, pause, time.Since(began))
			p.alive()
		}, slowRate)
		bubbled(t, "many bodies of "+packet, func(t *testing.T, s *site) {
			p := s.open(4, "")
			began := time.Now()
			s.exceed(burst-1, func(int) { require.Equal(t, "200 ok", p.do("POST", packet)) })
			assert.Equal(t, pause, time.Since(began))
			p.alive()
		}, slowRate)
	}
	bubbled(t, "revision 3", func(t *testing.T, s *site) {
		p := s.open(3, "")
		s.exceed(burst, func(int) { require.Equal(t, "200 ok", p.post("6")) })
		p.alive()
	}, slowRate)
	bubbled(t, "through the upgrade", func(t *testing.T, s *site) {
		ws, p := s.enter("probe") // CONNECT and the probe
		require.Equal(t, "200 ok", p.post("6", "6"))
		ws.send("5")
		s.exceed(burst-5, func(int) { ws.send("6") })
		s.alive(ws, "v4")
	}, slowRate)
	for name, body := range map[string]string{"events": array(`{"event":"echo"}`), "nothing": "[]"} {
		bubbled(t, "SockJS requests of "+name, func(t *testing.T, s *site) {
			p := s.sockjs("/sockjs/0/flood", "")
			began := time.Now()
			s.exceed(burst, func(int) { require.Equal(t, "204 ", p.post("/xhr_send", body)) })
			assert.Equal(t, pause, time.Since(began))
			require.Equal(t, "204 ", p.send(`{"event":"kick"}`))
			s.verify(thinkws.ReasonServerDisconnect)
		}, slowRate)
	}
	bubbled(t, "one SockJS request", func(t *testing.T, s *site) {
		p := s.sockjs("/sockjs/0/flood", "")
		began := time.Now()
		require.Equal(t, "204 ", p.post("/xhr_send", array(slices.Repeat([]string{`{"event":"echo"}`}, burst+2)...)))
		assert.Equal(t, 2*pause, time.Since(began))
		require.Equal(t, "204 ", p.send(`{"event":"kick"}`))
		s.verify(thinkws.ReasonServerDisconnect)
	}, slowRate)
	bubbled(t, "one SockJS frame", func(t *testing.T, s *site) {
		ws := s.upgrade("/sockjs/0/flood/websocket")
		ws.expect("o")
		began := time.Now()
		ws.send(array(slices.Repeat([]string{`{"event":"echo"}`}, burst+2)...))
		ws.send(array(`{"event":"kick"}`))
		ws.expect(`c[1000,`)
		assert.Equal(t, 2*pause, time.Since(began))
		require.NoError(t, ws.conn.Close())
		s.verify(thinkws.ReasonServerDisconnect)
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
		bubbled(t, kind, func(t *testing.T, s *site) {
			var ws *rawWS
			if kind == "SockJS" {
				ws = s.upgrade("/sockjs/0/flood/websocket")
				ws.expect("o")
			} else {
				ws, _ = s.enter(kind)
			}
			s.exceed(4, func(int) { ws.send(say) })
			require.NoError(t, ws.conn.Close())
			s.verify(thinkws.ReasonTransportClose)
		}, rate)
	}
	bubbled(t, "polling", func(t *testing.T, s *site) {
		p := s.open(4, "")
		s.exceed(4, func(int) { p.post(`42["echo"` + blanks + `]`) })
		p.alive()
	}, rate)
	bubbled(t, "SockJS over HTTP", func(t *testing.T, s *site) {
		p := s.sockjs("/sockjs/0/flood", "")
		s.exceed(4, func(int) { p.post("/xhr_send", `["{\"event\":\"echo\"}"`+blanks+`]`) })
		require.Equal(t, "204 ", p.send(`{"event":"kick"}`))
		s.verify(thinkws.ReasonServerDisconnect)
	}, rate)
}

// A client that sends far more than it may, for long, is read at its rate. Everything arrives in order.
func TestClientBeyondItsRateIsDelayed(t *testing.T) {
	const events = 100
	for _, kind := range talkers {
		bubbled(t, kind, func(t *testing.T, s *site) {
			c := s.talk(kind)
			began := time.Now()
			sent := make(chan struct{})
			go func() { defer close(sent); c.send(numbered(kind, events)...) }()
			require.Equal(t, answerOf(kind, "5", events-1), c.hear())
			assert.GreaterOrEqual(t, time.Since(began), (events-burst-1)*time.Second/(burst/2))
			assert.LessOrEqual(t, time.Since(began), (events+burst)*time.Second/(burst/2))
			<-sent
			c.quit()
			assert.Contains(t, []thinkws.Reason{thinkws.ReasonTransportClose, thinkws.ReasonServerDisconnect}, <-s.reasons)
		}, slowRate, thinkws.On("count", inOrder(t)))
	}
}

// inOrder is a handler of numbered events.
func inOrder(t *testing.T) thinkws.HandlerFunc {
	next := 0
	return func(c *thinkws.Context) error {
		assert.Equal(t, fmt.Sprint(next), string(c.WsData()))
		next++
		return c.Ack(c.WsData())
	}
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
