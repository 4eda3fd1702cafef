// Package arguments turns the arguments of events from Go values into JSON with the binary
// values cut out.
package arguments

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"sync"

	"github.com/seed-ce09063a/thinkws/internal/guard"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Encoder turns Go values into session.Args: JSON text with the binary values
// cut out. It is safe for concurrent use.
type Encoder struct {
	mark  string   // begins the JSON strings that stand for binary values until they are cut out; random, so no data can forge one
	types sync.Map // reflect.Type -> traits
}

// NewEncoder returns an encoder.
func NewEncoder() *Encoder {
	return &Encoder{mark: `"` + session.NewID() + ":"}
}

// Encode marshals values the way encoding/json does, but that []byte becomes
// binary. A value that is nested deeper than [session.MaxDepth] is refused, since no server
// could decode it. The text is appended to dst. A panic of a value's marshaler becomes a
// [guard.Error], which is logged with its stack if an action returns it.
func (e *Encoder) Encode(dst []byte, values []any) (args session.Args, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = guard.Caught(p)
		}
	}()
	args.Text, args.Count = dst, len(values)
	for i, value := range values {
		if i > 0 {
			args.Text = append(args.Text, ',')
		}
		if err := e.add(&args, value); err != nil {
			return session.Args{}, fmt.Errorf("thinkws: argument %d: %w", i, err)
		}
	}
	return args, nil
}

// add appends one value; the common types without reflection.
func (e *Encoder) add(args *session.Args, value any) error {
	switch v := value.(type) {
	case nil:
		args.Text = append(args.Text, "null"...)
	case []byte:
		if v == nil {
			args.Text = append(args.Text, "null"...)
			break
		}
		args.Parts = append(args.Parts, session.Part{At: len(args.Text), Data: v})
	case json.RawMessage:
		if len(v) == 0 {
			v = json.RawMessage("null")
		}
		text, err := session.Clean(v, session.MaxDepth)
		if err != nil {
			return err
		}
		args.Text = append(args.Text, text...)
	case string:
		return appendString(args, v)
	case int:
		args.Text = strconv.AppendInt(args.Text, int64(v), 10)
	case int64:
		args.Text = strconv.AppendInt(args.Text, v, 10)
	case bool:
		args.Text = strconv.AppendBool(args.Text, v)
	default:
		return e.addAny(args, value)
	}
	return nil
}

// appendString quotes s, in one copy if nothing needs an escape.
func appendString(args *session.Args, s string) error {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return appendJSON(args, s)
		}
	}
	args.Text = append(args.Text, '"')
	args.Text = append(args.Text, s...)
	args.Text = append(args.Text, '"')
	return nil
}

// addAny marshals value with encoding/json after every []byte in it has been
// replaced by a mark, and then cuts the marks out.
func (e *Encoder) addAny(args *session.Args, value any) error {
	v := reflect.ValueOf(value)
	t := e.traitsOf(v.Type(), nil)
	var found [][]byte
	if t.binary {
		l := lifter{encoder: e}
		if lifted, changed := l.lift(v, 0); changed {
			value, found = lifted, l.found
		}
	}
	start := len(args.Text)
	if err := appendJSON(args, value); err != nil {
		return err
	}
	if session.Deeper(args.Text[start:], session.MaxDepth) {
		return session.ErrDeep
	}
	if t.foreign {
		args.Text = append(args.Text[:start], session.UTF8(args.Text[start:])...)
	}
	if len(found) > 0 {
		e.cut(args, start, found)
	}
	return nil
}

// cut replaces the marks in args.Text[start:] by parts.
func (e *Encoder) cut(args *session.Args, start int, found [][]byte) {
	rest := append([]byte(nil), args.Text[start:]...)
	args.Text = args.Text[:start]
	for {
		before, after, ok := bytes.Cut(rest, []byte(e.mark))
		args.Text = append(args.Text, before...)
		if !ok {
			return
		}
		number, tail, _ := bytes.Cut(after, []byte{'"'})
		i, _ := strconv.Atoi(string(number))
		args.Parts = append(args.Parts, session.Part{At: len(args.Text), Data: found[i]})
		rest = tail
	}
}

// appendJSON appends value as encoding/json writes it, without its escapes for HTML.
func appendJSON(args *session.Args, value any) error {
	buf := bytes.NewBuffer(args.Text)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return err
	}
	args.Text = bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	return nil
}
