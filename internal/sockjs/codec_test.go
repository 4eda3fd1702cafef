package sockjs_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/jsonevent"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/sockjs"
)

// Every character of the basic plane is escaped if the protocol says so, and only then.
func TestQuoteEveryCharacter(t *testing.T) {
	short := map[rune]string{'\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '"': `\"`, '\\': `\\`}
	in := func(r, from, to rune) bool { return from <= r && r <= to }
	for r := rune(0); r <= 0xffff; r++ {
		if in(r, 0xd800, 0xdfff) {
			continue // Go's strings hold no surrogates
		}
		want := string(r)
		switch {
		case short[r] != "":
			want = short[r]
		case in(r, 0, 0x1f) || in(r, 0x200c, 0x200f) || in(r, 0x2028, 0x202f) || in(r, 0x2060, 0x206f) || in(r, 0xfff0, 0xffff):
			want = fmt.Sprintf(`\u%04x`, r)
		}
		require.Equal(t, `"x`+want+`y"`, sockjs.Quote("x"+string(r)+"y", false), "U+%04X", r)
		if strings.ContainsRune("<>&'", r) {
			want = fmt.Sprintf(`\u%04x`, r)
		}
		require.Equal(t, `"`+want+`"`, sockjs.Quote(string(r), true), "U+%04X in a script", r)
	}
}

func TestQuoteText(t *testing.T) {
	for text, want := range map[string]string{
		"":                         `""`,
		"plain":                    `"plain"`,
		"😀 ü €":                    `"😀 ü €"`,
		"\xff\xc3(\xe2\x80":        `"\ufffd\ufffd(\ufffd\ufffd"`,
		"a\x00\u200cb\u2028\uffff": `"a\u0000\u200cb\u2028\uffff"`,
		"</script><!--&'":          `"</script><!--&'"`,
		"\x7f\u0080\u00ad\u2027":   "\"\x7f\u0080\u00ad\u2027\"",
	} {
		assert.Equal(t, want, sockjs.Quote(text, false))
	}
	assert.Equal(t, `"\u003c/script\u003e\u003c!--\u0026\u0027\u2028"`, sockjs.Quote("</script><!--&'\u2028", true))
}

func TestUnquote(t *testing.T) {
	for value, want := range map[string]string{
		`""`:                         "",
		`"plain"`:                    "plain",
		`"\"\\\/\b\f\n\r\t"`:         "\"\\/\b\f\n\r\t",
		`"\u0000\u00FC\u20ac\u20AC"`: "\x00ü€€",
		`"x\ud83d\ude00y"`:           "x😀y",
		`"\ud83d"`:                   "\ufffd",
		`"\ude00\ud83d"`:             "\ufffd\ufffd",
		`"\ud83dx\u0041"`:            "\ufffdxA",
		`"\ud83d\u0041"`:             "\ufffdA",
		`"\ud83d\n"`:                 "\ufffd\n",
		`"ü😀\\"`:                     "ü😀\\",
		`"{\"event\":\"a\\u0062\"}"`: `{"event":"a\u0062"}`,
	} {
		assert.Equal(t, want, sockjs.Unquote(value), value)
	}
}

func FuzzQuote(f *testing.F) {
	for _, seed := range []string{"", "a", "\x00\u2028\u200c", "😀", "\xff\xfe", "</script>", `\u0041"`, "\ufffe\uffff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want := strings.ToValidUTF8(text, "")
		for _, script := range []bool{false, true} {
			quoted := sockjs.Quote(text, script)
			require.True(t, utf8.ValidString(quoted))
			var got string
			require.NoError(t, json.Unmarshal([]byte(quoted), &got))
			require.Equal(t, []rune(text), []rune(got))
			require.Equal(t, got, sockjs.Unquote(quoted))
			require.NotContains(t, quoted, "\n")
			if script {
				require.NotContains(t, quoted, "<")
			}
			if want == text {
				require.Equal(t, text, got)
			}
		}
	})
}

