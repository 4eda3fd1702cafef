package thinkws_test

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// heapGrowth returns by how many bytes the heap has grown since before.
func heapGrowth(before uint64) int { return int(heap()) - int(before) }

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// receiveBound is what the queue of one client may hold, and a quarter more.
const receiveBound = 4 << 20 * 5 / 4

// B2: while a handler is busy, what waits for it holds no more than the receive queue allows. What is
// large on the wire counts as large, however little of it is an argument.
func TestHostileReceiveQueueCountsTheWire(t *testing.T) {
	const large = 900_000
	blanks := strings.Repeat(" ", large)
	half := strings.Repeat("x", large/2)
	escapes := strings.Repeat(`\u0020`, large/6)
	for _, tt := range []struct{ name, kind, say string }{
		{"blanks", "v4", `42["wait"` + blanks + `]`},
		{"blanks", "v3", `42["wait"` + blanks + `]`},
		{"blanks", "polling", `42["wait"` + blanks + `]`},
		{"blanks", "plain", `{"event":"wait","data":1` + blanks + `}`},
		{"blanks", "SockJS", `["{\"event\":\"wait\"}"` + blanks + `]`},
		{"blanks", "SockJS over HTTP", `["{\"event\":\"wait\"}"` + blanks + `]`},
		{"a long name", "v4", `42["` + half + `",1` + blanks[:large/2] + `]`},
		{"a long name", "plain", `{"event":"` + half + `","data":"` + half[:large/2-100] + `"}`},
		{"escapes", "v4", `42["wait","` + escapes + `"]`},
		{"escapes", "SockJS", `["{\"event\":\"wait\",\"data\":\"` + escapes + `\"}"]`},
		{"escapes", "SockJS over HTTP", `["{\"event\":\"wait\"` + escapes + `}"]`},
		{"a packet beside a large one", "polling", `42["wait","` + half[:large/4] + `"]` + "\x1e" + `43999["` + half + `"]`},
		{"small packets beside a large one", "polling", strings.Repeat(`42["wait"]`+"\x1e", 4) + `43999["` + half + `"]`},
		{"a string beside a large one", "SockJS over HTTP", `["{\"event\":\"wait\"}","{\"rid\":1,\"data\":\"` + half + `\"}"]`},
		{"line ends in base64", "polling", `451-["wait",{"_placeholder":true,"num":0}]` + "\x1eb" + strings.Repeat("\n", large)},
		{"a failure", "plain", `{"rid":1,"error":{"name":"` + half + `","data":1}}`},
	} {
		t.Run(tt.kind+" "+tt.name, func(t *testing.T) {
			wait := func(c *thinkws.Context) error {
				if !c.Request().URL.Query().Has("honest") {
					<-c.Context().Done()
				}
				return nil
			}
			s := newSite(t, thinkws.OnAny(wait), thinkws.WithReceiveRate(1_000_000, math.MaxInt))
			var send func() bool
			stop := func() { shutdown(t, s.handler) }
			switch tt.kind {
			case "polling":
				p := s.open(4, "")
				send = func() bool { status, _, err := p.request("POST", tt.say); return err == nil && status == http.StatusOK }
			case "SockJS over HTTP":
				p := s.sockjs("/sockjs/0/wait", "")
				send = func() bool {
					status, _, err := p.request("/xhr_send", tt.say)
					return err == nil && status == http.StatusNoContent
				}
			default:
				var ws *rawWS
				if tt.kind == "SockJS" {
					ws = s.upgrade("/sockjs/0/wait/websocket")
					ws.expect("o")
				} else {
					ws = s.entered(tt.kind)
				}
				message := maskedFrame(opText, tt.say)
				stop = func() { _ = ws.conn.Close() }
				send = func() bool { _, err := ws.conn.Write(message); return err == nil }
			}
			before := heap()
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				for range 40 {
					if !send() {
						return // it is over
					}
				}
			}()
			require.Eventually(t, func() bool { // small events leave room
				select {
				case <-sent:
					return true
				default:
					return s.handler.Hub().Stats().Limits["receive_queue"] > 0
				}
			}, time.Minute, time.Millisecond)
			require.Eventually(t, func() bool { return heapGrowth(before) < receiveBound+1<<20 }, time.Minute, 10*time.Millisecond,
				"with one message that has been read since")
			s.over.Store(true)
			stop()
			<-sent
		})
	}
}

