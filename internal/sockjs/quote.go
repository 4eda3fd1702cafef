package sockjs

import (
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// appendQuoted appends a text as a JSON string in which everything is escaped that
// clients or what is between may stumble over: beside the control characters, some that
// browsers were known to change or to drop. What is not UTF-8 becomes U+FFFD.
func appendQuoted(dst, text []byte) []byte { return appendString(dst, text, false) }

// appendScriptQuoted is appendQuoted for a string in a script, possibly of an HTML page,
// which must not end there because of what is in it.
func appendScriptQuoted(dst, text []byte) []byte { return appendString(dst, text, true) }

func appendString(dst, text []byte, script bool) []byte {
	dst = append(dst, '"')
	start := 0 // of what needs no escape
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == '"' || c == '\\' || script && isMarkup(c) {
				dst = appendEscaped(append(dst, text[start:i]...), rune(c))
				start = i + 1
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		if isFragile(r) {
			dst = appendEscaped(append(dst, text[start:i]...), r)
			start = i + size
		}
		i += size
	}
	dst = append(dst, text[start:]...)
	return append(dst, '"')
}

// isMarkup reports whether a character means something in HTML.
func isMarkup(c byte) bool { return c == '<' || c == '>' || c == '&' || c == '\'' }

// isFragile reports whether a character beyond ASCII has to be escaped. U+FFFD is one of
// them, and stands for what is not UTF-8.
func isFragile(r rune) bool {
	return 0x200c <= r && r <= 0x200f || 0x2028 <= r && r <= 0x202f ||
		0x2060 <= r && r <= 0x206f || 0xfff0 <= r && r <= 0xffff
}

// appendEscaped appends a character of the basic plane in its escaped form.
func appendEscaped(dst []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	default:
		return append(dst, '\\', 'u', hexDigits[r>>12&0xf], hexDigits[r>>8&0xf], hexDigits[r>>4&0xf], hexDigits[r&0xf])
	}
}

// unquote returns the text that the JSON string stands for that quoted begins with, and the length of the string. The
// text is written over the string, which never is shorter. Lone surrogates become U+FFFD.
func unquote(quoted []byte) (text []byte, size int) {
	text = quoted[1:1]
	for i := 1; ; {
		switch quoted[i] {
		case '"':
			return slices.Clip(text), i + 1
		case '\\':
			r, n := unescape(quoted[i:])
			text = utf8.AppendRune(text, r)
			i += n
		default:
			n := indexSpecial(quoted[i:])
			text = append(text, quoted[i:i+n]...)
			i += n
		}
	}
}

// indexSpecial returns the offset of the first quote or backslash.
func indexSpecial(text []byte) int {
	i := 0
	for text[i] != '"' && text[i] != '\\' {
		i++
	}
	return i
}

// unescape reads the escape, of valid JSON, that a text begins with.
func unescape(text []byte) (r rune, size int) {
	switch c := text[1]; c {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r = codeUnit(text)
		if !utf16.IsSurrogate(r) {
			return r, 6
		}
		if len(text) >= 12 && text[6] == '\\' && text[7] == 'u' {
			if pair := utf16.DecodeRune(r, codeUnit(text[6:])); pair != utf8.RuneError {
				return pair, 12
			}
		}
		return utf8.RuneError, 6
	default:
		return rune(c), 2
	}
}

// codeUnit reads \uXXXX.
func codeUnit(text []byte) (r rune) {
	for _, c := range text[2:6] {
		r <<= 4
		switch {
		case isDigit(c):
			r |= rune(c - '0')
		default:
			r |= rune(c&^0x20 - 'A' + 10)
		}
	}
	return r
}
