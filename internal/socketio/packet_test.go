package socketio_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/socketio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Types of packets.
const (
	connect = iota
	disconnect
	event
	ack
)

var goodPackets = []struct {
	text string
	want socketio.Packet
}{
	{`0`, socketio.Packet{Kind: connect, Namespace: "/"}},
	{`0{}`, socketio.Packet{Kind: connect, Namespace: "/", Auth: `{}`}},
	{`0{"token":"a,b"}`, socketio.Packet{Kind: connect, Namespace: "/", Auth: `{"token":"a,b"}`}},
	{`0/,`, socketio.Packet{Kind: connect, Namespace: "/"}},
	{`0/admin`, socketio.Packet{Kind: connect, Namespace: "/admin"}},
	{`0/admin,`, socketio.Packet{Kind: connect, Namespace: "/admin"}},
	{`0/admin,{"a":{"b":[1]}}`, socketio.Packet{Kind: connect, Namespace: "/admin", Auth: `{"a":{"b":[1]}}`}},
	{`0/聊天,`, socketio.Packet{Kind: connect, Namespace: "/聊天"}},
	{`0/` + strings.Repeat("x", 255), socketio.Packet{Kind: connect, Namespace: "/" + strings.Repeat("x", 255)}},
	{`0{"__proto__":{"admin":true}}`, socketio.Packet{Kind: connect, Namespace: "/", Auth: `{"__proto__":{"admin":true}}`}},
	{`1`, socketio.Packet{Kind: disconnect, Namespace: "/"}},
	{`1/admin`, socketio.Packet{Kind: disconnect, Namespace: "/admin"}},
	{`1/admin,`, socketio.Packet{Kind: disconnect, Namespace: "/admin"}},
	{`2["e"]`, socketio.Packet{Kind: event, Namespace: "/", Name: "e"}},
	{`2["e",1,"x",null]`, socketio.Packet{Kind: event, Namespace: "/", Name: "e", Args: `1,"x",null`, Count: 3}},
	{`20["e"]`, socketio.Packet{Kind: event, Namespace: "/", ID: "0", Name: "e"}},
	{`2007["e"]`, socketio.Packet{Kind: event, Namespace: "/", ID: "7", Name: "e"}},
	{`2000["e"]`, socketio.Packet{Kind: event, Namespace: "/", ID: "0", Name: "e"}},
	{`29007199254740991["e"]`, socketio.Packet{Kind: event, Namespace: "/", ID: "9007199254740991", Name: "e"}},
	{`2/a,12["e",{"x":","}]`, socketio.Packet{Kind: event, Namespace: "/a", ID: "12", Name: "e", Args: `{"x":","}`, Count: 1}},
	{"2[ \"e\" , 1 ] ", socketio.Packet{Kind: event, Namespace: "/", Name: "e", Args: ` 1`, Count: 1}},
	{`2[""]`, socketio.Packet{Kind: event, Namespace: "/"}},
	{`2["say","😀"]`, socketio.Packet{Kind: event, Namespace: "/", Name: "say", Args: `"😀"`, Count: 1}},
	{`2["\u0065\n"]`, socketio.Packet{Kind: event, Namespace: "/", Name: "e\n"}},
	{`2["a\\\"b",2]`, socketio.Packet{Kind: event, Namespace: "/", Name: `a\"b`, Args: `2`, Count: 1}},
	{`2["\ud800"]`, socketio.Packet{Kind: event, Namespace: "/", Name: "\ufffd"}},
	{`2["e","\ud800\u0000"]`, socketio.Packet{Kind: event, Namespace: "/", Name: "e", Args: `"\ud800\u0000"`, Count: 1}},
	{`2["error","x"]`, socketio.Packet{Kind: event, Namespace: "/", Name: "error", Args: `"x"`, Count: 1}},
	{`2["__proto__",{"constructor":1,"constructor":2}]`, socketio.Packet{
		Kind: event, Namespace: "/", Name: "__proto__", Args: `{"constructor":1,"constructor":2}`, Count: 1,
	}},
	{`2[1,"x"]`, socketio.Packet{Kind: event, Namespace: "/", Name: "1", Args: `"x"`, Count: 1}},
	{`2[-1.50]`, socketio.Packet{Kind: event, Namespace: "/", Name: "-1.5"}},
	{`2[-0]`, socketio.Packet{Kind: event, Namespace: "/", Name: "0"}},
	{`2[1e2]`, socketio.Packet{Kind: event, Namespace: "/", Name: "100"}},
	{`2[1E+21]`, socketio.Packet{Kind: event, Namespace: "/", Name: "1e+21"}},
	{`2["e",1e400]`, socketio.Packet{Kind: event, Namespace: "/", Name: "e", Args: `1e400`, Count: 1}},
	{`2["e",{"_placeholder":true,"num":0}]`, socketio.Packet{
		Kind: event, Namespace: "/", Name: "e", Args: `{"_placeholder":true,"num":0}`, Count: 1,
	}},
	{`3[]`, socketio.Packet{Kind: ack, Namespace: "/"}},
	{`31[]`, socketio.Packet{Kind: ack, Namespace: "/", ID: "1"}},
	{`3/a,0[1, 2]`, socketio.Packet{Kind: ack, Namespace: "/a", ID: "0", Args: `1, 2`, Count: 2}},
	{`31["connect"]`, socketio.Packet{Kind: ack, Namespace: "/", ID: "1", Args: `"connect"`, Count: 1}},
	{`51-["e",{"_placeholder":true,"num":0}]`, socketio.Packet{
		Kind: event, Attachments: 1, Namespace: "/", Name: "e", Count: 1, // the placeholder is cut out
	}},
	{`510-/a,3["e"]`, socketio.Packet{Kind: event, Attachments: 10, Namespace: "/a", ID: "3", Name: "e"}},
	{`62-/a,3[]`, socketio.Packet{Kind: ack, Attachments: 2, Namespace: "/a", ID: "3"}},
	{`2["e",` + strings.Repeat("[", 511) + strings.Repeat("]", 511) + `]`, socketio.Packet{
		Kind: event, Namespace: "/", Name: "e", Args: strings.Repeat("[", 511) + strings.Repeat("]", 511), Count: 1,
	}},
}

