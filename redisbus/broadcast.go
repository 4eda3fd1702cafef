package redisbus

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/seed-ce09063a/thinkws"
)

// Types of Socket.IO's packets that carry an event. The second is what nodes of Socket.IO 2
// use, and need, where there is binary in it.
const (
	packetEvent       = 2
	packetBinaryEvent = 5
)

// broadcast is a message to clients: [uid, packet, opts] as MessagePack, on the channel of
// a namespace or of one of its rooms.
type broadcast struct {
	uid   string // of who sends
	event *thinkws.Envelope
	local bool // flagged as not for others, though it has come
}

// encodeBroadcast is the wire form of an event for clients, with room for a number if it
// is to have one.
func encodeBroadcast(uid string, e *thinkws.Envelope, old, numbered bool) []byte {
	b := make([]byte, 0, 128+len(e.Args.Text)+partsLen(e.Args))
	if !numbered {
		return appendBroadcast(msgp.AppendArrayHeader(b, 3), uid, e, old)
	}
	return appendNumberRoom(appendBroadcast(msgp.AppendArrayHeader(b, 4), uid, e, old))
}

func appendBroadcast(b []byte, uid string, e *thinkws.Envelope, old bool) []byte {
	b = msgp.AppendString(b, uid)
	b = appendPacket(b, e, old)
	return appendOpts(b, e)
}

func partsLen(args thinkws.Payload) (n int) {
	for _, p := range args.Parts {
		n += len(p.Data) + 5
	}
	return n
}

func appendPacket(b []byte, e *thinkws.Envelope, old bool) []byte {
	kind := packetEvent
	if old && len(e.Args.Parts) > 0 {
		kind = packetBinaryEvent
	}
	b = msgp.AppendMapHeader(b, 3)
	b = msgp.AppendString(b, "type")
	b = msgp.AppendInt(b, kind)
	b = msgp.AppendString(b, "data")
	b = msgp.AppendArrayHeader(b, uint32(1+e.Args.Count))
	b = msgp.AppendString(b, e.Event)
	b = appendPayload(b, e.Args)
	b = msgp.AppendString(b, "nsp")
	return msgp.AppendString(b, e.Namespace)
}

func appendOpts(b []byte, e *thinkws.Envelope) []byte {
	b = msgp.AppendMapHeader(b, 3)
	b = msgp.AppendString(b, "rooms")
	b = appendRooms(b, e.Rooms)
	b = msgp.AppendString(b, "except")
	b = appendRooms(b, e.Except)
	b = msgp.AppendString(b, "flags")
	flags := len(b)
	b = append(b, 0x80)
	if e.Volatile {
		b[flags]++
		b = msgp.AppendString(b, "volatile")
		b = msgp.AppendBool(b, true)
	}
	if e.Plain {
		b[flags]++
		b = msgp.AppendString(b, "compress")
		b = msgp.AppendBool(b, false)
	}
	if e.Timeout > 0 {
		b[flags]++
		b = msgp.AppendString(b, "timeout")
		b = msgp.AppendInt64(b, max(1, e.Timeout.Milliseconds()))
	}
	return b
}

// appendRooms packs names of rooms. One that is a number goes both ways, since in Node.js
// join(7) and join("7") are not the same; here they are.
func appendRooms(b []byte, rooms []string) []byte {
	n := len(rooms)
	for _, room := range rooms {
		if isNumber(room) {
			n++
		}
	}
	b = msgp.AppendArrayHeader(b, uint32(n))
	for _, room := range rooms {
		b = msgp.AppendString(b, room)
		if isNumber(room) {
			b = appendNumber(b, []byte(room))
		}
	}
	return b
}

var (
	errNoEvent = errors.New("no event")
)

// decodeBroadcast reads what encodeBroadcast of this or of Node's adapters has written. own
// ends the decoding early: it is what this node has sent itself.
func decodeBroadcast(data []byte, own string) (m broadcast, err error) {
	r := reader{rest: data}
	n, err := r.list()
	if err != nil || n < 2 {
		return m, errors.Join(err, errNoEvent)
	}
	if m.uid, err = r.sender(); err != nil || m.uid == own {
		return m, err
	}
	m.event = &thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/"}
	if err := r.packet(m.event); err != nil {
		return m, err
	}
	if n > 2 {
		m.local, err = r.opts(m.event)
	}
	return m, err
}

// reader reads the structures around the payload.
type reader struct {
	rest []byte
	ours bool // see unpacker
}

func (r *reader) list() (int, error) {
	u := unpacker{rest: r.rest}
	n, err := u.count(msgp.ReadArrayHeaderBytes)
	r.rest = u.rest
	return n, err
}

