package thinkws_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/stretchr/testify/require"
)

// attacker is one client of an arena.
type attacker struct {
	arena  *arena
	kind   string
	conn   net.Conn // the WebSocket, or what polls
	side   net.Conn // what sends, where conn polls
	target string   // of requests that poll, with the session
	send   string   // and of those that send
}

// dialect is how a kind of client writes.
type dialect struct {
	event func(name, data, id string) string
	pack  func(texts ...string) []byte // to be given to attacker.says
}

func socketEvent(name, data, id string) string { return "42" + id + `["` + name + `",` + data + "]" }

func jsonEvent(name, data, id string) string {
	if id != "" {
		id = `,"cid":` + id
	}
	return `{"event":"` + name + `","data":` + data + id + "}"
}

func framed(texts ...string) (frames []byte) {
	for _, text := range texts {
		frames = append(frames, maskedFrame(opText, text)...)
	}
	return frames
}

func payload3(packets ...string) (payload string) {
	for _, packet := range packets {
		payload += frame3(packet)
	}
	return payload
}

var dialects = map[string]dialect{
	"v4":       {socketEvent, framed},
	"v3":       {socketEvent, framed},
	"plain":    {jsonEvent, framed},
	"sockws":   {jsonEvent, func(texts ...string) []byte { return framed(array(texts...)) }},
	"sockraw":  {jsonEvent, framed},
	"polling4": {socketEvent, func(texts ...string) []byte { return []byte(strings.Join(texts, "\x1e")) }},
	"polling3": {socketEvent, func(texts ...string) []byte { return []byte(payload3(texts...)) }},
	"jsonp":    {socketEvent, func(texts ...string) []byte { return []byte("d=" + url.QueryEscape(payload3(texts...))) }},
	"xhr":      {jsonEvent, func(texts ...string) []byte { return []byte(array(texts...)) }},
	"stream":   {jsonEvent, func(texts ...string) []byte { return []byte(array(texts...)) }},
}

var sidIn = regexp.MustCompile(`"sid":"([^"]+)"`)

// open connects a client, which is let in unless Authorize blocks.
func (a *arena) open(s shape, i int) *attacker {
	c := &attacker{arena: a, kind: s.kind, conn: a.dial()}
	session := fmt.Sprintf("/sockjs/000/s%d", i)
	switch s.kind {
	case "v4", "v4 new", "v4 everywhere":
		c.enter(io4 + "websocket")
	case "v4 deflated":
		c.upgraded(io4+"websocket", "0{", "40")
	case "v3":
		c.enter(io3 + "websocket")
	case "plain":
		c.upgraded("/ws/", "")
	case "sockws":
		c.upgraded(session+"/websocket", "o")
	case "sockraw":
		c.upgraded("/sockjs/websocket", "")
	case "polling4", "polling4 new":
		c.handshake(io4 + "polling")
	case "polling3":
		c.handshake(io3 + "polling")
	case "jsonp":
		c.handshake(io3 + "polling&j=0")
	case "xhr":
		c.side, c.target, c.send = a.dial(), session+"/xhr", session+"/xhr_send"
		_, body := c.request(c.conn, "POST", c.target, nil)
		require.Equal(a.t, "o\n", body)
	case "stream", "eventsource", "htmlfile":
		c.side, c.send = a.dial(), session+"/xhr_send"
		c.writes([]byte(raw(map[string]string{
			"stream": "POST", "eventsource": "GET", "htmlfile": "GET"}[s.kind], session+map[string]string{
			"stream": "/xhr_streaming", "eventsource": "/eventsource", "htmlfile": "/htmlfile?c=cb"}[s.kind], "", "Content-Length: 0")))
		c.skip(map[string]string{"stream": "o\n", "eventsource": "data: o", "htmlfile": `p("o");`}[s.kind])
	case "action":
		c.side, c.target, c.send = c.conn, "/action/echo", "/action/block"
	case "action that waits":
		c.side, c.send = c.conn, "/action/block"
		c.writes([]byte(post(c.send, "1")))
	case "conn":
	default:
		panic(s.kind)
	}
	return c
}

