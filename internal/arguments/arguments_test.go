package arguments_test

import (
	"encoding/json"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/arguments"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

type named []byte

type inner struct {
	Bin  []byte `json:"bin"`
	Text string `json:"text,omitempty"`
}

type pointerMarshaler struct{ n int }

func (p *pointerMarshaler) MarshalJSON() ([]byte, error) { return json.Marshal([]int{p.n}) }

type tree struct {
	Leaf  []byte  `json:"leaf,omitempty"`
	Child []*tree `json:"child,omitempty"`
}

type outer struct {
	inner
	*named2
	Skip   []byte `json:"-"`
	hidden []byte
	Null   []byte
	Empty  []byte `json:"empty,omitempty"`
	Any    any    `json:"any"`
	Array  [2]int
	Time   time.Time        `json:"time"`
	Ptr    pointerMarshaler `json:"ptr"`
	Raw    json.RawMessage  `json:"raw"`
}

type named2 struct {
	More named `json:"more"`
}

// What is not binary must read exactly as encoding/json writes it, and binary as the
// base64 string that encoding/json would have written, once it is put back.
func encode(values ...any) (session.Args, error) { return arguments.NewEncoder().Encode(nil, values) }

func TestEncodeArgsAgreesWithEncodingJSON(t *testing.T) {
	_ = outer{}.hidden
	values := []any{
		nil, true, 1, int64(-7), uint8(3), 1.5, "plain", "quote\" \\ \n é 😀 \u2028 <&>", "\xff",
		json.RawMessage(`{"a":[1,2]}`), json.RawMessage(nil),
		[]string{"a"}, map[string]int{"x": 1}, [3]byte{1, 2, 3}, struct{}{},
		time.Unix(0, 0).UTC(), net.IPv4(1, 2, 3, 4), &pointerMarshaler{4}, []pointerMarshaler{{5}},
		[]byte("binary"), named("named"), []byte(nil),
		[]any{1, []byte("x"), map[string]any{"b": []byte("y"), "n": nil}},
		map[int][]byte{7: []byte("seven"), 8: nil},
		map[string]any{"deep": map[string]any{"er": []any{[]byte("z")}}},
		inner{Bin: []byte("i")}, &inner{Bin: []byte{}, Text: "t"}, (*inner)(nil), inner{},
		[]inner{{Bin: []byte("1")}, {Text: "2"}},
		[2][]byte{[]byte("a"), []byte("b")},
		&tree{Leaf: []byte("l"), Child: []*tree{{Leaf: []byte("m")}, nil, {}}},
		outer{inner: inner{Bin: []byte("emb")}, named2: &named2{named("more")}, Empty: []byte{}, Any: []byte("any"),
			Array: [2]int{1, 2}, Ptr: pointerMarshaler{6}, Raw: json.RawMessage(`[]`)},
		outer{}, &outer{Any: 1, Null: []byte{0}},
	}
	for _, v := range values {
		args, err := encode(v)
		require.NoError(t, err, "%#v", v)
		want, err := json.Marshal(v)
		require.NoError(t, err)
		require.Equal(t, 1, args.Count)
		assert.JSONEq(t, string(want), string(args.JSON()), "%#v", v)
	}
	all, err := encode(values...)
	require.NoError(t, err)
	assert.Len(t, all.Values(), len(values))
	for i, got := range all.Values() {
		want, _ := json.Marshal(values[i])
		assert.JSONEq(t, string(want), string(got))
	}
}

func TestEncodeArgsCutsBinaryOut(t *testing.T) {
	for _, tt := range []struct {
		value any
		text  string
		parts []string
	}{
		{[]byte("a"), "", []string{"a"}},
		{[]byte{}, "", []string{""}},
		{named("n"), "", []string{"n"}},
		{inner{Bin: []byte("b"), Text: "t"}, `{"bin":,"text":"t"}`, []string{"b"}},
		{[]any{[]byte("1"), 2, []byte("3")}, `[,2,]`, []string{"1", "3"}},
		{[]inner{{Bin: []byte("x")}, {Bin: []byte("y")}}, `[{"bin":},{"bin":}]`, []string{"x", "y"}},
		{[4]byte{1, 2, 3, 4}, `[1,2,3,4]`, nil},
		{net.IPv4(1, 2, 3, 4), `"1.2.3.4"`, nil},
		{"binary", `"binary"`, nil},
		{struct {
			B []byte `json:"b,omitempty"`
		}{[]byte{}}, `{}`, nil},
	} {
		args, err := encode(tt.value)
		require.NoError(t, err)
		assert.Equal(t, tt.text, string(args.Text))
		var parts []string
		for _, p := range args.Parts {
			parts = append(parts, string(p.Data))
		}
		assert.Equal(t, tt.parts, parts)
	}
}

func TestEncodeArgsRefusesBrokenRawMessage(t *testing.T) {
	for _, raw := range []string{`{`, `1,2`, `"a`, `]`} {
		_, err := encode(json.RawMessage(raw))
		assert.Error(t, err, raw)
	}
}

func BenchmarkEncodeArgs(b *testing.B) {
	type user struct {
		Name string `json:"name"`
		Age  int    `json:"age"`
	}
	for name, value := range map[string]any{
		"string": "a message of sixty-four bytes, more or less, as in the benches",
		"raw":    json.RawMessage(`{"name":"ann","age":7}`),
		"struct": user{"ann", 7},
		"binary": inner{Bin: make([]byte, 64)},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				_, _ = encode(value)
			}
		})
	}
}
