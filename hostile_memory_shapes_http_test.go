package thinkws_test

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/seed-ce09063a/thinkws"
)

// begins sends a POST and leaves its end out.
func begins(body string, header ...string) func(c *attacker) {
	if len(header) == 0 {
		header = []string{fmt.Sprintf("Content-Length: %d", len(body)+1)}
	}
	shared := []byte(body) // a client that is blocked holds nothing of its own
	return func(c *attacker) {
		_, _ = c.side.Write([]byte("POST " + c.send + " HTTP/1.1\r\nHost: localhost\r\n" + strings.Join(header, "\r\n") + "\r\n\r\n"))
		_, _ = c.side.Write(shared)
	}
}

// handshakes opens sessions on the client's connection and leaves them alone.
func handshakes(n int, method, target string, header ...string) func(c *attacker) {
	return func(c *attacker) {
		for i := range n {
			at := target
			if strings.Contains(target, "%") {
				at = fmt.Sprintf(target, fmt.Sprintf("%p-%d", c, i))
			}
			c.request(c.conn, method, at, nil, header...)
		}
	}
}

// overlaps sends a second request beside the first one, which waits.
func overlaps(method string) func(c *attacker) {
	return func(c *attacker) {
		for range 5 {
			conn := c.arena.dial()
			c.request(conn, method, c.target, nil)
			_ = conn.Close()
		}
	}
}

