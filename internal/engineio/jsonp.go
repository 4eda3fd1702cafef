package engineio

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
)

// jsonp is how a session answers clients that poll by adding script elements.
// The index of the handshake holds for the whole session.
type jsonp struct {
	index string // digits only: it becomes a part of the script
}

func newJSONP(index string) *jsonp {
	digits := func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}
	return &jsonp{index: strings.Map(digits, index)}
}

// newlines undoes what clients do to line feeds, because browsers change those in
// forms: backslash n is a line feed, two backslashes and n are backslash n.
var newlines = strings.NewReplacer(`\\n`, `\n`, `\n`, "\n")

// wrap makes a script of a payload. The comment keeps the index away from the
// start of the file, where some plug-ins look for formats of their own.
func (j jsonp) wrap(payload []byte) []byte {
	text, _ := json.Marshal(string(payload)) // escapes <, >, & and U+2028, U+2029; cannot fail
	script := make([]byte, 0, len(text)+len(j.index)+16)
	script = append(script, "/**/___eio["...)
	script = append(script, j.index...)
	script = append(script, "]("...)
	script = append(script, text...)
	return append(script, ");"...)
}

// unwrap returns the payload of a form, and false if there is none.
func (j jsonp) unwrap(form []byte) (payload []byte, found bool, err error) {
	for len(form) > 0 {
		var field []byte
		field, form, _ = bytes.Cut(form, []byte{'&'})
		value, ok := bytes.CutPrefix(field, []byte("d="))
		if !ok {
			continue
		}
		text, err := url.QueryUnescape(string(value))
		if err != nil {
			return nil, true, errPayload
		}
		return []byte(newlines.Replace(text)), true, nil
	}
	return nil, false, nil
}
