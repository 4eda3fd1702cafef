package servers

import (
	"context"
	"net"
	"net/http"

	"github.com/coder/websocket"
)

// coder is coder/websocket as it comes: the handler stays and reads, broadcasts call
// Write for each client.
type coder struct {
	lobby lobby[*websocket.Conn]
}

func newCoder() server {
	s := &coder{}
	return server{serve: s.serve}
}

func (s *coder) serve(l net.Listener, cfg Config) error {
	options := &websocket.AcceptOptions{}
	if cfg.Deflate {
		options.CompressionMode = websocket.CompressionNoContextTakeover
	}
	return serveHTTP(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, options)
		if err != nil {
			return // answered by Accept
		}
		defer c.CloseNow()
		c.SetReadLimit(1 << 20)
		s.read(c, roomOf(r))
	}))
}

func (s *coder) read(c *websocket.Conn, room string) {
	s.lobby.enter(room, c)
	defer s.lobby.leave(room, c)
	ctx := context.Background()
	for {
		kind, message, err := c.Read(ctx)
		if err != nil {
			return
		}
		if isBroadcast(message) {
			s.lobby.each(room, func(to *websocket.Conn) { _ = to.Write(ctx, kind, message) })
			continue
		}
		if c.Write(ctx, kind, message) != nil {
			return
		}
	}
}
