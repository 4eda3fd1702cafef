package socketio_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/socketio"
)

var (
	raw4    = engineio.Variant{Revision: 4}
	base4   = engineio.Variant{Revision: 4, Base64: true}
	raw3    = engineio.Variant{Revision: 3}
	base3   = engineio.Variant{Revision: 3, Base64: true}
	allWire = []engineio.Variant{raw4, base4, raw3, base3}
)

func args(text string, count int, parts ...session.Part) session.Args {
	return session.Args{Text: []byte(text), Count: count, Parts: parts}
}

func TestEncodeText(t *testing.T) {
	tests := []struct {
		m    *session.Message
		want string
	}{
		{&session.Message{Namespace: "/", Name: "e"}, `42["e"]`},
		{&session.Message{Name: "e"}, `42["e"]`},
		{&session.Message{Namespace: "/", Name: "e", Args: args(`1,{"a":2}`, 2)}, `42["e",1,{"a":2}]`},
		{&session.Message{Namespace: "/admin", Name: "e"}, `42/admin,["e"]`},
		{&session.Message{Namespace: "/", Name: "e", ID: "0"}, `420["e"]`},
		{&session.Message{Namespace: "/admin", Name: "e", ID: "17", Args: args(`"x"`, 1)}, `42/admin,17["e","x"]`},
		{&session.Message{Kind: session.Answer, Namespace: "/", ID: "3"}, `433[]`},
		{&session.Message{Kind: session.Answer, Namespace: "/a", ID: "3", Args: args(`1,2`, 2)}, `43/a,3[1,2]`},
		{&session.Message{Namespace: "/", Name: ""}, `42[""]`},
		{&session.Message{Namespace: "/", Name: "<b>&"}, `42["<b>&"]`},
		{&session.Message{Namespace: "/", Name: "a\"\\\n\x1e"}, `42["a\"\\\n\u001e"]`},
		{&session.Message{Namespace: "/", Name: "\u2028\u2029"}, `42["\u2028\u2029"]`},
		{&session.Message{Namespace: "/", Name: "聊天"}, `42["聊天"]`},
		{&session.Message{Namespace: "/", Name: "\xff"}, `42["\ufffd"]`},
		{&session.Message{Namespace: "/", Name: "e", Args: args(`{"_placeholder":true,"num":0}`, 1)}, `42["e",{"_placeholder":true,"num":0}]`},
		{&session.Message{Kind: session.Answer, Namespace: "/", ID: "3", Args: args(`1`, 1), Failure: &session.Failure{
			Name: "Forbidden", Message: "not <you>",
		}}, `433[{"error":{"name":"Forbidden","message":"not <you>"}}]`},
		{&session.Message{Kind: session.Answer, Namespace: "/", ID: "3", Failure: &session.Failure{
			Name: "BadRequest", Message: "m", Data: json.RawMessage(`{"field": 1}`),
		}}, `433[{"error":{"name":"BadRequest","message":"m","data":{"field":1}}}]`},
	}
	for _, test := range tests {
		t.Run(test.want, func(t *testing.T) {
			for _, v := range allWire {
				frames, err := test.m.Frames(socketio.Codec(v))
				require.NoError(t, err)
				require.Len(t, frames, 1)
				assert.Equal(t, test.want, string(frames[0].Payload()))
				assert.False(t, frames[0].Binary)
			}
		})
	}
}

