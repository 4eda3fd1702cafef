package arguments_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/arguments"
)

// marshaler and textMarshaler are values of the service that write whatever they like.
type marshaler string

func (m marshaler) MarshalJSON() ([]byte, error) { return []byte(m), nil }

type textMarshaler string

func (m textMarshaler) MarshalText() ([]byte, error) { return []byte(m), nil }

type pointerText struct {
	Raw json.RawMessage `json:"raw"`
}

func (*pointerText) MarshalText() ([]byte, error) { return []byte("text"), nil }

type mixed struct {
	Raw   json.RawMessage `json:"raw"`
	Bin   []byte          `json:"bin,omitempty"`
	After string          `json:"after"`
}

type list struct {
	Next *list
	Data marshaler
}

// Text that is not UTF-8 makes clients drop their connection, so none leaves the encoder. R stands for U+FFFD.
func TestEncodedTextIsUTF8(t *testing.T) {
	raw := json.RawMessage("\"a\xffb\"")
	for _, tt := range []struct {
		value any
		want  string
	}{
		{raw, `"aRb"`},
		{json.RawMessage("\"\xc3\""), `"R"`},            // cut before the quote
		{json.RawMessage("\"\xed\xa0\x80\""), `"R"`},    // a surrogate
		{json.RawMessage("{\"k\xff\":1}"), `{"kR":1}`},  // a key
		{json.RawMessage("[ \"\xff\" ]"), `[ "R" ]`},    // as it is, but for that
		{json.RawMessage(`"\ud800 é😀"`), `"\ud800 é😀"`}, // an escape is UTF-8
		{&raw, `"aRb"`},
		{marshaler(raw), `"aRb"`},
		{[]marshaler{marshaler(raw)}, `["aRb"]`},
		{[]json.RawMessage{raw}, `["aRb"]`},
		{map[string]json.RawMessage{"x\xff": raw}, `{"xR":"aRb"}`},
		{[]any{1, raw, "s\xff"}, `[1,"aRb","sR"]`},
		{map[string]any{"deep": []any{marshaler(raw)}}, `{"deep":["aRb"]}`},
		{list{Data: "1", Next: &list{Data: marshaler(raw)}}, `{"Next":{"Next":null,"Data":"aRb"},"Data":1}`},
		{textMarshaler("a\xffb"), `"aRb"`},
		{pointerText{raw}, `{"raw":"aRb"}`}, // a method that cannot be called
		{&pointerText{raw}, `"text"`},
		{map[textMarshaler]int{"k\xff": 1}, `{"kR":1}`},
		{mixed{Raw: raw, After: "é"}, `{"raw":"aRb","after":"é"}`},
		{&mixed{Raw: raw, Bin: []byte("\xff"), After: "é"}, `{"raw":"aRb","bin":"/w==","after":"é"}`},
		{[]any{[]byte("\xff"), raw, []byte("\xfe")}, `["/w==","aRb","/g=="]`},
		{"a\xffb", `"aRb"`},
		{struct{ Text string }{"a\xffb"}, `{"Text":"aRb"}`},
	} {
		args, err := encode("first", tt.value, "last")
		require.NoError(t, err)
		got := string(args.JSON())
		assert.True(t, utf8.ValidString(got), "%#v: %q", tt.value, got)
		got = strings.ReplaceAll(got, `\ufffd`, "\uFFFD") // the same, as encoding/json writes it
		assert.Equal(t, `"first",`+strings.ReplaceAll(tt.want, "R", "\uFFFD")+`,"last"`, got, "%#v", tt.value)
	}
}

func BenchmarkEncodeNotASCII(b *testing.B) {
	chinese := strings.Repeat("你好", 100)
	for name, value := range map[string]any{
		"string": chinese,
		"struct": struct {
			Text string `json:"text"`
		}{chinese},
		"plain struct": struct {
			Name string `json:"name"`
			Age  int    `json:"age"`
		}{"ann", 7},
		"raw":        json.RawMessage(`"` + chinese + `"`),
		"raw, ASCII": json.RawMessage(`"` + strings.Repeat("x", 600) + `"`),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			encoder, dst, values := arguments.NewEncoder(), make([]byte, 0, 4096), []any{value}
			for b.Loop() {
				_, _ = encoder.Encode(dst, values)
			}
		})
	}
}
