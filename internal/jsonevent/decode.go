package jsonevent

import (
	"bytes"
	"strings"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// maxID is the longest cid and rid, in bytes of JSON text.
const maxID = 64

// malformedError is a frame that cannot be read.
type malformedError struct {
	reason string // for the client; names nothing that it has sent
	cid    string // to answer to, as far as there was one
	cause  error  // nil if reason says it all
}

func (e *malformedError) Error() string { return e.reason }

func (e *malformedError) Unwrap() error { return e.cause }

// members are those of a frame's members that mean something, as JSON text; nil if
// absent. As everywhere in JSON for JavaScript, case matters and the last of several wins.
type members struct {
	event, data, cid, rid, failure []byte
}

// decode reads one frame, which is UTF-8 and nested no deeper than depth: an event if it has
// "event", else an answer. The result may share memory with text,
// but keeps no more of it than it needs.
func decode(text []byte, depth int) (*session.Message, *malformedError) {
	var f members
	if err := session.Each(text, depth, f.take); err != nil {
		return nil, &malformedError{reason: err.Error(), cause: err}
	}
	switch {
	case session.TrimSpace(text)[0] != '{':
		return nil, &malformedError{reason: "not a JSON object"}
	case f.event != nil:
		return f.toEvent(text)
	case f.rid != nil:
		return f.toAnswer(text)
	case f.cid != nil && isID(f.cid):
		return nil, &malformedError{reason: "neither event nor rid", cid: string(f.cid)}
	default:
		return nil, &malformedError{reason: "neither event nor rid"}
	}
}

func (f *members) take(key, value []byte) {
	switch string(key) {
	case "event":
		f.event = value
	case "data":
		f.data = value
	case "cid":
		f.cid = value
	case "rid":
		f.rid = value
	case "error":
		f.failure = value
	}
}

func (f *members) toEvent(text []byte) (*session.Message, *malformedError) {
	var cid string
	if f.cid != nil {
		if !isID(f.cid) {
			return nil, &malformedError{reason: "cid is not a number or string of at most 64 bytes"}
		}
		cid = string(f.cid)
	}
	name := unquote(f.event)
	if name == "" {
		return nil, &malformedError{reason: "event is not a string with something in it", cid: cid}
	}
	return &session.Message{Kind: session.Event, Name: name, ID: cid, Args: f.args(text), Wire: len(text)}, nil
}

func (f *members) toAnswer(text []byte) (*session.Message, *malformedError) {
	if !isID(f.rid) {
		return nil, &malformedError{reason: "rid is not a number or string of at most 64 bytes"}
	}
	// Our own ids are digits. A client may have turned them into a string.
	m := &session.Message{Kind: session.Answer, ID: strings.Trim(string(f.rid), `"`), Wire: len(text)}
	if f.failure != nil && !bytes.Equal(f.failure, []byte("null")) {
		m.Failure = failure(f.failure)
		m.Failure.Data = session.Own(m.Failure.Data, text)
	} else {
		m.Args = f.args(text)
	}
	return m, nil
}

// args is data as the only argument, whatever it is, or none.
func (f *members) args(text []byte) session.Args {
	if f.data == nil {
		return session.Args{}
	}
	return session.Args{Text: session.Own(f.data, text), Count: 1}
}

// failure reads the error in an answer. Clients may simplify: a string is the
// message, anything else that is not an object is data.
func failure(value []byte) *session.Failure {
	f := new(session.Failure)
	switch value[0] {
	case '"':
		f.Message = unquote(value)
	case '{':
		session.EachMember(value, func(key, value []byte) {
			switch string(key) {
			case "name":
				f.Name = unquote(value)
			case "message":
				f.Message = unquote(value)
			case "data":
				f.Data = value
			}
		})
	default:
		f.Data = value
	}
	return f
}

// isID reports whether a value can be a cid or a rid.
func isID(value []byte) bool {
	return len(value) <= maxID && (value[0] == '"' || value[0] == '-' || isDigit(value[0]))
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// unquote returns the string that a value is, and "" for any other value. Lone
// surrogates become U+FFFD.
func unquote(value []byte) string {
	if value[0] != '"' {
		return ""
	}
	return string(session.Unquote(value))
}
