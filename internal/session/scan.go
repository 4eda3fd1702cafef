package session

// scanner checks JSON text (RFC 8259) in one pass, without a state machine called
// for every byte as encoding/json has it: it sees each event that comes in, and
// each json.RawMessage that goes out. Both accept the same texts, but for the bounds.
type scanner struct {
	text      []byte
	at        int // offset of the next byte
	depth     int // arrays and objects that are open
	maxDepth  int
	maxNumber int // bytes of one number
}

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
	if s.depth++; s.depth > s.maxDepth {
		return errDepth
	}
	s.at++
	s.space()
	if s.peek() == end {
		s.depth--
		s.at++
		return nil
	}
	for {
		if err := s.element(end); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.at++
			s.space()
		case end:
			s.depth--
			s.at++
			return nil
		default:
			return errNotJSON
		}
	}
}

// element checks a value of an array, or a member of an object.
func (s *scanner) element(end byte) error {
	if end == ']' {
		return s.value()
	}
	return s.member()
}

func (s *scanner) member() error {
	if s.peek() != '"' {
		return errNotJSON
	}
	if err := s.str(); err != nil {
		return err
	}
	s.space()
	if s.peek() != ':' {
		return errNotJSON
	}
	s.at++
	s.space()
	return s.value()
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
