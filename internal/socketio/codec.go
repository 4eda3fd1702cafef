package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Errors of codec.Encode.
var (
	errEncodeID        = errors.New("socketio: the id of an acknowledged message is not a number")
	errEncodeNamespace = errors.New("socketio: namespace cannot be written")
	errLookalike       = errors.New(`socketio: an object with "_placeholder": true cannot be sent along with binary data`)
)

// codec encodes messages as Socket.IO packets, the same in all revisions but for
// what Engine.IO makes of the frames. It is the key of a message's encoded forms.
type codec struct{ variant engineio.Variant }

// codecs are all there are, made once because an interface that is made of one costs
// memory: by revision, and by whether binary data has to be text.
var codecs = [2][2]session.Codec{
	{codec{engineio.Variant{Revision: 3}}, codec{engineio.Variant{Revision: 3, Base64: true}}},
	{codec{engineio.Variant{Revision: 4}}, codec{engineio.Variant{Revision: 4, Base64: true}}},
}

func codecOf(v engineio.Variant) session.Codec {
	revision, text := 0, 0
	if v.Revision == 4 {
		revision = 1
	}
	if v.Base64 {
		text = 1
	}
	return codecs[revision][text]
}

// Encode appends the frame of the packet and those of its attachments.
func (c codec) Encode(dst []session.Frame, m *session.Message) ([]session.Frame, error) {
	args, err := argsOf(m)
	if err != nil {
		return nil, err
	}
	if err := checkHeader(m); err != nil {
		return nil, err
	}
	if len(args.Parts) > 0 && hasLookalike(args.Text) {
		return nil, errLookalike
	}
	text := c.variant.Text(m.Room(c.size(m, args)))
	text = appendStart(text, m, len(args.Parts))
	text = append(args.AppendJSON(text, appendPlaceholder), ']')
	dst = append(dst, session.TextOf(text))
	for _, p := range args.Parts {
		dst = append(dst, c.variant.Binary(dst[len(dst)-1], p.Data))
	}
	return dst, nil
}

// size is the room that the frames take, if names and texts need no escapes.
func (c codec) size(m *session.Message, args *session.Args) int {
	n := c.variant.TextSize(maxHead + len(m.Namespace) + len(m.ID) + len(m.Name) + len(args.Text) + len(args.Parts)*placeholderSize)
	for _, p := range args.Parts {
		n += c.variant.BinarySize(len(p.Data))
	}
	return n
}

// What there is to a packet beside the strings in it, in bytes.
const (
	maxHead         = 16 // type, number of attachments, brackets, quotes, commas
	placeholderSize = 30
)

// argsOf returns what goes between the brackets, behind the name of an event.
func argsOf(m *session.Message) (*session.Args, error) {
	if m.Kind != session.Answer || m.Failure == nil {
		return &m.Args, nil
	}
	text, err := marshal(map[string]any{"error": failureJSON{m.Failure.Name, m.Failure.Message, m.Failure.Data}})
	if err != nil {
		return nil, fmt.Errorf("socketio: failure: %w", err)
	}
	return &session.Args{Text: text, Count: 1}, nil
}

// checkHeader reports whether the start of the packet can be written.
func checkHeader(m *session.Message) error {
	if m.Namespace != "" && m.Namespace[0] != '/' || strings.IndexByte(m.Namespace, ',') >= 0 {
		return errEncodeNamespace
	}
	if digits(m.ID) != len(m.ID) || m.ID == "" && m.Kind == session.Answer {
		return errEncodeID
	}
	return nil
}

// appendStart appends the packet up to its first argument.
func appendStart(dst []byte, m *session.Message, attachments int) []byte {
	namespace := m.Namespace
	if namespace == "" {
		namespace = mainSpace
	}
	if m.Kind == session.Answer {
		dst = appendHeader(dst, ackType(attachments), attachments, namespace, m.ID)
		return append(dst, '[')
	}
	dst = appendHeader(dst, eventType(attachments), attachments, namespace, m.ID)
	dst = appendQuoted(append(dst, '['), m.Name)
	if m.Args.Count > 0 {
		dst = append(dst, ',')
	}
	return dst
}

func eventType(attachments int) packetType {
	if attachments > 0 {
		return typeBinaryEvent
	}
	return typeEvent
}

func ackType(attachments int) packetType {
	if attachments > 0 {
		return typeBinaryAck
	}
	return typeAck
}

func appendPlaceholder(dst []byte, i int, _ []byte) []byte {
	dst = append(dst, `{"_placeholder":true,"num":`...)
	return append(strconv.AppendInt(dst, int64(i), 10), '}')
}

// failureJSON is session.Failure on the wire.
type failureJSON struct {
	Name    string          `json:"name,omitempty"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// appendQuoted appends s as a JSON string that is harmless in JavaScript too.
func appendQuoted(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := marshal(s) // a string always has a JSON form
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// marshal is json.Marshal that leaves <, > and & alone.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}
