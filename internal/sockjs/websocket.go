package sockjs

import (
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/seed-ce09063a/thinkws/internal/headers"
	"github.com/seed-ce09063a/thinkws/internal/jsonevent"
	"github.com/seed-ce09063a/thinkws/internal/jsonws"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// closeProtocol is the code of a client that gives no sign of life, and of one that sends what is no frame.
const closeProtocol = 3000

// serveWebSocket upgrades the request. It returns after the upgrade.
func (s *Server) serveWebSocket(w http.ResponseWriter, r *http.Request, f *jsonws.Framing) {
	if s.ws.IsClosed() {
		w.Header().Set("Retry-After", "1")
		writeText(w, http.StatusServiceUnavailable, session.ReasonServerShutdown+"\n")
		return
	}
	if !isHandshake(r) && r.ProtoMajor < 2 {
		if headers.IsUpgrade(r) && r.Header.Get(version) != "13" {
			w.Header().Set(version, "13") // RFC 6455, section 4.4
		}
		w.Header().Set("Connection", "close") // frames sent right behind must not be read as a request
		writeText(w, http.StatusBadRequest, "Not a valid websocket request")
		return
	}
	s.ws.Serve(w, r, s.cfg.Namespace(r), f)
}

const version = "Sec-WebSocket-Version"

// isHandshake reports whether r asks for a WebSocket in due form (RFC 6455, section 4.2.1).
func isHandshake(r *http.Request) bool {
	key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-WebSocket-Key"))
	return err == nil && len(key) == 16 && r.Header.Get(version) == "13" && headers.IsUpgrade(r)
}

// unframed is the framing of a WebSocket on which messages stand as they are.
func (s *Server) unframed() *jsonws.Framing {
	f := jsonws.Plain()
	f.Goodbye, f.Cut = goodbye, false
	if s.cfg.RawStrings {
		f.Codec, f.Receive = rawCodec{}, receiveRaw
		f.Refusal = func(*session.Failure) []session.Frame { return nil }
	}
	return f
}

// framed is SockJS's own framing.
func (s *Server) framed() *jsonws.Framing {
	return &jsonws.Framing{
		Codec:   codec{raw: s.cfg.RawStrings},
		Open:    []byte(frameOpen),
		Refusal: func(f *session.Failure) []session.Frame { return refusal(s.cfg.RawStrings, f) },
		Goodbye: goodbye,
		Bye:     closeFrame,
		Receive: s.receiveFrame,
	}
}

// receiveRaw takes a message that is a string.
func receiveRaw(c *jsonws.Conn, data []byte, binary bool) error {
	if binary {
		return c.Client().Reject("binary frame")
	}
	deliverRaw(c.Client(), session.Fit(appendQuoted(nil, data)))
	return nil
}

var errFraming = errors.New("sockjs: message is no array of strings")

// receiveFrame takes an array of strings, a single string as well, and nothing, as npm's
// server does.
func (s *Server) receiveFrame(c *jsonws.Conn, data []byte, binary bool) error {
	text := session.TrimSpace(data)
	switch {
	case len(text) == 0 && !binary:
		return nil
	case !binary && text[0] == '"' && session.CheckJSON(text, session.Depth) == nil:
		text = append(append([]byte{'['}, text...), ']')
	case binary || checkStrings(text) != "":
		c.Break(errFraming, closeProtocol, "Broken framing.")
		return nil
	}
	return s.receiveStrings(c, text)
}

// receiveStrings pauses between strings as between frames, since a frame may have any number of them. What the last one
// gives rise to is for the reader to run.
func (s *Server) receiveStrings(c *jsonws.Conn, array []byte) error {
	more := false
	for value := range values(array, s.cfg.RawStrings) {
		if more { // the frame, with all its bytes, is charged as its first message
			c.Client().Charge(0)
			if !c.Wait() {
				return nil
			}
		}
		more = true
		if err := s.deliver(c.Client(), value, array); err != nil {
			return err
		}
	}
	return nil
}

// deliver hands one of the values of an array to the hub, as what it is agreed to be.
func (s *Server) deliver(c *jsonevent.Client, value, array []byte) error {
	value = session.Own(value, array)
	if s.cfg.RawStrings {
		deliverRaw(c, value)
		return nil
	}
	return c.Receive(value)
}

// deliverRaw makes a JSON string the argument of the event "message".
func deliverRaw(c *jsonevent.Client, value []byte) {
	c.Deliver(&session.Message{Kind: session.Event, Name: messageEvent, Args: session.Args{Text: value, Count: 1}, Wire: len(value)})
}
