package engineio_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

var (
	v4    = engineio.Variant{Revision: 4}
	v4b64 = engineio.Variant{Revision: 4, Base64: true}
	v3    = engineio.Variant{Revision: 3}
	v3b64 = engineio.Variant{Revision: 3, Base64: true}
)

func text(data string) engineio.Packet   { return engineio.Packet{Type: '4', Data: data} }
func binary(data string) engineio.Packet { return engineio.Packet{Type: '4', Binary: true, Data: data} }

func TestFrames(t *testing.T) {
	for name, c := range map[string]struct {
		frame  session.Frame
		want   string
		binary bool
	}{
		"text":               {v4.TextPacket([]byte("a"), []byte("€")), "4a€", false},
		"no text":            {v4.TextPacket(), "4", false},
		"binary":             {v4.BinaryPacket([]byte{1, 2}), "\x01\x02", true},
		"binary base64":      {v4b64.BinaryPacket([]byte{1, 2, 3, 4}), "bAQIDBA==", false},
		"revision 3 text":    {v3.TextPacket([]byte("a")), "4a", false},
		"revision 3 binary":  {v3.BinaryPacket([]byte{1, 2}), "\x04\x01\x02", true},
		"revision 3 base64":  {v3b64.BinaryPacket([]byte{1, 2, 3, 4}), "b4AQIDBA==", false},
		"binary of no bytes": {v4.BinaryPacket(nil), "", true},
	} {
		assert.Equal(t, c.want, string(c.frame.Payload()), name)
		assert.Equal(t, c.binary, c.frame.Binary, name)
	}
}

func TestEncode(t *testing.T) {
	for name, c := range map[string]struct {
		variant engineio.Variant
		frames  []session.Frame
		want    string
		binary  bool
	}{
		"one": {v4, []session.Frame{v4.TextPacket([]byte("hello"))}, "4hello", false},
		"several": {v4, []session.Frame{v4.TextPacket([]byte("a")), v4.BinaryPacket([]byte{1, 2, 3, 4}), v4.TextPacket([]byte("€"))},
			"4a\x1ebAQIDBA==\x1e4€", false},
		"base64":              {v4b64, []session.Frame{v4b64.BinaryPacket([]byte{1, 2, 3, 4})}, "bAQIDBA==", false},
		"3: text":             {v3, []session.Frame{v3.TextPacket([]byte("hello")), v3.TextPacket([]byte("€"))}, "6:4hello2:4€", false},
		"3: astral":           {v3, []session.Frame{v3.TextPacket([]byte("😀a"))}, "4:4😀a", false},
		"3: invalid UTF-8":    {v3, []session.Frame{v3.TextPacket([]byte("a\xffb"))}, "4:4a\uFFFDb", false},
		"3: binary":           {v3, []session.Frame{v3.TextPacket([]byte("€")), v3.BinaryPacket([]byte{1, 2, 3, 4})}, "\x00\x04\xff4€\x01\x05\xff\x04\x01\x02\x03\x04", true},
		"3: binary, long":     {v3, []session.Frame{v3.BinaryPacket(make([]byte, 122))}, "\x01\x01\x02\x03\xff\x04" + strings.Repeat("\x00", 122), true},
		"3: base64":           {v3b64, []session.Frame{v3b64.TextPacket([]byte("€")), v3b64.BinaryPacket([]byte{1, 2, 3, 4})}, "2:4€10:b4AQIDBA==", false},
		"3: binary to base64": {v3b64, []session.Frame{v3.BinaryPacket([]byte{1, 2, 3, 4})}, "10:b4AQIDBA==", false},
	} {
		got, isBinary := c.variant.Encode(c.frames...)
		assert.Equal(t, c.want, got, name)
		assert.Equal(t, c.binary, isBinary, name)
	}
}

