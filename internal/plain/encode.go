package plain

import (
	"encoding/json"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// codec is the wire's one variant.
type codec struct{}

// Encode implements session.Codec. Every message is one text frame.
func (codec) Encode(dst []session.Frame, m *session.Message) ([]session.Frame, error) {
	switch {
	case m.Kind == session.Event:
		return append(dst, eventFrame(m)), nil
	case m.Failure != nil:
		return append(dst, failureFrame(m.ID, m.Failure)), nil
	default:
		return append(dst, answerFrame(m)), nil
	}
}

func eventFrame(m *session.Message) session.Frame {
	head := appendString([]byte(`{"event":`), m.Name)
	var tail []byte
	if m.ID != "" {
		tail = append(append(tail, `,"cid":`...), m.ID...)
	}
	return frame(head, m.Args, tail)
}

func answerFrame(m *session.Message) session.Frame {
	return frame([]byte(`{"rid":`+m.ID), m.Args, nil)
}

// frame puts data between head and tail and closes the object: no value gives no
// data, one is data, several make an array of it.
func frame(head []byte, args session.Args, tail []byte) session.Frame {
	switch args.Count {
	case 0:
		return session.TextFrame(head, tail, []byte("}"))
	case 1:
		return session.TextFrame(head, []byte(`,"data":`), args.JSON(), tail, []byte("}"))
	default:
		return session.TextFrame(head, []byte(`,"data":[`), args.JSON(), []byte("]"), tail, []byte("}"))
	}
}

// failureFrame answers rid, or nothing in particular if rid is empty.
func failureFrame(rid string, f *session.Failure) session.Frame {
	b := []byte("{")
	if rid != "" {
		b = append(append(append(b, `"rid":`...), rid...), ',')
	}
	b = appendString(append(b, `"error":{"name":`...), f.Name)
	b = appendString(append(b, `,"message":`...), f.Message)
	if f.Data != nil {
		b = append(append(b, `,"data":`...), f.Data...)
	}
	return session.TextFrame(b, []byte("}}"))
}

// appendString appends s as JSON. What is not UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	text, _ := json.Marshal(s) // a string cannot fail
	return append(dst, text...)
}