// entered is enter, without an event.
func (s *site) entered(kind string) *rawWS {
	s.t.Helper()
	if kind == "plain" {
		return s.upgrade("/ws")
	}
	ws, _ := s.enter(kind)
	return ws
}

// B2: small answers to EmitAck are held without the message that they came in, until all clients have
// answered.
func TestHostileAnswersHoldWhatTheyAre(t *testing.T) {
	const questions = 50
	blanks := strings.Repeat(" ", 900_000)
	for kind, answer := range map[string]string{
		"v4": "43%s[1" + blanks + "]", "v3": "43%s[1" + blanks + "]", "plain": `{"rid":%s,"data":1` + blanks + `}`,
	} {
		t.Run(kind, func(t *testing.T) {
			s := newSite(t, thinkws.WithPingInterval(time.Hour), thinkws.WithReceiveRate(1_000_000, math.MaxInt), thinkws.On("in", func(c *thinkws.Context) error { return c.Join("both") }))
			answers, silent := s.joined(kind), s.joined(kind)
			ctx, cancel := context.WithCancel(t.Context())
			var asking sync.WaitGroup
			before := heap()
			for range questions {
				asking.Go(func() { _, _ = s.handler.Hub().To("both").EmitAck(ctx, "q") })
			}
			for range questions {
				id := regexp.MustCompile(`(42|"cid":)(\d+)`).FindStringSubmatch(answers.read())
				answers.send(fmt.Sprintf(answer, id[2]))
			}
			answers.send(map[string]string{"v4": `4277["echo"]`, "v3": `4277["echo"]`, "plain": `{"event":"echo","cid":77}`}[kind])
			assert.Contains(t, answers.read(), "77")
			assert.Less(t, heapGrowth(before), 2<<20)
			cancel()
			asking.Wait()
			require.NoError(t, answers.conn.Close())
			require.NoError(t, silent.conn.Close())
			s.verify(thinkws.ReasonTransportClose, thinkws.ReasonTransportClose)
		})
	}
}

func (s *site) joined(kind string) *rawWS {
	ws, _ := s.enter(kind)
	ws.send(map[string]string{"v4": `421["in"]`, "v3": `421["in"]`, "plain": `{"event":"in","cid":1}`}[kind])
	ws.send(map[string]string{"v4": `422["echo"]`, "v3": `422["echo"]`, "plain": `{"event":"echo","cid":2}`}[kind])
	ws.read()
	return ws
}

// Large answers that wait for those of others are limited as the receive queue is. Those beyond are missing. The client
// stays.
func TestHostileAnswersAreLimited(t *testing.T) {
	s := newSite(t, thinkws.WithPingInterval(time.Hour), thinkws.WithReceiveRate(1_000_000, math.MaxInt), thinkws.On("in", func(c *thinkws.Context) error { return c.Join("both") }))
	answers, silent := s.joined("v4"), s.joined("v4")
	ctx, cancel := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	var kept atomic.Int32
	for range 20 {
		asking.Go(func() {
			got, err := s.handler.Hub().To("both").EmitAck(ctx, "q")
			kept.Add(int32(len(got)))
			assert.ErrorIs(t, err, thinkws.ErrNoAck)
		})
	}
	large := strings.Repeat("x", 900_000)
	before := heap()
	for range 20 {
		id := regexp.MustCompile(`^42(\d+)`).FindStringSubmatch(answers.read())
		answers.send(fmt.Sprintf(`43%s["%s"]`, id[1], large))
	}
	answers.send(`4277["echo"]`)
	assert.Equal(t, `4377[]`, answers.read())
	assert.Less(t, heapGrowth(before), receiveBound)
	assert.EqualValues(t, 16, s.handler.Hub().Stats().Limits["receive_queue"])
	cancel()
	asking.Wait()
	assert.EqualValues(t, 4, kept.Load())
	require.NoError(t, answers.conn.Close())
	require.NoError(t, silent.conn.Close())
	s.verify(thinkws.ReasonTransportClose, thinkws.ReasonTransportClose)
}
