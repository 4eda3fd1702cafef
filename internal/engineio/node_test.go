//go:build node

package engineio_test

import (
	"encoding/base64"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/e2e/parsers"
	"github.com/seed-ce09063a/thinkws/internal/engineio"
)

// nodeAnswer is what Node makes of a payload or a packet.
type nodeAnswer struct {
	Packets []struct {
		Type   string
		Binary bool
		Data   []byte
	}
	Failed bool // behind the packets
}

func (a nodeAnswer) packets() (packets []engineio.Packet) {
	for _, p := range a.Packets {
		packets = append(packets, engineio.Packet{Type: p.Type[0], Binary: p.Binary, Data: string(p.Data)})
	}
	return packets
}

// FuzzNodePayload compares what we and Node make of the body of a POST.
func FuzzNodePayload(f *testing.F) {
	for _, seed := range []string{"", "4", "4hello", "4a\x1ebAQIDBA==\x1e2probe", "\x1e\x1e", "b!", "4€😀", "9", "b", "4a\x1e7\x1e4b", "4\r\x1eb\n=="} {
		f.Add([]byte(seed), false, false)
	}
	for _, seed := range []string{"", "1:4", "6:4hello2:4€", "3:4😀", "2:4😀", "10:b4AQIDBA==", "999999999:", "-1:4", "007:4", "0:", "1e0:4", "2:b9", "3:4a"} {
		f.Add([]byte(seed), true, false)
	}
	for _, seed := range []string{"\x00\x01\xff4", "\x00\x04\xff4€\x01\x05\xff\x04\x01\x02\x03\x04", "\x01\x01\xff\x04", "\x00\x09\x09", "\x02", "", "\x00\x04\xffb4AA\x00\x02\xff4\xff"} {
		f.Add([]byte(seed), true, true)
	}
	for _, test := range strict {
		f.Add([]byte(test.payload[:min(len(test.payload), 1000)]), test.revision3, test.isBinary)
	}
	node := parsers.Start(f)
	f.Fuzz(func(t *testing.T, payload []byte, revision3, isBinary bool) {
		v := v4
		if revision3 {
			v = v3
		}
		isBinary = isBinary && revision3 // there is no such payload in revision 4
		got, err := v.Decode(string(payload), isBinary)
		var want nodeAnswer
		node.Ask(t, parsers.Question{Ask: "payload", Revision: int(v.Revision), Binary: isBinary, Data: payload}, &want)
		compare(t, got, err != nil, want, func() string { return deliberatePayload(string(payload), revision3, isBinary) })
	})
}

// FuzzNodePacket compares what we and Node make of a WebSocket message.
func FuzzNodePacket(f *testing.F) {
	for _, seed := range []string{"", "4", "4hello", "2probe", "bAQID", "b4AQID", "\x04\x01", "5", "6", "9", "\xff", "b", "b7"} {
		for _, revision3 := range []bool{true, false} {
			f.Add([]byte(seed), revision3, true)
			f.Add([]byte(seed), revision3, false)
		}
	}
	node := parsers.Start(f)
	f.Fuzz(func(t *testing.T, data []byte, revision3, isBinary bool) {
		if !isBinary && !utf8.Valid(data) {
			return // package wsconn lets none through, nor does ws
		}
		v := v4
		if revision3 {
			v = v3
		}
		var got []engineio.Packet
		p, err := v.Packet(string(data), isBinary)
		if err == nil {
			got = append(got, p)
		}
		var want nodeAnswer
		node.Ask(t, parsers.Question{Ask: "packet", Revision: int(v.Revision), Binary: isBinary, Data: data}, &want)
		compare(t, got, err != nil, want, func() string { return deliberatePacket(string(data), revision3, isBinary) })
	})
}

// What Node takes and we do not: one example for each reason.
var strict = []struct {
	payload             string
	revision3, isBinary bool
}{
	{"4\xff", false, false}, {"2:4\xff", true, false}, {"bAQ!=", false, false}, {"bAQI", false, false}, {"bAQIDBA", false, false},
	{"2" + strings.Repeat("x", 126), false, false}, {"127:3" + strings.Repeat("x", 126), true, false},
	{strings.Repeat("4\x1e", engineio.MaxPackets) + "4", false, false}, {strings.Repeat("1:4", engineio.MaxPackets) + "1:4", true, false},
	{"01:4", true, false}, {"0:", true, false}, {"1.0:4", true, false}, {"1e0:4", true, false}, {"0x1:4", true, false},
	{"1:b", true, false}, {"2:b7", true, false}, {"4:b4A!", true, false},
	{"", true, true}, {"\x02\x01\xff\x04", true, true}, {"\x01\x00\x01\xff\x04", true, true}, {"\x01\x02\xff\x04", true, true},
	{"\x01\x01\xff\x07", true, true}, {"\x00\x04\xff4\xed\xa0\x80", true, true},
}

