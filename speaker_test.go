package thinkws_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// speaker is a client of one wire, which a test tells what to say and asks what it hears.
type speaker struct {
	name string
	json bool                      // it speaks JSON events
	raw  func(text string)         // sends a message as it stands on the wire
	read func(t *testing.T) string // returns the next message, as it stands on the wire
}

// say sends an event with one argument, JSON text, and asks for an answer if id is not 0.
func (c *speaker) say(event, arg string, id int) {
	name, _ := json.Marshal(event)
	switch {
	case c.json && id == 0:
		c.raw(fmt.Sprintf(`{"event":%s,"data":%s}`, name, arg))
	case c.json:
		c.raw(fmt.Sprintf(`{"event":%s,"data":%s,"cid":%d}`, name, arg, id))
	case id == 0:
		c.raw(fmt.Sprintf(`42[%s,%s]`, name, arg))
	default:
		c.raw(fmt.Sprintf(`42%d[%s,%s]`, id, name, arg))
	}
}

// hear returns the next message: "name argument" of an event, "ack id argument" or "ack id error name" of an answer.
func (c *speaker) hear(t *testing.T) string {
	t.Helper()
	text := c.read(t)
	if !c.json {
		return hearSocketIO(t, text)
	}
	var m struct {
		Event *string
		Data  json.RawMessage
		Rid   json.RawMessage
		Error *struct{ Name string }
	}
	require.NoError(t, json.Unmarshal([]byte(text), &m), text)
	switch {
	case m.Event != nil:
		return *m.Event + " " + string(m.Data)
	case m.Error != nil:
		return fmt.Sprintf("ack %s error %s", m.Rid, m.Error.Name)
	default:
		return fmt.Sprintf("ack %s %s", m.Rid, m.Data)
	}
}

func hearSocketIO(t *testing.T, text string) string {
	t.Helper()
	if body, ok := strings.CutPrefix(text, "42"); ok {
		var args []json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(body), &args), text)
		var name string
		require.NoError(t, json.Unmarshal(args[0], &name))
		return name + " " + string(args[1])
	}
	body, ok := strings.CutPrefix(text, "43")
	require.True(t, ok, text)
	id, rest, _ := strings.Cut(body, "[")
	arg := strings.TrimSuffix(rest, "]")
	var failure struct{ Error *struct{ Name string } }
	if json.Unmarshal([]byte(arg), &failure) == nil && failure.Error != nil {
		return fmt.Sprintf("ack %s error %s", id, failure.Error.Name)
	}
	return fmt.Sprintf("ack %s %s", id, arg)
}

// speakers connects a client of each wire: both revisions of Socket.IO by polling and by WebSocket, plain WebSocket,
// and SockJS by WebSocket, with its framing and without, and by polling.
func (s *site) speakers() []*speaker {
	s.t.Helper()
	all := []*speaker{
		{name: "plain", json: true}, {name: "SockJS unframed", json: true},
	}
	for i, target := range []string{"/ws?hasty", "/sockjs/websocket?hasty"} {
		ws := s.upgrade(target)
		all[i].raw, all[i].read = ws.send, func(*testing.T) string { return ws.read() }
	}
	framed := s.upgrade("/sockjs/0/speaker/websocket?hasty")
	framed.expect("o")
	all = append(all, queued("SockJS", true, func(text string) { framed.send(array(text)) }, func() []string { return messages(framed.read()) }))
	xhr := s.sockjs("/sockjs/0/speakerxhr", "?hasty")
	all = append(all, queued("SockJS xhr", true, func(text string) { require.Equal(s.t, "204 ", xhr.send(text)) },
		func() []string { return messages(xhr.poll()) }))
	for _, eio := range []int{4, 3} {
		ws := s.upgrade(fmt.Sprintf("/socket.io/?EIO=%d&transport=websocket&hasty", eio))
		ws.expect("0{")
		if eio == 4 {
			ws.send("40")
		}
		ws.expect("40")
		all = append(all, &speaker{name: fmt.Sprint("Socket.IO ", eio), raw: ws.send, read: func(*testing.T) string { return ws.read() }})
		p := s.open(eio, "&hasty&b64=1") // binary as text, in payloads that can be read here
		all = append(all, queued(fmt.Sprint("Socket.IO polling ", eio), false, func(text string) { require.Equal(s.t, "200 ok", p.post(text)) }, p.get))
	}
	return all
}

// queued is a speaker that gets several messages at a time.
func queued(name string, json bool, raw func(string), fetch func() []string) *speaker {
	var waiting []string
	return &speaker{name: name, json: json, raw: raw, read: func(*testing.T) string {
		for len(waiting) == 0 {
			waiting = fetch()
		}
		next := waiting[0]
		waiting = waiting[1:]
		return next
	}}
}
