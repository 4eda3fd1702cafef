package session_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := session.NewID()
		require.Regexp(t, `^[A-Za-z0-9_-]{20}$`, id)
		require.False(t, seen[id])
		seen[id] = true
	}
}

func TestNewIDOf(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := session.NewIDOf("n-_9")
		require.Regexp(t, `^n-_9[A-Za-z0-9_-]{16}$`, id)
		require.Equal(t, "n-_9", session.NodeOf(id))
		require.False(t, seen[id])
		seen[id] = true
	}
	assert.Len(t, session.NewIDOf(""), 20)
}

func TestNodeOf(t *testing.T) {
	for id, want := range map[string]string{
		"n1aBAAAAAAAAAAAAAAAA":  "n1aB",
		"n1aBAAAAAAAAAAAAAAA":   "", // 19
		"n1aBAAAAAAAAAAAAAAAAA": "", // 21
		"n1aBAAAAAAAAAAAAAAA.":  "",
		"n1/BAAAAAAAAAAAAAAAA":  "",
		"":                      "",
	} {
		assert.Equal(t, want, session.NodeOf(id), id)
	}
	for node, want := range map[string]bool{"n1aB": true, "-_-_": true, "n1a": false, "n1aBc": false, "n1a.": false, "n1é": false, "": false} {
		assert.Equal(t, want, session.IsNode(node), node)
	}
}

func TestMark(t *testing.T) {
	mark := func(query, id string) uint64 {
		return session.Mark(&http.Request{URL: &url.URL{RawQuery: query}, Header: http.Header{"X-Request-Id": {id}}})
	}
	assert.Zero(t, mark("EIO=4&transport=polling&sid=a", ""), "nothing to know it by")
	assert.NotZero(t, mark("", "a"))
	assert.NotZero(t, mark("t=1", ""))
	one, again := mark("transport=polling&t=1", "a"), mark("transport=polling&t=1", "a")
	assert.Equal(t, one, again)
	assert.NotEqual(t, mark("transport=polling&t=1", ""), mark("transport=polling&t=2", ""))
	assert.NotEqual(t, mark("transport=polling", "a"), mark("transport=polling", "b"))

	r := new(http.Request)
	assert.False(t, session.IsRelayed(r))
	assert.True(t, session.IsRelayed(r.WithContext(session.Relay(r.Context()))))
}

func TestVerdict(t *testing.T) {
	code, reason := session.Verdict(session.ErrOverrun)
	assert.Equal(t, session.ClosePolicy, code)
	assert.Equal(t, session.ReasonOverrun, reason)
	code, _ = session.Verdict(session.ErrPolicy)
	assert.Equal(t, session.ClosePolicy, code)
	code, reason = session.Verdict(errors.New("anything else"))
	assert.Equal(t, session.CloseProtocol, code)
	assert.Equal(t, session.ReasonParseError, reason)
}