func FuzzUnquote(f *testing.F) {
	for _, seed := range []string{`""`, `"a"`, `"\u0041\ud83d\ude00"`, `"\ud83d"`, `"\\\/\"\b"`, `"\ude00\ud83d\u00"`, `"ü😀"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		var want string
		if !strings.HasPrefix(value, `"`) || !strings.HasSuffix(value, `"`) || !utf8.ValidString(value) || json.Unmarshal([]byte(value), &want) != nil {
			return
		}
		require.Equal(t, want, sockjs.Unquote(value))
	})
}

func payloads(t *testing.T, c session.Codec, m *session.Message) string {
	t.Helper()
	frames, err := m.Frames(c)
	require.NoError(t, err)
	require.Len(t, frames, 1)
	assert.False(t, frames[0].Binary)
	assert.True(t, utf8.Valid(frames[0].Payload()))
	return string(frames[0].Payload())
}

func TestEncode(t *testing.T) {
	binary := session.Args{Count: 1, Parts: []session.Part{{Data: []byte("hi")}}}
	for name, tt := range map[string]struct {
		m                    *session.Message
		json, strings, plain string // framed JSON, framed raw strings, unframed raw strings; "" for an error
	}{
		"an event": {
			event("say", `"hello"`),
			`a["{\"event\":\"say\",\"data\":\"hello\"}"]`, `a["{\"event\":\"say\",\"data\":\"hello\"}"]`, `{"event":"say","data":"hello"}`,
		},
		"a string": {event("message", `"he\u006clo\n"`), `a["{\"event\":\"message\",\"data\":\"he\\u006clo\\n\"}"]`, `a["hello\n"]`, "hello\n"},
		"a fragile string": {
			event("message", "\"\u2028\\uffff\""), `a["{\"event\":\"message\",\"data\":\"\u2028\\uffff\"}"]`, `a["\u2028\uffff"]`, "\u2028\uffff",
		},
		"a padded string": {event("message", ` "x" `), `a["{\"event\":\"message\",\"data\": \"x\" }"]`, `a["x"]`, "x"},
		"nothing":         {event("message"), `a["{\"event\":\"message\"}"]`, `a[""]`, ""},
		"an object":       {event("message", `{"a":"<"}`), `a["{\"event\":\"message\",\"data\":{\"a\":\"<\"}}"]`, `a["{\"a\":\"<\"}"]`, `{"a":"<"}`},
		"several":         {event("message", `1`, `"x"`), `a["{\"event\":\"message\",\"data\":[1,\"x\"]}"]`, `a["[1,\"x\"]"]`, `[1,"x"]`},
		"binary":          {&session.Message{Name: "message", Args: binary}, `a["{\"event\":\"message\",\"data\":\"aGk=\"}"]`, `a["aGk="]`, "aGk="},
		"an answer":       {&session.Message{Kind: session.Answer, ID: "7"}, `a["{\"rid\":7}"]`, `a["{\"rid\":7}"]`, `{"rid":7}`},
		"a question":      {&session.Message{Name: "message", ID: "7"}, `a["{\"event\":\"message\",\"cid\":7}"]`, "", ""},
		"a failure": {
			&session.Message{Kind: session.Answer, Failure: &session.Failure{Name: "N", Message: "m"}},
			`a["{\"error\":{\"name\":\"N\",\"message\":\"m\"}}"]`, `a["{\"error\":{\"name\":\"N\",\"message\":\"m\"}}"]`, `{"error":{"name":"N","message":"m"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			tt.json = strings.ReplaceAll(tt.json, "\u2028", `\u2028`)
			assert.Equal(t, tt.json, payloads(t, sockjs.Codec, tt.m))
			if name == "a question" {
				for _, c := range []session.Codec{sockjs.Strings, sockjs.Unframed} {
					_, err := tt.m.Frames(c)
					assert.ErrorContains(t, err, "cannot answer")
				}
				return
			}
			assert.Equal(t, tt.strings, payloads(t, sockjs.Strings, tt.m))
			assert.Equal(t, tt.plain, payloads(t, sockjs.Unframed, tt.m))
		})
	}
}

// What is not UTF-8, which a json.RawMessage may hold, becomes U+FFFD on every wire.
func TestEncodeWhatIsNotUTF8(t *testing.T) {
	m := event("message", "\"a\xffb\"")
	assert.Equal(t, `a["{\"event\":\"message\",\"data\":\"a\ufffdb\"}"]`, payloads(t, sockjs.Codec, m))
	assert.Equal(t, `a["a\ufffdb"]`, payloads(t, sockjs.Strings, m))
	assert.Equal(t, "a\ufffdb", payloads(t, sockjs.Unframed, m))
}

// A broadcast is quoted once for all clients, and those without framing share what plain
// WebSockets get.
func TestEncodesOnce(t *testing.T) {
	m := event("say", `"hello"`)
	for _, c := range []session.Codec{sockjs.Codec, sockjs.Strings, sockjs.Unframed, jsonevent.Codec{}} {
		a, err := m.Frames(c)
		require.NoError(t, err)
		b, err := m.Frames(c)
		require.NoError(t, err)
		assert.Same(t, &a[0].Payload()[0], &b[0].Payload()[0])
	}
}

func TestArrayFrame(t *testing.T) {
	frame := func(text string) session.Frame {
		frames, err := event("message", sockjs.Quote(text, false)).Frames(sockjs.Strings)
		require.NoError(t, err)
		return frames[0]
	}
	assert.Equal(t, `a["x"]`, sockjs.ArrayFrame(frame("x")))
	assert.Equal(t, `a["x","","],["]`, sockjs.ArrayFrame(frame("x"), frame(""), frame("],[")))
}

func TestCloseFrame(t *testing.T) {
	assert.Equal(t, `c[1000,"Normal closure"]`, sockjs.CloseFrame(1000, "Normal closure"))
	assert.Equal(t, `c[3000,"Go \"away\"\u2028"]`, sockjs.CloseFrame(3000, "Go \"away\"\u2028"))
}

func TestWrap(t *testing.T) {
	const f = "a[\"100% </script>\\u2028\"]"
	for name, want := range map[string]string{
		"xhr":           f + "\n",
		"xhr_streaming": f + "\n",
		"eventsource":   "data: a[\"100%25 </script>\\u2028\"]\r\n\r\n",
		"htmlfile":      "<script>\np(\"a[\\\"100% \\u003c/script\\u003e\\\\u2028\\\"]\");\n</script>\r\n",
		"jsonp":         "/**/cb(\"a[\\\"100% \\u003c/script\\u003e\\\\u2028\\\"]\");\r\n",
	} {
		assert.Equal(t, want, sockjs.Wrap(name, f, "cb"), name)
	}
	assert.Equal(t, "data: %25%25x%25\r\n\r\n", sockjs.Wrap("eventsource", "%%x%", ""))
}
