package thinkws_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"strings"

	"github.com/seed-ce09063a/thinkws"
)

// sends returns an attack that writes frames, again and again until n times or until nobody reads them.
func sends(n int, frames ...string) func(c *attacker) {
	all := []byte(strings.Join(frames, ""))
	return func(c *attacker) {
		for i := 0; i < n && c.writes(all); i++ {
		}
	}
}

// texts is sends for whole text messages.
func texts(n int, messages ...string) func(c *attacker) { return sends(n, string(framed(messages...))) }

// both is one attack, then another.
func both(first, second func(c *attacker)) func(c *attacker) {
	return func(c *attacker) { first(c); second(c) }
}

// deflated is the payload of a compressed message.
func deflated(text string) string {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, flate.BestSpeed) // the level is valid
	_, _ = fmt.Fprint(w, text)
	_ = w.Flush() // a buffer takes everything
	return strings.TrimSuffix(out.String(), "\x00\x00\xff\xff")
}

// webSocketShapes are those of frames and messages, over every protocol that has them.
func webSocketShapes() (shapes []shape) {
	whole := strings.Repeat("x", mostMessage)
	half := strings.TrimSuffix(string(maskedFrame(opText, whole)), "x")
	var bits strings.Builder
	for i := range 1500 {
		bits.WriteString(frame(map[bool]byte{true: opText}[i == 0], true, "x"))
	}
	for _, kind := range []string{"v4 new", "v4", "v3", "plain", "sockws", "sockraw"} {
		shapes = append(shapes,
			shape{name: "a message that lacks its last byte", kind: kind, bounds: aMessage, attack: sends(1, half)},
			shape{name: "fragments without an end", kind: kind, bounds: aMessage,
				attack: sends(1, frame(opText, true, whole[:8000]), frame(0, true, whole[:8000]), frame(0, true, whole[:8000]), frame(0, true, whole[:8000]))},
			shape{name: "fragments of one byte", kind: kind, bounds: aMessage, attack: sends(1, bits.String())},
			shape{name: "pings", kind: kind, bounds: theEnd, attack: sends(100, frame(fin|opPing, true, whole[:125]))},
			shape{name: "pongs", kind: kind, bounds: nothing, attack: sends(100, frame(fin|0xa, true, whole[:125]))},
			shape{name: "a message beyond the limit", kind: kind, bounds: nothing,
				attack: sends(1, string(maskedFrame(opText, whole+whole)))},
			shape{name: "the beginning of a giant", kind: kind, bounds: nothing, attack: sends(1, giant(fin|opText, 1<<40))},
		)
	}
	deflate := []thinkws.Option{thinkws.WithCompression(1024)}
	blanks := deflated(`42["block",1` + strings.Repeat(" ", mostMessage-100) + "]")
	bomb := deflated(strings.Repeat("x", 4<<20))
	for _, one := range []shape{
		{name: "bombs", bounds: bounds{"inflater": inflater}, attack: sends(3, frame(fin|rsv1|opText, true, bomb))},
		{name: "half a bomb", bounds: anInflater, attack: sends(1, frame(rsv1|opText, true, bomb[:len(bomb)/2]))},
		{name: "half a message", bounds: anInflater, attack: sends(1, frame(rsv1|opText, true, blanks[:len(blanks)/2]))},
		{name: "blanks, while an action blocks", bounds: queueInflated, attack: sends(20, frame(fin|rsv1|opText, true, blanks))},
	} {
		one.kind, one.options = "v4 deflated", deflate
		shapes = append(shapes, one)
	}
	return shapes
}

