package thinkws_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// program is the input of FuzzSession as what it says: a list of steps and what they
// take, read byte by byte.
type program struct{ rest []byte }

// byte is the next one, and 0 at the end.
func (p *program) byte() int {
	if len(p.rest) == 0 {
		return 0
	}
	b := p.rest[0]
	p.rest = p.rest[1:]
	return int(b)
}

// bytes are as many as the next one says.
func (p *program) bytes() []byte {
	n := min(p.byte(), len(p.rest))
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return bytes.Clone(b)
}

// wire is what a client speaks.
type wire int

const (
	engine4 wire = iota
	engine3
	sockjsWire
	plainWire
)

// Packets of Engine.IO and Socket.IO that clients send, rightly or not. Those behind a
// NUL are binary.
var enginePackets = []string{
	"40", `42["echo","x"]`, "2", "3", "2probe", "5", "1", "6",
	`421["echo","x"]`, `451-1["echo",{"_placeholder":true,"num":0}]`, "\x00bytes", "40/chat,", `42/chat,["say","x"]`, "41", "41/chat,", "0",
	`42["join","r"]`, `42["say",{"a":[1,null]}]`, `42["ask"]`, `430["x"]`, `431[]`, `461-0[{"_placeholder":true,"num":0}]`, `42["many",7]`, `42["leave","r"]`,
	`452-["echo",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]`, `450-["echo"]`, `451-["echo",{"_placeholder":true,"num":1}]`,
	`40/chat,{"token":"t"}`, `40/nope,`, "40/refused,", `42["connect"]`, `42[1,2]`, `42[]`, `42{}`, `44"x"`, `40[1]`, "", "4", "b", "bAAEC", "b4AAEC",
	`42["big","0123456789012345678901234567890123456789012345678901234567890123456789"]`, `42["fail"]`, `42999["fail"]`, "40/chat?a=b,", `42["kick"]`, `42["quit"]`,
	`42["echo","` + "\U0001f600€" + `"]`, `421["slow"]`, "\x00", `42["relay",1]`, "7", `423["sum",[1,2]]`, `424["sum","x"]`, `425["beside"]`,
}

// The same in JSON, for SockJS and plain WebSockets.
var jsonPackets = []string{
	`{"event":"echo","data":"x"}`, `{"event":"echo","data":"x","cid":1}`, `{"event":"join","data":"r"}`, `{"event":"say","data":{"a":[1,null]}}`,
	`{"event":"ask"}`, `{"rid":0,"data":"x"}`, `{"rid":"0","data":[]}`, `{"event":"many","data":7}`, `{"event":"leave","data":"r"}`, `{"event":"kick"}`, `{"event":"quit"}`,
	`{"event":"fail","cid":"a"}`, `{"event":"open"}`, `{"event":"connect"}`, `{"event":1}`, `{}`, `[]`, ``, `x`, `{"event":"big","data":"0123456789012345678901234567890123456789"}`,
	`{"event":"echo","data":"` + "\U0001f600" + `"}`, `{"event":"slow","cid":2}`, "\x00json", `{"event":"sum","data":[1,2],"cid":3}`, `{"event":"sum","data":"x","cid":4}`, `{"event":"relay","data":1}`, `{"event":"say","data":1`,
}

// packet is the next one: from the list, or what the program brings; and then changed.
func (p *program) packet(w wire) (text string, isBinary bool) {
	list := enginePackets
	if w >= sockjsWire {
		list = jsonPackets
	}
	switch choice := p.byte(); {
	case choice < len(list):
		text = list[choice]
	case choice < 0xf0:
		text, _ = p.packetOf(list, choice)
	case choice == 0xf0:
		return string(p.bytes()), true
	default:
		return string(p.bytes()), false
	}
	if data, ok := strings.CutPrefix(text, "\x00"); ok {
		return data, true
	}
	return text, false
}

// packetOf is a packet of the list with something wrong.
func (p *program) packetOf(list []string, choice int) (text string, isBinary bool) {
	b := []byte(list[p.byte()%len(list)])
	at := 0
	if len(b) > 0 {
		at = p.byte() % len(b)
	}
	switch choice % 6 {
	case 0:
		b = b[:at]
	case 1:
		b = append(b[:at], append(p.bytes(), b[at:]...)...)
	case 2:
		b = bytes.Repeat(b, 1+p.byte())
	case 3:
		if len(b) > 0 {
			b[at] ^= byte(p.byte())
		}
	case 4:
		b = append(b, list[p.byte()%len(list)]...)
	default:
		b = append(b[:at], b[min(len(b), at+p.byte()):]...)
	}
	return string(b), false
}

// payload is the body of a POST, with some packets; framed as bytes if that is wanted, and
// there is such a thing.
func (p *program) payload(w wire, framed bool) string {
	framed = framed && w == engine3
	count := p.byte()
	if count >= 0xf0 {
		return string(p.bytes())
	}
	var parts []string
	for range count%6 + 1 {
		text, isBinary := p.packet(w)
		switch {
		case framed:
			text = frameV3(text, isBinary)
		case isBinary && w == engine3:
			text = "b4" + base64.StdEncoding.EncodeToString([]byte(text))
		case isBinary && w == engine4:
			text = "b" + base64.StdEncoding.EncodeToString([]byte(text))
		}
		parts = append(parts, text)
	}
	switch {
	case framed:
		return strings.Join(parts, "")
	case w == engine4:
		return strings.Join(parts, "\x1e")
	case w == engine3:
		var all strings.Builder
		for _, part := range parts {
			fmt.Fprintf(&all, "%d:%s", len(utf16.Encode([]rune(part))), part)
		}
		return all.String()
	default:
		body, _ := json.Marshal(parts)
		return string(body)
	}
}

// frameV3 is a packet in a binary payload of revision 3.
func frameV3(text string, isBinary bool) string {
	kind := "\x00"
	if isBinary {
		kind, text = "\x01", "\x04"+text
	}
	digits := []byte(strconv.Itoa(len(text)))
	for i := range digits {
		digits[i] -= '0'
	}
	return kind + string(digits) + "\xff" + text
}

// Bits of how a frame is sent.
const (
	frameUnmasked = 1 << 4
	frameSplit    = 1 << 5 // with a pause between
	frameReserved = 1 << 6
	frameOpen     = 1 << 7 // without FIN
)

// frame is a WebSocket frame. The opcode that the program gives is one more than that
// which goes out, so that 0 is that of the packet.
func (p *program) frame(w wire) (frame []byte, how int) {
	how = p.byte()
	text, isBinary := p.packet(w)
	if w == sockjsWire && how&frameReserved == 0 {
		text = array(text)
	}
	opcode := byte(1)
	if isBinary {
		opcode = 2
		if w == engine3 {
			text = "\x04" + text
		}
	}
	if n := byte(how & 0x0f); n > 0 {
		opcode = n - 1
	}
	frame = maskedFrame(opcode, text)
	if how&frameOpen != 0 {
		frame[0] &^= 0x80
	}
	if how&frameReserved != 0 && w != sockjsWire {
		frame[0] |= 0x40
	}
	if how&frameUnmasked != 0 {
		frame[1] &^= 0x80
	}
	return frame, how
}
