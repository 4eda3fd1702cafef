package wsconn

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Bits and opcodes of a frame's first two bytes (RFC 6455, section 5.2).
const (
	finBit     = 0x80
	rsv1Bit    = 0x40 // the message is compressed (RFC 7692, section 6)
	rsvBits    = 0x70
	maskBit    = 0x80
	opcodeBits = 0x0f

	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

const (
	maxControl = 125 // bytes of a control frame's payload
	maskLen    = 4
	maxHeader  = 14
)

// incoming is a whole message, or a control frame.
type incoming struct {
	opcode byte // 0 for nothing: more bytes are needed
	data   []byte
}

// violation is an error of the client. It ends the connection with a close frame.
type violation struct {
	code   int
	reason string // for the close frame
	whole  bool   // what comes next is a frame
	err    error
}

func (v *violation) Error() string { return v.err.Error() }
func (v *violation) Unwrap() error { return v.err }

func violated(what string) error {
	return &violation{code: session.CloseProtocol, err: fmt.Errorf("%w: %s", ErrProtocol, what)}
}

// frameReader turns the bytes of a client into messages and control frames (RFC 6455, section 5, and RFC 7692). It may
// be given them in pieces of any size. It has no goroutine, no connection and no buffer: between two messages it holds
// nothing, within one it holds what has come of it. After an error it must not be used again, unless that says so.
//
//	      two bytes       length, mask          payload
//	header ------> header ------------> payload ------> header, and if that was the last frame: a message
//
// A control frame may come between two frames of a message, so it has a payload of its own.
type frameReader struct {
	limit    int64        // bytes of a message, inflated
	deflates bool         // compressed messages have been negotiated
	hold     session.Hold // hears of what is held while a message is inflated; nil for nobody

	header [maxHeader]byte
	have   uint8  // bytes of the header
	need   uint8  // bytes that it has; 0 before its first two are there
	turn   uint8  // the byte of the mask for the next byte of the payload
	left   uint64 // bytes of the payload that are still to come; meaningful once the header is complete

	opcode     byte // of the message under way; 0 if there is none
	compressed bool
	message    []byte
	control    []byte
}

// between reports whether the next byte begins a message or a control frame between two messages.
func (r *frameReader) between() bool { return r.have == 0 && r.opcode == 0 }

// held returns how many bytes are held for the message under way.
func (r *frameReader) held() int { return cap(r.message) }

// next takes bytes up to the end of a message or a control frame, and returns those behind it.
func (r *frameReader) next(p []byte) (rest []byte, in incoming, err error) {
	for {
		if p, err = r.readHeader(p); err != nil || !r.complete() {
			return p, incoming{}, err
		}
		p = r.readPayload(p)
		if r.left > 0 {
			return p, incoming{}, nil
		}
		r.have, r.need = 0, 0
		if in, err = r.endFrame(); err != nil || in.opcode != 0 || len(p) == 0 {
			return p, in, err
		}
	}
}

func (r *frameReader) complete() bool { return r.need > 0 && r.have == r.need }

// readHeader takes what p has of the header.
func (r *frameReader) readHeader(p []byte) (rest []byte, err error) {
	for !r.complete() {
		n := copy(r.header[r.have:max(r.need, 2)], p)
		if n == 0 {
			return p, nil
		}
		p, r.have = p[n:], r.have+uint8(n)
		switch {
		case r.have < 2:
		case r.need == 0:
			if err := r.checkStart(); err != nil {
				return p, err
			}
		case r.have == r.need:
			if err := r.beginPayload(); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

// checkStart checks the first two bytes of a header, which say how long it is.
func (r *frameReader) checkStart() error {
	first, second := r.header[0], r.header[1]
	op, final, length := first&opcodeBits, first&finBit != 0, second&^maskBit
	allowed := byte(0)
	if r.deflates && (op == opText || op == opBinary) {
		allowed = rsv1Bit // of a message, the first frame alone has the bit
	}
	switch {
	case first&rsvBits&^allowed != 0:
		return violated("reserved bits")
	case second&maskBit == 0:
		return violated("frame without a mask")
	case op > opPong || op > opBinary && op < opClose:
		return violated("unknown opcode")
	case op >= opClose && (!final || length > maxControl):
		return violated("control frame in fragments, or too long")
	case op == opContinuation && r.opcode == 0:
		return violated("continuation of no message")
	case (op == opText || op == opBinary) && r.opcode != 0:
		return violated("message within a message")
	}
	r.need = 2 + maskLen
	switch length {
	case 126:
		r.need += 2
	case 127:
		r.need += 8
	}
	return nil
}

// beginPayload reads the length in a complete header, and makes room.
func (r *frameReader) beginPayload() error {
	switch length := r.header[1] &^ maskBit; length {
	case 126:
		r.left = uint64(binary.BigEndian.Uint16(r.header[2:]))
	case 127:
		r.left = binary.BigEndian.Uint64(r.header[2:])
	default:
		r.left = uint64(length)
	}
	r.turn = 0
	switch op := r.header[0] & opcodeBits; {
	case op >= opClose:
		r.control = make([]byte, 0, r.left)
		return nil
	case r.left > 1<<63-1:
		return violated("length of more than 63 bits")
	case op != opContinuation:
		r.opcode, r.compressed = op, r.header[0]&rsv1Bit != 0
	}
	if r.left > uint64(r.limit-int64(len(r.message))) {
		return errTooBig
	}
	return nil
}

// readPayload takes what p has of the payload, unmasked.
func (r *frameReader) readPayload(p []byte) (rest []byte) {
	n := int(min(r.left, uint64(len(p))))
	if n == 0 {
		return p
	}
	into := &r.message
	if r.isControl() {
		into = &r.control
	}
	*into = r.grown(*into, n)
	r.append(into, p[:n])
	return p[n:]
}

func (r *frameReader) isControl() bool { return r.header[0]&opcodeBits >= opClose }

// append appends bytes of the payload, unmasked. They may lie where they are appended.
func (r *frameReader) append(into *[]byte, p []byte) {
	start := len(*into)
	*into = (*into)[:start+len(p)]
	unmask((*into)[start:], p, r.mask())
	r.turn = uint8((int(r.turn) + len(p)) % maskLen)
	r.left -= uint64(len(p))
}

// room returns memory into which the payload of a message may be read; nil if it is not what comes next. Bytes that
// have been read into it are for filled.
func (r *frameReader) room() []byte {
	if !r.complete() || r.left == 0 || r.isControl() {
		return nil
	}
	r.message = r.grown(r.message, 1)
	free := r.message[len(r.message):cap(r.message)]
	return free[:min(uint64(len(free)), r.left)]
}

// filled takes the first n bytes of what room has returned.
func (r *frameReader) filled(n int) {
	r.append(&r.message, r.message[len(r.message):len(r.message)+n])
}

// mask is the key for the next byte of the payload.
func (r *frameReader) mask() (key [maskLen]byte) {
	sent := r.header[r.need-maskLen : r.need]
	for i := range key {
		key[i] = sent[(i+int(r.turn))%maskLen]
	}
	return key
}

// believed is how many bytes of a message get their memory because its header announces them.
const believed = 64 << 10

// grown returns data with room for n bytes. What has come decides how much memory a message gets, beyond the first
// bytes: a client may announce what it never sends.
func (r *frameReader) grown(data []byte, n int) []byte {
	size := len(data) + n
	if size <= cap(data) {
		return data
	}
	announced := uint64(len(data)) + r.left
	size = max(size, int(min(announced, believed)), int(min(announced, uint64(len(data))+max(uint64(len(data))/4, 512))))
	if r.compressed {
		size += len(deflateTail) // inflated appends it
	}
	return append(make([]byte, 0, size), data...)
}

// endFrame returns what has come to its end with a frame, if anything has.
func (r *frameReader) endFrame() (incoming, error) {
	if op := r.header[0] & opcodeBits; op >= opClose {
		in := incoming{op, r.control}
		r.control = nil
		if op == opClose {
			return in, checkClose(in.data)
		}
		return in, nil
	}
	if r.header[0]&finBit == 0 {
		return incoming{}, nil
	}
	in := incoming{r.opcode, r.message}
	compressed := r.compressed
	r.opcode, r.message = 0, nil
	if compressed {
		var err error
		if in.data, err = inflated(in.data, r.limit, r.hold); err != nil {
			return incoming{}, err
		}
	}
	if in.opcode == opText && !utf8.Valid(in.data) {
		return incoming{}, &violation{session.CloseInvalidText, "text is not UTF-8", true, fmt.Errorf("%w: text is not UTF-8", ErrProtocol)}
	}
	in.data = session.Fit(in.data)
	return in, nil
}

// checkClose checks the payload of a close frame (RFC 6455, sections 5.5.1 and 7.4).
func checkClose(payload []byte) error {
	switch {
	case len(payload) == 0:
		return nil
	case len(payload) == 1:
		return violated("close frame with half a code")
	case !isCloseCode(binary.BigEndian.Uint16(payload)):
		return violated("close frame with a code that must not be sent")
	case !utf8.Valid(payload[2:]):
		return &violation{session.CloseInvalidText, "reason is not UTF-8", false, fmt.Errorf("%w: reason is not UTF-8", ErrProtocol)}
	default:
		return nil
	}
}

// isCloseCode reports whether a client may send code: those of the registry of IANA, and those for applications.
func isCloseCode(code uint16) bool {
	switch {
	case code >= 1000 && code <= 1014:
		return code < 1004 || code > 1006
	default:
		return code >= 3000 && code <= 4999
	}
}

// unmask writes src to dst, which is as long, unmasked (RFC 6455, section 5.3).
func unmask(dst, src []byte, key [maskLen]byte) {
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