// fields calls field with each key of a map, which reads the value or skips it. A map may
// be missing.
func (r *reader) fields(field func(key string) error) error {
	if len(r.rest) > 0 && msgp.NextType(r.rest) == msgp.NilType {
		r.rest = r.rest[1:]
		return nil
	}
	u := unpacker{rest: r.rest}
	n, err := u.count(msgp.ReadMapHeaderBytes)
	r.rest = u.rest
	for range n {
		var key string
		if key, err = r.text(); err != nil {
			return err
		}
		if err = field(key); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return err
}

func (r *reader) text() (s string, err error) {
	text, rest, err := readText(r.rest)
	r.rest = rest
	return string(text), err
}

// sender reads the uid of the server that has written the rest.
func (r *reader) sender() (uid string, err error) {
	uid, err = r.text()
	r.ours = isOurs(uid)
	return uid, err
}

// integer reads a number. A float that is larger than any integer of JavaScript counts as the largest one.
func (r *reader) integer() (n int64, err error) {
	if len(r.rest) > 0 && msgp.NextType(r.rest) == msgp.Float64Type {
		const most = 1 << 53
		var f float64
		if f, r.rest, err = msgp.ReadFloat64Bytes(r.rest); math.IsNaN(f) {
			return -1, err
		}
		return int64(min(max(f, -most), most)), err
	}
	n, r.rest, err = msgp.ReadInt64Bytes(r.rest)
	return n, err
}

// kind reads the number of a kind. One that is too large for an int of 32 bits is no kind.
func (r *reader) kind() (int, error) {
	n, err := r.integer()
	return int(min(max(n, -1), math.MaxInt32)), err
}

// skip reads a value of any kind for nothing.
func (r *reader) skip() error {
	u := unpacker{rest: r.rest}
	_, err := u.value()
	r.rest = u.rest
	return err
}

func (r *reader) packet(e *thinkws.Envelope) error {
	kind := -1
	err := r.fields(func(key string) (err error) {
		switch key {
		case "type":
			kind, err = r.kind()
		case "nsp":
			e.Namespace, err = r.text()
		case "data":
			err = r.event(e)
		default:
			err = r.skip()
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case kind != packetEvent && kind != packetBinaryEvent, e.Event == "":
		return errNoEvent
	}
	return nil
}

// event reads the name of an event and its arguments.
func (r *reader) event(e *thinkws.Envelope) error {
	n, err := r.list()
	if err != nil || n == 0 {
		return errors.Join(err, errNoEvent)
	}
	if e.Event, err = r.text(); err != nil {
		return err
	}
	e.Args, err = r.values(n - 1)
	return err
}

// values reads n values.
func (r *reader) values(n int) (thinkws.Payload, error) {
	u := unpacker{rest: r.rest, ours: r.ours}
	err := u.values(n)
	r.rest = u.rest
	return u.payload(n), err
}

func (r *reader) opts(e *thinkws.Envelope) (local bool, err error) {
	err = r.fields(func(key string) (err error) {
		switch key {
		case "rooms":
			e.Rooms, err = r.rooms()
		case "except":
			e.Except, err = r.rooms()
		case "flags":
			local, err = r.flags(e)
		default:
			err = r.skip()
		}
		return err
	})
	return local, err
}

func (r *reader) flags(e *thinkws.Envelope) (local bool, err error) {
	err = r.fields(func(key string) (err error) {
		switch key {
		case "volatile":
			e.Volatile, err = r.truth()
		case "local":
			local, err = r.truth()
		case "compress":
			var compress bool
			compress, err = r.truth()
			e.Plain = !compress
		case "timeout":
			var ms int64
			ms, err = r.integer()
			e.Timeout = time.Duration(min(max(ms, 0), maxTimeout.Milliseconds())) * time.Millisecond
		default:
			err = r.skip()
		}
		return err
	})
	return local, err
}

// maxTimeout is the longest that another node lets clients be waited for.
const maxTimeout = time.Hour

// truth reads a value as JavaScript would in a condition.
func (r *reader) truth() (bool, error) {
	u := unpacker{rest: r.rest}
	undefined, err := u.value()
	r.rest = u.rest
	switch text := string(u.text); text {
	case "false", "null", "0", "-0", `""`:
		return false, err
	default:
		return !undefined, err
	}
}

// rooms reads names of rooms, which may be numbers; nil if it is none.
func (r *reader) rooms() (names []string, err error) {
	if len(r.rest) > 0 && msgp.NextType(r.rest) != msgp.ArrayType {
		return nil, r.skip()
	}
	n, err := r.list()
	for range n {
		u := unpacker{rest: r.rest}
		if msgp.NextType(r.rest) == msgp.StrType {
			var name string
			if name, err = r.text(); err != nil {
				return nil, err
			}
			names = append(names, name)
			continue
		}
		if err := u.element(); err != nil {
			return nil, err
		}
		r.rest = u.rest
		if name := string(u.text); len(names) == 0 || names[len(names)-1] != name { // what appendRooms has said twice
			names = append(names, name)
		}
	}
	return names, err
}
