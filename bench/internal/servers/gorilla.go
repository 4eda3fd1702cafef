package servers

import (
	"net"
	"net/http"
	"sync"

	"github.com/gorilla/websocket"
)

// gorilla is gorilla/websocket: the handler stays and reads, a broadcast is one
// prepared message that is written to each client under its mutex.
type gorilla struct {
	lobby lobby[*gorillaConn]
}

type gorillaConn struct {
	*websocket.Conn
	mu sync.Mutex // protects writing
}

func newGorilla() server {
	s := &gorilla{}
	return server{serve: s.serve}
}

func (s *gorilla) serve(l net.Listener, cfg Config) error {
	upgrader := &websocket.Upgrader{EnableCompression: cfg.Deflate}
	return serveHTTP(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return // answered by Upgrade
		}
		defer c.Close()
		s.read(&gorillaConn{Conn: c}, roomOf(r))
	}))
}

func (s *gorilla) read(c *gorillaConn, room string) {
	s.lobby.enter(room, c)
	defer s.lobby.leave(room, c)
	for {
		kind, message, err := c.ReadMessage()
		if err != nil {
			return
		}
		if isBroadcast(message) {
			s.broadcast(room, kind, message)
			continue
		}
		if c.write(kind, message) != nil {
			return
		}
	}
}

func (c *gorillaConn) write(kind int, message []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.WriteMessage(kind, message)
}

func (s *gorilla) broadcast(room string, kind int, message []byte) {
	prepared, err := websocket.NewPreparedMessage(kind, message)
	if err != nil {
		return
	}
	s.lobby.each(room, func(to *gorillaConn) {
		to.mu.Lock()
		defer to.mu.Unlock()
		_ = to.WritePreparedMessage(prepared)
	})
}
