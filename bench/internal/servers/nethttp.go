package servers

import (
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"
)

// netHTTP is net/http without a WebSocket library. Its handler hijacks the connection, answers the
// handshake as limit does, and leaves the rest to limit's loop. Its long polls are handlers that wait on
// a channel, mounted in chi as ours are: the goal for an idle poll compares with them.
type netHTTP struct {
	limit limit
	polls pollSessions
}

func newNetHTTP() server {
	s := &netHTTP{}
	return server{serve: s.serve}
}

func (s *netHTTP) serve(l net.Listener, _ Config) error {
	r := chi.NewRouter()
	r.Mount("/socket.io", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			s.poll(w, r)
			return
		}
		s.upgrade(w, r)
	}))
	return serveHTTP(l, r)
}

func (s *netHTTP) upgrade(w http.ResponseWriter, r *http.Request) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // it is already closed
	}
	if _, err := c.Write(switching(r.Header.Get("Sec-WebSocket-Key"))); err != nil {
		c.Close()
		return
	}
	conn := &limitConn{net: c, room: roomOf(r)}
	s.limit.lobby.enter(conn.room, conn)
	go s.limit.loop(conn)
}

func (s *netHTTP) poll(w http.ResponseWriter, r *http.Request) {
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