func TestDecode(t *testing.T) {
	for _, test := range goodPackets {
		t.Run(short(test.text), func(t *testing.T) {
			for _, revision := range []int{3, 4} {
				got, err := socketio.Decode(revision, []byte(test.text))
				require.NoError(t, err)
				assert.Equal(t, test.want, got, "revision %d", revision)
			}
		})
	}
}

func TestDecodeQuery(t *testing.T) {
	const text = `0/foo?token=a%2Cb&x=1,`
	got, err := socketio.Decode(3, []byte(text))
	require.NoError(t, err)
	assert.Equal(t, socketio.Packet{Namespace: "/foo", Query: "token=a%2Cb&x=1"}, got)

	got, err = socketio.Decode(4, []byte(text))
	require.NoError(t, err)
	assert.Equal(t, socketio.Packet{Namespace: "/foo?token=a%2Cb&x=1"}, got, "no queries in revision 4")

	long := "0/foo?token=" + strings.Repeat("x", 1000)
	_, err = socketio.Decode(3, []byte(long))
	require.NoError(t, err, "the bound is on the namespace")
	_, err = socketio.Decode(4, []byte(long))
	assert.Error(t, err)
}

// badPackets are refused in both revisions.
var badPackets = []string{
	``, `7`, `9["e"]`, `a`, `-1`, ` 2["e"]`, "\x00", "\u0662[\"e\"]", // types
	`0[]`, `0"x"`, `0null`, `0 {}`, `0{`, `0{}{}`, `0{"a":}`, `01{}`, `0/a,1`, `0admin`, `0[`, // CONNECT
	`1{}`, `1[]`, `1"x"`, `10`, `1/a,{}`, // DISCONNECT
	`2`, `21`, `2/a`, `2/a,`, `2{}`, `2"x"`, `2null`, `2[]`, `2["e"`, `2["e"]x`, `2["e"][`, `2 ["e"]`, // EVENT
	`2[true]`, `2[null]`, `2[{"toString":"foo"}]`, `2[["e"]]`, `2[1e400]`, "2[\"e\",\"\x01\"]", "2[\"\x00\"]",
	`2["connect"]`, `2["connect_error"]`, `2["disconnect"]`, `2["disconnecting"]`, `2["newListener"]`,
	`2["removeListener"]`, `2["\u0063onnect"]`, `2[ "connect" ,1]`,
	`2/admin["e"]`,                      // everything up to a comma is the namespace
	`3`, `31`, `31{}`, `31"x"`, `3["e"`, // ACK
	`4`, `4{}`, `4"x"`, `4{"message":"x"}`, `4/a,{"message":"x"}`, // CONNECT_ERROR
	`2-1["e"]`, `2+1["e"]`, `21.5["e"]`, `21e3["e"]`, `29007199254740992["e"]`, `2abc["e"]`, // ids
	`2` + strings.Repeat("1", 400) + `["e"]`, `2` + strings.Repeat("0", 400) + `["e"]`,
	`5`, `51`, `5a-`, `51.23-`, `5999`, `5["e"]`, `5-["e"]`, `51e9-["e"]`, `51.5-["e"]`, `5+1-["e"]`, // attachments
	`50-["e"]`, `50-["x"]`, `501-["e"]`, `511-["e"]`, `599999-["x"]`, `5999999-["x"]`, `5--1-["e"]`, `60-[]`, `6-[]`, `6[]`,
	`5` + strings.Repeat("1", 100_000) + `-["e"]`, `5 1-["e"]`,
	"0/a\x1eb,", "0/a\x00", "0/\xff,", "0/a\x7f", // namespaces
	`0/` + strings.Repeat("x", 256) + `,`, `2/` + strings.Repeat("x", 1_000_000) + `,["e"]`,
	`2["e",` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `]`, // JSON
	`2["e",` + strings.Repeat("[", 512) + strings.Repeat("]", 512) + `]`,
	`0{"a":` + strings.Repeat("[", 512) + strings.Repeat("]", 512) + `}`,
	`2["e",` + strings.Repeat("1", 1_000_000) + `]`, `0{"a":` + strings.Repeat("1", 2000) + `}`,
	"2[\"\xff\"]", "2[\"e\",\"\xff\"]", "2[\"e\",{\"\xc3\x28\":1}]", // not UTF-8
	`51-[{"_placeholder":true,"num":0}]`, `51-[ {"_placeholder":true,"num":0} ,1]`, // a binary name
	`2["e",NaN]`, `2["e",01]`, `2["e",'x']`, `2["e",]`, `2["e",undefined]`,
}