// upgraded upgrades to WebSocket, expects the first frame and sends another.
func (c *attacker) upgraded(target, first string, then ...string) {
	extensions := ""
	if strings.Contains(c.kind, "deflated") {
		extensions = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
	}
	c.writes([]byte(upgradeRequest(target, extensions)))
	in := bufio.NewReaderSize(c.conn, 256)
	res, err := http.ReadResponse(in, nil)
	require.NoError(c.arena.t, err)
	require.Equal(c.arena.t, http.StatusSwitchingProtocols, res.StatusCode)
	if first != "" {
		frame, err := nextFrame(in)
		require.NoError(c.arena.t, err)
		require.True(c.arena.t, strings.HasPrefix(frame, first), frame)
	}
	for _, text := range then {
		c.writes(framed(text))
	}
}

func (c *attacker) enter(target string) {
	switch c.kind {
	case "v4 new", "v3":
		c.upgraded(target, "0{")
	case "v4 everywhere":
		c.upgraded(target, "0{", "40")
		for i := range mostSpaces {
			frame, err := nextFrame(c.conn)
			require.NoError(c.arena.t, err)
			require.Regexp(c.arena.t, `^40(/n\d,)?\{"sid"`, frame)
			if i < mostSpaces-1 {
				c.writes(framed(fmt.Sprintf("40/n%d,", i)))
			}
		}
	default:
		c.upgraded(target, "0{", "40")
	}
}

// handshake opens a session that polls.
func (c *attacker) handshake(target string) {
	_, body := c.request(c.conn, "GET", target, nil)
	sid := sidIn.FindStringSubmatch(strings.ReplaceAll(body, `\"`, `"`))
	require.NotNil(c.arena.t, sid, body)
	c.target = target + "&sid=" + sid[1]
	c.send = c.target
	if c.kind != "polling4 new" {
		c.side = c.arena.dial()
	}
	if c.kind == "polling4" {
		status, _ := c.request(c.side, "POST", c.target, []byte("40"))
		require.Equal(c.arena.t, http.StatusOK, status)
	}
}

// request sends a request and returns its answer; 0 if there is none.
func (c *attacker) request(conn net.Conn, method, target string, body []byte, header ...string) (status int, text string) {
	head := method + " " + target + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n" + strings.Join(header, "") + "\r\n"
	if _, err := io.WriteString(conn, head); err != nil {
		return 0, ""
	}
	if len(body) > 0 {
		c.arena.goes(func() { _, _ = conn.Write(body) }) // it may be answered before it is read
	}
	res, err := http.ReadResponse(bufio.NewReaderSize(conn, 256), &http.Request{Method: method})
	if err != nil {
		return 0, ""
	}
	defer func() { _ = res.Body.Close() }()
	answer, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode, string(answer)
}

// begin lets the client read, unless the shape is deaf, and attack.
func (c *attacker) begin(s shape) {
	if !s.deaf {
		c.arena.goes(c.listen)
	}
	if s.attack != nil {
		c.arena.goes(func() { s.attack(c) })
	}
}

// skip reads up to text, as streams begin with it.
func (c *attacker) skip(text string) {
	var last []byte
	for one := make([]byte, 1); !strings.HasSuffix(string(last), text); {
		if _, err := c.conn.Read(one); err != nil {
			return
		}
		last = append(last, one[0])
	}
}

// listen reads what comes, and drops it, as long as anything does.
func (c *attacker) listen() {
	if c.conn == c.side || c.kind == "conn" {
		return // answers are read where requests are sent
	}
	if c.target != "" {
		method := map[bool]string{true: "POST", false: "GET"}[c.kind == "xhr"]
		over := func(body string) bool { return strings.HasPrefix(body, "c[") || body == "6" || body == "1:6" } // or upgraded
		for status, body := 200, ""; status == 200 && !over(body); {
			status, body = c.request(c.conn, method, c.target, nil)
		}
		return
	}
	drain(c.conn)
}

// drain reads and drops what comes on a connection, until it ends.
func drain(conn net.Conn) {
	scrap := make([]byte, 256)
	for err := error(nil); err == nil; {
		_, err = conn.Read(scrap)
	}
}

// writes sends p as it is; false if the server does not read it any more.
func (c *attacker) writes(p []byte) bool {
	_, err := c.conn.Write(p)
	return err == nil
}

// says sends what a dialect has packed; false if it was refused.
func (c *attacker) says(packed []byte) bool {
	if c.send == "" {
		return c.writes(packed)
	}
	kind := "Content-Type: text/plain\r\n"
	if c.kind == "jsonp" {
		kind = "Content-Type: application/x-www-form-urlencoded\r\n"
	}
	status, _ := c.request(c.side, "POST", c.send, packed, kind)
	return status == http.StatusOK || status == http.StatusNoContent
}