func TestDecode(t *testing.T) {
	for name, c := range map[string]struct {
		variant engineio.Variant
		payload string
		binary  bool
		want    []engineio.Packet
		fails   bool // after what is wanted
	}{
		"4: one":                {v4, "4hello", false, []engineio.Packet{text("hello")}, false},
		"4: several":            {v4, "4a\x1e4\x1ebAQIDBA==\x1e2", false, []engineio.Packet{text("a"), text(""), binary("\x01\x02\x03\x04"), {Type: '2'}}, false},
		"4: binary of no bytes": {v4, "b", false, []engineio.Packet{binary("")}, false},
		"4: empty":              {v4, "", false, nil, true},
		"4: separator only":     {v4, "\x1e", false, nil, true},
		"4: separator last":     {v4, "4a\x1e", false, []engineio.Packet{text("a")}, true},
		"4: unknown type":       {v4, "4a\x1e7\x1e4b", false, []engineio.Packet{text("a")}, true},
		"4: letter":             {v4, "abc", false, nil, true},
		"4: bad base64":         {v4, "bAQ!", false, nil, true},
		"4: no padding":         {v4, "bAQIDBA", false, nil, true},
		"4: bad UTF-8":          {v4, "4\xff", false, nil, true},
		"4: long ping":          {v4, "2" + strings.Repeat("x", 126), false, nil, true},
		"4: long pong":          {v4, "3" + strings.Repeat("x", 126), false, nil, true},
		"4: pong":               {v4, "3" + strings.Repeat("x", 125), false, []engineio.Packet{{Type: '3', Data: strings.Repeat("x", 125)}}, false},

		"3: one":                 {v3, "6:4hello", false, []engineio.Packet{text("hello")}, false},
		"3: several":             {v3, "2:4€1:210:b4AQIDBA==", false, []engineio.Packet{text("€"), {Type: '2'}, binary("\x01\x02\x03\x04")}, false},
		"3: astral":              {v3, "3:4😀1:4", false, []engineio.Packet{text("😀"), text("")}, false},
		"3: split pair":          {v3, "2:4😀", false, nil, true},
		"3: counted in runes":    {v3, "2:4😀1:4", false, nil, true},
		"3: counted in bytes":    {v3, "4:4€", false, nil, true},
		"3: empty":               {v3, "", false, nil, true},
		"3: no colon":            {v3, "4hello", false, nil, true},
		"3: nothing before it":   {v3, ":4", false, nil, true},
		"3: too long":            {v3, "7:4hello", false, nil, true},
		"3: leftover":            {v3, "5:4hello", false, []engineio.Packet{text("hell")}, true},
		"3: zero":                {v3, "0:", false, nil, true},
		"3: zeros":               {v3, "0000000000000000", false, nil, true},
		"3: leading zero":        {v3, "01:4", false, nil, true},
		"3: minus":               {v3, "-1:4", false, nil, true},
		"3: exponent":            {v3, "1e3:4", false, nil, true},
		"3: huge":                {v3, "999999999:4x", false, nil, true},
		"3: huger":               {v3, "999999999999:4x", false, nil, true},
		"3: a million digits":    {v3, strings.Repeat("1", 1_000_000), false, nil, true},
		"3: unknown type":        {v3, "1:41:9", false, []engineio.Packet{text("")}, true},
		"3: base64 without type": {v3, "1:b", false, nil, true},
		"3: base64 of a ping":    {v3, "2:b2", false, []engineio.Packet{{Type: '2', Binary: true}}, false},
		"3: bad base64":          {v3, "4:b4A!", false, nil, true},
		"3: bad UTF-8":           {v3, "2:4\xff", false, nil, true},

		"3: binary payload":      {v3, "\x00\x04\xff4€\x01\x05\xff\x04\x01\x02\x03\x04", true, []engineio.Packet{text("€"), binary("\x01\x02\x03\x04")}, false},
		"3: binary, two digits":  {v3, "\x00\x01\x02\xff4hello world", true, []engineio.Packet{text("hello world")}, false},
		"3: binary, empty":       {v3, "", true, nil, true},
		"3: binary, no 255":      {v3, "\x00" + strings.Repeat("\x01", 400), true, nil, true},
		"3: binary, 310 digits":  {v3, "\x00" + strings.Repeat("\x09", 310) + "\xff4", true, nil, true},
		"3: binary, no digits":   {v3, "\x00\xff4", true, nil, true},
		"3: binary, 4294967297":  {v3, "\x00\x04\x02\x09\x04\x09\x06\x07\x02\x09\x07\xff4", true, nil, true},
		"3: binary, 3000000000":  {v3, "\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff4", true, nil, true},
		"3: binary, no digit":    {v3, "\x00\x0a\xff4", true, nil, true},
		"3: binary, ASCII digit": {v3, "\x001\xff4", true, nil, true},
		"3: binary, zero":        {v3, "\x00\x00\xff", true, nil, true},
		"3: binary, too long":    {v3, "\x00\x02\xff4", true, nil, true},
		"3: binary, 10 digits":   {v3, "\x01" + strings.Repeat("\x09", 10) + "\xff\x04", true, nil, true},
		"3: binary, bad kind":    {v3, "\x02\x01\xff4", true, nil, true},
		"3: binary, bad type":    {v3, "\x01\x01\xff4", true, nil, true},
		"3: binary, bad UTF-8":   {v3, "\x00\x02\xff4\xff", true, nil, true},
		"3: binary, kind only":   {v3, "\x00", true, nil, true},
		"3: binary, good, bad":   {v3, "\x00\x01\xff4\x05", true, []engineio.Packet{text("")}, true},
	} {
		got, err := c.variant.Decode(c.payload, c.binary)
		assert.Equal(t, c.want, got, name)
		assert.Equal(t, c.fails, err != nil, "%s: %v", name, err)
	}
}

