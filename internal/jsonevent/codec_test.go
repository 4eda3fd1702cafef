package jsonevent_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/jsonevent"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

func TestEncode(t *testing.T) {
	binary := session.Args{Text: []byte(`"a",{"b":},`), Count: 3, Parts: []session.Part{
		{At: 9, Data: []byte("\x00\xff")}, {At: 11, Data: nil},
	}}
	tests := map[string]struct {
		m    *session.Message
		want string
	}{
		"no arguments":      {event("tick"), `{"event":"tick"}`},
		"one":               {event("say", `"hello"`), `{"event":"say","data":"hello"}`},
		"null":              {event("say", `null`), `{"event":"say","data":null}`},
		"an array":          {event("say", `[1,2]`), `{"event":"say","data":[1,2]}`},
		"several":           {event("say", `1`, `{"a":[]}`, `"x"`), `{"event":"say","data":[1,{"a":[]},"x"]}`},
		"name with quotes":  {event("a\"b\\\n"), `{"event":"a\"b\\\n"}`},
		"name not UTF-8":    {event("a\xff"), `{"event":"a\ufffd"}`},
		"wants an answer":   {&session.Message{Name: "ask", ID: "7"}, `{"event":"ask","cid":7}`},
		"data and an id":    {&session.Message{Name: "ask", ID: "7", Args: event("", "1", "2").Args}, `{"event":"ask","data":[1,2],"cid":7}`},
		"binary":            {&session.Message{Name: "b", Args: binary}, `{"event":"b","data":["a",{"b":"AP8="},""]}`},
		"only binary":       {&session.Message{Name: "b", Args: session.Args{Count: 1, Parts: []session.Part{{Data: []byte("hi")}}}}, `{"event":"b","data":"aGk="}`},
		"answer":            {&session.Message{Kind: session.Answer, ID: `7`, Args: event("", "3").Args}, `{"rid":7,"data":3}`},
		"answer of several": {&session.Message{Kind: session.Answer, ID: `"x"`, Args: event("", "3", "4").Args}, `{"rid":"x","data":[3,4]}`},
		"empty answer":      {&session.Message{Kind: session.Answer, ID: `1.50`}, `{"rid":1.50}`},
		"failure": {
			&session.Message{Kind: session.Answer, ID: `7`, Failure: &session.Failure{Name: "NotFound", Message: `no "x"`}},
			`{"rid":7,"error":{"name":"NotFound","message":"no \"x\""}}`,
		},
		"failure with data": {
			&session.Message{Kind: session.Answer, ID: `7`, Failure: &session.Failure{Name: "E", Data: json.RawMessage(`{"a":1}`)}},
			`{"rid":7,"error":{"name":"E","message":"","data":{"a":1}}}`,
		},
		"failure of nothing": {
			&session.Message{Kind: session.Answer, Failure: &session.Failure{Name: "E", Message: "m"}},
			`{"error":{"name":"E","message":"m"}}`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			frames, err := tt.m.Frames(jsonevent.Codec{})
			require.NoError(t, err)
			require.Len(t, frames, 1)
			assert.Equal(t, tt.want, string(frames[0].Payload()))
			assert.False(t, frames[0].Binary)
			assert.True(t, json.Valid(frames[0].Payload()))
		})
	}
}

func TestEncodesOnce(t *testing.T) {
	m := event("say", `"hello"`)
	a, err := m.Frames(jsonevent.Codec{})
	require.NoError(t, err)
	b, err := m.Frames(jsonevent.Codec{})
	require.NoError(t, err)
	assert.Same(t, &a[0].Payload()[0], &b[0].Payload()[0])
}

