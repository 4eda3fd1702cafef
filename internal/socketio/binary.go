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
	next     int      // the attachment that comes next
	left     int64    // bytes that all attachments to come may have together
	deadline deadline // ends the connection if they do not come
}

// newAssembly waits for the attachments of p, for each of which there must be a placeholder.
func newAssembly(p *packet, left int64) (*assembly, error) {
	if p.places.wrong || len(p.args.Parts) != p.attachments {
		return nil, errPlaceholder
	}
	return &assembly{packet: *p, left: left}, nil
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
	a.packet.args.Parts[a.packet.places.parts[a.next]].Data = data
	a.next++
	return a.next == a.packet.attachments, nil
}

// held returns how many bytes are held until the last attachment has come; 0 for nil.
func (a *assembly) held() int {
	if a == nil {
		return 0
	}
	return session.Held(1+a.packet.attachments, a.packet.wire)
}

// placeholders tells where attachments belong.
type placeholders struct {
	parts []int // for each attachment, the index of its part in the arguments; -1 if no placeholder has its number
	found int
	wrong bool // a placeholder has no number of an attachment, or that of another one
}

func newPlaceholders(attachments int) *placeholders {
	p := &placeholders{parts: make([]int, attachments)}
	for i := range p.parts {
		p.parts[i] = -1
	}
	return p
}

// take reports whether a JSON object is a placeholder, which becomes the next part.
func (p *placeholders) take(object []byte) bool {
	num, ok := readPlaceholder(object)
	if !ok {
		return false
	}
	if num < 0 || num >= len(p.parts) || p.parts[num] >= 0 {
		p.wrong = true
		return false
	}
	p.parts[num] = p.found
	p.found++
	return true
}

// maxPlaceholder bounds the text of a placeholder in bytes, so that no text is
// looked at more than a few times. Encoders write 30 or so.
const maxPlaceholder = 96

// readPlaceholder reads {"_placeholder":true,"num":<n>}, the members in any order. It is false for any other object;
// num is -1 if it is no index.
func readPlaceholder(object []byte) (num int, ok bool) {
	if len(object) > maxPlaceholder {
		return 0, false
	}
	s := scanner{text: object}
	var marked, numbered bool
	s.take("{")
	for i := range 2 {
		if i == 1 && !s.take(",") {
			return 0, false
		}
		switch {
		case !marked && s.take(`"_placeholder"`):
			marked = s.take(":") && s.take("true")
		case !numbered && s.take(`"num"`):
			numbered = s.take(":")
			num = s.index()
		}
	}
	return num, marked && numbered && s.take("}") && s.pos == len(object)
}

// scanner reads the tokens of valid JSON.
type scanner struct {
	text []byte
	pos  int
}

// take skips white space and then token, and reports whether it was there.
func (s *scanner) take(token string) bool {
	s.pos = len(s.text) - len(session.TrimSpace(s.text[s.pos:]))
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
		return session.StringEnd(text, 0) + 1
	}
	n := bytes.IndexAny(text, "{}[]:,\" \t\r\n")
	if n < 0 {
		return len(text)
	}
	return max(n, 1)
}

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
