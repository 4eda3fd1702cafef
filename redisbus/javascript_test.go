package redisbus_test

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// javascript reads JSON with binary parts as a client in JavaScript does: strings are 16-bit units,
// numbers are float64, -0 is not 0, and the last of several members with one key counts. It is
// written apart from the code under test.
type javascript struct {
	text  []byte
	parts []thinkws.Part
	pos   int
	// lossy makes infinite numbers null, as JSON.stringify does.
	lossy bool
}

// digest is what tells values apart.
type digest uint64

var digests = maphash.MakeSeed()

// seen returns what a client sees of a payload.
func seen(p thinkws.Payload, lossy bool) (values []digest, err error) {
	js := javascript{text: p.Text, parts: p.Parts, lossy: lossy}
	defer func() {
		if bad := recover(); bad != nil {
			err = fmt.Errorf("at %d of %.200q: %v", js.pos, p.Text, bad)
		}
	}()
	for i := range p.Count {
		if i > 0 {
			js.expect(',')
		}
		values = append(values, js.value())
	}
	if js.pos != len(js.text) || len(js.parts) > 0 {
		panic("something is left")
	}
	return values, nil
}

// requireSame checks that clients see the same of both.
func requireSame(t testing.TB, want, got thinkws.Payload, lossy bool) {
	t.Helper()
	wanted, err := seen(want, lossy)
	require.NoError(t, err, "what was sent")
	requireSeen(t, want, wanted, got, lossy)
}

// requireSeen checks that clients see of got what they see of want, which is wanted.
func requireSeen(t testing.TB, want thinkws.Payload, wanted []digest, got thinkws.Payload, lossy bool) {
	t.Helper()
	have, err := seen(got, lossy)
	require.NoError(t, err, "what was received")
	if !slices.Equal(wanted, have) {
		require.Fail(t, "clients see something else", "sent     %.600q %d\nreceived %.600q %d", want.Text, want.Parts, got.Text, got.Parts)
	}
}

func sum(kind byte, content []byte) digest {
	var h maphash.Hash
	h.SetSeed(digests)
	h.WriteByte(kind)
	h.Write(content)
	return digest(h.Sum64())
}

func (js *javascript) value() digest {
	js.space()
	if len(js.parts) > 0 && js.parts[0].At == js.pos {
		data := js.parts[0].Data
		js.parts = js.parts[1:]
		js.space()
		return sum('b', data)
	}
	var d digest
	switch c := js.text[js.pos]; c {
	case '{':
		d = js.object()
	case '[':
		d = js.array()
	case '"':
		d = sum('s', []byte(js.str()))
	case 't', 'f', 'n':
		word := map[byte]string{'t': "true", 'f': "false", 'n': "null"}[c]
		for i := range len(word) {
			js.expect(word[i])
		}
		d = sum('w', []byte(word))
	default:
		d = js.number()
	}
	js.space()
	return d
}

func (js *javascript) space() {
	for js.pos < len(js.text) && strings.IndexByte(" \t\r\n", js.text[js.pos]) >= 0 && (len(js.parts) == 0 || js.parts[0].At != js.pos) {
		js.pos++
	}
}

func (js *javascript) expect(c byte) {
	if js.text[js.pos] != c {
		panic(fmt.Sprintf("%q, not %q", js.text[js.pos], c))
	}
	js.pos++
}

// ends reports whether the list ends here.
func (js *javascript) ends(bracket byte) bool {
	js.space()
	return js.text[js.pos] == bracket && (len(js.parts) == 0 || js.parts[0].At != js.pos)
}

func (js *javascript) array() digest {
	js.expect('[')
	var content []byte
	for first := true; !js.ends(']'); first = false {
		if !first {
			js.expect(',')
		}
		content = binary.BigEndian.AppendUint64(content, uint64(js.value()))
	}
	js.expect(']')
	return sum('a', content)
}

