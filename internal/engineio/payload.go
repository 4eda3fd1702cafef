package engineio

import (
	"bytes"
	"iter"
	"slices"
	"unicode/utf8"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// separator stands between the packets of a payload in revision 4.
const separator = 0x1e

// encode joins the packets of one poll, and reports whether the result is binary.
func (v Variant) encode(frames []session.Frame) (payload []byte, binary bool) {
	binary = v.Revision == 3 && !v.Base64 && anyBinary(frames)
	size := 0
	for _, f := range frames {
		size += f.Len() + maxDigits + 2
	}
	payload = make([]byte, 0, size)
	for i, f := range frames {
		switch {
		case binary:
			payload = appendBinaryV3(payload, f)
		case v.Revision == 3:
			payload = appendTextV3(payload, f)
		default:
			payload = appendV4(payload, f, i == 0)
		}
	}
	return payload, binary
}

func anyBinary(frames []session.Frame) bool {
	return slices.ContainsFunc(frames, func(f session.Frame) bool { return f.Binary })
}

// appendV4 appends a packet, and a separator before all but the first. Binary ones become b<base64>: this revision has
// no other form for them in polling.
func appendV4(payload []byte, f session.Frame, first bool) []byte {
	if !first {
		payload = append(payload, separator)
	}
	if f.Binary {
		return Variant{Revision: 4}.appendBase64(payload, f.Payload())
	}
	return append(payload, f.Payload()...)
}

// decode goes through the packets in the body of a POST, most of them at the most. An error comes after the packets
// before it, and last. A body of small packets is not decoded at once, because its packets hold many times what it
// does.
func (v Variant) decode(payload []byte, binary bool, most int) iter.Seq2[packet, error] {
	cut := cutTextV3 // takes the first packet off; the rest is nil behind the last one
	switch {
	case v.Revision == 4:
		cut, binary = cutV4, false
	case binary:
		cut = cutBinaryV3
	}
	return func(yield func(packet, error) bool) {
		if !binary && !utf8.Valid(payload) {
			yield(packet{}, errPayload)
			return
		}
		for n, rest := 0, payload; n == 0 || rest != nil; n++ {
			if n == most {
				yield(packet{}, errCount)
				return
			}
			p, behind, err := cut(rest)
			p.wire, rest = len(rest)-len(behind), behind
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

func cutV4(payload []byte) (p packet, rest []byte, err error) {
	data, rest, _ := bytes.Cut(payload, []byte{separator})
	p, err = Variant{Revision: 4}.textPacket(data)
	return p, rest, err
}