func TestDecodeBad(t *testing.T) {
	for _, text := range badPackets {
		t.Run(short(text), func(t *testing.T) {
			for _, revision := range []int{3, 4} {
				_, err := socketio.Decode(revision, []byte(text))
				require.Error(t, err, "revision %d", revision)
				_, reason := session.Verdict(err)
				assert.Equal(t, session.ReasonParseError, reason)
				assert.Less(t, len(err.Error()), 200, "errors do not repeat the input")
			}
		})
	}
}

func TestDecodeAllocatesOnlyTheName(t *testing.T) {
	text := []byte(`2/admin,12["event",{"a":[1,2,3]},"text"]`)
	allocs := testing.AllocsPerRun(100, func() {
		if err := socketio.DecodeOnly(text); err != nil {
			t.Error(err)
		}
	})
	assert.LessOrEqual(t, allocs, 2.0, "one, but the race detector makes pools of the standard library forget")
}

// FuzzDecode checks that nothing panics and that what can be read can be written
// and read again with the same result.
func FuzzDecode(f *testing.F) {
	for _, test := range goodPackets {
		f.Add([]byte(test.text))
	}
	for _, text := range badPackets {
		f.Add([]byte(text[:min(len(text), 1000)]))
	}
	for _, test := range binaryPackets {
		f.Add([]byte(test.text))
	}
	for _, text := range badPlaceholders {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		_, _ = socketio.Decode(3, text)
		p, err := socketio.Decode(4, text)
		if err != nil || p.Kind != event && p.Kind != ack {
			return
		}
		m, err := socketio.Assemble(4, text, func(i int) []byte { return []byte{byte(i)} })
		if err != nil {
			return
		}
		if p.Kind == ack && m.ID == "" {
			return // such an ack answers nothing; nobody writes it
		}
		frames, err := socketio.Codec(engineio.Variant{Revision: 4}).Encode(nil, m)
		if err != nil {
			require.ErrorIs(t, err, socketio.ErrLookalike)
			return
		}
		require.Equal(t, byte('4'), frames[0].Payload()[0])
		again, err := socketio.Assemble(4, frames[0].Payload()[1:], func(i int) []byte { return frames[1+i].Payload() })
		require.NoError(t, err, "%q became %q", text, frames[0].Payload())
		assertEqualMessages(t, m, again)
	})
}

// assertEqualMessages compares what messages say, not how they hold it.
func assertEqualMessages(t *testing.T, want, got *session.Message) {
	t.Helper()
	assert.Equal(t, want.Kind, got.Kind)
	assert.Equal(t, want.Namespace, got.Namespace)
	assert.Equal(t, want.Name, got.Name)
	assert.Equal(t, want.ID, got.ID)
	assert.Equal(t, want.Args.Count, got.Args.Count)
	assert.Equal(t, string(want.Args.Text), string(got.Args.Text))
	require.Len(t, got.Args.Parts, len(want.Args.Parts))
	for i, p := range want.Args.Parts {
		assert.Equal(t, p.At, got.Args.Parts[i].At)
		assert.Equal(t, string(p.Data), string(got.Args.Parts[i].Data))
	}
}

func BenchmarkDecode(b *testing.B) {
	text := []byte(`2["e","` + strings.Repeat("x", 64) + `"]`)
	b.ReportAllocs()
	for b.Loop() {
		if err := socketio.DecodeOnly(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeBinary(b *testing.B) {
	text := []byte(`51-["e",{"_placeholder":true,"num":0}]`)
	data := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := socketio.Assemble(4, text, func(int) []byte { return data }); err != nil {
			b.Fatal(err)
		}
	}
}

// short is a name for a test.
func short(text string) string {
	if len(text) > 40 {
		return fmt.Sprintf("%q… %d bytes", text[:40], len(text))
	}
	return fmt.Sprintf("%q", text)
}
