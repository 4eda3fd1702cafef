package socketio_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/socketio"
)

// binaryPackets are packets with attachments "0", "1", … and what they say, each
// attachment as <n>.
var binaryPackets = []struct {
	text string
	want string
}{
	{`51-["e",{"_placeholder":true,"num":0}]`, `<0>`},
	{`51-["e",{"num":0,"_placeholder":true}]`, `<0>`},
	{"51-[\"e\", {\n\t\"_placeholder\" : true ,\r\n \"num\" : 0 } ]", ` <0>`},
	{`51-["e",1,{"_placeholder":true,"num":0},"x"]`, `1,<0>,"x"`},
	{`52-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, `<0>,<1>`},
	{`52-["e",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]`, `<1>,<0>`},
	{`51-["e",{"a":[{"b":{"_placeholder":true,"num":0}}]}]`, `{"a":[{"b":<0>}]}`},
	{`51-["e", { "a" : [ 1 , { "_placeholder":true,"num":0 } ] , "b" : "{ , }" } ]`, ` { "a" : [ 1 , <0> ] , "b" : "{ , }" }`},
	{`51-["e","{\"_placeholder\":true,\"num\":0}",{"_placeholder":true,"num":0}]`, `"{\"_placeholder\":true,\"num\":0}",<0>`},
	{`51-["e",{"_placeholder":false,"num":0},{"_placeholder":true,"num":0}]`, `{"_placeholder":false,"num":0},<0>`},
	{`51-["e",{"_placeholder":true,"num":7,"x":1},{"_placeholder":true,"num":0}]`, `{"_placeholder":true,"num":7,"x":1},<0>`},
	{`51-["e",{"num":0},{"_placeholder":true},{"_placeholder":true,"num":0}]`, `{"num":0},{"_placeholder":true},<0>`},
	{`51-["e",{},{"_placeholder":true,"num":0},{}]`, `{},<0>,{}`},
	{`61-/a,5[{"_placeholder":true,"num":0}]`, `<0>`},
	{`61-5[{"_placeholder":true,"num":0}, -12.5e3 ]`, `<0>, -12.5e3`},
	{`61-5[{"num":"` + strings.Repeat("x", 200) + `","_placeholder":true},{"_placeholder":true,"num":0}]`,
		`{"num":"` + strings.Repeat("x", 200) + `","_placeholder":true},<0>`},
	{tenPlaceholders(), `<0>,<1>,<2>,<3>,<4>,<5>,<6>,<7>,<8>,<9>`},
}

func tenPlaceholders() string {
	all := make([]string, 10)
	for i := range all {
		all[i] = fmt.Sprintf(`{"_placeholder":true,"num":%d}`, i)
	}
	return `510-["e",` + strings.Join(all, ",") + `]`
}

func digit(i int) []byte { return fmt.Append(nil, i) }

func TestAssemble(t *testing.T) {
	for _, test := range binaryPackets {
		t.Run(short(test.text), func(t *testing.T) {
			m, err := socketio.Assemble(4, []byte(test.text), digit)
			require.NoError(t, err)
			got := m.Args.AppendJSON(nil, func(dst []byte, _ int, data []byte) []byte {
				return fmt.Appendf(dst, "<%s>", data)
			})
			assert.Equal(t, test.want, string(got))
		})
	}
}

func TestAssembleValues(t *testing.T) {
	m, err := socketio.Assemble(4, []byte(`52-["e", 1 ,{"_placeholder":true,"num":1},{"a":{"_placeholder":true,"num":0}}]`), digit)
	require.NoError(t, err)
	require.Equal(t, 3, m.Args.Count)

	second, ok := m.Args.At(1)
	require.True(t, ok)
	data, ok := second.Bytes()
	require.True(t, ok, "a placeholder alone is a binary value")
	assert.Equal(t, "1", string(data))

	values := m.Args.Values()
	require.Len(t, values, 3)
	assert.JSONEq(t, `{"a":"MA=="}`, string(values[2]))
}

// badPlaceholders are packets whose placeholders do not name each attachment once.
var badPlaceholders = []string{
	`51-["hello",{"_placeholder":true,"num":"splice"}]`,
	`51-["e",{"_placeholder":true,"num":"0"}]`,
	`51-["e",{"num":"0","_placeholder":true}]`,
	`51-["e",{"_placeholder":true,"num":-1}]`,
	`51-["e",{"_placeholder":true,"num":1}]`,
	`51-["e",{"_placeholder":true,"num":1000000000}]`,
	`51-["e",{"_placeholder":true,"num":99999999999999999999}]`,
	`51-["e",{"_placeholder":true,"num":1.5}]`,
	`51-["e",{"_placeholder":true,"num":0.0}]`,
	`51-["e",{"_placeholder":true,"num":0e0}]`,
	`51-["e",{"_placeholder":true,"num":null}]`,
	`51-["e",{"_placeholder":true,"num":true}]`,
	`51-["e",{"_placeholder":true,"num":[0]}]`,
	`51-["e",{"_placeholder":true,"num":{}}]`,
	`51-["e",{"_placeholder":true}]`,
	`51-["e",{"_placeholder":"true","num":0}]`,
	`51-["e",{"_placeholder":1,"num":0}]`,
	`51-["e",{"_placeholder":true,"num":0,"num":0}]`,
	`51-["e",{"_placeholder":true,"_placeholder":true}]`,
	`51-["e",{"num":0,"num":0}]`,
	`51-["e",{"_placeholder":true,"num":0,"x":1}]`,
	`51-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]`,
	`51-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":"0"}]`,
	`52-["e",{"_placeholder":true,"num":0}]`,
	`52-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]`,
	`51-["e"]`,
	`51-["e",{}]`,
	`61-1[]`,
	`51-["e",{"_placeholder":true,` + strings.Repeat(" ", 200) + `"num":0}]`,
	`51-["e",` + strings.Repeat(`{"_placeholder":true,"num":0},`, 100_000) + `0]`,
}

func TestAssembleBad(t *testing.T) {
	for _, text := range badPlaceholders {
		t.Run(short(text), func(t *testing.T) {
			_, err := socketio.Assemble(4, []byte(text), digit)
			require.Error(t, err)
			_, reason := session.Verdict(err)
			assert.Equal(t, session.ReasonParseError, reason)
		})
	}
}
