package socketio

import (
	"bytes"
	"errors"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Errors of assembly.
var (
	errPlaceholder = errors.New("socketio: placeholders do not match the attachments")
	errStray       = errors.New("socketio: binary message that no packet announced")
	errMissing     = errors.New("socketio: text message while attachments are awaited")
	errTooBig      = session.Beyond(session.LimitMessage, errors.New("socketio: packet with its attachments is too big"))
)

// assembly is a packet whose attachments are on their way. It belongs to the
// goroutine that receives, but for deadline.
type assembly struct {
	packet   packet
	places   []int    // for each attachment, its index in packet.args.Parts
	next     int      // the attachment that comes next
	left     int64    // bytes that all attachments to come may have together
	deadline deadline // ends the connection if they do not come
}

// newAssembly checks the placeholders in p against the number of its attachments
// and turns them into parts.
func newAssembly(p packet, left int64) (*assembly, error) {
	a := &assembly{packet: p, left: left}
	var err error
	a.packet.args, a.places, err = cutPlaceholders(p.args, p.attachments)
	if err != nil {
		return nil, err
	}
	return a, nil
}

// add puts the next attachment where it belongs, and reports whether it was the last.
func (a *assembly) add(data []byte) (complete bool, err error) {
	if a.left -= int64(len(data)); a.left < 0 {
		return false, errTooBig
	}
	a.packet.wire += len(data)
	if data == nil {
		data = []byte{} // empty, but there
	}
	a.packet.args.Parts[a.places[a.next]].Data = data
	a.next++
	return a.next == len(a.places), nil
}

// cutPlaceholders takes the n placeholders out of args, and the white space with
// them. Each number must be there once. It returns, for each number, the index of
// its part.
func cutPlaceholders(args session.Args, n int) (session.Args, []int, error) {
	text := args.Text
	cut := session.Args{Text: text[:0], Count: args.Count} // the text is ours, and gets shorter only
	cut.Parts = make([]session.Part, 0, n)
	places := make([]int, n)
	for i := range places {
		places[i] = -1
	}
	for i := 0; i < len(text); {
		switch text[i] {
		case ' ', '\t', '\n', '\r':
			i++
			continue
		case '{':
			num, size := readPlaceholder(text[i:])
			if size == 0 {
				break // of the switch: some other object
			}
			if num < 0 || num >= n || places[num] >= 0 {
				return session.Args{}, nil, errPlaceholder
			}
			places[num] = len(cut.Parts)
			cut.Parts = append(cut.Parts, session.Part{At: len(cut.Text)})
			i += size
			continue
		}
		size := tokenLen(text[i:])
		cut.Text = append(cut.Text, text[i:i+size]...)
		i += size
	}
	if len(cut.Parts) != n {
		return session.Args{}, nil, errPlaceholder
	}
	return cut, places, nil
}

// maxPlaceholder bounds the text of a placeholder in bytes, so that no text is
// looked at more than a few times. Encoders write 30 or so.
const maxPlaceholder = 96

// readPlaceholder reads {"_placeholder":true,"num":<n>}, the members in any order.
// The size is 0 if text starts with any other object; num is -1 if it is no index.
func readPlaceholder(text []byte) (num, size int) {
	s := scanner{text: text[:min(len(text), maxPlaceholder)]}
	var marked, numbered bool
	s.take("{")
	for i := range 2 {
		if i == 1 && !s.take(",") {
			return 0, 0
		}
		switch {
		case !marked && s.take(`"_placeholder"`):
			marked = s.take(":") && s.take("true")
		case !numbered && s.take(`"num"`):
			numbered = s.take(":")
			num = s.index()
		}
	}
	if !marked || !numbered || !s.take("}") {
		return 0, 0
	}
	return num, s.pos
}

// scanner reads the tokens of valid JSON.
type scanner struct {
	text []byte
	pos  int
}

// take skips white space and then token, and reports whether it was there.
func (s *scanner) take(token string) bool {
	for s.pos < len(s.text) && isSpace(s.text[s.pos]) {
		s.pos++
	}
	if !bytes.HasPrefix(s.text[s.pos:], []byte(token)) {
		return false
	}
	s.pos += len(token)
	return true
}

// index skips a scalar and returns its value, or -1 if it is not a small natural number.
func (s *scanner) index() int {
	s.take("")
	rest := s.text[s.pos:]
	size := 0
	if len(rest) > 0 {
		size = tokenLen(rest)
	}
	s.pos += size
	if digits(rest) != size || size > maxCount || size > 1 && rest[0] == '0' {
		return -1
	}
	return int(number(rest[:size]))
}

// tokenLen returns the length of the string, the number or the word that text
// starts with, or 1 for punctuation.
func tokenLen(text []byte) int {
	if text[0] == '"' {
		return stringLen(text)
	}
	n := bytes.IndexAny(text, "{}[]:,\" \t\r\n")
	if n < 0 {
		return len(text)
	}
	return max(n, 1)
}

// stringLen returns the length of the JSON string that text starts with.
func stringLen(text []byte) int {
	for n := 1; n < len(text); n++ {
		switch text[n] {
		case '\\':
			n++
		case '"':
			return n + 1
		}
	}
	return len(text)
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// maxEscaped is the length of "_placeholder" as JSON with every letter escaped.
const maxEscaped = len(`""`) + len("_placeholder")*len(`\u0000`)

// hasLookalike reports whether text, JSON values joined by commas, contains an object
// that a client of Socket.IO would take for a placeholder.
func hasLookalike(text []byte) bool {
	if !bytes.Contains(text, []byte("_placeholder")) && !bytes.Contains(text, []byte(`\u`)) {
		return false
	}
	for i := 0; i < len(text); {
		size := tokenLen(text[i:])
		if text[i] == '"' && size <= maxEscaped && unquote(text[i:i+size]) == "_placeholder" {
			s := scanner{text: text, pos: i + size}
			if s.take(":") && s.take("true") {
				return true
			}
		}
		i += size
	}
	return false
}
