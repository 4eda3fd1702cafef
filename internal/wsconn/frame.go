package wsconn

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"
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
