package servers

import (
	"net"
	"net/http"

	"github.com/olahol/melody"
)

// newMelody is olahol/melody: gorilla with two goroutines and a channel per client.
func newMelody() server { return server{serve: serveMelody} }

const melodyRoom = "room" // among the keys of a session

func serveMelody(l net.Listener, cfg Config) error {
	m := melody.New()
	m.Config.MaxMessageSize = 1 << 20
	m.Upgrader.EnableCompression = cfg.Deflate
	m.HandleMessage(func(s *melody.Session, message []byte) {
		if !isBroadcast(message) {
			_ = s.Write(message)
			return
		}
		room := s.MustGet(melodyRoom)
		if room == everyone {
			_ = m.Broadcast(message)
			return
		}
		_ = m.BroadcastFilter(message, func(to *melody.Session) bool { return to.MustGet(melodyRoom) == room })
	})
	m.HandleMessageBinary(func(s *melody.Session, message []byte) { _ = s.WriteBinary(message) })
	return serveHTTP(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = m.HandleRequestWithKeys(w, r, map[string]any{melodyRoom: roomOf(r)})
	}))
}
