package thinkws_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// guest is a client for whom a service makes mistakes, over one of the wires.
type guest struct {
	s         *site
	socketio  bool
	namespace string
	status    string // of a handshake that failed, else ""
	say       func(text string)
	hear      func() string // the next message, or "gone"
	end       func()
	asked     int
}

// wires are the ways in which guests come.
var wires = map[string]func(s *site, namespace string, n int) *guest{
	"Socket.IO over WebSocket": func(s *site, namespace string, _ int) *guest {
		g := s.guestWebSocket(io4+"websocket&guest", namespace)
		g.socketio = true
		return g
	},
	"Socket.IO over polling": func(s *site, namespace string, _ int) *guest { return s.guestPolling(namespace) },
	"SockJS over WebSocket": func(s *site, namespace string, n int) *guest {
		g := s.guestWebSocket(fmt.Sprintf("/sockjs/000/guest%d/websocket?guest&nsp=%s", n, namespace), namespace)
		g.framed()
		return g
	},
	"SockJS over xhr": func(s *site, namespace string, n int) *guest { return s.guestXHR(namespace, n) },
	"plain WebSocket": func(s *site, namespace string, _ int) *guest {
		return s.guestWebSocket("/ws?guest&nsp="+namespace, namespace)
	},
}

func (s *site) guestWebSocket(target, namespace string) *guest {
	s.t.Helper()
	conn := s.dial()
	ws := &rawWS{t: s.t, conn: conn, in: bufio.NewReaderSize(conn, 256)}
	g := &guest{s: s, namespace: namespace, say: func(text string) { _, _ = conn.Write(maskedFrame(1, text)) }, hear: ws.read, end: func() { _ = conn.Close() }}
	go func() { _, _ = io.WriteString(conn, upgradeRequest(target, "")) }()
	require.NoError(s.t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	res, err := http.ReadResponse(ws.in, nil)
	require.NoError(s.t, err)
	if res.StatusCode != http.StatusSwitchingProtocols {
		g.status = res.Status[:3]
		_ = res.Body.Close()
	}
	return g
}

// framed makes a client speak the frames of SockJS.
func (g *guest) framed() {
	say, hear := g.say, g.hear
	var waiting []string
	g.say = func(text string) { say(array(text)) }
	g.hear = func() string {
		for len(waiting) == 0 {
			frame := hear()
			if frame == "gone" || strings.HasPrefix(frame, "c") {
				return "gone"
			}
			waiting = messages(frame)
		}
		first := waiting[0]
		waiting = waiting[1:]
		return first
	}
}

func (s *site) guestPolling(namespace string) *guest {
	p := &poller{s: s, eio: 4, target: io4 + "polling&guest"}
	g := &guest{s: s, socketio: true, namespace: namespace}
	waiting := s.fetch(p)
	if !strings.HasPrefix(waiting[0], "0{") {
		g.status = waiting[0][:3]
		return g
	}
	var open struct{ SID string }
	require.NoError(s.t, json.Unmarshal([]byte(waiting[0][1:]), &open))
	p.target += "&sid=" + open.SID
	g.say = func(text string) { p.do(http.MethodPost, text) }
	g.hear = func() string {
		for len(waiting) == 0 {
			waiting = s.fetch(p)
		}
		first := waiting[0]
		waiting = waiting[1:]
		return first
	}
	g.end = func() { p.do(http.MethodPost, "1") }
	return g
}

// fetch returns the packets of one poll, or the answer as it is.
func (s *site) fetch(p *poller) []string {
	return strings.Split(strings.TrimPrefix(p.do(http.MethodGet, ""), "200 "), "\x1e")
}

func (s *site) guestXHR(namespace string, n int) *guest {
	g := &guest{s: s, namespace: namespace, end: func() {}} // it does not come back, and counts as gone after a while
	session := fmt.Sprintf("http://localhost/sockjs/000/guest%d", n)
	post := func(endpoint, body string) string {
		res, err := s.http.Post(session+endpoint+"?guest&nsp="+namespace, "text/plain", strings.NewReader(body))
		require.NoError(s.t, err)
		defer func() { _ = res.Body.Close() }()
		text, _ := io.ReadAll(res.Body)
		if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNoContent {
			return fmt.Sprint(res.StatusCode)
		}
		return string(text)
	}
	if first := post("/xhr", ""); first != "o\n" {
		g.status = first
		return g
	}
	g.say = func(text string) { post("/xhr_send", text) }
	g.hear = func() string { return post("/xhr", "") }
	g.framed()
	return g
}

// enter asks to enter the guest's namespace: "in", or how it was refused.
func (g *guest) enter() string {
	g.s.t.Helper()
	if g.status != "" {
		return g.status
	}
	if !g.socketio { // such clients are in without a word
		g.say(`{"event":"echo","data":1,"cid":0}`)
		return g.entered("", g.next("{"))
	}
	prefix := ""
	if g.namespace != "/" {
		prefix = g.namespace + ","
	}
	g.say("40" + prefix)
	answer := g.next("4")
	if strings.HasPrefix(answer, "40"+prefix+"{") {
		return "in"
	}
	return g.entered("44"+prefix, answer)
}

func (g *guest) entered(prefix, answer string) string {
	var refusal struct {
		Rid     *int
		Message string
		Error   struct{ Message string }
	}
	if json.Unmarshal([]byte(strings.TrimPrefix(answer, prefix)), &refusal) != nil {
		return answer
	}
	if refusal.Rid != nil {
		return "in"
	}
	return "refused: " + refusal.Message + refusal.Error.Message
}

// next returns the next message that begins like that, or "gone".
func (g *guest) next(prefix string) string {
	for {
		text := g.hear()
		if strings.HasPrefix(text, prefix) || text == "gone" || strings.HasPrefix(text, "close ") {
			return text
		}
	}
}

// ask sends an event that wants an answer: "ok", or the name and the message of a failure.
func (g *guest) ask(event string) string {
	g.s.t.Helper()
	g.asked++
	prefix := fmt.Sprintf(`{"rid":%d,`, g.asked)
	if g.socketio {
		middle := ""
		if g.namespace != "/" {
			middle = g.namespace + ","
		}
		g.say(fmt.Sprintf(`42%s%d[%q,{"x":1}]`, middle, g.asked, event))
		prefix = fmt.Sprintf("43%s%d[", middle, g.asked)
	} else {
		g.say(fmt.Sprintf(`{"event":%q,"data":{"x":1},"cid":%d}`, event, g.asked))
	}
	answer := g.next(prefix)
	rest, ok := strings.CutPrefix(answer, prefix)
	if !ok {
		return answer
	}
	if !g.socketio {
		rest = "{" + rest
	}
	return failureIn(strings.TrimSuffix(rest, "]"))
}

// failureIn returns the name and the message of the failure in an answer, "ok" if there is none.
func failureIn(answer string) string {
	var failed struct {
		Error *struct{ Name, Message string }
	}
	if json.Unmarshal([]byte(answer), &failed) != nil || failed.Error == nil {
		return "ok"
	}
	return failed.Error.Name + ": " + failed.Error.Message
}

// call calls the action over HTTP, with what ask returns. A success is "ok".
func (s *site) call() string {
	s.t.Helper()
	res, err := s.http.Post("http://localhost/attack?guest", "application/json", strings.NewReader(`{"x":1}`))
	require.NoError(s.t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	switch res.StatusCode {
	case http.StatusForbidden:
		return "403"
	case http.StatusOK, http.StatusNoContent:
		return "ok"
	default:
		return failureIn(string(text))
	}
}
