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
	code, reason := session.Verdict(session.ErrPolicy)
	assert.Equal(t, session.ClosePolicy, code)
	assert.Equal(t, session.ReasonParseError, reason)
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

// Where the first values end is noted while they are checked; the others are found by walking. Neither shows.
func TestValuesOfLongArrays(t *testing.T) {
	values := []string{`"a,b"`, `[1,[2,"]"]]`, `{"c":{"d":","}}`, `-1.5e3`, `null`, `"\"e"`, `[]`, `{}`, `"last"`}
	for n := range len(values) + 1 {
		for _, space := range []string{"", " \n"} {
			text := space + "[" + space + strings.Join(values[:n], space+","+space) + space + "]" + space
			args, err := session.ParseArray([]byte(text), session.Depth)
			require.NoError(t, err)
			require.Equal(t, n, args.Count)
			for i, value := range args.All() {
				assert.Equal(t, values[i], strings.Trim(string(value.Text), " \n"))
			}
			for i := range n {
				value, ok := args.At(i)
				assert.True(t, ok)
				assert.Equal(t, values[i], strings.Trim(string(value.Text), " \n"))
			}
			for i := range n {
				var first session.Args
				first, args = args.First()
				assert.Equal(t, values[i], strings.Trim(string(first.Text), " \n"))
				assert.Equal(t, n-i-1, args.Count)
				for k, value := range args.All() {
					assert.Equal(t, values[i+1+k], strings.Trim(string(value.Text), " \n"))
				}
			}
		}
	}
}

// cutNumbers cuts out the objects {"n":<digit>} and gives each part its digit.
func cutNumbers(text string) (session.Args, error) {
	var digits []string
	args, err := session.CutArray([]byte(text), session.Depth, func(object []byte) bool {
		digit, ok := strings.CutPrefix(string(object), `{"n":`)
		if ok {
			digits = append(digits, strings.TrimSuffix(digit, "}"))
		}
		return ok
	})
	for i := range args.Parts {
		args.Parts[i].Data = []byte(digits[i])
	}
	return args, err
}

func TestCutArray(t *testing.T) {
	for text, want := range map[string][]string{
		`[]`:                                    nil,
		`[{"n":1}]`:                             {`<1>`},
		`[{"n":1},2,{"n":3}]`:                   {`<1>`, `2`, `<3>`},
		`[ {"n":1} , 2 , {"n":3} ]`:             {`<1>`, `2`, `<3>`},
		`["e",{"a":[{"n":1},{"b":{"n":2}}]},3]`: {`"e"`, `{"a":[<1>,{"b":<2>}]}`, `3`},
		`["{\"n\":1}",{},{"m":1},{"n":2}]`:      {`"{\"n\":1}"`, `{}`, `{"m":1}`, `<2>`},
		`[1,{"n":2},3,{"n":4},5,{"n":6},7,8]`:   {`1`, `<2>`, `3`, `<4>`, `5`, `<6>`, `7`, `8`},
		`[{"n":1},{"n":2},{"n":3},{"n":4},{"n":5},{"n":6},{"n":7}]`: {`<1>`, `<2>`, `<3>`, `<4>`, `<5>`, `<6>`, `<7>`},
	} {
		args, err := cutNumbers(text)
		require.NoError(t, err)
		for rest := args; len(want) > 0; want = want[1:] {
			for i, value := range rest.All() {
				got := value.AppendJSON(nil, func(dst []byte, _ int, data []byte) []byte { return append(append(append(dst, '<'), data...), '>') })
				assert.Equal(t, want[i], strings.TrimSpace(string(got)), text)
				data, whole := value.Bytes()
				assert.Equal(t, strings.HasPrefix(want[i], "<"), whole, text)
				if whole {
					assert.Equal(t, want[i], "<"+string(data)+">")
				}
			}
			_, rest = rest.First()
		}
	}
	for _, text := range []string{`{"a":{"n":1}}`, `{"n":1}`, `[{"n":1}`, `[{"n":1},]`, `[{"n":1}]x`, ``} {
		_, err := cutNumbers(text)
		assert.Error(t, err, text)
	}
}

// The check of the grammar is the check of the characters, too. Outside of strings there are none but ASCII.
func TestTextOfClientsIsUTF8(t *testing.T) {
	for text, ok := range map[string]bool{
		`["é€😀"]`: true, "[\"\ufffd\"]": true, `{"é":1}`: true, `["\ud800"]`: true,
		"[\"\xff\"]": false, "[\"\xe2\x82\"]": false, "{\"\xc3\x28\":1}": false, "[\"\xed\xa0\x80\"]": false, "[\"\xc0\x80\"]": false,
		"[\xff]": false, "[\u00a0]": false,
	} {
		assert.Equal(t, ok, session.CheckJSON([]byte(text), session.Depth) == nil, "%q", text)
		_, err := session.ParseArray([]byte(text), session.Depth)
		assert.Equal(t, ok && text[0] == '[', err == nil, "%q", text)
		assert.Equal(t, ok, session.Each([]byte(text), session.Depth, func(_, _ []byte) {}) == nil, "%q", text)
	}
	clean, err := session.Clean([]byte("[\"a\xff\"]"), session.Depth)
	require.NoError(t, err)
	assert.Equal(t, "[\"a\ufffd\"]", string(clean), "text of the service is corrected")
}

func TestEach(t *testing.T) {
	for text, want := range map[string][]string{
		`{}`: nil, `[]`: nil, `1`: nil, ` { "a" : 1 , "\u0062" : {"c":[2,3]} } `: {`a=1`, `b={"c":[2,3]}`},
		`{"a":[{"b":1}],"":"x"}`: {`a=[{"b":1}]`, `="x"`}, `["a", {"b":1} ,[2] ]`: {`="a"`, `={"b":1}`, `=[2]`},
	} {
		var got []string
		require.NoError(t, session.Each([]byte(text), session.Depth, func(key, value []byte) {
			got = append(got, string(key)+"="+string(value))
		}))
		assert.Equal(t, want, got)
	}
}

// The scanner is called for every event.
func TestParsingAllocatesNothing(t *testing.T) {
	array, object := []byte(`["e",{"a":[1,2]},3]`), []byte(`{"event":"e","data":[1,2]}`)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		args, err := session.ParseArray(array, session.Depth)
		_, args = args.First()
		_, ok := args.At(1)
		if err != nil || !ok {
			panic("bad test")
		}
	}))
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		members := 0
		if err := session.Each(object, session.Depth, func(_, _ []byte) { members++ }); err != nil || members != 2 {
			panic("bad test")
		}
	}))
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
		_, err := session.Clean(text, session.MaxDepth)
		require.Equal(t, json.Valid(text), err == nil, "%q", text)
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
