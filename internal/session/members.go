package session

import (
	"bytes"
	"encoding/json"
	"slices"
)

// EachMember calls do with every member of the JSON object that text is, the key unquoted. text is
// valid JSON. Unlike encoding/json it follows values into any depth.
func EachMember(text []byte, do func(key, value []byte)) {
	text = trimSpace(text)
	inner := trimSpace(text[1 : len(text)-1])
	for start := 0; start < len(inner); {
		end := valueEnd(inner, start)
		member := trimSpace(inner[start:end])
		behind := stringEnd(member, 0) + 1
		value := trimSpace(trimSpace(member[behind:])[1:]) // without the colon
		do(unquote(member[:behind]), slices.Clip(value))
		start = end + 1
	}
}

// unquote returns the text of a JSON string. Lone surrogates become U+FFFD.
func unquote(quoted []byte) []byte {
	inner := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // cannot fail: it is a string of valid JSON
	return []byte(s)
}
