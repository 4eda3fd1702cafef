package engineio

import (
	"bytes"
	"iter"
	"unicode/utf8"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// separator stands between the packets of a payload in revision 4.
const separator = 0x1e

// encodeV4 joins packets. Binary ones become b<base64>: this revision has no
// other form for them in polling.
func encodeV4(frames []session.Frame) []byte {
	size := len(frames)
	for _, f := range frames {
		size += f.Len()
	}
	payload := make([]byte, 0, size)
	for i, f := range frames {
		if i > 0 {
			payload = append(payload, separator)
		}
		if f.Binary {
			payload = Variant{Revision: 4}.appendBase64(payload, f.Payload())
		} else {
			payload = append(payload, f.Payload()...)
		}
	}
	return payload
}

// decodeV4 goes through the packets of a payload, as Variant.decode does.
func decodeV4(payload []byte, most int) iter.Seq2[packet, error] {
	return func(yield func(packet, error) bool) {
		if !utf8.Valid(payload) {
			yield(packet{}, errPayload)
			return
		}
		for n, more := 0, true; more; n++ {
			if n == most {
				yield(packet{}, errCount)
				return
			}
			var one []byte
			one, payload, more = bytes.Cut(payload, []byte{separator})
			p, err := Variant{Revision: 4}.textPacket(one)
			p.wire = len(one) + 1 // the separator
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}
