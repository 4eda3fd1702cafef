package engineio

import (
	"bytes"
	"iter"
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

// encodeTextV3 joins packets as <length>:<packet>, where the length counts
// UTF-16 code units, as JavaScript does. Binary ones become b<type><base64>.
func encodeTextV3(frames []session.Frame) []byte {
	size := 0
	for _, f := range frames {
		size += f.Len() + maxDigits
	}
	payload := make([]byte, 0, size)
	for _, f := range frames {
		data := textV3(f)
		payload = strconv.AppendInt(payload, int64(utf16Len(data)), 10)
		payload = append(payload, ':')
		payload = append(payload, data...)
	}
	return payload
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

// encodeBinaryV3 joins packets as <kind><digits of the length in bytes><255><packet>.
func encodeBinaryV3(frames []session.Frame) []byte {
	size := 0
	for _, f := range frames {
		size += f.Len() + maxDigits + 2
	}
	payload := make([]byte, 0, size)
	for _, f := range frames {
		kind := byte(kindText)
		if f.Binary {
			kind = kindBinary
		}
		payload = append(payload, kind)
		for _, digit := range strconv.Itoa(f.Len()) {
			payload = append(payload, byte(digit-'0'))
		}
		payload = append(payload, lengthEnd)
		payload = append(payload, f.Payload()...)
	}
	return payload
}

// decodeV3 goes through the packets of a payload, as Variant.decode does. cut takes the first packet off a payload.
func decodeV3(payload []byte, most int, valid bool, cut func([]byte) (packet, []byte, error)) iter.Seq2[packet, error] {
	return func(yield func(packet, error) bool) {
		if len(payload) == 0 || !valid {
			yield(packet{}, errPayload)
			return
		}
		for n := 0; len(payload) > 0; n++ {
			if n == most {
				yield(packet{}, errCount)
				return
			}
			p, rest, err := cut(payload)
			p.wire, payload = len(payload)-len(rest), rest
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

func cutTextV3(payload []byte) (p packet, rest []byte, err error) {
	head := payload[:min(len(payload), maxDigits+1)]
	colon := bytes.IndexByte(head, ':')
	if colon < 0 {
		return packet{}, nil, errPayload
	}
	n, ok := decimal(head[:colon], '0')
	if !ok {
		return packet{}, nil, errPayload
	}
	data, rest, ok := cutUTF16(payload[colon+1:], n)
	if !ok {
		return packet{}, nil, errPayload
	}
	p, err = Variant{Revision: 3}.textPacket(data)
	return p, rest, err
}

func cutBinaryV3(payload []byte) (p packet, rest []byte, err error) {
	kind, payload := payload[0], payload[1:]
	head := payload[:min(len(payload), maxDigits+1)]
	end := bytes.IndexByte(head, lengthEnd)
	if end < 0 || kind > kindBinary {
		return packet{}, nil, errPayload
	}
	n, ok := decimal(head[:end], 0)
	payload = payload[end+1:]
	if !ok || n > len(payload) {
		return packet{}, nil, errPayload
	}
	data, rest := payload[:n], payload[n:]
	switch {
	case kind == kindBinary:
		p, err = binaryPacketV3(data)
	case !utf8.Valid(data):
		err = errPayload
	default:
		p, err = Variant{Revision: 3}.textPacket(data)
	}
	return p, rest, err
}

// decimal reads a length without leading zeros; zero is the digit that stands for 0.
func decimal(digits []byte, zero byte) (n int, ok bool) {
	if len(digits) == 0 || digits[0] == zero {
		return 0, false
	}
	for _, d := range digits {
		if d -= zero; d > 9 {
			return 0, false
		}
		n = n*10 + int(d)
	}
	return n, true
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