func TestDecodeTooManyPackets(t *testing.T) {
	for name, c := range map[string]struct {
		variant     engineio.Variant
		first, more string
		binary      bool
	}{
		"4":         {v4, "4", "\x1e4", false},
		"3":         {v3, "1:4", "1:4", false},
		"3, binary": {v3, "\x00\x01\xff4", "\x00\x01\xff4", true},
	} {
		packets, err := c.variant.Decode(c.first+strings.Repeat(c.more, engineio.MaxPackets-1), c.binary)
		require.NoError(t, err, name)
		assert.Len(t, packets, engineio.MaxPackets, name)
		_, err = c.variant.Decode(c.first+strings.Repeat(c.more, engineio.MaxPackets), c.binary)
		assert.Error(t, err, name)
	}
}

func TestPacket(t *testing.T) {
	for name, c := range map[string]struct {
		variant engineio.Variant
		data    string
		binary  bool
		want    engineio.Packet
		fails   bool
	}{
		"4: text":              {v4, "4a", false, text("a"), false},
		"4: binary":            {v4, "a", true, binary("a"), false},
		"4: binary, no bytes":  {v4, "", true, binary(""), false},
		"4: base64":            {v4, "bAQI=", false, binary("\x01\x02"), false},
		"4: empty":             {v4, "", false, engineio.Packet{}, true},
		"4: unknown":           {v4, "8", false, engineio.Packet{}, true},
		"3: text":              {v3, "4a", false, text("a"), false},
		"3: binary":            {v3, "\x04a", true, binary("a"), false},
		"3: base64":            {v3, "b4AQI=", false, binary("\x01\x02"), false},
		"3: binary, no type":   {v3, "", true, engineio.Packet{}, true},
		"3: binary, bad type":  {v3, "\x07", true, engineio.Packet{}, true},
		"3: binary, long ping": {v3, "\x02" + strings.Repeat("x", 126), true, engineio.Packet{}, true},
	} {
		got, err := c.variant.Packet(c.data, c.binary)
		assert.Equal(t, c.want, got, name)
		assert.Equal(t, c.fails, err != nil, "%s: %v", name, err)
	}
}

func TestJSONPForm(t *testing.T) {
	for name, c := range map[string]struct {
		form, want string
		found      bool
		fails      bool
	}{
		"plain":          {"d=4hello", "4hello", true, false},
		"escaped":        {"d=4a%26b+c%E2%82%AC", "4a&b c€", true, false},
		"line feed":      {`d=4a%5Cnb`, "4a\nb", true, false},
		"backslash n":    {`d=4a%5C%5Cnb`, `4a\nb`, true, false},
		"three":          {`d=4a%5C%5C%5Cnb`, `4a\\nb`, true, false},
		"backslash":      {`d=4a%5Cb`, `4a\b`, true, false},
		"among others":   {"x=1&d=4a&d=4b", "4a", true, false},
		"none":           {"x=1&dd=2", "", false, false},
		"nothing":        {"", "", false, false},
		"empty":          {"d=", "", true, false},
		"bad escape":     {"d=%zz", "", true, true},
		"100,000 fields": {strings.Repeat("a=b&", 100_000) + "d=4", "4", true, false},
	} {
		got, found, err := engineio.Unwrap(c.form)
		assert.Equal(t, c.want, got, name)
		assert.Equal(t, c.found, found, name)
		assert.Equal(t, c.fails, err != nil, name)
	}
}

func TestJSONPScript(t *testing.T) {
	for _, c := range []struct{ query, payload, want string }{
		{"j=0", "4hello", `/**/___eio[0]("4hello");`},
		{"j=12", `4"\`, `/**/___eio[12]("4\"\\");`},
		{"j=1);alert(2)//", "6", `/**/___eio[12]("6");`},
		{"j=alert", "6", `/**/___eio[]("6");`},
		{"j=0", "4\u2028\u2029</script>\n\x1e4", `/**/___eio[0]("4\u2028\u2029\u003c/script\u003e\n\u001e4");`},
	} {
		assert.Equal(t, c.want, engineio.Wrap(c.query, c.payload))
	}
}

func TestCleanPath(t *testing.T) {
	for path, want := range map[string]bool{
		"": true, "/": true, "/socket.io": true, "/socket.io/": true, "/a/b.c/..d/": true, "*": true,
		"//": false, "/a//": false, "/a//b": false, "/./": false, "/a/../b": false, "/a/..": false, "/a/.": false,
	} {
		assert.Equal(t, want, engineio.CleanPath(path), path)
	}
}
