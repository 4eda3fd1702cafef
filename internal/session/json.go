package session

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
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

// Errors of ParseArray.
var (
	errNotJSON  = errors.New("not valid JSON")
	errNotArray = errors.New("not a JSON array")
	errDepth    = Beyond(LimitDepth, errors.New("JSON nested too deep"))
	errNumber   = Beyond(LimitNumber, errors.New("number too long"))
)

// ParseArray checks that text is one JSON array, as CheckJSON does, and returns its values
// without building them. The result shares memory with text.
func ParseArray(text []byte, depth int) (Args, error) {
	if err := CheckJSON(text, depth); err != nil {
		return Args{}, err
	}
	return Elements(text)
}

// Elements returns the values of the JSON array that text is, without building them. text is valid
// JSON. The result shares memory with it.
func Elements(text []byte) (Args, error) {
	text = trimSpace(text)
	if text[0] != '[' {
		return Args{}, errNotArray
	}
	inner := trimSpace(text[1 : len(text)-1])
	if len(inner) == 0 {
		return Args{}, nil
	}
	count := 1
	for end := valueEnd(inner, 0); end < len(inner); end = valueEnd(inner, end+1) {
		count++
	}
	return Args{Text: slices.Clip(inner), Count: count}, nil
}

// CheckJSON checks that text is one JSON value, nested no deeper than depth and without
// numbers of absurd length.
func CheckJSON(text []byte, depth int) error {
	s := scanner{text: text, maxDepth: depth, maxNumber: maxNumber}
	return s.document()
}

// ValidJSON is json.Valid, at a fraction of its cost. Like that it accepts strings that are not UTF-8.
func ValidJSON(text []byte) bool { return CheckOwn(text, MaxDepth) == nil }

// CheckOwn is CheckJSON for text of servers, whose numbers may have any length.
func CheckOwn(text []byte, depth int) error {
	s := scanner{text: text, maxDepth: depth, maxNumber: len(text)}
	return s.document()
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
			i = stringEnd(text, i)
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

// UTF8 returns JSON text of the service's own making as clients may get it: text itself, or a copy in which U+FFFD stands for
// what is not UTF-8. encoding/json checks the grammar of what a json.Marshaler writes, but not its characters, and clients
// drop a connection that brings anything else (RFC 6455, section 8.1).
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
			i = stringEnd(text, i)
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

// stringEnd returns the offset of the quote that ends the string starting at i.
func stringEnd(text []byte, i int) int {
	for i++; i < len(text) && text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i
}

func trimSpace(text []byte) []byte {
	for len(text) > 0 && isSpace(text[0]) {
		text = text[1:]
	}
	for len(text) > 0 && isSpace(text[len(text)-1]) {
		text = text[:len(text)-1]
	}
	return text
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
