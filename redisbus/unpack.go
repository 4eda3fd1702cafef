package redisbus

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/seed-ce09063a/thinkws"
)

// maxDepth is how deep values may be nested.
const maxDepth = 64

var (
	errDepth   = fmt.Errorf("nested deeper than %d", maxDepth)
	errTooMany = errors.New("more entries than bytes")
	errShort   = msgp.ErrShortBytes
)

// unpacker turns MessagePack, as notepack 2 and 3 write it, into JSON text with the binary
// parts cut out.
type unpacker struct {
	rest  []byte
	text  []byte
	parts []thinkws.Part
	depth int
}

// payload is what has been unpacked, as so many values.
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
	if u.depth++; u.depth > maxDepth {
		return false, errDepth
	}
	defer func() { u.depth-- }()
	switch kind := msgp.NextType(u.rest); kind {
	case msgp.MapType:
		return false, u.object()
	case msgp.ArrayType:
		return false, u.array()
	case msgp.StrType:
		return false, u.string()
	case msgp.BinType:
		data, rest, err := msgp.ReadBytesZC(u.rest)
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

// float writes a number, or null for what JSON has no number for.
func (u *unpacker) float(f float64) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		u.text = append(u.text, "null"...)
		return
	}
	text, _ := json.Marshal(f) // cannot fail
	u.text = append(u.text, text...)
}

func (u *unpacker) string() error {
	s, rest, err := msgp.ReadStringZC(u.rest)
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
	u.text = append(u.text, '[')
	err = u.values(n)
	u.text = append(u.text, ']')
	return err
}

func (u *unpacker) object() error {
	n, err := u.count(msgp.ReadMapHeaderBytes)
	if err != nil {
		return err
	}
	u.text = append(u.text, '{')
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
	u.text = append(u.text, '}')
	return nil
}

// key unpacks the key of an entry. JavaScript has strings only; others may write numbers.
func (u *unpacker) key() error {
	switch kind := msgp.NextType(u.rest); kind {
	case msgp.StrType:
		return u.string()
	case msgp.IntType, msgp.UintType:
		u.text = append(u.text, '"')
		err := u.number(kind)
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

// fixext1 is the first of the forms whose length is fixed: 1, 2, 4, 8 and 16 bytes.
const fixext1 = 0xd4

// extension unpacks what JavaScript has and JSON has not.
func (u *unpacker) extension() (undefined bool, err error) {
	fixed := u.rest[0] >= fixext1
	kind, data, rest, err := readExtension(u.rest)
	if err != nil {
		return false, err
	}
	u.rest = rest
	switch {
	case kind == extDate:
		return false, u.date(data)
	case kind != extOld:
		return false, fmt.Errorf("extension %d is not known", kind)
	case fixed && len(data) == 1:
		return true, nil
	case fixed && len(data) == 8:
		return false, u.time(time.UnixMilli(int64(binary.BigEndian.Uint64(data))))
	default:
		u.binary(data)
		return false, nil
	}
}

// date writes a timestamp of MessagePack.
func (u *unpacker) date(data []byte) error {
	switch len(data) {
	case 4:
		return u.time(time.Unix(int64(binary.BigEndian.Uint32(data)), 0))
	case 8:
		n := binary.BigEndian.Uint64(data)
		return u.time(time.Unix(int64(n&(1<<34-1)), int64(n>>34)))
	case 12:
		return u.time(time.Unix(int64(binary.BigEndian.Uint64(data[4:])), int64(binary.BigEndian.Uint32(data))))
	default:
		return fmt.Errorf("a date of %d bytes", len(data))
	}
}

// time writes a date as JSON.stringify does.
func (u *unpacker) time(t time.Time) error {
	t = t.UTC()
	if year := t.Year(); year < 0 || year > 9999 {
		return errors.New("a date beyond the year 9999")
	}
	u.text = t.AppendFormat(u.text, `"2006-01-02T15:04:05.000Z"`)
	return nil
}

// readExtension reads an extension of any form.
func readExtension(b []byte) (kind int8, data, rest []byte, err error) {
	n, head := 0, 1
	switch b[0] {
	case fixext1, fixext1 + 1, fixext1 + 2, fixext1 + 3, fixext1 + 4:
		n = 1 << (b[0] - fixext1)
	case 0xc7, 0xc8, 0xc9: // the length follows, in 1, 2 or 4 bytes
		head += 1 << (b[0] - 0xc7)
		if len(b) < head {
			return 0, nil, nil, errShort
		}
		for _, c := range b[1:head] {
			n = n<<8 | int(c)
		}
	default:
		return 0, nil, nil, fmt.Errorf("byte %#x is no value", b[0])
	}
	if len(b)-head-1 < n {
		return 0, nil, nil, errShort
	}
	return int8(b[head]), b[head+1 : head+1+n], b[head+1+n:], nil
}

// appendQuoted appends s as a JSON string. What is not UTF-8 becomes U+FFFD.
func appendQuoted[T string | []byte](dst []byte, s T) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			buf := bytes.NewBuffer(dst)
			enc := json.NewEncoder(buf)
			enc.SetEscapeHTML(false)
			_ = enc.Encode(string(s)) // cannot fail
			return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}