func TestDecodeEvents(t *testing.T) {
	tests := map[string]struct {
		text string
		name string
		data string // "-" means none
		id   string
	}{
		"no data":                  {`{"event":"x"}`, "x", "-", ""},
		"string":                   {`{"event":"x","data":"y"}`, "x", `"y"`, ""},
		"null":                     {`{"event":"x","data":null}`, "x", `null`, ""},
		"an array is one argument": {`{"event":"x","data":[1,2]}`, "x", `[1,2]`, ""},
		"object":                   {`{"event":"x","data":{"event":"y","}":"]"}}`, "x", `{"event":"y","}":"]"}`, ""},
		"number at the end":        {`{"event":"x","data":-1.5e3}`, "x", `-1.5e3`, ""},
		"white space":              {" \t\r\n{ \"event\" : \"x\" ,\n\"data\" : [ 1 , 2 ] , \"cid\" : 5 } \n", "x", `[ 1 , 2 ]`, "5"},
		"data first":               {`{"data":true,"event":"x"}`, "x", `true`, ""},
		"number as cid":            {`{"event":"x","cid":12}`, "x", "-", "12"},
		"zero as cid":              {`{"event":"x","cid":0}`, "x", "-", "0"},
		"odd number as cid":        {`{"event":"x","cid":-1.50E+2}`, "x", "-", "-1.50E+2"},
		"string as cid":            {`{"event":"x","cid":"a\u00e9\"b"}`, "x", "-", `"a\u00e9\"b"`},
		"empty cid":                {`{"event":"x","cid":""}`, "x", "-", `""`},
		"cid of 64 bytes":          {`{"event":"x","cid":"` + strings.Repeat("c", 62) + `"}`, "x", "-", `"` + strings.Repeat("c", 62) + `"`},
		"unknown members":          {`{"namespace":"/y","event":"x","$":{"data":1},"data":2}`, "x", "2", ""},
		"dangerous members":        {`{"__proto__":{"event":"y"},"constructor":1,"event":"x"}`, "x", "-", ""},
		"event wins over rid":      {`{"rid":1,"event":"x"}`, "x", "-", ""},
		"case matters":             {`{"event":"x","Event":"y","EVENT":"z","Data":1,"Cid":2,"CID":3}`, "x", "-", ""},
		"folded letters":           {`{"event":"x","ſ":1,"daTa":1}`, "x", "-", ""},
		"last of several":          {`{"event":"x","event":"y","data":1,"data":2,"cid":1,"cid":2}`, "y", "2", "2"},
		"escaped member":           {`{"\u0065vent":"x","d\u0061ta":1}`, "x", "1", ""},
		"escaped name":             {`{"event":"\u0078\n\ud83d\ude00"}`, "x\n😀", "-", ""},
		"lone surrogate":           {`{"event":"x\ud800","data":"\udfff"}`, "x\uFFFD", `"\udfff"`, ""},
		"NUL":                      {`{"event":"x\u0000","data":"\u0000"}`, "x\x00", `"\u0000"`, ""},
		"reserved, but inside":     {`{"event":"reopen"}`, "reopen", "-", ""},
		"huge number":              {`{"event":"x","data":1e400}`, "x", "1e400", ""},
		"depth of 511":             {`{"event":"x","data":` + strings.Repeat("[", 511) + strings.Repeat("]", 511) + `}`, "x", strings.Repeat("[", 511) + strings.Repeat("]", 511), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m, reason, _ := jsonevent.Decode([]byte(tt.text))
			require.Empty(t, reason)
			assert.Equal(t, session.Event, m.Kind)
			assert.Equal(t, tt.name, m.Name)
			assert.Equal(t, tt.id, m.ID)
			assert.Empty(t, m.Args.Parts)
			if tt.data == "-" {
				assert.Zero(t, m.Args.Count)
				return
			}
			assert.Equal(t, 1, m.Args.Count)
			assert.Equal(t, tt.data, string(m.Args.Text))
		})
	}
}

func TestDecodeAnswers(t *testing.T) {
	tests := map[string]struct {
		text    string
		id      string
		data    string // "-" means none
		failure *session.Failure
	}{
		"data":                {`{"rid":7,"data":[1]}`, "7", "[1]", nil},
		"nothing":             {`{"rid":7}`, "7", "-", nil},
		"rid as a string":     {`{"rid":"7","data":1}`, "7", "1", nil},
		"null as error":       {`{"rid":7,"error":null,"data":1}`, "7", "1", nil},
		"error":               {`{"rid":7,"error":{"name":"N","message":"m\u0021"}}`, "7", "-", &session.Failure{Name: "N", Message: "m!"}},
		"error wins":          {`{"rid":7,"data":1,"error":{"name":"N"}}`, "7", "-", &session.Failure{Name: "N"}},
		"error with data":     {`{"rid":7,"error":{"data":{"a":1},"code":3}}`, "7", "-", &session.Failure{Data: json.RawMessage(`{"a":1}`)}},
		"error with odd ones": {`{"rid":7,"error":{"name":1,"message":[],"Message":"x"}}`, "7", "-", &session.Failure{}},
		"error as a string":   {`{"rid":7,"error":"no"}`, "7", "-", &session.Failure{Message: "no"}},
		"error as a number":   {`{"rid":7,"error":404}`, "7", "-", &session.Failure{Data: json.RawMessage(`404`)}},
		"cid means nothing":   {`{"rid":7,"cid":{}}`, "7", "-", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m, reason, _ := jsonevent.Decode([]byte(tt.text))
			require.Empty(t, reason)
			assert.Equal(t, session.Answer, m.Kind)
			assert.Equal(t, tt.id, m.ID)
			assert.Empty(t, m.Name)
			assert.Equal(t, tt.failure, m.Failure)
			if tt.data == "-" {
				assert.Zero(t, m.Args.Count)
				return
			}
			assert.Equal(t, tt.data, string(m.Args.Text))
		})
	}
}

