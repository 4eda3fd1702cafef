package redisbus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

var (
	errTooMany = errors.New("more entries than bytes")
	errShort   = msgp.ErrShortBytes
)

// unpacker turns MessagePack, as notepack 2 and 3 write it, into JSON text with the binary
// parts cut out. Values may be nested as deep as those of the service: see session.MaxDepth.
type unpacker struct {
	rest  []byte
	ours  bool // written by this library: see float
	text  []byte
	parts []thinkws.Part
	depth int // lists that are open
}

// payload returns the unpacked text as count values.
func (u *unpacker) payload(count int) thinkws.Payload {
	return thinkws.Payload{Text: u.text, Count: count, Parts: u.parts}
}

// values unpacks n values as a list.
func (u *unpacker) values(n int) error {
	for i := range n {
		if i > 0 {
			u.text = append(u.text, ',')
		}
		if err := u.element(); err != nil {
			return err
		}
	}
	return nil
}

// element unpacks a value of a list, where undefined reads null.
func (u *unpacker) element() error {
	undefined, err := u.value()
	if undefined {
		u.text = append(u.text, "null"...)
	}
	return err
}

// value unpacks a value. Nothing is written for one that is undefined.
func (u *unpacker) value() (undefined bool, err error) {
	if len(u.rest) == 0 {
		return false, errShort
	}
	switch kind := msgp.NextType(u.rest); kind {
	case msgp.MapType:
		return false, u.object()
	case msgp.ArrayType:
		return false, u.array()
	case msgp.StrType:
		return false, u.string()
	case msgp.BinType:
		data, rest, err := readBytes(u.rest)
		u.rest = rest
		u.binary(data)
		return false, err
	case msgp.NilType:
		u.text = append(u.text, "null"...)
		u.rest, err = msgp.ReadNilBytes(u.rest)
		return false, err
	case msgp.BoolType:
		var b bool
		b, u.rest, err = msgp.ReadBoolBytes(u.rest)
		u.text = strconv.AppendBool(u.text, b)
		return false, err
	case msgp.IntType, msgp.UintType, msgp.Float32Type, msgp.Float64Type:
		return false, u.number(kind)
	default:
		return u.extension()
	}
}

func (u *unpacker) number(kind msgp.Type) (err error) {
	switch kind {
	case msgp.UintType:
		var n uint64
		n, u.rest, err = msgp.ReadUint64Bytes(u.rest)
		u.text = strconv.AppendUint(u.text, n, 10)
	case msgp.IntType:
		var n int64
		n, u.rest, err = msgp.ReadInt64Bytes(u.rest)
		u.text = strconv.AppendInt(u.text, n, 10)
	case msgp.Float32Type:
		var f float32
		f, u.rest, err = msgp.ReadFloat32Bytes(u.rest)
		u.float(float64(f))
	default:
		var f float64
		f, u.rest, err = msgp.ReadFloat64Bytes(u.rest)
		u.float(f)
	}
	return err
}

// float writes a number, or null for what JSON has no number for. A number that is too large for a
// float64, such as 1e400, is infinite to clients in JavaScript. Servers of this library send the text on
// to their own clients; those of Node.js send null to theirs. Clients of this server get the same.
func (u *unpacker) float(f float64) {
	switch {
	case math.IsNaN(f), math.IsInf(f, 0) && !u.ours:
		u.text = append(u.text, "null"...)
	case math.IsInf(f, 1):
		u.text = append(u.text, "1e999"...)
	case math.IsInf(f, -1):
		u.text = append(u.text, "-1e999"...)
	case f != 0 && (math.Abs(f) < 1e-6 || math.Abs(f) >= 1e21): // where JavaScript writes an exponent, too
		u.text = strconv.AppendFloat(u.text, f, 'e', -1, 64)
	default:
		u.text = strconv.AppendFloat(u.text, f, 'f', -1, 64)
	}
}

func (u *unpacker) string() error {
	s, rest, err := readText(u.rest)
	if err != nil {
		return err
	}
	u.rest = rest
	u.text = appendQuoted(u.text, s)
	return nil
}

func (u *unpacker) binary(data []byte) {
	u.parts = append(u.parts, thinkws.Part{At: len(u.text), Data: bytes.Clone(data)})
}

// open counts a list that contains what follows, until close.
func (u *unpacker) open(bracket byte) error {
	if u.depth++; u.depth > session.MaxDepth {
		return session.ErrDeep
	}
	u.text = append(u.text, bracket)
	return nil
}

func (u *unpacker) close(bracket byte) {
	u.depth--
	u.text = append(u.text, bracket)
}

// count reads the header of a list, which may claim what it likes.
func (u *unpacker) count(read func([]byte) (uint32, []byte, error)) (int, error) {
	n, rest, err := read(u.rest)
	if err != nil {
		return 0, err
	}
	if u.rest = rest; int64(n) > int64(len(rest)) {
		return 0, errTooMany
	}
	return int(n), nil
}

func (u *unpacker) array() error {
	n, err := u.count(msgp.ReadArrayHeaderBytes)
	if err != nil {
		return err
	}
	if err := u.open('['); err != nil {
		return err
	}
	err = u.values(n)
	u.close(']')
	return err
}

func (u *unpacker) object() error {
	n, err := u.count(msgp.ReadMapHeaderBytes)
	if err != nil {
		return err
	}
	if err := u.open('{'); err != nil {
		return err
	}
	for range n {
		start := len(u.text)
		if u.text[start-1] != '{' {
			u.text = append(u.text, ',')
		}
		if err := u.key(); err != nil {
			return err
		}
		u.text = append(u.text, ':')
		undefined, err := u.value()
		if err != nil {
			return err
		}
		if undefined {
			u.text = u.text[:start]
		}
	}
	u.close('}')
	return nil
}

