package thinkws_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// eventCase is what a client of Socket.IO that is in "/" sends, and what comes back.
// It is run over both transports and in both revisions.
type eventCase struct {
	row, name string
	send      []any    // packets without the type of Engine.IO: text, or attachments as []byte
	want      []string // answers
	closes    string   // the close code of a WebSocket; POSTs are answered 400 then. "" if it stays
	apart     bool     // each packet in a POST of its own
	ignored   uint64   // what the hub counts as of use to nobody
}

// broken is a case whose answer is "parse error".
func broken(row, name string, send ...any) eventCase {
	return eventCase{row: row, name: name, send: send, closes: violated}
}

// answered is a case of one packet that gets one answer, "" for none.
func answered(row, name, send, want string) eventCase {
	tt := eventCase{row: row, name: name, send: []any{send}}
	if want != "" {
		tt.want = []string{want}
	}
	return tt
}

// unknown is a case of one event with id 1 that nobody has registered. Over Socket.IO that gets no answer.
func unknown(row, name, send string) eventCase {
	tt := answered(row, name, send, "")
	tt.ignored = 1
	return tt
}

func runEvents(t *testing.T, cases []eventCase) {
	for _, eio := range []int{4, 3} {
		for transport, run := range map[string]func(eventCase, *site, int){"polling": eventCase.polling, "websocket": eventCase.webSocket} {
			for some := range slices.Chunk(cases, 15) { // a guard notices who asks for more sessions that are gone
				t.Run(fmt.Sprint(transport, eio), func(t *testing.T) {
					s := newSite(t, thinkws.Namespace("/n*"))
					for _, tt := range some {
						t.Run(tt.row+" "+tt.name, func(t *testing.T) { run(tt, s.within(t), eio) })
					}
				})
			}
		}
	}
}

// packets are what is sent, as packets of Engine.IO.
func (tt eventCase) packets() (packets []any) {
	for _, packet := range tt.send {
		if text, ok := packet.(string); ok {
			packet = "4" + text
		}
		packets = append(packets, packet)
	}
	return packets
}

// The echo that follows a case: what comes before its answer is the answer to the case,
// but for what other namespaces say.
const question, reply = `4277["echo","here"]`, `4377["here"]`

func (tt eventCase) polling(s *site, eio int) {
	t, ignored := s.t, s.handler.Hub().Stats().Ignored
	p := s.open(eio, "")
	packets := tt.packets()
	for tt.apart && len(packets) > 1 {
		require.Equal(t, "200 ok", p.post(packets[0]))
		packets = packets[1:]
	}
	got := p.post(packets...)
	if tt.closes != "" {
		require.Equal(t, "400 ", got)
		p.dead(thinkws.ReasonParseError)
		return
	}
	require.Equal(t, "200 ok", got)
	require.Equal(t, "200 ok", p.post(question))
	tt.collect(t, eio, p.get)
	assert.Equal(t, ignored+tt.ignored, s.handler.Hub().Stats().Ignored)
	p.alive()
}

func (tt eventCase) webSocket(s *site, eio int) {
	t, ignored := s.t, s.handler.Hub().Stats().Ignored
	ws, _ := s.enter(fmt.Sprint("v", eio))
	for _, packet := range tt.packets() {
		data, ok := packet.([]byte)
		switch {
		case !ok:
			ws.send(packet.(string))
		case eio == 3:
			ws.write(maskedFrame(opBinary, "\x04"+string(data)))
		default:
			ws.write(maskedFrame(opBinary, string(data)))
		}
	}
	if tt.closes != "" {
		got := ws.read()
		for strings.HasPrefix(got, "4") { // answers that were on their way
			got = ws.read()
		}
		require.Equal(t, tt.closes, got)
		s.leave(ws)
		s.verify(thinkws.ReasonParseError)
		return
	}
	ws.send(question)
	tt.collect(t, eio, func() []string { return []string{ws.read()} })
	assert.Equal(t, ignored+tt.ignored, s.handler.Hub().Stats().Ignored)
	s.alive(ws, fmt.Sprint("v", eio))
}