// socketShapes are those of Socket.IO's packets.
func socketShapes() []shape {
	deep := `40` + strings.Repeat(`{"a":`, 600) + "1" + strings.Repeat("}", 600)
	part := strings.Repeat("x", mostMessage/11)
	announced := `45%d-["block"` + strings.Repeat(`,{"_placeholder":true,"num":0}`, 1) + `]`
	large := `451-["block",{"_placeholder":true,"num":0},"` + strings.Repeat("x", mostMessage-200) + `"]`
	var ten strings.Builder
	ten.WriteString(`4510-["block"`)
	for i := range 10 {
		fmt.Fprintf(&ten, `,{"_placeholder":true,"num":%d}`, i)
	}
	ten.WriteString("]")
	attachments := func(n int, data string) string { return strings.Repeat(frame(fin|opBinary, true, data), n) }
	zeros := `42["block"` + strings.Repeat(",0", mostMessage/2-100) + "]"
	oneByte := `430[1` + strings.Repeat(" ", mostMessage-100) + "]"
	everywhere := []string{"v4 everywhere"}
	// joins has a client join or leave rooms that no other client is in.
	joins := func(n int, events ...string) func(c *attacker) {
		return func(c *attacker) {
			for range n {
				for i, event := range events {
					var names []string
					for room := range mostRooms {
						names = append(names, fmt.Sprintf("%s %p %d %d", strings.Repeat("r", 200), c, i/2, room))
					}
					c.writes(framed(`42["` + event + `",` + array(names...) + "]"))
				}
			}
		}
	}
	enters := func(format string, n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(format, i))
		}
		return string(framed(all...))
	}
	return []shape{
		{name: "auth at its limit", kind: "v4 new", bounds: theAuth,
			attack: texts(1, `40{"a":"`+strings.Repeat("x", mostAuth-10)+`"}`)},
		{name: "auth at its limit, while Authorize blocks", kind: "v4 new", bounds: theAuth, gated: true,
			attack: texts(1, `40{"a":"`+strings.Repeat("x", mostAuth-10)+`"}`)},
		{name: "small auth in a large message", kind: "v4 new", bounds: theAuth,
			attack: texts(1, `40{"a":1}`+strings.Repeat(" ", mostMessage-100))},
		{name: "small auth with blanks in it", kind: "v4 new", bounds: theAuth,
			attack: texts(1, `40{"a":1`+strings.Repeat(" ", mostAuth-20)+"}")},
		{name: "auth beyond its limit", kind: "v4 new", bounds: timersOf(10),
			attack: texts(10, `40{"a":"`+strings.Repeat("x", mostAuth)+`"}`)},
		{name: "auth that is deep", kind: "v4 new", bounds: nothing, attack: texts(1, deep)},
		{name: "auth in each namespace", kind: "v4", bounds: bounds{"auth": mostAuth * mostSpaces}, idle: everywhere,
			attack: sends(1, enters(`40/n%d,{"a":"`+strings.Repeat("x", mostAuth-10)+`"}`, mostSpaces-1))},
		{name: "a query at its limit", kind: "v3", bounds: queryAndAuth, idle: everywhere,
			attack: texts(1, "40/n1?a="+strings.Repeat("x", mostAuth-10))},
		{name: "enters and leaves, while Authorize blocks", kind: "v4 new", bounds: waitsInEach, gated: true, idle: []string{"v4"}, routines: gatedRoutines,
			attack: texts(100, "40", "41")},
		{name: "enters and leaves", kind: "v4", bounds: nothing, idle: everywhere, attack: texts(100, "40/n1,", "41/n1,")},
		{name: "enters and leaves many namespaces", kind: "v4", bounds: nothing, idle: everywhere,
			attack: func() func(c *attacker) {
				var all []string
				for i := range 100 {
					all = append(all, fmt.Sprintf("40/n%d,", i), fmt.Sprintf("41/n%d,", i))
				}
				return texts(1, all...)
			}()},
		{name: "enters more namespaces than it may", kind: "v4", bounds: timersOf(40), idle: everywhere,
			attack: sends(1, enters("40/n%d,", 40))},
		{name: "namespaces that are not there, with long names", kind: "v4", bounds: timersOf(100), idle: everywhere,
			attack: sends(1, enters("40/%d"+strings.Repeat("n", 240)+",", 100))},
		{name: "names of namespaces beyond the limit", kind: "v4", bounds: timersOf(10),
			attack: sends(1, enters("40/%d"+strings.Repeat("n", 20_000)+",", 10))},
		{name: "a namespace that refuses it", kind: "v4", bounds: timersOf(100), idle: everywhere,
			attack: texts(100, "40/closed,"+`{"a":"`+strings.Repeat("x", mostAuth-10)+`"}`)},
		{name: "events in a namespace that refuses it", kind: "v4", bounds: timersOf(40),
			attack: texts(20, "40/closed,", `42/closed,["echo","`+strings.Repeat("x", 20_000)+`"]`)},
		{name: "events before it enters", kind: "v4 new", bounds: timersOf(30),
			attack: texts(30, `42["echo","`+strings.Repeat("x", 20_000)+`"]`)},
		{name: "events in namespaces that it is not in", kind: "v4", bounds: timersOf(30),
			attack: texts(30, `42/n9,["echo","`+strings.Repeat("x", 20_000)+`"]`)},
		{name: "attachments that never come", kind: "v4", bounds: aMessage, attack: texts(1, fmt.Sprintf(announced, 1))},
		{name: "attachments that never come, of a large packet", kind: "v4", bounds: aMessage, attack: texts(1, large)},
		{name: "the last attachment does not come", kind: "v4", bounds: aMessage,
			attack: sends(1, string(framed(ten.String())), attachments(9, part))},
		{name: "attachments before it enters", kind: "v4 new", bounds: aMessage,
			attack: sends(1, string(framed(ten.String())), attachments(9, part))},
		{name: "attachments, while an action blocks", kind: "v4", bounds: receiveQueue,
			attack: sends(10, string(framed(ten.String())), attachments(10, part))},
		{name: "empty attachments, while an action blocks", kind: "v4", bounds: receiveQueue,
			attack: sends(100, string(framed(ten.String())), attachments(10, ""))},
		{name: "attachments in base64, while an action blocks", kind: "v4", bounds: receiveQueue,
			attack: texts(10, `451-["block",{"_placeholder":true,"num":0}]`, "b"+strings.Repeat("eHh4", mostMessage/5))},
		{name: "attachments of revision 3, while an action blocks", kind: "v3", bounds: receiveQueue,
			attack: sends(10, string(framed(ten.String())), attachments(10, "\x04"+part[1:]))},
		{name: "blanks around attachments, while an action blocks", kind: "v4", bounds: receiveQueue,
			attack: sends(12, string(framed(`451-["block",`+strings.Repeat(" ", mostMessage-200)+`{"_placeholder":true,"num":0}]`)), attachments(1, "x"))},
		{name: "many small arguments, while an action blocks", kind: "v4", bounds: receiveQueue, attack: texts(10, zeros)},
		{name: "escaped names, while an action blocks", kind: "v4", bounds: receiveQueue,
			attack: texts(10, `42["block",1]`, `42["`+strings.Repeat(`\u006e`, mostMessage/7)+`",1]`)},
		{name: "long ids, while an action blocks", kind: "v4", bounds: receiveQueue,
			attack: texts(mostItems-2, `42`+strings.Repeat("9", 16)+`["block",1]`)},
		{name: "ids that are too long", kind: "v4", bounds: nothing,
			attack: texts(3, `42`+strings.Repeat("9", 20_000)+`["block",1]`)},
		{name: "half a message, while an action blocks", kind: "v4", bounds: queueAndPart,
			attack: both(texts(4, `42["block","`+strings.Repeat("x", mostMessage-100)+`"]`), sends(1, strings.TrimSuffix(string(maskedFrame(opText, strings.Repeat("x", mostMessage))), "x")))},
		{name: "events of concurrent actions that block", kind: "v4", bounds: concurrently, routines: mostBeside,
			attack: texts(30, `42["beside","`+strings.Repeat("x", 20_000)+`"]`)},
		{name: "tiny events of concurrent actions that block", kind: "v4", bounds: concurrently, routines: mostBeside,
			attack: texts(200, `42["beside",1]`)},
		{name: "long names that the service keeps, with blanks behind", kind: "v4", bounds: keptByService,
			attack: texts(10, `42["keep!",1`+strings.Repeat(" ", mostMessage-100)+"]")},
		{name: "answers that nobody wants", kind: "v4", bounds: nothing,
			attack: texts(20, `4399["`+strings.Repeat("x", 20_000)+`"]`)},
		{name: "small answers out of large messages", kind: "v4", bounds: nothing, together: answersOf(1),
			attack: texts(1, oneByte)},
		{name: "small answers out of large messages of revision 3", kind: "v3", bounds: nothing, together: answersOf(1),
			attack: texts(1, oneByte)},
		{name: "small answers out of large messages over polling", kind: "polling4", bounds: nothing, together: answersOf(1),
			attack: func(c *attacker) { c.says([]byte(oneByte)) }},
		{name: "small answers out of large messages of plain WebSocket", kind: "plain", bounds: nothing, together: answersOf(1),
			attack: texts(1, `{"rid":0,"data":1`+strings.Repeat(" ", mostMessage-100)+"}")},
		{name: "answers as large as a message", kind: "v4", bounds: bounds{"an answer that the service may have": mostMessage}, together: answersOf(1),
			attack: texts(1, `430["`+strings.Repeat("x", mostMessage-100)+`"]`)},
		{name: "questions without an answer", kind: "v4", bounds: bounds{"answers": mostAnswers * answerCost}, together: answersOf(mostAnswers)},
		{name: "questions that are not read", kind: "v4", deaf: true, bounds: bounds{"answers": mostAnswers * answerCost, "send queue": mostBytes}, together: answersOf(mostAnswers)},
		{name: "answers of its own events that are not read", kind: "v4", deaf: true, bounds: sendQueue,
			attack: texts(40, `421["echo","`+strings.Repeat("x", 20_000)+`"]`)},
		{name: "joins as many rooms as it may", kind: "v4", bounds: bounds{"rooms": mostRooms * (roomCost + 200)},
			attack: joins(1, "join")},
		{name: "joins more rooms than it may", kind: "v4", bounds: bounds{"rooms": mostRooms * (roomCost + 200)},
			attack: joins(3, "join", "leave", "join", "join", "join")},
		{name: "joins and leaves rooms", kind: "v4", bounds: nothing, attack: joins(3, "join", "leave", "join", "leave")},
		{name: "noops", kind: "v4", bounds: theEnd, attack: texts(200, strings.Split(strings.Repeat("6", 10), "")...)},
		{name: "pongs of Engine.IO", kind: "v4", bounds: theEnd,
			attack: texts(200, strings.Split(strings.Repeat("3", 10), "")...)},
		{name: "pings of Engine.IO", kind: "v3", bounds: theEnd, attack: texts(200, "2probe")},
		{name: "pings of Engine.IO that are long", kind: "v3", bounds: theEnd,
			attack: texts(20, "2"+strings.Repeat("x", 20_000))},
		{name: "pings of Engine.IO whose pongs are not read", kind: "v3", deaf: true, bounds: theEnd,
			attack: texts(200, "2probe")},
	}
}
