package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Depth is how many arrays and objects of clients are within one another at most, unless
// somebody says otherwise; no honest client comes near it.
const Depth = 512

// MaxDepth is the maximum nesting depth that encoding/json decodes. It is the bound for values of clients,
// of the service and of other servers.
const MaxDepth = 10_000

// maxNumber bounds one number, in bytes. The longest that a program writes has some 25, and
// to decode a longer one takes time that grows with its square.
const maxNumber = 1024

// Errors of the functions below.
var (
	errNotJSON  = errors.New("not valid JSON")
	errNotArray = errors.New("not a JSON array")
	errNotUTF8  = errors.New("not UTF-8")
	errDepth    = Beyond(LimitDepth, errors.New("JSON nested too deep"))
	errNumber   = Beyond(LimitNumber, errors.New("number too long"))
)

// CheckJSON checks that text is one JSON value in UTF-8, nested no deeper than depth and without numbers of absurd
// length.
func CheckJSON(text []byte, depth int) error {
	s := ofClient(text, depth)
	return s.check()
}

// ParseArray checks text, as CheckJSON does, and in the same pass finds the values of the JSON array that text must be.
// The result shares memory with text.
func ParseArray(text []byte, depth int) (args Args, err error) {
	s := ofClient(text, depth)
	err = s.array(text, &args)
	return args, err
}

// CutArray is ParseArray for an array in which some objects stand for binary parts: those for which isPart returns true
// are cut out of text, which is changed by that. Their parts have no data yet. isPart is called in the order of the
// text.
func CutArray(text []byte, depth int, isPart func(object []byte) bool) (args Args, err error) {
	s := ofClient(text, depth)
	var holes []span
	s.object = func(o span) {
		if isPart(text[o.start:o.end]) {
			holes = append(holes, o)
		}
	}
	if err = s.array(text, &args); err == nil {
		args.cut(holes, s.first)
	}
	return args, err
}

// Each checks text, as CheckJSON does, and in the same pass calls do for each member of the JSON object that text is,
// the key unquoted, or for each value of the array, with an empty key. It also calls do for what comes before an error.
func Each(text []byte, depth int, do func(key, value []byte)) error {
	s := ofClient(text, depth)
	s.each = func(key, value span) { do(Unquote(text[key.start:key.end]), text[value.start:value.end:value.end]) }
	return s.check()
}

// EachMember is Each for valid JSON.
func EachMember(text []byte, do func(key, value []byte)) {
	s := ofServer(text, len(text))
	s.each = func(key, value span) { do(Unquote(text[key.start:key.end]), text[value.start:value.end:value.end]) }
	_ = s.document()
}

// Elements is ParseArray for valid JSON. The values are equal to those that another server has given to a bus, also by
// reflect.DeepEqual.
func Elements(text []byte) (args Args, err error) {
	s := ofServer(text, len(text))
	err = s.array(text, &args)
	args.commas = [knownCommas]int{}
	return args, err
}

// Clean checks that text of a server, or of the service, is one JSON value, nested no deeper than depth. It returns
// text as clients may get it: text itself, or a copy in which U+FFFD stands for what is not UTF-8.
func Clean(text []byte, depth int) ([]byte, error) {
	s := ofServer(text, depth)
	switch err := s.document(); {
	case errors.Is(err, errDepth):
		return nil, ErrDeep
	case err != nil:
		return nil, fmt.Errorf("%w: %.40q", err, text)
	case s.foreign:
		return UTF8(text), nil
	default:
		return text, nil
	}
}

func ofClient(text []byte, depth int) scanner {
	return scanner{text: text, maxDepth: depth, maxNumber: maxNumber}
}

// ofServer is for text of servers, whose numbers may have any length.
func ofServer(text []byte, depth int) scanner {
	return scanner{text: text, maxDepth: depth, maxNumber: len(text)}
}

// ErrDeep is the error for a value that no server could decode.
var ErrDeep = fmt.Errorf("nested deeper than %d", MaxDepth)

// Deeper reports whether JSON, with or without its binary parts, is nested deeper than depth.
func Deeper(text []byte, depth int) bool {
	if len(text) <= 2*depth { // each level has two brackets
		return false
	}
	open := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = StringEnd(text, i)
		case '[', '{':
			if open++; open > depth {
				return true
			}
		case ']', '}':
			open--
		}
	}
	return false
}

// UTF8 returns JSON text of the service's own making as clients may get it: text itself, or a copy in which U+FFFD
// stands for what is not UTF-8. encoding/json checks the grammar of what a json.Marshaler writes, but not its
// characters, and clients drop a connection that brings anything else (RFC 6455, section 8.1).
func UTF8(text []byte) []byte {
	if utf8.Valid(text) {
		return text
	}
	return bytes.ToValidUTF8(text, []byte("\uFFFD"))
}

// valueEnd returns the offset of the comma that ends the value at start, or
// len(text). The text is valid JSON, but for binary parts that take no room.
func valueEnd(text []byte, start int) int {
	depth := 0
	for i := start; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = StringEnd(text, i)
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(text)
}

// StringEnd returns the offset of the quote that ends the string starting at i.
func StringEnd(text []byte, i int) int {
	for i++; i < len(text) && text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i
}

// TrimSpace returns text without the white space that it begins with.
func TrimSpace(text []byte) []byte {
	for len(text) > 0 && isSpace(text[0]) {
		text = text[1:]
	}
	return text
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// Unquote returns the text of a JSON string. Lone surrogates become U+FFFD.
func Unquote(quoted []byte) []byte {
	if len(quoted) == 0 || bytes.IndexByte(quoted, '\\') < 0 {
		return bytes.Trim(quoted, `"`)
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // cannot fail: it is a string of valid JSON
	return []byte(s)
}