// collect reads until everything wanted has come, and the reply to the question, and
// compares.
func (tt eventCase) collect(t *testing.T, eio int, next func() []string) {
	t.Helper()
	want := append([]string{reply}, tt.want...)
	for i := range tt.want {
		want[i+1] = "4" + tt.want[i]
		if eio == 3 {
			want[i+1] = strings.Replace(want[i+1], `{"message":"Invalid namespace"}`, `"Invalid namespace"`, 1)
		}
	}
	var got []string
	for len(got) < len(want) {
		packets := next()
		require.NotContains(t, packets, "gone")
		got = append(got, packets...)
	}
	assert.ElementsMatch(t, want, got)
}

func nested(open, shut string, depth int) string {
	return strings.Repeat(open, depth) + strings.Repeat(shut, depth)
}

const place = `{"_placeholder":true,"num":%v}`

// Rows 55 to 63: packets of text.
func TestHostileText(t *testing.T) {
	const badArgument = `{"error":{"name":"BadRequest","message":"argument 0 is not what the action takes"}}`
	cases := []eventCase{
		broken("55", "empty packet", ""),
		broken("55", "type 7", `7["echo"]`),
		broken("55", "type 9", "999"),
		broken("55", "no type", `["echo"]`),
		broken("55", "CONNECT_ERROR from the client", `4{"message":"x"}`),
		broken("56", "nested 100,000 deep", `2["echo",`+nested("[", "]", 100_000)+`]`),
		broken("56", "objects 100,000 deep", `2["echo",`+strings.Repeat(`{"a":`, 100_000)),
		broken("56", "nested 513 deep", `2["echo",`+nested("[", "]", 512)+`]`),
		answered("56", "nested 512 deep", `21["echo",`+nested("[", "]", 511)+`]`, `31[`+nested("[", "]", 511)+`]`),
		answered("57", "__proto__", `21["echo",{"__proto__":{"x":1},"constructor":{"prototype":1},"a":1,"a":2}]`, `31[{"__proto__":{"x":1},"constructor":{"prototype":1},"a":1,"a":2}]`),
		unknown("57", "event __proto__", `21["__proto__","x"]`),
		answered("58", "number past a float", `21["number",1e400]`, `31[`+badArgument+`]`),
		answered("58", "number as text", `21["number","1"]`, `31[`+badArgument+`]`),
		broken("58", "number of 900,000 digits", `2["echo",`+strings.Repeat("1", 900_000)+`]`),
		broken("58", "number of 1,025 digits", `2["echo",`+strings.Repeat("1", 1025)+`]`),
		answered("58", "number of 1,024 digits", `21["echo",`+strings.Repeat("1", 1024)+`]`, `31[`+strings.Repeat("1", 1024)+`]`),
		broken("58", "NaN", `2["echo",NaN]`),
		answered("59", "lone surrogates", `21["text","a\ud800b\udc00"]`, "31[\"a\uFFFDb\uFFFD\"]"),
		unknown("59", "lone surrogate in the name", `21["\ud800"]`),
		answered("59", "NUL", `21["text","a\u0000b"]`, `31["a\u0000b"]`),
		broken("59", "bare NUL", "2[\"text\",\"a\x00b\"]"),
		broken("61", "EVENT is an object", `2{"0":"echo"}`),
		broken("61", "EVENT is a string", `2"echo"`),
		broken("61", "EVENT is nothing", `2`),
		broken("61", "EVENT is empty", `2[]`),
		broken("61", "EVENT is cut off", `2["a"`),
		broken("61", "EVENT with a tail", `2["a"]x`),
		broken("61, CVE-2023-32695", "CONNECT is an array", `0[]`),
		broken("61", "CONNECT to another is an array", `0/n1,[]`),
		broken("61", "CONNECT is null", `0/n1,null`),
		broken("61", "CONNECT is cut off", `0/n1,{"a":`),
		broken("61", "CONNECT in depth", `0/n1,`+strings.Repeat(`{"a":`, 600)+"1"+strings.Repeat("}", 600)),
		broken("61", "DISCONNECT brings something", `1{}`),
		broken("61", "ACK is an object", `31{}`),
		broken("61", "ACK is cut off", `31[`),
		answered("62", "ack id 2^53-1", `29007199254740991["echo"]`, `39007199254740991[]`),
		broken("62", "ack id 2^53", `29007199254740992["echo"]`),
		broken("62", "ack id of 400 digits", `2`+strings.Repeat("1", 400)+`["echo"]`),
		broken("62", "ack id negative", `2-1["echo"]`),
		broken("62", "ack id 1e3", `21e3["echo"]`),
		{row: "63", name: "ACK that nobody asked for", send: []any{`399[1]`, `30[]`}, ignored: 2},
		answered("63", "ACK without id", `3[1]`, ""),
		broken("68", "namespace of 257 bytes", "0/"+strings.Repeat("n", 256)+","),
		broken("68", "namespace of 900 KB", "0/"+strings.Repeat("n", 900_000)+","),
		broken("68", "namespace of control characters", "0/n\x01,"),
		answered("68", "namespace of nobody", "0/nope/x,", `4/nope/x,{"message":"Invalid namespace"}`),
		answered("68", "namespace __proto__", "0/__proto__,", `4/__proto__,{"message":"Invalid namespace"}`),
		{row: "70", name: "ten packets for another namespace", send: flood(10, `2/n%d,["echo"]`)},
		{row: "70", name: "eleven packets for another namespace", send: flood(11, `2/n%d,["echo"]`), closes: policy},
		{row: "70", name: "eleven times CONNECT", send: flood(11, `0`), closes: policy},
		{row: "70", name: "eleven times DISCONNECT of another", send: flood(11, `1/n%d,`), closes: policy},
		{row: "CVE-2024-38355", name: "event error", send: []any{`2["error","x"]`}, ignored: 1},
		broken("CVE-2020-36049", "100,000 digits of attachments", `5`+strings.Repeat("1", 100_000)+`-["x"]`),
		broken("CVE-2020-36049", "100,000 digits of an id", `2`+strings.Repeat("1", 100_000)+`["x"]`),
		broken("CVE-2020-36049", "100,000 bytes of a namespace", `2/`+strings.Repeat("x", 100_000)),
	}
	for _, name := range []string{`"connect"`, `"connect_error"`, `"disconnect"`, `"disconnecting"`, `"newListener"`, `"removeListener"`, `"dis\u0063onnect"`,
		`true`, `null`, `{}`, `[]`, `{"toString":"foo"}`, `{"length":1}`, `1e400`} {
		cases = append(cases, broken("60, CVE-2023-32695", "event "+name, `2[`+name+`,"x"]`))
	}
	runEvents(t, cases)
}

