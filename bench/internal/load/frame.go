package load

import (
	"encoding/binary"
	"errors"
)

// Opcodes of WebSocket frames, and the bit of a compressed one.
const (
	opText   = 1
	opBinary = 2
	opClose  = 8
	opPing   = 9
	opPong   = 10
	rsv1     = 0x40
)

// maskKey is the same in all frames; the server has to unmask all the same.
var maskKey = [4]byte{0x12, 0x34, 0x56, 0x78}

// clientFrame builds a masked frame.
func clientFrame(op byte, payload []byte) []byte {
	f := []byte{0x80 | op}
	switch n := len(payload); {
	case n < 126:
		f = append(f, 0x80|byte(n))
	case n < 1<<16:
		f = binary.BigEndian.AppendUint16(append(f, 0x80|126), uint16(n))
	default:
		f = binary.BigEndian.AppendUint64(append(f, 0x80|127), uint64(n))
	}
	f = append(f, maskKey[:]...)
	for i, b := range payload {
		f = append(f, b^maskKey[i&3])
	}
	return f
}

var errFrame = errors.New("a frame that no server should send")

// serverFrame splits the first frame from data. A size of 0 says that there is not
// all of it yet.
func serverFrame(data []byte) (first byte, payload []byte, size int, err error) {
	if len(data) < 2 {
		return 0, nil, 0, nil
	}
	head, n := 2, int(data[1])
	switch {
	case n > 127: // masked
		return 0, nil, 0, errFrame
	case n == 126:
		head = 4
	case n == 127:
		head = 10
	}
	if len(data) < head {
		return 0, nil, 0, nil
	}
	if head == 4 {
		n = int(binary.BigEndian.Uint16(data[2:]))
	} else if head == 10 {
		n = int(binary.BigEndian.Uint64(data[2:]))
	}
	if n < 0 || n > 1<<26 {
		return 0, nil, 0, errFrame
	}
	if len(data) < head+n {
		return 0, nil, 0, nil
	}
	return data[0], data[head : head+n], head + n, nil
}
