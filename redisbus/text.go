package redisbus

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Strings of JavaScript are lists of 16-bit units and may hold a surrogate that is not one of a pair.
// JSON escapes it. MessagePack gets the three bytes that UTF-8 would have for it, so that it arrives
// at clients of other servers as it does at those of this one. Node.js reads them as U+FFFD.

// appendQuoted appends s as a JSON string. What is not UTF-8 becomes U+FFFD, and a lone surrogate an
// escape.
func appendQuoted[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	from := 0 // what is not appended yet
	for i := 0; i < len(s); {
		if c := s[i]; ' ' <= c && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		size := runeLen(s, i)
		if size > 0 {
			i += size
			continue
		}
		dst = append(dst, s[from:i]...)
		dst, size = appendEscape(dst, s, i)
		i += size
		from = i
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// runeLen returns the length of the character at s[i:], 0 if JSON needs an escape for it.
func runeLen[T string | []byte](s T, i int) int {
	if s[i] < utf8.RuneSelf {
		return 0
	}
	r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
	if r == utf8.RuneError && size == 1 {
		return 0
	}
	return size
}

// appendEscape appends an escape for the character at s[i:] and returns the length of that.
func appendEscape[T string | []byte](dst []byte, s T, i int) ([]byte, int) {
	const digits = "0123456789abcdef"
	switch c := s[i]; {
	case c == '"' || c == '\\':
		return append(dst, '\\', c), 1
	case c == '\n':
		return append(dst, `\n`...), 1
	case c < ' ':
		return append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&0xf]), 1
	case i+2 < len(s) && c == 0xed && s[i+1]&0xe0 == 0xa0 && s[i+2]&0xc0 == 0x80:
		unit := int64(0xd000) | int64(s[i+1]&0x3f)<<6 | int64(s[i+2]&0x3f)
		return strconv.AppendInt(append(dst, `\u`...), unit, 16), 3
	default:
		return append(dst, `\ufffd`...), 1
	}
}

// unescape returns the text of a JSON string, given without its quotes.
func unescape(inner []byte) []byte {
	text := make([]byte, 0, len(inner))
	for i := 0; i < len(inner); i++ {
		if inner[i] != '\\' {
			text = append(text, inner[i])
			continue
		}
		i++
		switch c := inner[i]; c {
		case 'b':
			text = append(text, '\b')
		case 'f':
			text = append(text, '\f')
		case 'n':
			text = append(text, '\n')
		case 'r':
			text = append(text, '\r')
		case 't':
			text = append(text, '\t')
		case 'u':
			var size int
			text, size = appendUnits(text, inner[i+1:])
			i += size
		default: // a quote, a slash or a backslash
			text = append(text, c)
		}
	}
	return text
}

// appendUnits appends the character whose four digits, those of its first unit, rest begins with, and
// returns how much of rest that takes.
func appendUnits(text, rest []byte) ([]byte, int) {
	r := unitOf(rest)
	if !utf16.IsSurrogate(r) {
		return utf8.AppendRune(text, r), 4
	}
	if len(rest) >= 10 && rest[4] == '\\' && rest[5] == 'u' {
		if pair := utf16.DecodeRune(r, unitOf(rest[6:])); pair != utf8.RuneError {
			return utf8.AppendRune(text, pair), 10
		}
	}
	return append(text, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0x3f, 0x80|byte(r)&0x3f), 4
}

// unitOf reads four hexadecimal digits.
func unitOf(digits []byte) rune {
	n, _ := strconv.ParseUint(string(digits[:4]), 16, 16) // they are digits: the text is valid
	return rune(n)
}
