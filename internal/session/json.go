package session

import (
	"errors"
	"slices"
)

// Bounds of the JSON that clients send; no honest one comes near either of these.
const (
	maxDepth  = 512  // arrays and objects within one another
	maxNumber = 1024 // bytes of one number
)

// stdDepth is where encoding/json stops.
const stdDepth = 10_000

// Errors of ParseArray.
var (
	errNotJSON  = errors.New("not valid JSON")
	errNotArray = errors.New("not a JSON array")
	errDepth    = Beyond(LimitDepth, errors.New("JSON nested too deep"))
	errNumber   = Beyond(LimitNumber, errors.New("number too long"))
)

// ParseArray checks that text is one JSON array within the bounds of this package,
// and returns its values without building them. The result shares memory with text.
func ParseArray(text []byte) (Args, error) {
	if err := CheckJSON(text); err != nil {
		return Args{}, err
	}
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

// CheckJSON checks that text is one JSON value, not nested too deep and without
// numbers of absurd length.
func CheckJSON(text []byte) error {
	s := scanner{text: text, maxDepth: maxDepth, maxNumber: maxNumber}
	return s.document()
}

// ValidJSON is json.Valid, at a fraction of its cost.
func ValidJSON(text []byte) bool {
	s := scanner{text: text, maxDepth: stdDepth, maxNumber: len(text)}
	return s.document() == nil
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
