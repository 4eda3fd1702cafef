package sockjs

import (
	"bytes"
	"errors"
	"strconv"
	"sync"

	"github.com/seed-ce09063a/thinkws/internal/jsonevent"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// messageEvent is the event that stands for a raw string, as in the API of browsers.
const messageEvent = "message"

var errNoAnswer = errors.New("sockjs: a client that speaks raw strings cannot answer")

// codec is the variant with SockJS's framing: every message is a whole array frame,
// a["…"]. A WebSocket sends it as it stands, and HTTP puts those that wait into one.
type codec struct {
	raw bool // strings
}

// framing is what is around the quoted text in a frame of codec.
const framing = len(`a[]`)

var scratch = sync.Pool{New: func() any { return new([]byte) }}

// keepScratch is the largest buffer that is kept, in bytes.
const keepScratch = 64 << 10

// Encode implements session.Codec.
func (c codec) Encode(dst []session.Frame, m *session.Message) ([]session.Frame, error) {
	p := scratch.Get().(*[]byte)
	defer scratch.Put(p)
	text, err := appendText((*p)[:0], m, c.raw)
	if err != nil {
		return nil, err
	}
	escapes := bytes.Count(text, []byte{'"'}) + bytes.Count(text, []byte{'\\'}) // nearly all there are in JSON
	buf := m.Room(len(text) + escapes + framing + len(`""`))
	buf = appendQuoted(append(buf, "a["...), text)
	if cap(text) <= keepScratch {
		*p = text
	}
	return append(dst, session.TextOf(append(buf, ']'))), nil
}

// rawCodec is the variant without framing for clients that speak raw strings. Those that
// speak JSON get what every plain WebSocket gets, jsonevent.Codec.
type rawCodec struct{}

// Encode implements session.Codec.
func (rawCodec) Encode(dst []session.Frame, m *session.Message) ([]session.Frame, error) {
	text, err := appendText(nil, m, true)
	if err != nil {
		return nil, err
	}
	return append(dst, session.TextFrame(bytes.ToValidUTF8(text, []byte("\uFFFD")))), nil
}

// appendText appends what a client finds in a message of SockJS.
func appendText(dst []byte, m *session.Message, raw bool) ([]byte, error) {
	switch {
	case !raw:
		return jsonevent.Append(dst, m), nil
	case m.Kind == session.Event && m.ID != "":
		return dst, errNoAnswer
	case m.Kind == session.Event && m.Name == messageEvent:
		return appendRaw(dst, m.Args), nil
	default: // not for such a client, but better in JSON than lost
		return jsonevent.Append(dst, m), nil
	}
}

// appendRaw appends the arguments of the event "message": a string as the text it is,
// another value as JSON, several as an array, none as nothing.
func appendRaw(dst []byte, args session.Args) []byte {
	switch {
	case args.Count == 0:
		return dst
	case args.Count > 1:
		return append(append(append(dst, '['), args.JSON()...), ']')
	}
	start := len(dst)
	dst = append(dst, args.JSON()...)
	value := bytes.Trim(dst[start:], " \t\r\n")
	if len(value) == 0 || value[0] != '"' {
		return dst
	}
	text, _ := unquote(value)
	return append(dst[:start], text...)
}

// heartbeat and open frames; the others are made as they are needed.
const (
	frameOpen      = "o"
	frameHeartbeat = "h"
)

// closeFrame returns a close frame. Its reason is shortened to what WebSocket's has room
// for.
func closeFrame(code int, reason string) []byte {
	b := strconv.AppendInt([]byte("c["), int64(code), 10)
	b = appendQuoted(append(b, ','), []byte(reason))
	return append(b, ']')
}

// outgoing is what makes one frame: messages, as codec has them, or anything else.
type outgoing struct {
	messages []session.Frame
	other    []byte
}

func (o outgoing) none() bool { return len(o.messages) == 0 && o.other == nil }

// len returns how long the frame is.
func (o outgoing) len() int {
	if len(o.messages) == 0 {
		return len(o.other)
	}
	n := framing - 1
	for _, f := range o.messages {
		n += f.Len() - framing + 1
	}
	return n
}

// frame returns the frame, which may be shared.
func (o outgoing) frame() []byte {
	switch len(o.messages) {
	case 0:
		return o.other
	case 1:
		return o.messages[0].Payload()
	default:
		return o.append(make([]byte, 0, o.len()))
	}
}

// append appends the frame to dst.
func (o outgoing) append(dst []byte) []byte {
	if len(o.messages) == 0 {
		return append(dst, o.other...)
	}
	dst = append(dst, "a["...)
	for i, f := range o.messages {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, quoted(f)...)
	}
	return append(dst, ']')
}

// quoted is what is in the brackets of a frame of codec.
func quoted(f session.Frame) []byte {
	p := f.Payload()
	return p[len("a[") : len(p)-len("]")]
}