// flood is many packets, of a format that counts them if it wants to.
func flood(n int, format string) (packets []any) {
	for i := range n {
		if strings.Contains(format, "%") {
			packets = append(packets, fmt.Sprintf(format, i))
		} else {
			packets = append(packets, format)
		}
	}
	return packets
}

// Rows 64 to 67: packets with attachments.
func TestHostileBinary(t *testing.T) {
	x := []byte("x")
	cases := []eventCase{
		{row: "67", name: "as it should be", send: []any{`52-1["echo",` + fmt.Sprintf(place, 1) + `,` + fmt.Sprintf(place, 0) + `]`, []byte("a"), []byte("b")}, want: []string{`31["Yg==","YQ=="]`}},
		{row: "67", name: "empty attachment", send: []any{`51-1["echo",` + fmt.Sprintf(place, 0) + `]`, []byte{}}, want: []string{`31[""]`}},
		broken("64", "no dash", `51["x",`+fmt.Sprintf(place, 0)+`]`),
		broken("64", "nothing", `5`),
		broken("64", "number only", `51`),
		broken("64", "ACK without a number", `6["x"]`),
		broken("64, CVE-2026-33151", "eleven", `511-["x",`+strings.TrimSuffix(strings.Repeat(fmt.Sprintf(place, 0)+",", 11), ",")+`]`),
		broken("64, CVE-2026-33151", "999,999", `5999999-["x"]`, x, x, x),
		broken("64, CVE-2026-33151", "999,999 of an ACK", `6999999-["x"]`, x, x, x),
		broken("65, CVE-2026-69185", "none", `50-["x"]`, x, x, x),
		broken("65, CVE-2026-69185", "none of an ACK", `60-1["x"]`, x),
		broken("65", "binary that nobody waits for", x),
		broken("65", "one attachment too many", `51-["echo",`+fmt.Sprintf(place, 0)+`]`, x, x),
		broken("66", "text while one is awaited", `51-["echo",`+fmt.Sprintf(place, 0)+`]`, `2["echo"]`),
		broken("66", "text between two", `52-["echo",`+fmt.Sprintf(place, 0)+`,`+fmt.Sprintf(place, 1)+`]`, x, `2["echo"]`, x),
		{row: "66", name: "too large together", apart: true, closes: violated, send: []any{`53-["echo",` + fmt.Sprintf(place, 0) + `,` + fmt.Sprintf(place, 1) + `,` + fmt.Sprintf(place, 2) + `]`,
			make([]byte, 200_000), make([]byte, 200_000), make([]byte, 600_000)}},
		broken("67", "one used twice", `51-["x",`+fmt.Sprintf(place, 0)+`,`+fmt.Sprintf(place, 0)+`]`, x),
		broken("67", "one used 10,000 times", `51-["x"`+strings.Repeat(`,`+fmt.Sprintf(place, 0), 10_000)+`]`, x),
		broken("67", "one not used", `52-["x",`+fmt.Sprintf(place, 0)+`]`, x, x),
		broken("67", "no placeholder", `51-["x"]`, x),
		broken("CVE-2022-2421", "num missing", `51-["x",{"_placeholder":true}]`, x),
		broken("CVE-2023-32695", "name is a placeholder", `51-[`+fmt.Sprintf(place, 0)+`]`, x),
		answered("67", "placeholder in text", `21["echo",`+fmt.Sprintf(place, 0)+`]`, `31[`+fmt.Sprintf(place, 0)+`]`),
	}
	for _, count := range []string{"-", "a-", "1.5-", "1.23-", "1e9-", "+1-", " 1-", "0x1-", "01-", "-1-", "NaN-"} {
		cases = append(cases, broken("64", "attachments "+count, `5`+count+`["x",`+fmt.Sprintf(place, 0)+`]`, x))
	}
	for _, num := range []any{-1, 1, 1_000_000_000, 1.5, `"0"`, `"splice"`, `"__proto__"`, "null", "{}", "[0]", "1e0", "00", "true"} {
		cases = append(cases, broken("67, CVE-2022-2421", fmt.Sprint("num ", num), `51-["hello",`+fmt.Sprintf(place, num)+`]`, x))
	}
	runEvents(t, cases)
}

