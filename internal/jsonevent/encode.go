package jsonevent

import (
	"encoding/json"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Codec is the one wire variant: every message is a text frame with its JSON.
type Codec struct{}

// Encode implements session.Codec.
func (Codec) Encode(dst []session.Frame, m *session.Message) ([]session.Frame, error) {
	return append(dst, session.TextOf(Append(m.Room(length(m)), m))), nil
}

// Refusal is what a client is told that is not let in.
func Refusal(f *session.Failure) []session.Frame {
	m := session.Message{Kind: session.Answer, Failure: f}
	return []session.Frame{session.TextOf(Append(session.Room(length(&m)), &m))}
}

// length guesses how long the JSON of m becomes. It is right for all that hold neither
// binary nor letters to be escaped in their names.
func length(m *session.Message) int {
	const brackets = len(`{"event":"","data":[],"cid":}`)
	return brackets + len(m.Name) + len(m.Args.Text) + len(m.ID)
}

// Append appends the JSON of a message.
func Append(dst []byte, m *session.Message) []byte {
	switch {
	case m.Kind == session.Event:
		return appendEvent(dst, m)
	case m.Failure != nil:
		return appendFailure(dst, m.ID, m.Failure)
	default:
		dst = append(append(dst, `{"rid":`...), m.ID...)
		return append(appendData(dst, m.Args), '}')
	}
}

func appendEvent(dst []byte, m *session.Message) []byte {
	dst = appendString(append(dst, `{"event":`...), m.Name)
	dst = appendData(dst, m.Args)
	if m.ID != "" {
		dst = append(append(dst, `,"cid":`...), m.ID...)
	}
	return append(dst, '}')
}

// appendData appends the member data: no value gives none, one is data, several make
// an array of it.
func appendData(dst []byte, args session.Args) []byte {
	switch args.Count {
	case 0:
		return dst
	case 1:
		return append(append(dst, `,"data":`...), args.JSON()...)
	default:
		dst = append(append(dst, `,"data":[`...), args.JSON()...)
		return append(dst, ']')
	}
}

// appendFailure answers rid, or nothing in particular if rid is empty.
func appendFailure(dst []byte, rid string, f *session.Failure) []byte {
	dst = append(dst, '{')
	if rid != "" {
		dst = append(append(append(dst, `"rid":`...), rid...), ',')
	}
	dst = appendString(append(dst, `"error":{"name":`...), f.Name)
	dst = appendString(append(dst, `,"message":`...), f.Message)
	if f.Data != nil {
		dst = append(append(dst, `,"data":`...), f.Data...)
	}
	return append(dst, "}}"...)
}

// appendString appends s as JSON. What is not UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	text, _ := json.Marshal(s) // a string cannot fail
	return append(dst, text...)
}