func (js *javascript) object() digest {
	js.expect('{')
	members := map[string]digest{}
	for first := true; !js.ends('}'); first = false {
		if !first {
			js.expect(',')
			js.space()
		}
		key := js.str()
		js.space()
		js.expect(':')
		members[key] = js.value()
	}
	js.expect('}')
	var all uint64 // in whatever order
	for key, value := range members {
		all += uint64(sum('m', binary.BigEndian.AppendUint64([]byte(key), uint64(value))))
	}
	return sum('o', binary.BigEndian.AppendUint64(nil, all))
}

// str returns the 16-bit units of a string, as bytes.
func (js *javascript) str() string {
	js.expect('"')
	var units []byte
	for js.text[js.pos] != '"' {
		r, size := utf8.DecodeRune(js.text[js.pos:])
		switch {
		case r == utf8.RuneError && size == 1:
			panic("not UTF-8")
		case r < ' ':
			panic("a control character")
		case r == '\\':
			units = binary.BigEndian.AppendUint16(units, js.escape())
			continue
		case r < utf8.RuneSelf:
			units = append(units, 0, byte(r))
			js.pos++
			continue
		case r > 0xffff:
			r -= 0x10000
			units = binary.BigEndian.AppendUint16(units, 0xd800+uint16(r>>10))
			r = 0xdc00 + r&0x3ff
		}
		units = binary.BigEndian.AppendUint16(units, uint16(r))
		js.pos += size
	}
	js.pos++
	return string(units)
}

var plainEscapes = map[byte]uint16{'"': '"', '\\': '\\', '/': '/', 'b': 8, 'f': 12, 'n': 10, 'r': 13, 't': 9}

func (js *javascript) escape() uint16 {
	c := js.text[js.pos+1]
	if c != 'u' {
		js.pos += 2
		return plainEscapes[c]
	}
	unit, err := hex.DecodeString(string(js.text[js.pos+2 : js.pos+6]))
	if err != nil {
		panic(err)
	}
	js.pos += 6
	return binary.BigEndian.Uint16(unit)
}

func (js *javascript) number() digest {
	start := js.pos
	for js.pos < len(js.text) && strings.IndexByte("+-.0123456789Ee", js.text[js.pos]) >= 0 {
		js.pos++
	}
	f, err := strconv.ParseFloat(string(js.text[start:js.pos]), 64)
	if err != nil && !math.IsInf(f, 0) || js.text[start] == '+' {
		panic(cmp.Or(err, fmt.Errorf("no number")))
	}
	if math.IsInf(f, 0) && js.lossy {
		return sum('w', []byte("null"))
	}
	return sum('n', binary.BigEndian.AppendUint64(nil, math.Float64bits(f)))
}

// The comparison itself tells apart what JavaScript does, and nothing else.
func TestClientsTellValuesApart(t *testing.T) {
	one := func(text string) digest {
		values, err := seen(thinkws.Payload{Text: []byte(text), Count: 1}, false)
		require.NoError(t, err)
		return values[0]
	}
	for _, same := range [][]string{
		{"1", "1.0", "10e-1", "1E0"}, {"-0", "-0.0", "-0e5", "-1e-400"}, {"1e400", "2e999"}, {`"\ud83d\ude00"`, `"😀"`},
		{"9007199254740992", "9007199254740993"}, {`{"a":1,"a":2}`, `{"a":2}`}, {`{"a":1,"b":2}`, ` { "b" : 2 , "a" : 1 } `},
		{`"\u0000\n"`, `"\u0000\u000a"`}, {`"\/"`, `"/"`}, {"18446744073709551615", "18446744073709552000"},
	} {
		for _, text := range same[1:] {
			require.Equal(t, one(same[0]), one(text), text)
		}
	}
	different := []string{
		"0", "-0", "1", "-1", "1e400", "-1e400", "null", "true", "false", `"null"`, `""`, "[]", "{}", "[0]", "[[]]", `{"":0}`,
		`"\ud800"`, `"\ufffd"`, `"\udfff"`, `"\ud800\ud800"`, `{"\ud800":0}`, `{"\ufffd":0}`, `{"__proto__":{}}`, `{"a":1,"b":1}`, "[1,2]", "[2,1]",
	}
	known := map[digest]string{}
	for _, text := range different {
		d := one(text)
		require.Empty(t, known[d], text)
		known[d] = text
	}
}
