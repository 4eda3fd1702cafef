// Package jsonws serves clients that speak JSON events, or raw strings, over a WebSocket. A [Framing] is what a
// protocol puts around them.
//
// With [Plain] that is nothing: every frame is a text of package jsonevent. It is what new WebSocket() in a browser, a
// mini-program or a few lines in any language can do without a library. A connection is in one namespace, which the
// address says. Heartbeats are ping frames of WebSocket, which clients answer by themselves.
package jsonws

import (
	"cmp"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/alarm"
	"github.com/seed-ce09063a/thinkws/internal/door"
	"github.com/seed-ce09063a/thinkws/internal/jsonevent"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// Config tells how a Server treats its clients. All fields have to be set, but for those that say otherwise.
type Config struct {
	wsconn.Config
	PingInterval time.Duration  // between two pings to a client
	PingTimeout  time.Duration  // how long after a ping nothing may come from the client
	MaxDepth     int            // of JSON
	Clock        *alarm.Clock   // for all that waits for a time
	Door         *door.Door     // lets new clients in; nil for all of them
	Meter        *session.Meter // limits what clients send; nil for no limit
	Report       session.Report // of what clients are refused or sent away for; nil for none
	Logger       *slog.Logger
	Detach       func(*http.Request) session.Handshake // keeps a request beyond its handler
}

// Server serves clients over WebSocket. It is safe for concurrent use.
type Server struct {
	cfg      Config
	clients  jsonevent.Config
	plain    *Framing
	refusals wsconn.Refusals

	mu     sync.Mutex         // protects what follows
	conns  map[*Conn]struct{} // all that are not closed yet
	closed bool
}

// NewServer returns a server that brings its clients to hub.
func NewServer(cfg Config, hub session.Admitter) *Server {
	return &Server{
		cfg: cfg,
		clients: jsonevent.Config{
			Hub: hub, Group: cfg.Group, Meter: cfg.Meter, Tally: cfg.Tally, Report: cfg.Report, Logger: cfg.Logger,
			MaxDepth: cfg.MaxDepth, Detach: cfg.Detach,
		},
		plain:    Plain(),
		conns:    map[*Conn]struct{}{},
		refusals: wsconn.Refusals{Logger: cfg.Logger, Address: cfg.Door.Address},
	}
}

// Clients returns the configuration of the clients, for those that come over another transport.
func (s *Server) Clients() *jsonevent.Config { return &s.clients }

// Serve upgrades the request and lets the client ask to enter namespace. It returns
// after the upgrade. A nil framing is Plain. What cannot be upgraded is answered with an HTTP error: 400,
// 405, 501, or 503 once the server is closed.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request, namespace string, f *Framing) {
	s.cfg.Group.Begin() // Shutdown waits for handshakes that are under way
	defer s.cfg.Group.End()
	if s.IsClosed() {
		w.Header().Set("Retry-After", "1")
		http.Error(w, session.ReasonServerShutdown, http.StatusServiceUnavailable)
		return
	}
	if r.Method == http.MethodOptions {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	source, ok := s.cfg.Door.Enter(w, r)
	if !ok {
		return
	}
	accepted := false
	defer func() {
		if !accepted { // or middleware has panicked
			s.cfg.Door.Leave(source)
		}
	}()
	c := newConn(s, cmp.Or(f, s.plain), namespace, source)
	ws, err := wsconn.Accept(w, r, &s.cfg.Config, c.client.Flow())
	if err != nil {
		s.refusals.Log(r, err)
		return
	}
	accepted = true
	c.ws = ws
	c.open(r)
}

// Close refuses new clients from now on, and returns what ends each of those that there are,
// for reason, once what waits has gone out.
func (s *Server) Close(reason string) (ends []func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.conns {
		ends = append(ends, func() { c.Close(reason) })
	}
	return ends
}

// IsClosed reports whether Close has been called.
func (s *Server) IsClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Len returns how many clients have not left yet.
func (s *Server) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// add returns false if s has been closed.
func (s *Server) add(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

// remove is called once for each connection, in the end.
func (s *Server) remove(c *Conn) {
	if c.client.Gone() {
		s.cfg.Door.Leave(c.source)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}
