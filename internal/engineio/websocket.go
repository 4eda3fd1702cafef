package engineio

import (
	"context"
	"log/slog"
	"math"
	"net/http"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// openWebSocket does the handshake of a client that starts with a WebSocket, and is false if
// it is none.
func (s *Server) openWebSocket(w http.ResponseWriter, r *http.Request, one *Session) bool {
	conn, err := wsconn.Accept(w, r, &s.cfg.Config, &one.flow)
	if err != nil {
		s.refusals.Log(r, err)
		return false
	}
	served := false
	defer func() {
		if !served { // open has panicked
			conn.CloseNow()
		}
	}()
	one.onWebSocket = true
	one.queue.Push(one.openFrame("")) // waits until the session is known by its id
	one.start()
	one.adopt(conn)
	conn.Serve(&link{session: one, conn: conn})
	served = true
	return true
}

// adopt makes conn what carries the session. What waits goes out on it, before
// anything that is sent from now on.
func (s *Session) adopt(conn *wsconn.Conn) {
	s.mu.Lock()
	s.flush(conn)
	open, code := s.state == stateOpen, int(s.code)
	if open {
		s.conn.Store(conn)
	}
	s.mu.Unlock()
	if !open {
		conn.Close(code, "")
	}
}

// flush hands what waits to conn. s.mu must be held; flush releases it in
// between. What is sent meanwhile waits behind the rest.
func (s *Session) flush(conn *wsconn.Conn) {
	for len(s.queue.Entries) > 0 {
		frames, counts := s.queue.Take(math.MaxInt)
		s.queue.Sent(counts)
		s.countLocked()
		s.mu.Unlock()
		err := conn.Force(frames...)
		s.mu.Lock()
		if err != nil { // the connection is gone, and with it soon the session
			return
		}
	}
}

// link ties a WebSocket to its session, as the wsconn.Handler of the connection.
// Its methods belong to the goroutine that reads the connection.
type link struct {
	session *Session
	probing bool // the session does not use it yet; owned by the reader

	// What follows is protected by session.mu. The reader may use conn without, which
	// was set before there was a reader.
	conn   *wsconn.Conn
	timer  *time.Timer // while probing
	probed bool        // a probe has been answered: the client is about to upgrade
}

// Message takes one packet.
func (l *link) Message(data []byte, binary bool) error {
	p, err := l.session.variant.packet(data, binary)
	switch {
	case l.probing && err != nil:
		return errUpgrade
	case l.probing:
		l.charge(p)
		return l.answerProbe(p)
	case err != nil:
		l.session.fail(err)
		return err
	default:
		return l.session.receive(p)
	}
}

// Pong means nothing here, because heartbeats are packets. Nothing limits how often a peer sends
// pong frames but the rate.
func (l *link) Pong() { l.charge(packet{}) }

// charge charges a packet that is not handed to the layer above.
func (l *link) charge(p packet) {
	s := l.session
	s.inbox.Lock()
	defer s.inbox.Unlock()
	s.flow.Charge(p.wire)
}

// Closed ends the session with its connection; a connection that was only probing
// leaves the session as it is.
func (l *link) Closed(err error) {
	s := l.session
	if l.probing {
		s.abandon(l)
		return
	}
	s.server.log.Log(context.Background(), wsconn.Level(err), "Engine.IO WebSocket closed",
		slog.Any("error", err), slog.Any("address", s.Address()))
	s.end(ending{reason: wsconn.Reason(err), cause: wsconn.Fault(err)})
}
