package session

import (
	"bytes"
	"encoding/binary"
)

// maxHeader is the longest header of an unmasked WebSocket frame: two bytes and a
// length of eight (RFC 6455, section 5.2).
const maxHeader = 10

// Frame is one unit of the wire: a WebSocket message, a packet of a poll. It is
// immutable and shared by all clients that receive it, WebSocket header included.
type Frame struct {
	buf      []byte    // maxHeader-head bytes that are not the frame's, header, payload
	deflated *deflated // shared by all copies; nil if it is not to be compressed
	round    *Round    // of its message
	part     FramePart // what it is of its message
	head     uint8     // length of the header
	lent     bool      // the memory is used again
	Binary   bool
}

// TextFrame joins the pieces to a text frame. They are copied.
func TextFrame(pieces ...[]byte) Frame { return newFrame(false, pieces) }

// BinaryFrame joins the pieces to a binary frame. They are copied.
func BinaryFrame(pieces ...[]byte) Frame { return newFrame(true, pieces) }

func newFrame(binary bool, pieces [][]byte) Frame {
	n := 0
	for _, p := range pieces {
		n += len(p)
	}
	buf := make([]byte, maxHeader, maxHeader+n)
	for _, p := range pieces {
		buf = append(buf, p...)
	}
	f := Frame{buf: buf, Binary: binary}
	f.head = putHeader(buf[:maxHeader], binary, n)
	return f
}

// Room returns memory for a text of n bytes that is to become a frame: append to it,
// and give it to TextOf. More than n bytes are possible, at the price of a copy.
func Room(n int) []byte { return make([]byte, maxHeader, maxHeader+n) }

// RoomBehind is how much more has to be asked for if a binary frame of n bytes is to lie
// right behind: see BinaryBehind.
func RoomBehind(n int) int { return maxHeader + n }

// BinaryBehind is BinaryFrame whose result lies behind f in the memory from Room, as long
// as there is some: frames without a gap between them are written as one.
func BinaryBehind(f Frame, pieces ...[]byte) Frame {
	n := 0
	for _, p := range pieces {
		n += len(p)
	}
	head := headerLen(n)
	if cap(f.buf)-len(f.buf) < head+n {
		return BinaryFrame(pieces...)
	}
	start := len(f.buf) + head - maxHeader
	whole := f.buf[:len(f.buf)+head]
	for _, p := range pieces {
		whole = append(whole, p...)
	}
	b := Frame{buf: whole[start:], Binary: true}
	b.head = putHeader(b.buf[:maxHeader], true, n)
	return b
}

// Adjoin returns frames in one piece, if they lie in memory as they follow each other and
// nobody wants them compressed; else nil.
func Adjoin(frames []Frame) []byte {
	first := frames[0]
	whole := first.WebSocket()
	for _, f := range frames {
		if f.deflated != nil {
			return nil
		}
	}
	for _, f := range frames[1:] {
		next := f.WebSocket()
		if cap(whole)-len(whole) < len(next) || &whole[:len(whole)+1][len(whole)] != &next[0] {
			return nil
		}
		whole = whole[:len(whole)+len(next)]
	}
	return whole
}

// TextOf makes a text frame of what Room has returned and what was appended to it,
// which belongs to the frame from then on.
func TextOf(buf []byte) Frame {
	return Frame{buf: buf, head: putHeader(buf[:maxHeader], false, len(buf)-maxHeader)}
}

func headerLen(n int) int {
	switch {
	case n < 126:
		return 2
	case n < 1<<16:
		return 4
	default:
		return maxHeader
	}
}

// putHeader writes the header of a final, unmasked frame right-aligned into b.
func putHeader(b []byte, bin bool, n int) uint8 {
	first := byte(0x81) // FIN, text
	if bin {
		first = 0x82
	}
	switch {
	case n < 126:
		b[maxHeader-2], b[maxHeader-1] = first, byte(n)
		return 2
	case n < 1<<16:
		b[maxHeader-4], b[maxHeader-3] = first, 126
		binary.BigEndian.PutUint16(b[maxHeader-2:], uint16(n))
		return 4
	default:
		b[0], b[1] = first, 127
		binary.BigEndian.PutUint64(b[2:], uint64(n))
		return 10
	}
}

// Lent reports whether the frame is for the moment only: who keeps it keeps a copy.
func (f Frame) Lent() bool { return f.lent }

// Part implements [Entry].
func (f Frame) Part() FramePart { return f.part }

// Round returns the round whose end the frame may wait for; nil if it is to be written
// at once.
func (f Frame) Round() *Round { return f.round }

// Keep returns f, or a copy if it is lent.
func (f Frame) Keep() Frame {
	if f.lent {
		f.buf, f.lent = bytes.Clone(f.buf), false
	}
	return f
}

// KeepAll is Keep for all frames of a message.
func KeepAll(frames []Frame) []Frame {
	if len(frames) == 0 || !frames[0].lent {
		return frames
	}
	kept := make([]Frame, len(frames))
	for i, f := range frames {
		kept[i] = f.Keep()
	}
	return kept
}

// Payload is what the frame carries.
func (f Frame) Payload() []byte { return f.buf[maxHeader:] }

// Len is the length of the payload in bytes.
func (f Frame) Len() int { return len(f.buf) - maxHeader }

// WebSocket is the whole unmasked WebSocket frame, ready to be written.
func (f Frame) WebSocket() []byte { return f.buf[maxHeader-int(f.head):] }

// Deflated is WebSocket for a client that has negotiated permessage-deflate: the
// frame compressed, if its message wants that and it is shorter then. It is made by
// the first call, and others at the same time wait for that one.
func (f Frame) Deflated() []byte {
	if f.deflated == nil {
		return f.WebSocket()
	}
	return f.deflated.frame(f)
}
