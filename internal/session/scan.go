package session

import "unicode/utf8"

// scanner checks JSON text (RFC 8259) and finds its parts in one pass, without a state machine that is called for every
// byte, as in encoding/json. It sees each event that comes in, and each json.RawMessage that goes out. Both accept the
// same texts, except for the bounds and for strings that are not UTF-8, which the scanner notes.
//
// So the text of an event is walked once for validity, and once more if and when the handler decodes it. encoding/json
// validates what it decodes, which counts as decoding. Where a transport has to know that its text is UTF-8 before it
// knows what is in it (WebSocket, polling), it has looked at the bytes itself. The messages of SockJS are JSON in JSON
// strings: both layers are walked so.
type scanner struct {
	text      []byte
	at        int // offset of the next byte
	depth     int // arrays and objects that are open
	maxDepth  int
	maxNumber int  // bytes of one number
	foreign   bool // a string is not UTF-8

	// The outermost array or object.
	outer  byte                  // its last byte; 0 for another value
	first  int                   // offset of its first value or key
	last   int                   // offset behind its last value
	count  int                   // of its values
	commas [knownCommas]int      // offsets of the first commas between them; 0 for no comma
	each   func(key, value span) // called for each value once it is checked; key is empty in an array
	object func(span)            // called for each object once it is checked, at any depth
}

// span is a part of the text. The functions get offsets and no slices, so that the compiler finds that nothing of a
// scanner escapes: it costs no memory.
type span struct{ start, end int }

// document checks that the text is one value with nothing but space around it.
func (s *scanner) document() error {
	s.space()
	if err := s.value(); err != nil {
		return err
	}
	s.space()
	if s.at < len(s.text) {
		return errNotJSON
	}
	return nil
}

// check checks the text of a client.
func (s *scanner) check() error {
	if err := s.document(); err != nil {
		return err
	}
	if s.foreign {
		return errNotUTF8
	}
	return nil
}

// array checks s.text, which is text, and sets args to the values of the array that it is. If they were made of s.text,
// all of s would escape.
func (s *scanner) array(text []byte, args *Args) error {
	if err := s.check(); err != nil {
		return err
	}
	if s.outer != ']' {
		return errNotArray
	}
	if s.count == 0 {
		return nil
	}
	args.Text, args.Count = text[s.first:s.last:s.last], s.count
	for i := range args.commas {
		args.commas[i] = max(s.commas[i]-s.first, 0)
	}
	return nil
}

// peek returns the next byte, 0 at the end, which is none of JSON's.
func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *scanner) space() {
	for s.at < len(s.text) && isSpace(s.text[s.at]) {
		s.at++
	}
}

func (s *scanner) value() error {
	switch c := s.peek(); c {
	case '"':
		return s.str()
	case '{':
		return s.nested('}')
	case '[':
		return s.nested(']')
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		return s.number()
	}
}

// nested checks an array or an object, as its last byte tells.
func (s *scanner) nested(end byte) error {
	start := s.at
	if s.depth++; s.depth > s.maxDepth {
		return errDepth
	}
	s.at++
	s.space()
	if s.depth == 1 {
		s.outer, s.first, s.last = end, s.at, s.at
	}
	if s.peek() != end {
		if err := s.elements(end); err != nil {
			return err
		}
	}
	s.depth--
	s.at++
	if end == '}' && s.object != nil {
		s.object(span{start, s.at})
	}
	return nil
}

// elements checks the values of an array, or the members of an object.
func (s *scanner) elements(end byte) error {
	for {
		if err := s.element(end); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			if s.depth == 1 && s.count <= len(s.commas) {
				s.commas[s.count-1] = s.at
			}
			s.at++
			s.space()
		case end:
			return nil
		default:
			return errNotJSON
		}
	}
}

// element checks a value of an array, or a member of an object.
func (s *scanner) element(end byte) error {
	var key span
	if end == '}' {
		var err error
		if key, err = s.key(); err != nil {
			return err
		}
	}
	start := s.at
	if err := s.value(); err != nil {
		return err
	}
	if s.depth == 1 {
		s.last = s.at
		s.count++
		if s.each != nil {
			s.each(key, span{start, s.at})
		}
	}
	return nil
}

// key checks the key of a member.
func (s *scanner) key() (key span, err error) {
	if s.peek() != '"' {
		return key, errNotJSON
	}
	key.start = s.at
	if err := s.str(); err != nil {
		return key, err
	}
	key.end = s.at
	s.space()
	if s.peek() != ':' {
		return key, errNotJSON
	}
	s.at++
	s.space()
	return key, nil
}

func (s *scanner) literal(word string) error {
	if len(s.text)-s.at < len(word) || string(s.text[s.at:s.at+len(word)]) != word {
		return errNotJSON
	}
	s.at += len(word)
	return nil
}

func (s *scanner) str() error {
	text := s.text
	for i := s.at + 1; i < len(text); i++ {
		switch c := text[i]; {
		case ' ' <= c && c < utf8.RuneSelf && c != '"' && c != '\\': // nearly all are
		case c == '"':
			s.at = i + 1
			return nil
		case c < ' ':
			return errNotJSON
		case c == '\\':
			n := escape(text[i+1:])
			if n == 0 {
				return errNotJSON
			}
			i += n
		default:
			_, size := utf8.DecodeRune(text[i:])
			s.foreign = s.foreign || size == 1
			i += size - 1
		}
	}
	return errNotJSON
}

// escape returns the length of what may follow a backslash, 0 if it may not.
func escape(text []byte) int {
	if len(text) == 0 {
		return 0
	}
	switch text[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		if len(text) > 4 && isHex(text[1]) && isHex(text[2]) && isHex(text[3]) && isHex(text[4]) {
			return 5
		}
	}
	return 0
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func (s *scanner) number() error {
	start := s.at
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else if !s.digits() {
		return errNotJSON
	}
	if s.peek() == '.' {
		s.at++
		if !s.digits() {
			return errNotJSON
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		if !s.digits() {
			return errNotJSON
		}
	}
	if s.at-start > s.maxNumber {
		return errNumber
	}
	return nil
}

// digits reports whether there was at least one.
func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at > start
}