func TestDecodeMalformed(t *testing.T) {
	tests := map[string]struct {
		text   string
		reason string
		cid    string
	}{
		"nothing":            {``, "not valid JSON", ""},
		"white space":        {`  `, "not valid JSON", ""},
		"no JSON":            {`hello`, "not valid JSON", ""},
		"half a frame":       {`{"event":"x"`, "not valid JSON", ""},
		"two frames":         {`{"event":"x"}{"event":"y"}`, "not valid JSON", ""},
		"byte order mark":    {"\uFEFF" + `{"event":"x"}`, "not valid JSON", ""},
		"string":             {`"event"`, "not a JSON object", ""},
		"array":              {`["event","x"]`, "not a JSON object", ""},
		"null":               {`null`, "not a JSON object", ""},
		"empty object":       {`{}`, "neither event nor rid", ""},
		"only data":          {`{"data":1}`, "neither event nor rid", ""},
		"other case":         {`{"Event":"x","cid":4}`, "neither event nor rid", "4"},
		"only a bad cid":     {`{"cid":{}}`, "neither event nor rid", ""},
		"event is empty":     {`{"event":"","cid":4}`, "event is not a string", "4"},
		"event is a number":  {`{"event":1}`, "event is not a string", ""},
		"event is null":      {`{"event":null,"rid":1}`, "event is not a string", ""},
		"event is an object": {`{"event":{"toString":"x"},"cid":"c"}`, "event is not a string", `"c"`},
		"cid is null":        {`{"event":"x","cid":null}`, "cid is not", ""},
		"cid is true":        {`{"event":"x","cid":true}`, "cid is not", ""},
		"cid is an array":    {`{"event":"x","cid":[1]}`, "cid is not", ""},
		"cid is an object":   {`{"event":"x","cid":{}}`, "cid is not", ""},
		"cid of 65 bytes":    {`{"event":"x","cid":"` + strings.Repeat("c", 63) + `"}`, "cid is not", ""},
		"cid of 65 digits":   {`{"event":"x","cid":` + strings.Repeat("1", 65) + `}`, "cid is not", ""},
		"rid is null":        {`{"rid":null}`, "rid is not", ""},
		"rid is an object":   {`{"rid":{},"cid":4}`, "rid is not", ""},
		"rid too long":       {`{"rid":` + strings.Repeat("1", 65) + `}`, "rid is not", ""},
		"number too long":    {`{"event":"x","data":` + strings.Repeat("1", 1_000_000) + `}`, "number too long", ""},
		"depth of 513":       {`{"event":"x","data":` + strings.Repeat("[", 512) + strings.Repeat("]", 512) + `}`, "nested too deep", ""},
		"depth of 100,000":   {strings.Repeat(`{"event":`, 100_000), "JSON nested too deep", ""},
		"deep and closed":    {strings.Repeat(`[`, 100_000) + strings.Repeat(`]`, 100_000), "JSON nested too deep", ""},
		"control character":  {"{\"event\":\"a\x00\"}", "not valid JSON", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m, reason, cid := jsonevent.Decode([]byte(tt.text))
			assert.Nil(t, m)
			assert.Contains(t, reason, tt.reason)
			assert.Equal(t, tt.cid, cid)
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"event":"x"}`, `{"event":"x","data":[1,2],"cid":1}`, `{"event":"x","data":null,"cid":"a\"b"}`,
		`{"rid":1,"data":{"a":[]}}`, `{"rid":"1","error":{"name":"N","message":"m","data":1}}`,
		`{"rid":1,"error":"no"}`, ` { "\u0065vent" : "\ud800\u0000" , "data" : -1e9 } `,
		`{"Event":"x","EVENT":1,"event":"y","event":"z"}`, `{"event":"#x","cid":""}`, `{}`, `[]`, `"`, `{"event":`,
		`{"__proto__":{},"event":"\\"}`, `{"data":"}","event":"]"}`, strings.Repeat("[", 600) + strings.Repeat("]", 600),
		`{"event":"x","data":1e400}`, "{\"event\":\"\xff\"}", `{"event":"x","cid":` + strings.Repeat("9", 80) + `}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, reason, cid := jsonevent.Decode(text)
		if !utf8.Valid(text) {
			return // must not panic, but does not get here: the WebSocket is closed with 1007
		}
		if m == nil {
			require.NotEmpty(t, reason)
			require.LessOrEqual(t, len(cid), 64)
			require.True(t, cid == "" || json.Valid([]byte(cid)))
			return
		}
		checkAgainstMap(t, text, m)
		if m.Kind == session.Event {
			checkRoundTrip(t, m)
		}
	})
}

// checkAgainstMap compares with what encoding/json reads where case matters.
func checkAgainstMap(t *testing.T, text []byte, m *session.Message) {
	t.Helper()
	var members map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(text, &members))
	if m.Kind == session.Event {
		var name string
		require.NoError(t, json.Unmarshal(members["event"], &name))
		require.Equal(t, name, m.Name)
		require.Equal(t, string(members["cid"]), m.ID)
	} else {
		require.NotContains(t, members, "event")
		require.Equal(t, strings.Trim(string(members["rid"]), `"`), m.ID)
	}
	if m.Failure == nil {
		require.Equal(t, string(members["data"]), string(m.Args.Text))
	}
}

func checkRoundTrip(t *testing.T, m *session.Message) {
	t.Helper()
	frames, err := m.Frames(jsonevent.Codec{})
	require.NoError(t, err)
	again, reason, _ := jsonevent.Decode(frames[0].Payload())
	require.Empty(t, reason)
	require.Equal(t, m.Name, again.Name)
	require.Equal(t, m.ID, again.ID)
	require.Equal(t, string(m.Args.Text), string(again.Args.Text))
	require.Equal(t, m.Args.Count, again.Args.Count)
}
