package engineio

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

const (
	maxDigits = 9 // of a length: more than a payload has, and it fits into an int of 32 bits
	lengthEnd = 255
)

// What the first byte of a packet in a binary payload says.
const (
	kindText   = 0
	kindBinary = 1
)

// appendTextV3 appends a packet as <length>:<packet>, where the length counts
// UTF-16 code units, as JavaScript does. Binary ones become b<type><base64>.
func appendTextV3(payload []byte, f session.Frame) []byte {
	data := textV3(f)
	payload = strconv.AppendInt(payload, int64(utf16Len(data)), 10)
	payload = append(payload, ':')
	return append(payload, data...)
}

// textV3 returns the text of a packet as the client will see it: with invalid
// bytes replaced, so that both sides count the same.
func textV3(f session.Frame) []byte {
	if f.Binary {
		return Variant{Revision: 3}.appendBase64(nil, f.Payload()[1:]) // past the type
	}
	if utf8.Valid(f.Payload()) {
		return f.Payload()
	}
	return bytes.ToValidUTF8(f.Payload(), []byte("\uFFFD"))
}

// appendBinaryV3 appends a packet as <kind><digits of the length in bytes><255><packet>.
func appendBinaryV3(payload []byte, f session.Frame) []byte {
	kind := byte(kindText)
	if f.Binary {
		kind = kindBinary
	}
	payload = append(payload, kind)
	for _, digit := range strconv.Itoa(f.Len()) {
		payload = append(payload, byte(digit-'0'))
	}
	payload = append(payload, lengthEnd)
	return append(payload, f.Payload()...)
}

func cutTextV3(payload []byte) (p packet, rest []byte, err error) {
	n, behind := cutLength(payload, '0', ':')
	data, rest, ok := cutUTF16(behind, n)
	if !ok {
		return packet{}, nil, errPayload
	}
	p, err = Variant{Revision: 3}.textPacket(data)
	return p, tail(rest), err
}

func cutBinaryV3(payload []byte) (p packet, rest []byte, err error) {
	if len(payload) == 0 || payload[0] > kindBinary {
		return packet{}, nil, errPayload
	}
	n, behind := cutLength(payload[1:], 0, lengthEnd)
	if n < 0 || n > len(behind) {
		return packet{}, nil, errPayload
	}
	data, rest := behind[:n], behind[n:]
	switch {
	case payload[0] == kindBinary:
		p, err = binaryPacketV3(data)
	case !utf8.Valid(data):
		err = errPayload
	default:
		p, err = Variant{Revision: 3}.textPacket(data)
	}
	return p, tail(rest), err
}

// tail returns nil for nothing.
func tail(rest []byte) []byte {
	if len(rest) == 0 {
		return nil
	}
	return rest
}

// cutLength reads the length before a packet, which has no leading zeros: digits, of which zero is the one that stands
// for 0, then end. n is -1 if there is none.
func cutLength(payload []byte, zero, end byte) (n int, rest []byte) {
	digits, _, found := bytes.Cut(payload[:min(len(payload), maxDigits+1)], []byte{end})
	if !found || len(digits) == 0 || digits[0] == zero {
		return -1, nil
	}
	for _, d := range digits {
		if d -= zero; d > 9 {
			return -1, nil
		}
		n = n*10 + int(d)
	}
	return n, payload[len(digits)+1:]
}

// utf16Len counts the UTF-16 code units of valid UTF-8.
func utf16Len(text []byte) (n int) {
	for _, b := range text {
		switch {
		case b >= 0xf0: // starts four bytes, which are a surrogate pair
			n += 2
		case b < 0x80 || b >= 0xc0:
			n++
		}
	}
	return n
}

// cutUTF16 cuts valid UTF-8 after n UTF-16 code units. It fails if the text is
// shorter, or if that would split a surrogate pair.
func cutUTF16(text []byte, n int) (head, rest []byte, ok bool) {
	end := 0
	for n > 0 && end < len(text) {
		r, size := utf8.DecodeRune(text[end:])
		if n--; r > 0xffff {
			n--
		}
		end += size
	}
	return text[:end], text[end:], n == 0
}
