package redisbus

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strconv"

	"github.com/tinylib/msgp/msgp"

	"github.com/seed-ce09063a/thinkws"
)

// packer turns JSON text with binary parts into MessagePack, value by value, as notepack
// (which Node's adapters use) would write it. The text is known to be valid, and nested no deeper
// than session.MaxDepth.
type packer struct {
	dst  []byte
	args thinkws.Payload
	pos  int // in args.Text
	part int // the next one
	long []longList
}

// longList is a list that needs a longer header than the one byte that it has in packer.dst.
type longList struct {
	at   int // offset of that byte
	n    int // entries
	kind byte
}

// width returns how many bytes the header needs beside the first one.
func (l longList) width() int {
	if l.n <= math.MaxUint16 {
		return 2
	}
	return 4
}

// appendPayload appends the values of args, without a header for them.
func appendPayload(dst []byte, args thinkws.Payload) []byte {
	p := packer{dst: dst, args: args}
	for range args.Count {
		p.value()
		p.pos++ // the comma
	}
	p.lengthen()
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

// list packs an object or an array. How long it is shows at its end only. kind is the byte of the
// header with two bytes for the length.
func (p *packer) list(end, short, kind byte, keyed bool) {
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
	if n < 16 {
		p.dst[head] |= byte(n)
	} else {
		p.long = append(p.long, longList{head, n, kind})
	}
}

// more reports whether the list goes on. A binary part may stand right before its end.
func (p *packer) more(end byte) bool { return p.args.Text[p.pos] != end || p.atPart() }

// lengthen gives long lists their headers. It moves each byte once, however the lists are nested.
func (p *packer) lengthen() {
	if len(p.long) == 0 {
		return
	}
	slices.SortFunc(p.long, func(a, b longList) int { return cmp.Compare(a.at, b.at) })
	end, shift := len(p.dst), 0
	for _, l := range p.long {
		shift += l.width()
	}
	p.dst = slices.Grow(p.dst, shift)[:end+shift]
	for _, l := range slices.Backward(p.long) {
		copy(p.dst[l.at+1+shift:], p.dst[l.at+1:end])
		shift -= l.width()
		putHeader(p.dst[l.at+shift:], l)
		end = l.at
	}
}

// putHeader writes the header of a long list.
func putHeader(b []byte, l longList) {
	if l.width() == 2 {
		b[0] = l.kind
		binary.BigEndian.PutUint16(b[1:], uint16(l.n))
		return
	}
	b[0] = l.kind + 1
	binary.BigEndian.PutUint32(b[1:], uint32(l.n))
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
		inner = unescape(inner)
	}
	return msgp.AppendStringFromBytes(dst, inner)
}

// appendNumber packs a JSON number: a whole one, however it is written, as an integer.
func appendNumber(dst, text []byte) []byte {
	s := string(text)
	switch {
	case bytes.ContainsAny(text, ".eE"):
	case text[0] == '-':
		if i, err := strconv.ParseInt(s, 10, 64); err == nil && i != 0 {
			return msgp.AppendInt64(dst, i)
		}
	default:
		if u, err := strconv.ParseUint(s, 10, 64); err == nil {
			return msgp.AppendUint64(dst, u)
		}
	}
	f, _ := strconv.ParseFloat(s, 64) // too large: infinite, as JavaScript reads it
	switch {
	case f != math.Trunc(f) || math.Abs(f) >= 1<<53 || f == 0 && math.Signbit(f): // no integer is -0
		return msgp.AppendFloat64(dst, f)
	case f < 0:
		return msgp.AppendInt64(dst, int64(f))
	default:
		return msgp.AppendUint64(dst, uint64(f))
	}
}
