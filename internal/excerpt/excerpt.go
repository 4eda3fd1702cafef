// Package excerpt shortens texts that clients may have written, for logs and for errors.
package excerpt

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Most is the maximum length of an excerpt, in bytes.
const Most = 256

// Text returns s if it has at most Most bytes. Otherwise it returns its beginning and a mark
// with its length, Most bytes together. The result shares no memory with s: a short name does
// not keep the message in memory that it is a part of.
func Text(s string) string {
	if len(s) <= Most {
		return strings.Clone(s)
	}
	mark := "… (" + strconv.Itoa(len(s)) + " bytes)"
	end := Most - len(mark)
	for end > Most-len(mark)-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}

// Error returns err if its text is short. Otherwise it returns an error with an excerpt of the
// text that wraps err. It returns nil for nil.
func Error(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if len(text) <= Most {
		return err
	}
	return &shortError{Text(text), err}
}

// shortError is an error with a text of its own.
type shortError struct {
	text string
	err  error
}

func (e *shortError) Error() string { return e.text }

func (e *shortError) Unwrap() error { return e.err }
