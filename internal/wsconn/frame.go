package wsconn

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// First bytes of the control frames that are written (RFC 6455, section 5.2).
const (
	closeByte = 0x88
	pingByte  = 0x89
	pongByte  = 0x8a
)

// maxReason is what a close frame has room for beside the code, in bytes.
const maxReason = 123

// pingFrame returns a ping without payload.
func pingFrame() []byte { return []byte{pingByte, 0} }

func isClose(frame []byte) bool { return frame[0] == closeByte }

// closeFrame returns a close frame. Code 0 stands for none: an empty frame.
func closeFrame(code int, reason string) []byte {
	if code == 0 {
		return []byte{closeByte, 0}
	}
	reason = cutReason(reason)
	frame := make([]byte, 4, 4+len(reason))
	frame[0], frame[1] = closeByte, byte(2+len(reason))
	binary.BigEndian.PutUint16(frame[2:], uint16(code))
	return append(frame, reason...)
}

// cutReason makes reason what a close frame may carry: UTF-8, shortened to what fits
// between two characters.
func cutReason(reason string) string {
	reason = strings.ToValidUTF8(reason, "\uFFFD")
	if len(reason) <= maxReason {
		return reason
	}
	end := maxReason
	for end > 0 && !utf8.RuneStart(reason[end]) {
		end--
	}
	return reason[:end]
}

// validClose reports whether the reason in a close frame is UTF-8, as it has to be.
// coder/websocket would send back whatever came.
func validClose(frame []byte) bool {
	return len(frame) < 4 || utf8.Valid(frame[4:])
}

// withoutWording returns a close frame of coder/websocket as peers get it. If the code is for a violation, the text is that
// library's error, so only the code goes out. Any other frame echoes the peer's own, as Node.js does.
func withoutWording(frame []byte) []byte {
	if len(frame) < 4 {
		return frame
	}
	switch binary.BigEndian.Uint16(frame[2:]) {
	case session.CloseProtocol, session.CloseTooBig:
		return []byte{closeByte, 2, frame[2], frame[3]}
	default:
		return frame
	}
}

// boundary follows the frames in a stream of bytes, far enough to know whether it
// stands between two of them: that is how an orderly end differs from a break.
// The zero value stands before the first frame.
type boundary struct {
	seen    int8   // bytes of a header that is not complete; its first two decide
	missing int8   // bytes that complete the header, once two are seen
	mask    int8   // of these, bytes of the mask
	length  uint64 // of the payload, as far as the header is read
	payload uint64 // bytes of the payload yet to come
}

// between reports whether the next byte would begin a frame.
func (b *boundary) between() bool { return b.seen == 0 && b.payload == 0 }

func (b *boundary) advance(p []byte) {
	for len(p) > 0 {
		if b.payload > 0 {
			n := min(b.payload, uint64(len(p)))
			b.payload -= n
			p = p[n:]
			continue
		}
		b.header(p[0])
		p = p[1:]
	}
}

// header takes the next byte of a header.
func (b *boundary) header(c byte) {
	b.seen++
	switch b.seen {
	case 1:
		return
	case 2:
		b.second(c)
	default:
		if b.missing > b.mask {
			b.length = b.length<<8 | uint64(c)
		}
		b.missing--
	}
	if b.missing == 0 {
		*b = boundary{payload: b.length}
	}
}

// second takes the byte that tells how long the header is.
func (b *boundary) second(c byte) {
	if c&0x80 != 0 {
		b.mask = 4
	}
	b.missing = b.mask
	switch n := c & 0x7f; n {
	case 126:
		b.missing += 2
	case 127:
		b.missing += 8
	default:
		b.length = uint64(n)
	}
}
