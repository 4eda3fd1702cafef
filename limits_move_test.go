package thinkws_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// counted says how often a limit has been reached by what do does.
func (s *site) counted(limit string, do func()) uint64 {
	before := s.handler.Hub().Stats().Limits[limit]
	do()
	return s.handler.Hub().Stats().Limits[limit] - before
}

// Depth, Packets and Name are where the service puts them, below their defaults and above:
// what is at the limit passes, and one more does not.
func TestLimitsMove(t *testing.T) {
	for _, most := range []int{10, 1_000, 5_000} {
		s := newSite(t, thinkws.WithLimits(thinkws.Limits{Depth: most, Packets: most, Name: most}),
			thinkws.WithReceiveRate(1_000_000, 100<<20), thinkws.WithReceiveQueue(10_000, 10<<20))
		within := func(name string, check func(t *testing.T, s *site)) {
			t.Run(fmt.Sprintf("%s of %d", name, most), func(t *testing.T) { check(t, s.within(t)) })
		}
		within("depth", func(t *testing.T, s *site) { s.depth(most) })
		within("depth over HTTP", func(t *testing.T, s *site) { s.depthOfBody(most) })
		within("packets", func(t *testing.T, s *site) { s.packets(most) })
		within("name", func(t *testing.T, s *site) { s.names(most) })
		within("name in a path", func(t *testing.T, s *site) { s.paths(most) })
	}
}

const tooDeep = `{"error":{"name":"BadRequest","message":"JSON nested too deep"}}`

func (s *site) depth(most int) {
	value := func(depth int) string { return nested("[", "]", depth-1) } // within the packet or the frame
	ws, _ := s.enter("v4")
	ws.send(`421["echo",` + value(most) + `]`)
	assert.Equal(s.t, `431[`+value(most)+`]`, ws.read())
	assert.EqualValues(s.t, 1, s.counted("depth", func() {
		ws.send(`42["echo",` + value(most+1) + `]`)
		assert.Equal(s.t, violated, ws.read())
	}))
	s.leave(ws)
	ws, _ = s.enter("plain")
	ws.send(`{"event":"echo","cid":1,"data":` + value(most) + `}`)
	assert.Equal(s.t, `{"rid":1,"data":`+value(most)+`}`, ws.read())
	p := s.sockjs("/sockjs/0/depth", "")
	assert.EqualValues(s.t, 2, s.counted("depth", func() {
		ws.send(`{"event":"echo","data":` + value(most+1) + `}`)
		assert.Equal(s.t, tooDeep, ws.read())
		require.Equal(s.t, "204 ", p.send(`{"event":"echo","data":`+value(most+1)+`}`))
		p.expect(tooDeep)
	}))
	require.Equal(s.t, "204 ", p.send(`{"event":"kick"}`))
	ws.send(`{"event":"kick"}`)
	require.Equal(s.t, "close 1000", ws.read())
	s.leave(ws)
	s.verify(thinkws.ReasonParseError, thinkws.ReasonServerDisconnect, thinkws.ReasonServerDisconnect)
}

func (s *site) depthOfBody(most int) {
	answer, _ := s.exchange(post("/action", nested("[", "]", most)))
	assert.Equal(s.t, "200 "+nested("[", "]", most), answer)
	assert.EqualValues(s.t, 1, s.counted("depth", func() { answer, _ = s.exchange(post("/action", nested("[", "]", most+1))) }))
	assert.Equal(s.t, `400 {"error":{"name":"BadRequest","message":"the body is not acceptable JSON"}}`, answer)
}

func (s *site) packets(most int) {
	for _, eio := range []int{4, 3} {
		p := s.open(eio, "")
		packets := make([]any, most)
		for i := range packets {
			packets[i] = `42["echo"]`
		}
		require.Equal(s.t, "200 ok", p.post(packets...))
		assert.EqualValues(s.t, 1, s.counted("packets", func() { assert.Equal(s.t, "400 ", p.post(append(packets, "41")...)) }))
		p.dead(thinkws.ReasonParseError)
	}
}

