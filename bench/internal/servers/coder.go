package servers

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/coder/websocket"
	"github.com/go-chi/chi/v5"
)

// coder is coder/websocket as it comes: the handler stays and reads, broadcasts call
// Write for each client. Its long-polling is a bare net/http handler,
// mounted in chi as ours is: a GET waits on a channel.
type coder struct {
	lobby lobby[*websocket.Conn]
	polls pollSessions
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
	polls := chi.NewRouter() // as ours has, so that the two differ by what the handlers keep
	polls.Mount("/socket.io", http.HandlerFunc(s.poll))
	return serveHTTP(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			polls.ServeHTTP(w, r)
			return
		}
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

func (s *coder) poll(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	sid := r.URL.Query().Get("sid")
	if sid == "" {
		_, _ = io.WriteString(w, s.polls.open())
		return
	}
	session := s.polls.get(sid)
	if session == nil {
		http.Error(w, "unknown session", http.StatusBadRequest)
		return
	}
	if r.Method == http.MethodPost {
		var body strings.Builder
		if _, err := io.Copy(&body, r.Body); err != nil {
			return
		}
		session <- body.String()
		_, _ = io.WriteString(w, "ok")
		return
	}
	select {
	case message := <-session:
		_, _ = io.WriteString(w, message)
	case <-r.Context().Done():
	}
}