func TestEncodeBinary(t *testing.T) {
	m := session.Message{Namespace: "/a", Name: "e", ID: "5", Args: args(
		`,{"x":},1`, 3, session.Part{At: 0, Data: []byte("one")}, session.Part{At: 6, Data: []byte("two")},
	)}
	const text = `452-/a,5["e",{"_placeholder":true,"num":0},{"x":{"_placeholder":true,"num":1}},1]`
	tests := []struct {
		variant  engineio.Variant
		one, two string
		binary   bool
	}{
		{raw4, "one", "two", true},
		{raw3, "\x04one", "\x04two", true},
		{base4, "bb25l", "bdHdv", false},
		{base3, "b4b25l", "b4dHdv", false},
	}
	for _, test := range tests {
		frames, err := m.Frames(socketio.Codec(test.variant))
		require.NoError(t, err)
		require.Len(t, frames, 3)
		assert.Equal(t, text, string(frames[0].Payload()))
		assert.False(t, frames[0].Binary)
		assert.Equal(t, test.one, string(frames[1].Payload()), "%+v", test.variant)
		assert.Equal(t, test.two, string(frames[2].Payload()), "%+v", test.variant)
		assert.Equal(t, test.binary, frames[1].Binary)
	}
}

func TestEncodeBinaryAnswer(t *testing.T) {
	m := session.Message{Kind: session.Answer, Namespace: "/", ID: "8", Args: args(``, 1, session.Part{Data: []byte("x")})}
	frames, err := m.Frames(socketio.Codec(raw4))
	require.NoError(t, err)
	assert.Equal(t, `461-8[{"_placeholder":true,"num":0}]`, string(frames[0].Payload()))

	m = session.Message{Kind: session.Answer, ID: "8", Failure: &session.Failure{Message: "m"}, Args: m.Args}
	frames, err = m.Frames(socketio.Codec(raw4))
	require.NoError(t, err)
	require.Len(t, frames, 1, "a failure has no attachments")
	assert.Equal(t, `438[{"error":{"message":"m"}}]`, string(frames[0].Payload()))
}

func TestEncodeOncePerVariant(t *testing.T) {
	m := session.Message{Namespace: "/", Name: "e"}
	first, err := m.Frames(socketio.Codec(raw4))
	require.NoError(t, err)
	second, err := m.Frames(socketio.Codec(engineio.Variant{Revision: 4}))
	require.NoError(t, err)
	assert.Same(t, &first[0], &second[0])
}

func TestEncodeRefuses(t *testing.T) {
	part := session.Part{Data: []byte("x")}
	tests := map[string]*session.Message{
		"id of an event":        {Namespace: "/", Name: "e", ID: `"x"`},
		"signed id":             {Namespace: "/", Name: "e", ID: `-1`},
		"answer without id":     {Kind: session.Answer, Namespace: "/"},
		"comma in namespace":    {Namespace: "/a,b", Name: "e"},
		"no slash":              {Namespace: "a", Name: "e"},
		"broken failure data":   {Kind: session.Answer, ID: "1", Failure: &session.Failure{Data: json.RawMessage(`{`)}},
		"lookalike":             {Name: "e", Args: args(`,{"_placeholder":true}`, 2, part)},
		"deep lookalike":        {Name: "e", Args: args(`,[{"a":{"num":1, "_placeholder" : true}}]`, 2, part)},
		"lookalike in disguise": {Name: "e", Args: args(`,{"\u005fplaceh\u006flder":true}`, 2, part)},
	}
	for name, m := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := m.Frames(socketio.Codec(raw4))
			assert.Error(t, err)
		})
	}
	harmless := session.Message{Name: "e", Args: args(`,"_placeholder",{"_placeholder":false,"\u0061":"_placeholder\":true"}`, 3, part)}
	_, err := harmless.Frames(socketio.Codec(raw4))
	assert.NoError(t, err)
}

func BenchmarkEncode(b *testing.B) {
	c := socketio.Codec(raw4)
	m := &session.Message{Namespace: "/", Name: "e", Args: args(`"`+strings.Repeat("x", 64)+`"`, 1)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Encode(nil, m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeBinary(b *testing.B) {
	c := socketio.Codec(raw4)
	m := &session.Message{Namespace: "/", Name: "e", Args: args("", 1, session.Part{Data: make([]byte, 64)})}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Encode(nil, m); err != nil {
			b.Fatal(err)
		}
	}
}
