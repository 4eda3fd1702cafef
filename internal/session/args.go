package session

import (
	"encoding/base64"
	"encoding/json"
)

// Args is a list of JSON values with binary parts cut out of the text, so that
// each wire puts them back in its own way: placeholders and attachments in
// Socket.IO, base64 strings in JSON frames.
type Args struct {
	Text  []byte // the values, joined by commas, without brackets
	Count int    // how many there are
	Parts []Part // the binary parts, in the order of the text
}

// Part is a binary value and the place in Args.Text where it belongs.
type Part struct {
	At   int // offset in Text; the part takes no room there
	Data []byte
}

// First splits the first value off.
func (a Args) First() (first, rest Args) {
	if a.Count == 0 {
		return Args{}, Args{}
	}
	end := valueEnd(a.Text, 0)
	n := partsUpTo(a.Parts, end)
	first = Args{Text: a.Text[:end], Count: 1, Parts: a.Parts[:n]}
	if a.Count == 1 {
		return first, Args{}
	}
	rest = Args{Text: a.Text[end+1:], Count: a.Count - 1}
	rest.Parts = shift(a.Parts[n:], end+1)
	return first, rest
}

// At returns the value with index i, and false if there is none.
func (a Args) At(i int) (Args, bool) {
	if i < 0 || i >= a.Count {
		return Args{}, false
	}
	start := 0
	for ; i > 0; i-- {
		start = valueEnd(a.Text, start) + 1
	}
	end := valueEnd(a.Text, start)
	from, to := partsUpTo(a.Parts, start-1), partsUpTo(a.Parts, end)
	return Args{Text: a.Text[start:end], Count: 1, Parts: shift(a.Parts[from:to], start)}, true
}

// JSON returns the values, joined by commas, with binary parts as base64 strings.
// The result shares memory with a if there are no binary parts.
func (a Args) JSON() []byte {
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
func (a Args) AppendJSON(dst []byte, put func(dst []byte, i int, data []byte) []byte) []byte {
	pos := 0
	for i, p := range a.Parts {
		dst = append(dst, a.Text[pos:p.At]...)
		dst = put(dst, i, p.Data)
		pos = p.At
	}
	return append(dst, a.Text[pos:]...)
}

// Values returns each value as JSON text of its own, as JSON does.
func (a Args) Values() []json.RawMessage {
	if a.Count == 0 {
		return nil
	}
	values := make([]json.RawMessage, a.Count)
	text, start := a.JSON(), 0
	for i := range values {
		end := valueEnd(text, start)
		values[i] = json.RawMessage(text[start:end:end])
		start = end + 1
	}
	return values
}

// Bytes returns the single binary part that makes up the whole of a one-value
// list, and false if the value is anything else.
func (a Args) Bytes() ([]byte, bool) {
	if a.Count == 1 && len(a.Text) == 0 && len(a.Parts) == 1 {
		return a.Parts[0].Data, true
	}
	return nil, false
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