// Row 63: the second answer to one question is of no use to anybody.
func TestHostile63AnswerTwice(t *testing.T) {
	s := newSite(t, thinkws.On("ask", func(c *thinkws.Context) error {
		answer, err := c.EmitAck(c.Context(), "question")
		if err != nil {
			return err
		}
		return c.Ack(answer.Args()[0])
	}))
	for _, kind := range []string{"v4", "v3"} {
		ignored := s.handler.Hub().Stats().Ignored
		ws, _ := s.enter(kind)
		ws.send(`421["ask"]`)
		question := ws.read()
		require.Regexp(t, `^42\d+\["question"\]$`, question)
		id := strings.TrimSuffix(question[2:], `["question"]`)
		ws.send(`43` + id + `["yes"]`)
		ws.send(`43` + id + `["no"]`)
		assert.Equal(t, `431["yes"]`, ws.read())
		s.alive(ws, kind)
		assert.Equal(t, ignored+1, s.handler.Hub().Stats().Ignored)
	}
}

// Row 72: what comes with CONNECT is bounded.
func TestHostile72Auth(t *testing.T) {
	s := newSite(t, thinkws.Namespace("/n*"))
	ws, _ := s.enter("v4")
	ws.send(`40/n1,{"token":"` + strings.Repeat("x", 64<<10) + `"}`)
	assert.Equal(t, `44/n1,{"message":"auth payload too big"}`, ws.read())
	ws.send(`40/n1,{"token":"` + strings.Repeat("x", 60_000) + `"}`)
	assert.Regexp(t, `^40/n1,\{"sid":".{20}"\}$`, ws.read())
	s.alive(ws, "v4")
}

