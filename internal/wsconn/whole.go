package wsconn

import "encoding/binary"

// wholeHeader is the longest header of a masked frame with a length of two bytes: all
// that is read ahead fits such a frame.
const wholeHeader = 8

// whole takes the next frame from what has been read ahead, if that is what nearly
// all are: a message, a ping or a pong that has arrived in whole, masked, neither
// compressed nor larger than most. It returns the first byte of the frame, 0 if it is another
// one. That is left to coder/websocket, which does not notice, for it stands between two
// messages and holds no bytes.
func (s *stream) whole(most int64) (first byte, data []byte) {
	if s.buffered() > 0 || !s.boundary.between() {
		return 0, nil
	}
	head, n := wholeLength(s.ahead)
	if head == 0 || n > len(s.ahead)-head || int64(n) > most {
		return 0, nil
	}
	first, data = s.ahead[0], make([]byte, n)
	unmask(data, s.ahead[head:head+n], [4]byte(s.ahead[head-4:head]))
	if s.ahead = s.ahead[head+n:]; len(s.ahead) == 0 {
		s.drained()
	}
	return first, data
}

// wholeLength returns the lengths of the header and the payload of a final frame without
// extensions that p begins with; 0 if there is none, or a close frame (RFC 6455, section 5.2).
func wholeLength(p []byte) (head, n int) {
	if len(p) < wholeHeader-2 || p[1]&maskBit == 0 {
		return 0, 0
	}
	data := p[0] == opText|finBit || p[0] == opBinary|finBit
	if !data && p[0] != pingByte && p[0] != pongByte {
		return 0, 0
	}
	switch n = int(p[1] &^ maskBit); {
	case n < 126:
		return wholeHeader - 2, n
	case n == 126 && data && len(p) >= wholeHeader:
		return wholeHeader, int(binary.BigEndian.Uint16(p[2:]))
	default:
		return 0, 0
	}
}

// Bits and opcodes of the first two bytes of a frame.
const (
	opText   = 1
	opBinary = 2
	finBit   = 0x80
	maskBit  = 0x80
)

// unmask writes src to dst, which is as long, unmasked (RFC 6455, section 5.3).
func unmask(dst, src []byte, key [4]byte) {
	word := uint64(binary.LittleEndian.Uint32(key[:]))
	word |= word << 32
	for len(src) >= 8 {
		binary.LittleEndian.PutUint64(dst, binary.LittleEndian.Uint64(src)^word)
		dst, src = dst[8:], src[8:]
	}
	for i, c := range src {
		dst[i] = c ^ key[i&3]
	}
}
