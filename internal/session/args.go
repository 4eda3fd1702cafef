package session

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"iter"
)

// Args is a list of JSON values with binary parts cut out of the text, so that
// each wire puts them back in its own way: placeholders and attachments in
// Socket.IO, base64 strings in JSON frames.
type Args struct {
	Text  []byte // the values, joined by commas, without brackets
	Count int    // how many there are
	Parts []Part // the binary parts, in the order of the text

	commas [knownCommas]int // offsets in Text of the first commas between values, as far as they are known; else 0
}

// knownCommas is how many commas a scanner notes. Few events have more arguments; those are found by walking the text.
const knownCommas = 4

// Part is a binary value and the place in Args.Text where it belongs.
type Part struct {
	At   int // offset in Text; the part takes no room there
	Data []byte
}

// First returns the first value and the others.
func (a Args) First() (first, rest Args) {
	first, _ = a.At(0)
	a.TakeFirst()
	return first, a
}

// TakeFirst splits the first value off, and returns its text: none if it is a binary part, or if there is no value.
func (a *Args) TakeFirst() (text []byte) {
	if a.Count == 0 {
		return nil
	}
	end := a.end(0, 0)
	text = a.Text[:end:end]
	if a.Count--; a.Count == 0 {
		*a = Args{}
		return text
	}
	start := end + 1
	a.Text, a.Parts = a.Text[start:], shift(a.Parts[partsUpTo(a.Parts, end):], start)
	known := a.commas
	a.commas = [knownCommas]int{}
	for i, comma := range known[1:] {
		a.commas[i] = max(comma-start, 0)
	}
	return text
}

// At returns the value with index i, and false if there is none.
func (a *Args) At(i int) (Args, bool) {
	if i < 0 || i >= a.Count {
		return Args{}, false
	}
	start := 0
	for n := range i {
		start = a.end(n, start) + 1
	}
	return a.value(start, a.end(i, start)), true
}

// All returns the values in their order.
func (a *Args) All() iter.Seq2[int, Args] {
	return func(yield func(int, Args) bool) {
		start := 0
		for i := range a.Count {
			end := a.end(i, start)
			if !yield(i, a.value(start, end)) {
				return
			}
			start = end + 1
		}
	}
}

// value returns the value that lies between two offsets.
func (a *Args) value(start, end int) Args {
	from, to := partsUpTo(a.Parts, start-1), partsUpTo(a.Parts, end)
	return Args{Text: a.Text[start:end:end], Count: 1, Parts: shift(a.Parts[from:to], start)}
}

// end returns the offset behind value i, which begins at start.
func (a *Args) end(i, start int) int {
	switch {
	case i == a.Count-1:
		return len(a.Text)
	case i < len(a.commas) && a.commas[i] > 0:
		return a.commas[i]
	default:
		return valueEnd(a.Text, start)
	}
}

// JSON returns the values, joined by commas, with binary parts as base64 strings.
// The result shares memory with a if there are no binary parts.
func (a *Args) JSON() []byte {
	if len(a.Parts) == 0 {
		return a.Text
	}
	return a.AppendJSON(nil, func(dst []byte, _ int, data []byte) []byte {
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, data)
		return append(dst, '"')
	})
}

// AppendJSON appends the values to dst, joined by commas, and lets put append the JSON
// text that stands for each binary part.
func (a *Args) AppendJSON(dst []byte, put func(dst []byte, i int, data []byte) []byte) []byte {
	pos := 0
	for i, p := range a.Parts {
		dst = append(dst, a.Text[pos:p.At]...)
		dst = put(dst, i, p.Data)
		pos = p.At
	}
	return append(dst, a.Text[pos:]...)
}

// Values returns each value as JSON text of its own, as JSON does.
func (a *Args) Values() []json.RawMessage {
	if a.Count == 0 {
		return nil
	}
	values := make([]json.RawMessage, a.Count)
	for i, value := range a.All() {
		values[i] = value.JSON()
	}
	return values
}

// Bytes returns the single binary part that makes up the whole of a one-value
// list, and false if the value is anything else.
func (a *Args) Bytes() ([]byte, bool) {
	if a.Count == 1 && len(bytes.TrimLeft(a.Text, " \t\r\n")) == 0 && len(a.Parts) == 1 {
		return a.Parts[0].Data, true
	}
	return nil, false
}

// cut takes the holes out of the text, which begins at offset base of the text that they are in. Each becomes a part.
func (a *Args) cut(holes []span, base int) {
	text, commas, from := a.Text, a.commas, 0
	a.Text, a.Parts = text[:0], make([]Part, 0, len(holes)) // the text gets shorter only
	for _, h := range holes {
		a.Text = append(a.Text, text[from:h.start-base]...)
		a.Parts = append(a.Parts, Part{At: len(a.Text)})
		from = h.end - base
		for i, comma := range commas {
			if comma >= from {
				a.commas[i] -= h.end - h.start
			}
		}
	}
	a.Text = append(a.Text, text[from:]...)
}

// partsUpTo counts the parts that stand at or before offset end.
func partsUpTo(parts []Part, end int) int {
	n := 0
	for n < len(parts) && parts[n].At <= end {
		n++
	}
	return n
}

// shift returns parts with their offsets counted from start.
func shift(parts []Part, start int) []Part {
	if len(parts) == 0 {
		return nil
	}
	if start == 0 {
		return parts
	}
	moved := make([]Part, len(parts))
	for i, p := range parts {
		moved[i] = Part{At: p.At - start, Data: p.Data}
	}
	return moved
}