// httpShapes are those of requests.
func httpShapes() (shapes []shape) {
	x := strings.Repeat("x", mostMessage-1)
	chunks := strings.Repeat("1\r\nx\r\n", 4000)
	for _, kind := range []string{"polling4", "polling3", "jsonp", "xhr", "stream", "action"} {
		idle := []string{kind}
		if kind == "action" {
			idle = []string{"action that waits"}
		}
		shapes = append(shapes,
			shape{name: "a body that lacks its last byte", kind: kind, idle: idle, bounds: aMessage, attack: begins(x)},
			shape{name: "a body in chunks of a byte", kind: kind, idle: idle, bounds: aMessage,
				attack: begins(chunks, "Transfer-Encoding: chunked")},
			shape{name: "a body that is declared too large", kind: kind, idle: idle, bounds: nothing,
				attack: begins(x, "Content-Length: 1000000000")},
		)
	}
	event := func(name, rest string) string { return `42["` + name + `",1` + rest + "]" }
	noops := event("block", "") + strings.Repeat("\x1e6", mostMessage/2-20)
	many := func(n int, body string) func(c *attacker) {
		packed := []byte(body)
		return func(c *attacker) {
			for i := 0; i < n && c.says(packed); i++ {
			}
		}
	}
	strange := func(n int) string { return strings.Repeat(" ", n) }
	header := func(n int) string { return "X-Large: " + strings.Repeat("h", n) + "\r\n" }
	names := func(n int) (all string) {
		for i := range n {
			all += fmt.Sprintf("X%d: y\r\n", i)
		}
		return all
	}
	session := mostHeader * 7 / 8
	return append(shapes,
		shape{name: "a tiny event among noops, while an action blocks", kind: "polling4", bounds: receiveQueue,
			attack: many(10, noops)},
		shape{name: "noops", kind: "polling4", bounds: nothing, attack: many(3, strings.Repeat("6\x1e", 1000)+"6")},
		shape{name: "many tiny events in a POST, while an action blocks", kind: "polling4", bounds: receiveQueue,
			attack: many(2, strings.Repeat(event("block", "")+"\x1e", 1000)+event("block", ""))},
		shape{name: "attachments, while an action blocks", kind: "polling4", bounds: receiveQueue,
			attack: many(10, `451-["block",{"_placeholder":true,"num":0}]`+"\x1eb"+strings.Repeat("eHh4", mostMessage/5))},
		shape{name: "attachments that never come", kind: "polling4", bounds: aMessage,
			attack: many(1, `452-["block",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`+"\x1eb"+strings.Repeat("eHh4", mostMessage/5))},
		shape{name: "enters and leaves, while Authorize blocks", kind: "polling4", bounds: waitsInEach, gated: true, routines: gatedRoutines,
			attack: many(2, strings.Repeat("40\x1e41\x1e", 100)+"40")},
		shape{name: "binary payloads, while an action blocks", kind: "polling3", bounds: receiveQueue,
			attack: many(10, payload3(`451-["block",{"_placeholder":true,"num":0}]`, "b4"+strings.Repeat("eHh4", mostMessage/5)))},
		shape{name: "packets that are longer than the body", kind: "polling3", bounds: nothing,
			attack: many(3, "999999999:"+x[:1000])},
		shape{name: "escapes, while an action blocks", kind: "jsonp", bounds: receiveQueue,
			attack: many(10, "d="+url.QueryEscape(payload3(event("block", "")+strange(0)))+strings.Repeat("&x=%20", 2000))},
		shape{name: "overlapping polls", kind: "polling4", bounds: nothing, idle: []string{"polling4", "action that waits"},
			attack: overlaps("GET")},
		shape{name: "polls behind one another", kind: "polling3", bounds: nothing, idle: []string{"polling3", "action that waits"},
			attack: overlaps("GET")},
		shape{name: "receivers behind one another", kind: "xhr", bounds: nothing, idle: []string{"xhr", "action that waits"},
			attack: overlaps("POST")},
		shape{name: "thousands of strings in a frame", kind: "sockws", bounds: receiveQueue,
			attack: texts(10, array(strings.Split(strings.Repeat(`{"event":"block"}|`, 500), "|")...))},
		shape{name: "a tiny event among empty strings", kind: "sockws", bounds: receiveQueue,
			attack: texts(8, `["{\"event\":\"block\"}"`+strings.Repeat(`,"{}"`, 9)+strange(mostMessage-500)+"]")},
		shape{name: "a tiny event among blanks", kind: "xhr", bounds: receiveQueue,
			attack: many(10, `["{\"event\":\"block\"}"`+strange(mostMessage-500)+"]")},
		shape{name: "thousands of strings in a body", kind: "xhr", bounds: receiveQueue,
			attack: many(10, array(strings.Split(strings.Repeat(`{"event":"block"}|`, 500), "|")...))},
		shape{name: "escapes, while an action blocks", kind: "xhr", bounds: receiveQueue,
			attack: many(10, `["{\"event\":\"block\",\"data\":\"`+strings.Repeat(`\u0078`, mostMessage/7)+`\"}"]`)},
		shape{name: "strings without JSON, while an action blocks", kind: "xhr", bounds: receiveQueue, gated: true, routines: 1,
			options: []thinkws.Option{thinkws.WithSockJS(thinkws.SockJSOptions{RawStrings: true})}, attack: many(10, `["x"`+strange(mostMessage-100)+"]")},
		shape{name: "messages that are not read", kind: "stream", deaf: true, bounds: sendQueue,
			attack: many(1, array(jsonEvent("fill", "1", "")))},
		shape{name: "messages that are not read", kind: "eventsource", deaf: true, bounds: sendQueue,
			attack: many(1, array(jsonEvent("fill", "1", "")))},
		shape{name: "messages that are not read", kind: "htmlfile", deaf: true, bounds: sendQueue,
			attack: many(1, array(jsonEvent("fill", "1", "")))},
		shape{name: "a session that is over, with messages that nobody fetches", kind: "polling4", deaf: true, bounds: sendQueue,
			attack: many(1, event("fill", "")+"\x1e"+event("end", ""))},
		shape{name: "a session that is over, with messages that nobody fetches", kind: "xhr", deaf: true, bounds: sendQueue,
			attack: many(1, array(jsonEvent("fill", "1", ""), jsonEvent("end", "1", "")))},
		shape{name: "a large body, while the action blocks", kind: "action", idle: []string{"action that waits"}, bounds: aMessage,
			attack: many(1, "1"+strange(mostMessage-10))},
		shape{name: "large headers, while the action blocks", kind: "action", idle: []string{"action that waits"}, bounds: theHeader,
			attack: func(c *attacker) { c.request(c.conn, "POST", c.send, []byte("1"), header(session)) }},

		shape{name: "a session", kind: "conn", bounds: nothing, idle: []string{"conn", "polling4 new"},
			attack: handshakes(1, "GET", io4+"polling")},
		shape{name: "sessions that are never used", kind: "conn", bounds: nothing, idle: repeat("polling4 new", 10),
			attack: handshakes(10, "GET", io4+"polling")},
		shape{name: "sessions of SockJS that are never used", kind: "conn", bounds: nothing, idle: repeat("polling4 new", 10),
			attack: handshakes(10, "POST", "/sockjs/000/%s/xhr")},
		shape{name: "sessions with large headers", kind: "conn", bounds: bounds{"headers": 10 * mostHeader}, idle: repeat("polling4 new", 10),
			attack: handshakes(10, "GET", io4+"polling", header(session))},
		shape{name: "sessions with many headers", kind: "conn", bounds: bounds{"headers": 10 * mostHeader}, idle: repeat("polling4 new", 10),
			attack: handshakes(10, "GET", io4+"polling", names(400))},
		shape{name: "sessions with a large query", kind: "conn", bounds: bounds{"headers": 10 * mostHeader}, idle: repeat("polling4 new", 10),
			attack: handshakes(10, "GET", io4+"polling&x="+strings.Repeat("q", session))},
		shape{name: "sessions with a large path", kind: "conn", bounds: bounds{"headers": 10 * mostHeader}, idle: repeat("polling4 new", 10),
			attack: handshakes(10, "GET", "/socket.io/"+strings.Repeat("p", session)+"/?EIO=4&transport=polling")},
		shape{name: "sessions with large cookies", kind: "conn", bounds: bounds{"headers": 10 * mostHeader}, idle: repeat("polling4 new", 10),
			attack: handshakes(10, "GET", io4+"polling", "Cookie: a="+strings.Repeat("c", session)+"\r\n")},
		shape{name: "sessions of SockJS with large headers", kind: "conn", bounds: bounds{"headers": 10 * mostHeader}, idle: repeat("polling4 new", 10),
			attack: handshakes(10, "POST", "/sockjs/000/%s/xhr", header(session))},
		shape{name: "sessions of SockJS with many headers", kind: "conn", bounds: bounds{"headers": 10 * mostHeader}, idle: repeat("polling4 new", 10),
			attack: handshakes(10, "POST", "/sockjs/000/%s/xhr", names(400))},
		shape{name: "headers beyond the limit", kind: "conn", bounds: nothing,
			attack: handshakes(10, "GET", io4+"polling", header(20_000))},
		shape{name: "origins beyond the limit", kind: "conn", bounds: nothing,
			attack: handshakes(10, "GET", io4+"polling", "Origin: http://"+strings.Repeat("o", 2000)+"\r\nCookie: a=b\r\n")},
		shape{name: "an upgrade with large headers", kind: "conn", bounds: theHeader, idle: []string{"v4 new"},
			attack: func(c *attacker) {
				c.writes([]byte(upgradeRequest(io4+"websocket", header(session))))
				drain(c.conn)
			}},
		shape{name: "an upgrade with a large subprotocol", kind: "conn", bounds: theHeader, idle: []string{"plain"},
			attack: func(c *attacker) {
				c.writes([]byte(upgradeRequest("/ws/", "Sec-WebSocket-Protocol: "+strings.Repeat("p", session)+"\r\n")))
				drain(c.conn)
			}},
		shape{name: "an upgrade with a large Origin", kind: "conn", bounds: theHeader, idle: []string{"plain"},
			attack: func(c *attacker) {
				c.writes([]byte(upgradeRequest("/ws/?x="+strings.Repeat("q", session), "Origin: http://localhost\r\n")))
				drain(c.conn)
			}},
		shape{name: "probes that are not finished", kind: "polling4", bounds: nothing, idle: []string{"polling4", "v4 new"},
			attack: probes("2probe")},
		shape{name: "probes that break off in a message", kind: "polling4", bounds: aMessage, idle: []string{"polling4", "v4 new"},
			attack: probes("2probe", strings.Repeat("x", mostMessage))},
		shape{name: "probes that are something else", kind: "polling4", bounds: nothing, idle: []string{"polling4", "v4 new"},
			attack: probes(strings.Repeat("x", 20_000), "x")},
		shape{name: "second probes", kind: "polling4", bounds: nothing, idle: []string{"polling4", "v4 new", "v4 new"},
			attack: both(probes("2probe"), probes("2probe"))},
	)
}

func repeat(kind string, n int) (kinds []string) {
	for range n {
		kinds = append(kinds, kind)
	}
	return kinds
}

// probes upgrades a session that polls, sends messages and leaves out the last byte of the last one, if it is large.
func probes(messages ...string) func(c *attacker) {
	packed := framed(messages...)
	if len(packed) > mostMessage {
		packed = packed[:len(packed)-1]
	}
	return func(c *attacker) {
		conn := c.arena.dial()
		_, _ = conn.Write([]byte(upgradeRequest(strings.Replace(c.target, "polling", "websocket", 1), "")))
		c.arena.goes(func() { drain(conn) })
		_, _ = conn.Write(packed)
	}
}
