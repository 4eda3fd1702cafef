package redisbus

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"

	"github.com/tinylib/msgp/msgp"

	"github.com/seed-ce09063a/thinkws"
)

// packer turns JSON text with binary parts into MessagePack, value by value, as notepack
// (which Node's adapters use) would write it. The text is known to be valid.
type packer struct {
	dst  []byte
	args thinkws.Payload
	pos  int // in args.Text
	part int // the next one
}

// appendPayload appends the values of args, without a header for them.
func appendPayload(dst []byte, args thinkws.Payload) []byte {
	p := packer{dst: dst, args: args}
	for range args.Count {
		p.value()
		p.pos++ // the comma
	}
	return p.dst
}

// value packs one value and what follows it up to the next delimiter.
func (p *packer) value() {
	text := p.args.Text
	for {
		if p.atPart() {
			p.dst = msgp.AppendBytes(p.dst, p.args.Parts[p.part].Data)
			p.part++
			break
		}
		if p.pos == len(text) || !isSpace(text[p.pos]) {
			p.plain()
			break
		}
		p.pos++
	}
	p.space()
}

// plain packs a value that is no binary part.
func (p *packer) plain() {
	if p.pos == len(p.args.Text) {
		p.dst = msgp.AppendNil(p.dst)
		return
	}
	switch p.args.Text[p.pos] {
	case '{':
		p.list('}', 0x80, 0xde, true)
	case '[':
		p.list(']', 0x90, 0xdc, false)
	case '"':
		p.dst = appendText(p.dst, p.token())
	case 't':
		p.pos += len("true")
		p.dst = msgp.AppendBool(p.dst, true)
	case 'f':
		p.pos += len("false")
		p.dst = msgp.AppendBool(p.dst, false)
	case 'n':
		p.pos += len("null")
		p.dst = msgp.AppendNil(p.dst)
	default:
		p.dst = appendNumber(p.dst, p.token())
	}
}

// list packs an object or an array. How long it is shows at its end only.
func (p *packer) list(end, short, long byte, keyed bool) {
	head := len(p.dst)
	p.dst = append(p.dst, short)
	p.pos++
	p.space()
	n := 0
	for p.more(end) {
		n++
		if keyed {
			p.dst = appendText(p.dst, p.token())
			p.space()
			p.pos++ // the colon
		}
		p.value()
		if p.args.Text[p.pos] == ',' {
			p.pos++
			p.space()
		}
	}
	p.pos++
	p.dst = lengthen(p.dst, head, n, short, long)
}

// more reports whether the list goes on. A binary part may stand right before its end.
func (p *packer) more(end byte) bool { return p.args.Text[p.pos] != end || p.atPart() }

// lengthen gives the list that begins at head the header for n entries.
func lengthen(b []byte, head, n int, short, long byte) []byte {
	switch {
	case n < 16:
		b[head] = short | byte(n)
	case n <= math.MaxUint16:
		b = append(b, 0, 0)
		copy(b[head+3:], b[head+1:])
		b[head] = long
		binary.BigEndian.PutUint16(b[head+1:], uint16(n))
	default:
		b = append(b, 0, 0, 0, 0)
		copy(b[head+5:], b[head+1:])
		b[head] = long + 1
		binary.BigEndian.PutUint32(b[head+1:], uint32(n))
	}
	return b
}

// token takes a string, quotes included, or a number.
func (p *packer) token() []byte {
	text, start := p.args.Text, p.pos
	if text[start] != '"' {
		for p.pos < len(text) && !isDelimiter(text[p.pos]) {
			p.pos++
		}
		return text[start:p.pos]
	}
	for p.pos++; text[p.pos] != '"'; p.pos++ {
		if text[p.pos] == '\\' {
			p.pos++
		}
	}
	p.pos++
	return text[start:p.pos]
}

func (p *packer) space() {
	for p.pos < len(p.args.Text) && isSpace(p.args.Text[p.pos]) && !p.atPart() {
		p.pos++
	}
}

func (p *packer) atPart() bool {
	return p.part < len(p.args.Parts) && p.args.Parts[p.part].At == p.pos
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

func isDelimiter(c byte) bool { return c == ',' || c == ']' || c == '}' || isSpace(c) }

// appendText packs a JSON string.
func appendText(dst, quoted []byte) []byte {
	inner := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inner, '\\') >= 0 {
		var s string
		_ = json.Unmarshal(quoted, &s) // it is valid
		return msgp.AppendString(dst, s)
	}
	return msgp.AppendStringFromBytes(dst, inner)
}

// appendNumber packs a JSON number: a whole one, however it is written, as an integer.
func appendNumber(dst, text []byte) []byte {
	s := string(text)
	if u, err := strconv.ParseUint(s, 10, 64); err == nil {
		return msgp.AppendUint64(dst, u)
	}
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return msgp.AppendInt64(dst, i)
	}
	f, _ := strconv.ParseFloat(s, 64) // too large: infinite, as JavaScript reads it
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		if f < 0 {
			return msgp.AppendInt64(dst, int64(f))
		}
		return msgp.AppendUint64(dst, uint64(f))
	}
	return msgp.AppendFloat64(dst, f)
}
