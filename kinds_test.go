package thinkws_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// member is a client of any kind, for tests in which all kinds meet.
type member struct {
	t       *testing.T
	name    string
	write   func(text string) // sends what encode has made
	encode  func(event, data, id string) string
	decode  func(text string) (event, data string) // of a message; event is "ack" for an answer
	heard   chan string
	asked   int
	answers atomic.Int32
}

// say sends an event with a string and asks for an answer.
func (m *member) say(event, text string) {
	m.asked++
	data, _ := json.Marshal(text)
	m.write(m.encode(event, string(data), fmt.Sprint(m.asked)))
}

// hear returns the data of the next event of this name.
func (m *member) hear(event string) string {
	for {
		select {
		case text := <-m.heard:
			if name, data, _ := strings.Cut(text, " "); name == event {
				return data
			}
		case <-time.After(time.Minute):
			m.t.Error("nothing comes to", m.name)
			return ""
		}
	}
}

// acks waits for all answers and returns how many have come.
func (m *member) acks() int {
	assert.Eventually(m.t, func() bool { return int(m.answers.Load()) >= m.asked }, time.Minute, time.Millisecond)
	return int(m.answers.Load())
}

// take hands a message on.
func (m *member) take(text string) {
	event, data := m.decode(text)
	if event == "ack" {
		m.answers.Add(1)
		return
	}
	m.heard <- event + " " + data
}

// roomOfAllKinds connects a client of each kind.
func roomOfAllKinds(t *testing.T, server string) []*member {
	t.Helper()
	members := []*member{
		newMember(t, "io4", encodeSocketIO, decodeSocketIO), newMember(t, "io2", encodeSocketIO, decodeSocketIO),
		newMember(t, "plain", encodeJSON, decodeJSON),
	}
	members[0].overWebSocket(server+"/socket.io/?EIO=4&transport=websocket", "0", "40")
	members[1].overWebSocket(server+"/socket.io/?EIO=3&transport=websocket", "0", "")
	members[2].overWebSocket(server+"/ws", "", "")
	for _, name := range []string{"websocket", "websocket-raw", "xhr_streaming", "eventsource", "htmlfile", "xhr", "jsonp"} {
		m := newMember(t, name, encodeJSON, decodeJSON)
		members = append(members, m)
		switch name {
		case "websocket":
			m.overSockJSWebSocket(server + "/sockjs/0/w/websocket")
		case "websocket-raw":
			m.overWebSocket(server+"/sockjs/websocket", "", "")
		default:
			m.overHTTP(server+"/sockjs/0/"+name, name)
		}
	}
	return members
}

func newMember(t *testing.T, name string, encode func(event, data, id string) string, decode func(string) (string, string)) *member {
	return &member{t: t, name: name, encode: encode, decode: decode, heard: make(chan string, 1000)}
}

func encodeJSON(event, data, id string) string {
	return fmt.Sprintf(`{"event":%q,"data":%s,"cid":%s}`, event, data, id)
}

func decodeJSON(text string) (event, data string) {
	var m struct {
		Event string
		Data  any
		Rid   any
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		panic(err)
	}
	if m.Rid != nil {
		return "ack", ""
	}
	return m.Event, fmt.Sprint(m.Data)
}

func encodeSocketIO(event, data, id string) string {
	return fmt.Sprintf(`42%s[%q,%s]`, id, event, data)
}

func decodeSocketIO(text string) (event, data string) {
	if strings.HasPrefix(text, "43") {
		return "ack", ""
	}
	body, ok := strings.CutPrefix(text, "42")
	if !ok {
		return "", "" // open, connect
	}
	var args []string
	if err := json.Unmarshal([]byte(body), &args); err != nil {
		panic(err)
	}
	return args[0], args[1]
}

// overWebSocket connects, reads up to a message that begins like open, and sends enter.
func (m *member) overWebSocket(url, open, enter string) {
	m.t.Helper()
	ws, _, err := websocket.Dial(m.t.Context(), url, nil)
	require.NoError(m.t, err)
	m.t.Cleanup(func() { _ = ws.CloseNow() })
	if open != "" {
		_, data, err := ws.Read(m.t.Context())
		require.NoError(m.t, err)
		require.True(m.t, strings.HasPrefix(string(data), open))
	}
	m.write = func(text string) { _ = ws.Write(m.t.Context(), websocket.MessageText, []byte(text)) }
	if enter != "" {
		m.write(enter)
	}
	go func() {
		for {
			_, data, err := ws.Read(m.t.Context())
			if err != nil {
				return
			}
			m.take(string(data))
		}
	}()
}

func (m *member) overSockJSWebSocket(url string) {
	m.t.Helper()
	ws, _, err := websocket.Dial(m.t.Context(), url, nil)
	require.NoError(m.t, err)
	m.t.Cleanup(func() { _ = ws.CloseNow() })
	m.write = func(text string) { _ = ws.Write(m.t.Context(), websocket.MessageText, []byte(array(text))) }
	go func() {
		for {
			_, data, err := ws.Read(m.t.Context())
			if err != nil {
				return
			}
			for _, text := range messages(string(data)) {
				m.take(text)
			}
		}
	}()
}

// overHTTP receives by one transport, one request after another, and sends by what
// belongs to it.
func (m *member) overHTTP(session, transport string) {
	m.t.Helper()
	opened := make(chan struct{}, 100)
	receive := func() bool {
		method, query := http.MethodGet, "?c=cb"
		if strings.HasPrefix(transport, "xhr") {
			method, query = http.MethodPost, ""
		}
		req, err := http.NewRequestWithContext(m.t.Context(), method, session+"/"+transport+query, nil)
		if err != nil {
			return false
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		defer func() { _ = res.Body.Close() }()
		for lines := bufio.NewReader(res.Body); ; {
			line, err := lines.ReadString('\n')
			frame := frameOf(transport, strings.TrimSpace(line))
			for _, text := range messages(frame) {
				m.take(text)
			}
			if frame == "o" {
				opened <- struct{}{}
			}
			if err != nil || strings.HasPrefix(frame, "c[") {
				return err != nil && res.StatusCode == http.StatusOK
			}
		}
	}
	m.write = func(text string) {
		path := "/xhr_send"
		if transport == "jsonp" {
			path = "/jsonp_send"
		}
		res, err := http.Post(session+path, "text/plain", strings.NewReader(array(text)))
		if err != nil {
			m.t.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
	go func() {
		for receive() {
			continue
		}
	}()
	<-opened
}

// frameOf is the frame in a line of an answer, "" if there is none.
func frameOf(transport, line string) string {
	var quoted string
	switch transport {
	case "eventsource":
		return strings.ReplaceAll(strings.TrimPrefix(line, "data: "), "%25", "%")
	case "htmlfile":
		quoted = between(line, "p(", ");")
	case "jsonp":
		quoted = between(line, "/**/cb(", ");")
	default:
		return line
	}
	var frame string
	if json.Unmarshal([]byte(quoted), &frame) != nil {
		return ""
	}
	return frame
}

func between(text, before, after string) string {
	text, ok := strings.CutPrefix(text, before)
	if !ok {
		return ""
	}
	return strings.TrimSuffix(text, after)
}
