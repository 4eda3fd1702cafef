package session

import (
	"encoding/json"
	"errors"
	"slices"
)

// Bounds of the JSON that clients send. encoding/json stops at a depth of 10,000;
// no honest client comes near either of these.
const (
	maxDepth  = 512  // arrays and objects within one another
	maxNumber = 1024 // bytes of one number
)

// Errors of ParseArray.
var (
	errNotJSON  = errors.New("not valid JSON")
	errNotArray = errors.New("not a JSON array")
	errDepth    = errors.New("JSON nested too deep")
	errNumber   = errors.New("number too long")
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
	if !json.Valid(text) {
		return errNotJSON
	}
	depth, number := 0, 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		if isNumberByte(c) {
			if number++; number > maxNumber {
				return errNumber
			}
			continue
		}
		number = 0
		switch c {
		case '"':
			i = stringEnd(text, i)
		case '[', '{':
			if depth++; depth > maxDepth {
				return errDepth
			}
		case ']', '}':
			depth--
		}
	}
	return nil
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

func isNumberByte(c byte) bool {
	return '0' <= c && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'
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
