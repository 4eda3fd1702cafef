package engineio

import (
	"bytes"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Bridge to what the external tests look at.

// Packet is a decoded packet as tests compare it.
type Packet struct {
	Type   byte
	Binary bool
	Data   string
}

// LingerTimeout is how long a closed session waits for its polling client.
const LingerTimeout = lingerTimeout

// How long, and how many, sessions that have ended are remembered.
const (
	EndedMemory = endedMemory
	MaxEnded    = maxEnded
)

// Ended returns how many sessions that have ended are remembered.
func (s *Server) Ended() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// Len returns how many sessions are open.
func (s *Server) Len() (open int) {
	s.mu.Lock()
	var all []*Session
	for _, one := range s.sessions {
		all = append(all, one)
	}
	s.mu.Unlock()
	for _, one := range all {
		if !one.hasEnded() {
			open++
		}
	}
	return open
}

// MaxPackets is how many packets a payload may have in tests.
const MaxPackets = 20_000

// Encode joins the packets of a poll.
func (v Variant) Encode(frames ...session.Frame) (string, bool) {
	payload, binary := v.encode(frames)
	return string(payload), binary
}

// TextPacket returns a message packet of text, the pieces joined.
func (v Variant) TextPacket(pieces ...[]byte) session.Frame {
	text := bytes.Join(pieces, nil)
	return session.TextOf(append(v.Text(session.Room(v.TextSize(len(text)))), text...))
}

// BinaryPacket returns a message packet of binary data.
func (v Variant) BinaryPacket(data []byte) session.Frame { return v.Binary(session.Frame{}, data) }

// Decode splits the body of a POST.
func (v Variant) Decode(payload string, binary bool) ([]Packet, error) {
	var out []Packet
	for p, err := range v.decode([]byte(payload), binary, MaxPackets) {
		if err != nil {
			return out, err
		}
		out = append(out, bridge(p))
	}
	return out, nil
}

// Packet decodes a WebSocket message.
func (v Variant) Packet(data string, binary bool) (Packet, error) {
	p, err := v.packet([]byte(data), binary)
	return bridge(p), err
}

func bridge(p packet) Packet { return Packet{byte(p.typ), p.binary, string(p.data)} }

// Unwrap takes the payload out of a JSONP form.
func Unwrap(form string) (string, bool, error) {
	payload, found, err := jsonp{}.unwrap([]byte(form))
	return string(payload), found, err
}

// Wrap makes a JSONP script for a request with the given query.
func Wrap(query, payload string) string {
	return string(newQuery(query).jsonp.wrap([]byte(payload)))
}

// CleanPath reports whether a path is served.
func CleanPath(path string) bool { return cleanPath(path) }

// Posting reports whether a POST is being served.
func (s *Session) Posting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.posting
}

// Polling reports whether a GET waits.
func (s *Session) Polling() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.poll != nil
}

// Probing reports whether a WebSocket is there that may take over.
func (s *Session) Probing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.probe != nil
}

// Shut is Close to its end.
func (s *Server) Shut(reason string) {
	for _, end := range s.Close(reason) {
		end()
	}
	s.WaitForPolls()
}

// Held returns what the send queue counts.
func (s *Session) Held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.Held()
}