func TestNodeTakesMore(t *testing.T) {
	node := parsers.Start(t)
	for _, test := range strict {
		v := v4
		if test.revision3 {
			v = v3
		}
		_, err := v.Decode(test.payload, test.isBinary)
		require.Error(t, err, "%q", test.payload)
		var want nodeAnswer
		node.Ask(t, parsers.Question{Ask: "payload", Revision: int(v.Revision), Binary: test.isBinary, Data: []byte(test.payload)}, &want)
		require.False(t, want.Failed, "%q", test.payload)
		require.NotEmpty(t, deliberatePayload(test.payload, test.revision3, test.isBinary), "%q", test.payload)
	}
}

// compare wants the same packets and the same verdict, unless there is a reason why we
// refuse what Node takes.
func compare(t *testing.T, got []engineio.Packet, failed bool, want nodeAnswer, deliberate func() string) {
	t.Helper()
	packets := want.packets()
	if failed == want.Failed && assert.ObjectsAreEqual(packets, got) {
		return
	}
	require.True(t, failed, "we take what Node does not: %v, and Node %v", got, packets)
	require.NotEmpty(t, deliberate(), "we make of it %v, failed: %v; Node %v, failed: %v", got, failed, packets, want.Failed)
}

// deliberatePacket is why we refuse a packet that Node takes, "" if there is no reason.
func deliberatePacket(data string, revision3, isBinary bool) string {
	b64, isB64 := strings.CutPrefix(data, "b")
	isB64 = isB64 && !isBinary
	if isB64 && revision3 && b64 != "" {
		data, b64 = b64, b64[1:]
	}
	switch {
	case revision3 && isBinary && (data == "" || data[0] > 6), revision3 && isB64 && (data == "b" || data[0] < '0' || data[0] > '6'):
		return "Node hands on a binary packet of no type, and then ignores it"
	case isB64 && !isBase64(b64):
		return "Node skips what is no base64, and does without the padding"
	case data != "" && strings.ContainsRune("23\x02\x03", rune(data[0])) && len(data) > 126:
		return "a ping or a pong carries 125 bytes at most, as in WebSocket"
	}
	return ""
}

func isBase64(text string) bool {
	_, err := base64.StdEncoding.DecodeString(text)
	return err == nil
}

// deliberatePayload is why we refuse a payload that Node takes, or refuse it sooner.
func deliberatePayload(payload string, revision3, isBinary bool) string {
	if !isBinary && !utf8.ValidString(payload) {
		return "Node replaces what is no UTF-8"
	}
	cut := cutV4
	switch {
	case isBinary && payload == "":
		return "Node takes no bytes for no packets, where it refuses no text"
	case isBinary:
		cut = cutBinaryV3
	case revision3:
		cut = cutTextV3
	}
	for n := 0; payload != ""; n++ {
		if n == engineio.MaxPackets {
			return "a payload has 20,000 packets at most"
		}
		packet, binaryPacket, rest, why := cut(payload)
		if why != "" {
			return why
		}
		if why := deliberatePacket(packet, revision3, binaryPacket); why != "" {
			return why
		}
		payload = rest
	}
	return ""
}

func cutV4(payload string) (packet string, isBinary bool, rest, why string) {
	packet, rest, _ = strings.Cut(payload, "\x1e")
	return packet, false, rest, ""
}

var plainLength = regexp.MustCompile(`^[1-9][0-9]{0,8}$`)

func cutTextV3(payload string) (packet string, isBinary bool, rest, why string) {
	length, rest, _ := strings.Cut(payload, ":")
	if !plainLength.MatchString(length) {
		return "", false, "", "Node takes lengths of zero, and any that JavaScript counts as a number: 01, 1.0, 1e0, 0x1"
	}
	n, _ := strconv.Atoi(length)
	units := utf16.Encode([]rune(rest))
	if n > len(units) {
		return "", false, "", ""
	}
	packet, rest = string(utf16.Decode(units[:n])), string(utf16.Decode(units[n:]))
	if n < len(units) && utf16.IsSurrogate(rune(units[n])) && utf16.IsSurrogate(rune(units[n-1])) && units[n-1] < 0xdc00 {
		return "", false, "", "Node cuts surrogate pairs in two"
	}
	return packet, false, rest, ""
}

func cutBinaryV3(payload string) (packet string, isBinary bool, rest, why string) {
	if payload[0] > 1 {
		return "", false, "", "Node takes all kinds but 0 for binary"
	}
	digits, rest, found := strings.Cut(payload[1:], "\xff")
	if !found {
		return "", false, "", "Node looks at the framing of all packets before the first"
	}
	length := []byte(digits)
	for i := range length {
		length[i] += '0'
	}
	n, _ := strconv.Atoi(string(length))
	switch {
	case !plainLength.Match(length):
		return "", false, "", "Node reads lengths with parseInt, whatever the digits are"
	case n > len(rest):
		return "", false, "", "Node takes what is shorter than its length says"
	}
	packet, isBinary, rest = rest[:n], payload[0] == 1, rest[n:]
	if !isBinary && strings.Contains(packet, "\xed") && !utf8.ValidString(packet) {
		return "", false, "", "Node replaces encoded surrogates"
	}
	return packet, isBinary, rest, ""
}