func TestFrameHeader(t *testing.T) {
	for _, tt := range []struct {
		size   int
		header []byte
	}{
		{0, []byte{0x81, 0}},
		{125, []byte{0x81, 125}},
		{126, []byte{0x81, 126, 0, 126}},
		{65535, []byte{0x81, 126, 0xff, 0xff}},
		{65536, []byte{0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
	} {
		payload := []byte(strings.Repeat("x", tt.size))
		half := tt.size / 2
		f := session.TextFrame(payload[:half], payload[half:])
		assert.Equal(t, tt.size, f.Len())
		assert.Equal(t, payload, f.Payload())
		assert.Equal(t, append(tt.header, payload...), f.WebSocket())
		assert.False(t, f.Binary)
	}
	f := session.BinaryFrame([]byte{1})
	assert.True(t, f.Binary)
	assert.Equal(t, []byte{0x82, 1, 1}, f.WebSocket())
}

func TestParseArray(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, tt := range []struct {
		text   string
		values []string
		bad    bool
	}{
		{text: `[]`},
		{text: " [ ] "},
		{text: `["a"]`, values: []string{`"a"`}},
		{text: `["a",1,null]`, values: []string{`"a"`, `1`, `null`}},
		{text: ` [ "a" , {"b":[1,2]} ] `, values: []string{`"a" `, ` {"b":[1,2]}`}},
		{text: `["a,b","\",\\",["x,y"]]`, values: []string{`"a,b"`, `"\",\\"`, `["x,y"]`}},
		{text: `["😀","\ud83d"]`, values: []string{`"😀"`, `"\ud83d"`}},
		{text: deep(512), values: []string{deep(511)}},
		{text: deep(513), bad: true},
		{text: `[` + strings.Repeat("1", 1024) + `]`, values: []string{strings.Repeat("1", 1024)}},
		{text: `[` + strings.Repeat("1", 1025) + `]`, bad: true},
		{text: `["` + strings.Repeat("1", 2000) + `"]`, values: []string{`"` + strings.Repeat("1", 2000) + `"`}},
		{text: ``, bad: true},
		{text: `{}`, bad: true},
		{text: `"a"`, bad: true},
		{text: `["a"`, bad: true},
		{text: `["a"]x`, bad: true},
		{text: `[1,]`, bad: true},
	} {
		args, err := session.ParseArray([]byte(tt.text), session.Depth)
		if tt.bad {
			assert.Error(t, err, "%.60s", tt.text)
			continue
		}
		require.NoError(t, err, "%.60s", tt.text)
		assert.Equal(t, len(tt.values), args.Count)
		var got []string
		for _, v := range args.Values() {
			got = append(got, string(v))
		}
		assert.Equal(t, tt.values, got)
	}
}

// withParts is [1,<a>,{"b":<b>,"c":"x"},<c>]: binary parts first, in the middle and last.
func withParts() session.Args {
	text := `1,,{"b":,"c":"x"},`
	return session.Args{Text: []byte(text), Count: 4, Parts: []session.Part{
		{At: 2, Data: []byte("A")}, {At: 8, Data: []byte("B")}, {At: 18, Data: []byte("C")}}}
}

func TestArgsWithBinary(t *testing.T) {
	args := withParts()
	assert.JSONEq(t, `[1,"QQ==",{"b":"Qg==","c":"x"},"Qw=="]`, "["+string(args.JSON())+"]")
	var values []string
	for _, v := range args.Values() {
		values = append(values, string(v))
	}
	want := []string{`1`, `"QQ=="`, `{"b":"Qg==","c":"x"}`, `"Qw=="`}
	assert.Equal(t, want, values)
	for i := range 4 {
		arg, ok := args.At(i)
		require.True(t, ok)
		assert.Equal(t, want[i], string(arg.JSON()))
		data, whole := arg.Bytes()
		assert.Equal(t, i == 1 || i == 3, whole)
		if whole {
			assert.Len(t, data, 1)
		}
	}
	_, ok := args.At(4)
	assert.False(t, ok)
	_, ok = args.At(-1)
	assert.False(t, ok)
}

func TestArgsFirst(t *testing.T) {
	rest := withParts()
	for _, want := range []string{`1`, `"QQ=="`, `{"b":"Qg==","c":"x"}`, `"Qw=="`} {
		var first session.Args
		first, rest = rest.First()
		assert.Equal(t, 1, first.Count)
		assert.Equal(t, want, string(first.JSON()))
	}
	assert.Equal(t, session.Args{}, rest)
	first, _ := rest.First()
	assert.Zero(t, first.Count)
}

// countingCodec counts how often it encodes. The pointer is its identity.
type countingCodec struct{ calls *int }

func (c countingCodec) Encode(dst []session.Frame, m *session.Message) ([]session.Frame, error) {
	*c.calls++
	return append(dst, session.TextFrame([]byte(m.Name))), nil
}

func TestMessageEncodesOncePerVariant(t *testing.T) {
	one, two := new(int), new(int)
	m := &session.Message{Name: "e"}
	for range 100 {
		for _, codec := range []countingCodec{{one}, {two}} {
			frames, err := m.Frames(codec)
			require.NoError(t, err)
			require.Equal(t, "e", string(frames[0].Payload()))
		}
	}
	assert.Equal(t, 1, *one)
	assert.Equal(t, 1, *two)
}

// readingCodec reads another form of the message while it encodes its own.
type readingCodec struct{ other countingCodec }

func (c readingCodec) Encode(dst []session.Frame, m *session.Message) ([]session.Frame, error) {
	if _, err := m.Frames(c.other); err != nil {
		return nil, err
	}
	return append(dst, session.TextFrame([]byte("read"))), nil
}

// A broadcast asks for the form of each recipient's variant, so reading one must not wait. With a lock, this test does
// not come to its end.
func TestMessageIsReadWithoutALock(t *testing.T) {
	calls := new(int)
	m := &session.Message{Name: "e"}
	_, err := m.Frames(countingCodec{calls})
	require.NoError(t, err)
	frames, err := m.Frames(readingCodec{countingCodec{calls}})
	require.NoError(t, err)
	assert.Equal(t, "read", string(frames[0].Payload()))
	assert.Equal(t, 1, *calls)
}

// numberedCodec counts its calls for each number.
type numberedCodec struct {
	number int
	calls  *[4]atomic.Int32
}

func (c numberedCodec) Encode(dst []session.Frame, _ *session.Message) ([]session.Frame, error) {
	c.calls[c.number].Add(1)
	return append(dst, session.TextFrame([]byte{byte('0' + c.number)})), nil
}

func TestMessageEncodesOncePerVariantForAllGoroutines(t *testing.T) {
	for range 200 {
		m := &session.Message{Name: "e"}
		var calls [4]atomic.Int32
		var all sync.WaitGroup
		for g := range 8 {
			all.Go(func() {
				for i := range 8 {
					n := (g + i) % len(calls)
					frames, err := m.Frames(numberedCodec{n, &calls})
					assert.NoError(t, err)
					assert.Equal(t, string(rune('0'+n)), string(frames[0].Payload()))
					assert.Equal(t, session.MessageStart, frames[0].Part())
				}
			})
		}
		all.Wait()
		for n := range calls {
			assert.Equal(t, int32(1), calls[n].Load())
		}
	}
}

func FuzzParseArray(f *testing.F) {
	for _, seed := range []string{`[]`, `["a",{"b":[1,"]"]}]`, `["\"",1e5]`, `[[[`, `[" , "]`, ` [null ,true] `} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		args, err := session.ParseArray(text, session.Depth)
		if err != nil {
			return
		}
		var want []json.RawMessage
		require.NoError(t, json.Unmarshal(text, &want))
		got := args.Values()
		require.Len(t, got, len(want))
		for i := range want {
			require.Equal(t, string(want[i]), strings.Trim(string(got[i]), " \t\r\n"))
			at, ok := args.At(i)
			require.True(t, ok)
			require.Equal(t, string(want[i]), strings.Trim(string(at.JSON()), " \t\r\n"))
		}
	})
}

// What is valid is what encoding/json takes for valid.
func FuzzValidJSON(f *testing.F) {
	for _, seed := range []string{``, ` `, `null`, `nul`, `-0.5e+10`, `01`, `1.`, `-`, `1e`, `"\u00e9"`, `"\u00g9"`, `"\x"`, `"\`, "\"\x00\"", "\"\xff\"",
		`{"a":[1,{}],"b":""}`, `{"a"}`, `{"a":}`, `{,}`, `{1:2}`, `[1,]`, `[,1]`, `[1 2]`, `[]]`, ` [ ] `, `{"a":1,}`, `truefalse`, "\v1", `1 1`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		require.Equal(t, json.Valid(text), session.ValidJSON(text), "%q", text)
	})
}

func BenchmarkCheckJSON(b *testing.B) {
	text := []byte(`["message",{"id":12345,"from":"somebody","text":"what there is to say"},[1,2.5,true,null]]`)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if err := session.CheckJSON(text, session.Depth); err != nil {
			b.Fatal(err)
		}
	}
}