// key unpacks the key of an entry. JavaScript writes strings only. Others may write whatever their
// dictionaries have for keys, and Node.js reads it as a string.
func (u *unpacker) key() (err error) {
	switch kind := msgp.NextType(u.rest); kind {
	case msgp.StrType:
		return u.string()
	case msgp.BinType:
		var data []byte
		data, u.rest, err = readBytes(u.rest)
		u.text = appendQuoted(u.text, data)
		return err
	case msgp.IntType, msgp.UintType, msgp.Float32Type, msgp.Float64Type, msgp.BoolType, msgp.NilType:
		u.text = append(u.text, '"')
		_, err = u.value()
		u.text = append(u.text, '"')
		return err
	default:
		return fmt.Errorf("a key is %v", kind)
	}
}

// Extensions of notepack.
const (
	extDate = -1 // of version 3: the timestamp of MessagePack
	extOld  = 0  // of version 2: undefined, a date, or bytes, by the form
)

// Forms of extensions. The length is fixed from fixext1 on: 1, 2, 4, 8 and 16 bytes.
const (
	ext8    = 0xc7
	fixext1 = 0xd4
	fixext4 = fixext1 + 2
	fixext8 = fixext1 + 3
)

// extension unpacks what JavaScript has and JSON has not. What is not known becomes a list of the
// extension's number and its bytes, as in Node.js.
func (u *unpacker) extension() (undefined bool, err error) {
	head := u.rest[0]
	kind, data, rest, err := readExtension(u.rest)
	if err != nil {
		return false, err
	}
	u.rest = rest
	switch {
	case kind == extDate && (head == fixext4 || head == fixext8 || head == ext8):
		return false, u.date(data)
	case kind == extOld && head == fixext1:
		return true, nil
	case kind == extOld && head == fixext8:
		u.time(float64(int64(binary.BigEndian.Uint64(data))))
	case kind == extOld && head < fixext1:
		u.binary(data)
	default:
		u.text = append(strconv.AppendInt(append(u.text, '['), int64(kind), 10), ',')
		u.binary(data)
		u.text = append(u.text, ']')
	}
	return false, nil
}

// date writes a timestamp of MessagePack, which has seconds and nanoseconds.
func (u *unpacker) date(data []byte) error {
	switch len(data) {
	case 4:
		u.time(float64(binary.BigEndian.Uint32(data)) * 1e3)
	case 8:
		n := binary.BigEndian.Uint64(data)
		u.time(float64(n&(1<<34-1))*1e3 + float64(n>>34)/1e6)
	case 12:
		u.time(float64(int64(binary.BigEndian.Uint64(data[4:])))*1e3 + float64(binary.BigEndian.Uint32(data))/1e6)
	default:
		return fmt.Errorf("a date of %d bytes", len(data))
	}
	return nil
}

// time writes a date, in milliseconds since 1970, as JSON.stringify does: one that Date cannot hold
// is null.
func (u *unpacker) time(ms float64) {
	const most = 8.64e15
	if math.Abs(ms) > most {
		u.text = append(u.text, "null"...)
		return
	}
	t := time.UnixMilli(int64(ms)).UTC()
	if year := t.Year(); year < 0 || year > 9999 {
		u.text = fmt.Appendf(u.text, `"%+07d`, year)
	} else {
		u.text = fmt.Appendf(u.text, `"%04d`, year)
	}
	u.text = t.AppendFormat(u.text, `-01-02T15:04:05.000Z"`)
}

// readExtension reads an extension of any form.
func readExtension(b []byte) (kind int8, data, rest []byte, err error) {
	n, head := 0, 1
	switch b[0] {
	case fixext1, fixext1 + 1, fixext4, fixext8, fixext8 + 1:
		n = 1 << (b[0] - fixext1)
	case ext8, ext8 + 1, ext8 + 2: // the length follows, in 1, 2 or 4 bytes
		head += 1 << (b[0] - ext8)
		if len(b) < head {
			return 0, nil, nil, errShort
		}
		for _, c := range b[1:head] {
			n = n<<8 | int(c)
		}
	default:
		return 0, nil, nil, fmt.Errorf("byte %#x is no value", b[0])
	}
	if n < 0 || len(b)-head-1 < n { // less than 0: it does not fit into an int of 32 bits
		return 0, nil, nil, errShort
	}
	return int8(b[head]), b[head+1 : head+1+n], b[head+1+n:], nil
}

// Forms of a text and of bytes with a length of 32 bits.
const (
	bin32 = 0xc6
	str32 = 0xdb
)

// readText is msgp.ReadStringZC without its panic: see isEndless.
func readText(b []byte) (text, rest []byte, err error) {
	if isEndless(b) {
		return nil, b, errShort
	}
	return msgp.ReadStringZC(b)
}

// readBytes is msgp.ReadBytesZC without its panic: see isEndless.
func readBytes(b []byte) (data, rest []byte, err error) {
	if isEndless(b) {
		return nil, b, errShort
	}
	return msgp.ReadBytesZC(b)
}

// isEndless reports whether a text, or bytes, claim to have 2 GiB or more. No message of Redis has. The length does not
// fit into an int of 32 bits, and there msgp panics.
func isEndless(b []byte) bool {
	return len(b) > 1 && (b[0] == str32 || b[0] == bin32) && b[1] >= 0x80
}