// Row 75: frames of JSON that are none. Ten are answered, one more is too many.
func TestHostile75PlainFrames(t *testing.T) {
	failure := func(rid, reason string) string {
		return `{` + rid + `"error":{"name":"BadRequest","message":"` + reason + `"}}`
	}
	const ids = " is not a number or string of at most 64 bytes"
	for _, tt := range []struct{ name, send, want string }{
		{"empty", frame(fin|opText, true, ""), failure("", "not valid JSON")},
		{"not JSON", frame(fin|opText, true, "hello"), failure("", "not valid JSON")},
		{"cut off", frame(fin|opText, true, `{"event":"echo"`), failure("", "not valid JSON")},
		{"two at once", frame(fin|opText, true, `{"event":"echo"}{}`), failure("", "not valid JSON")},
		{"binary", frame(fin|opBinary, true, `{"event":"echo","cid":1}`), failure("", "binary frame")},
		{"array", frame(fin|opText, true, `["event","echo"]`), failure("", "not a JSON object")},
		{"null", frame(fin|opText, true, `null`), failure("", "not a JSON object")},
		{"no event", frame(fin|opText, true, `{"data":1,"cid":7}`), failure(`"rid":7,`, "neither event nor rid")},
		{"event of another case", frame(fin|opText, true, `{"Event":"echo"}`), failure("", "neither event nor rid")},
		{"event is a number", frame(fin|opText, true, `{"event":1,"cid":7}`), failure(`"rid":7,`, "event is not a string with something in it")},
		{"event is empty", frame(fin|opText, true, `{"event":""}`), failure("", "event is not a string with something in it")},
		{"event is an object", frame(fin|opText, true, `{"event":{"toString":"echo"}}`), failure("", "event is not a string with something in it")},
		{"cid is an object", frame(fin|opText, true, `{"event":"echo","cid":{}}`), failure("", "cid"+ids)},
		{"cid is too long", frame(fin|opText, true, `{"event":"echo","cid":"`+strings.Repeat("x", 63)+`"}`), failure("", "cid"+ids)},
		{"rid is null", frame(fin|opText, true, `{"rid":null}`), failure("", "rid"+ids)},
		{"too deep", frame(fin|opText, true, `{"event":"echo","data":`+nested("[", "]", 100_000)+`}`), failure("", "JSON nested too deep")},
		{"deep", frame(fin|opText, true, `{"event":"echo","data":`+nested("[", "]", 512)+`}`), failure("", "JSON nested too deep")},
		{"number too long", frame(fin|opText, true, `{"event":"echo","data":`+strings.Repeat("1", 1025)+`}`), failure("", "number too long")},
		{"event of the library", frame(fin|opText, true, `{"event":"close","cid":7}`), `{"rid":7,"error":{"name":"NotFound","message":"no such event"}}`},
		{"__proto__", frame(fin|opText, true, `{"__proto__":{"event":"x"},"event":"echo","data":{"__proto__":1},"cid":7}`), `{"rid":7,"data":{"__proto__":1}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			ws, _ := s.enter("plain")
			for range 10 {
				ws.write([]byte(tt.send))
				require.Equal(t, tt.want, ws.read())
			}
			if !strings.Contains(tt.want, "BadRequest") {
				s.alive(ws, "plain")
				return
			}
			ws.send(`{"event":"echo","data":"still here","cid":1}`)
			require.Equal(t, `{"rid":1,"data":"still here"}`, ws.read())
			ws.write([]byte(tt.send))
			require.Equal(t, policy, ws.read())
			s.leave(ws)
			s.verify(thinkws.ReasonParseError)
		})
	}
}
