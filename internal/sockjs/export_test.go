package sockjs

import (
	"fmt"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// What the tests of package sockjs_test need from the inside.

// String tells where a route leads.
func (r Route) String() string {
	names := map[endpoint]string{
		nowhere: "404", greeting: "greeting", info: "info", iframe: "iframe", rawWebSocket: "raw websocket", webSocket: "websocket",
		xhr: "xhr", xhrStreaming: "xhr_streaming", xhrSend: "xhr_send", eventSource: "eventsource", htmlFile: "htmlfile",
		jsonp: "jsonp", jsonpSend: "jsonp_send",
	}
	if r.key == (key{}) {
		return names[r.endpoint]
	}
	return fmt.Sprintf("%s of %q at %q", names[r.endpoint], r.key.id, r.key.base)
}

// Codecs of the wire's variants.
var (
	Codec    session.Codec = codec{}
	Strings  session.Codec = codec{raw: true}
	Unframed session.Codec = rawCodec{}
)

// ArrayFrame joins frames.
func ArrayFrame(frames ...session.Frame) string { return string(outgoing{messages: frames}.frame()) }

// CloseFrame is a close frame.
func CloseFrame(code int, reason string) string { return string(closeFrame(code, reason)) }

// Quote quotes for clients, or for scripts.
func Quote(text string, script bool) string { return string(appendString(nil, []byte(text), script)) }

// Unquote is the text of a JSON string.
func Unquote(value string) string {
	text, _ := unquote([]byte(value))
	return string(text)
}

// Array returns the strings of what a client sent, or what is wrong with it.
func Array(text string) (strings []string, wrong string) {
	if wrong := checkStrings([]byte(text)); wrong != "" {
		return nil, wrong
	}
	strings = []string{}
	for v := range values([]byte(text), false) {
		strings = append(strings, string(v))
	}
	return strings, ""
}

// FormField is the field d of a form, or what is wrong.
func FormField(form string) (string, string) {
	payload, wrong := formField(form)
	return string(payload), wrong
}

// Wrap is a frame as it stands in an answer of the transport with this name.
func Wrap(name, frame, callback string) string {
	return string(bySegment(name).wrap(outgoing{other: []byte(frame)}, callback))
}

// CallbackOf is the callback that a request names, or what is wrong.
var CallbackOf = callbackOf

// Len is how many sessions over HTTP and how many WebSockets there are.
func (s *Server) Len() (sessions, sockets int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions), s.ws.Len()
}

// Waiting reports whether a request waits for frames of the session with this id.
func (s *Server) Waiting(id string) bool {
	s.mu.Lock()
	var found *polled
	for k, one := range s.sessions {
		if k.id == id {
			found = one
		}
	}
	s.mu.Unlock()
	if found == nil {
		return false
	}
	found.mu.Lock()
	defer found.mu.Unlock()
	return found.waiting
}

// Shut is Close to its end.
func (s *Server) Shut(reason string) {
	for _, end := range s.Close(reason) {
		end()
	}
	s.WaitForPolls()
}

// Held returns what the send queue of a session over HTTP counts.
func Held(c session.Conn) int {
	s := c.(*polled)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.Held()
}