func (s *site) names(most int) {
	name := "/" + strings.Repeat("n", most-1)
	ws, _ := s.enter("v4")
	ws.send("40" + name + ",")
	assert.Equal(s.t, "44"+name+`,{"message":"Invalid namespace"}`, ws.read())
	assert.EqualValues(s.t, 1, s.counted("name", func() {
		ws.send("40" + name + "n,")
		assert.Equal(s.t, violated, ws.read())
	}))
	s.leave(ws)
	s.verify(thinkws.ReasonParseError)
	for _, target := range []string{"/ws%s", "/ws?nsp=%s", "/sockjs/websocket?nsp=%s"} {
		enter := func(name, why string) {
			ws := s.upgrade(fmt.Sprintf(target, name))
			assert.Equal(s.t, `{"error":{"name":"NotFound","message":"`+why+`"}}`, ws.read())
			assert.Equal(s.t, policy, ws.read())
			s.leave(ws)
		}
		assert.Zero(s.t, s.counted("name", func() { enter(name, "Invalid namespace") }))
		assert.EqualValues(s.t, 1, s.counted("name", func() { enter(name+"n", "name of the namespace is too long") }))
	}
}

func (s *site) paths(most int) {
	id := strings.Repeat("s", most)
	for _, path := range []string{"/sockjs/0/" + id, "/sockjs/" + id + "/0"} {
		p := s.sockjs(path, "")
		require.Equal(s.t, "204 ", p.send(`{"event":"kick"}`))
		require.Equal(s.t, thinkws.ReasonServerDisconnect, <-s.reasons)
	}
	for _, path := range []string{"/sockjs/0/" + id + "s", "/sockjs/" + id + "s/0"} {
		assert.EqualValues(s.t, 2, s.counted("name", func() {
			answer, _ := s.exchange(post(path+"/xhr", ""))
			assert.Regexp(s.t, "^404", answer)
			answer, _ = s.exchange(upgradeRequest(path+"/websocket", ""))
			assert.Regexp(s.t, "^404", answer)
		}))
	}
	s.verify()
}

// The service says how long a message may take, and how long a body.
func TestTimesMove(t *testing.T) {
	for _, most := range []time.Duration{time.Second, time.Minute} {
		message, body := thinkws.WithMessageTimeout(most), thinkws.WithReadTimeout(most)
		quiet := []thinkws.Option{message, body, thinkws.WithPingInterval(time.Hour)}
		for _, kind := range []string{"v4", "v3", "plain"} {
			timed(t, fmt.Sprintf("message of %v, %s", most, kind), most, func(t *testing.T, s *site) {
				ws, _ := s.enter(kind)
				ws.write([]byte(frame(opText, true, "4"))) // and no more of it
				assert.EqualValues(t, 1, s.counted("message_time", func() { assert.Equal(t, []string{policy}, untilClose(t, ws, nil)) }))
				require.NoError(t, ws.conn.Close())
				s.verify(thinkws.ReasonParseError)
			}, quiet...)
		}
		timed(t, fmt.Sprintf("attachments of %v", most), most, func(t *testing.T, s *site) {
			ws, _ := s.enter("v4")
			ws.send(`451-["echo",{"_placeholder":true,"num":0}]`)
			assert.EqualValues(t, 1, s.counted("attachment_time", func() { assert.Equal(t, []string{violated}, untilClose(t, ws, nil)) }))
			require.NoError(t, ws.conn.Close())
			s.verify(thinkws.ReasonParseError)
		}, quiet...)
		for name, request := range map[string]string{
			"polling": raw("POST", "{poll}", "4", "Content-Length: 100"),
			"SockJS":  raw("POST", "/sockjs/0/s/xhr_send", "[", "Content-Length: 100"),
			"HTTP":    raw("POST", "/action", "[", "Content-Length: 100"),
		} {
			timed(t, fmt.Sprintf("body of %v, %s", most, name), most, func(t *testing.T, s *site) {
				p := s.open(4, "&hasty")
				assert.EqualValues(t, 1, s.counted("body_time", func() {
					assert.Equal(t, "HTTP/1.1 408 Request Timeout", s.goesSilent(strings.ReplaceAll(request, "{poll}", p.target)))
				}))
				if name != "polling" { // where that ends the session
					require.Equal(t, "200 ok", p.post("1"))
				}
			}, quiet...)
		}
	}
}
