package sockjs

import (
	"iter"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// What is wrong with what a client sent, in the words that SockJS has for it.
const (
	noPayload   = "Payload expected."
	brokenJSON  = "Broken JSON encoding."
	noCallback  = `"callback" parameter required`
	badCallback = `invalid "callback" parameter`
)

// checkStrings returns what is wrong with a text that has to be a JSON array of strings.
func checkStrings(text []byte) (wrong string) {
	text = session.TrimSpace(text)
	if len(text) == 0 {
		return noPayload
	}
	strings := text[0] == '['
	err := session.Each(text, session.Depth, func(_, value []byte) { strings = strings && value[0] == '"' })
	switch {
	case err != nil:
		return brokenJSON
	case !strings:
		return noPayload
	default:
		return ""
	}
}

// values returns the strings of an array that checkStrings has checked, as JSON or as the texts that they stand for.
// Those are written over the array.
func values(array []byte, asJSON bool) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for rest := session.TrimSpace(array)[1:]; ; {
			if rest = session.TrimSpace(rest); rest[0] == ',' {
				rest = session.TrimSpace(rest[1:])
			}
			if rest[0] == ']' {
				return
			}
			var value []byte
			var size int
			if asJSON {
				size = session.StringEnd(rest, 0) + 1
				value = rest[:size:size]
			} else {
				value, size = unquote(rest)
			}
			if !yield(value) {
				return
			}
			rest = rest[size:]
		}
	}
}

// formPayload takes the payload out of the body of jsonp_send: of the field d of a form,
// or it is the body. Only the first d counts, and no other field is looked at.
func formPayload(r *http.Request, body []byte) (payload []byte, wrong string) {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "application/x-www-form-urlencoded":
		return formField(string(body))
	case "", "text/plain":
		return body, ""
	default:
		return nil, noPayload
	}
}

func formField(form string) (payload []byte, wrong string) {
	for field := range strings.SplitSeq(form, "&") {
		key, value, _ := strings.Cut(field, "=")
		if name, err := url.QueryUnescape(key); err != nil || name != "d" {
			continue
		}
		text, err := url.QueryUnescape(value)
		if err != nil {
			return nil, brokenJSON
		}
		return []byte(text), ""
	}
	return nil, noPayload
}

// maxCallback bounds the name of a callback, in bytes.
const maxCallback = 32

// callbackOf returns the function that the script or page of an answer is to call, or
// what is wrong with its name.
func callbackOf(r *http.Request) (name, wrong string) {
	query := r.URL.Query()
	if name = query.Get("c"); name == "" {
		name = query.Get("callback")
	}
	if name == "" {
		return "", noCallback
	}
	if len(name) > maxCallback {
		return "", badCallback
	}
	for i := range len(name) {
		if c := name[i]; !isDigit(c) && (c|0x20 < 'a' || 'z' < c|0x20) && c != '-' && c != '_' && c != '.' {
			return "", badCallback
		}
	}
	return name, ""
}
