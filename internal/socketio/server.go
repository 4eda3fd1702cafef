// Package socketio speaks Socket.IO (protocol 5, and 3 and 4 over revision 3 of
// Engine.IO): packets with their attachments, and the namespaces that a client
// enters over one Engine.IO session. It knows no rooms and no handlers: what comes
// goes to a session.Receiver, what leaves comes through a session.Conn.
//
// Locks are taken in this order: client.out, client.mu. Only client.out is held
// while frames are handed to the Engine.IO session, and neither while the hub's
// Receiver or Session.Close is called. So the session may call Closed from within
// Send, and the hub may call a Conn from within its Receiver or under a lock.
package socketio

import (
	"net/http"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Config says how a Server works. All fields have to be set, but for those that say otherwise.
type Config struct {
	engineio.Config

	// ConnectTimeout is how long a client may stay without having entered a namespace.
	ConnectTimeout time.Duration
	// AttachmentTimeout is how long the attachments of one packet may take.
	AttachmentTimeout time.Duration
	// MaxDepth bounds how deep the JSON of a client is nested.
	MaxDepth int
	// MaxName bounds the name of a namespace, in bytes.
	MaxName int
	// MaxAttachments bounds the binary messages of one packet.
	MaxAttachments int
	// MaxNamespaces limits the namespaces that a client is in or waits for, and the sockets that
	// the hub has not released.
	MaxNamespaces int
	// MaxAuth bounds what a client sends along with CONNECT, in bytes.
	MaxAuth int
	// MaxIgnored bounds the packets of a client that name a namespace it is not
	// in, or enter one twice. One more ends the connection.
	MaxIgnored int
}

// grammar is what clients of a revision of Engine.IO are held to.
func (c *Config) grammar(revision int) grammar {
	return grammar{revision: revision, maxAttachments: c.MaxAttachments, maxName: c.MaxName, maxDepth: c.MaxDepth}
}

// Server serves Socket.IO to clients and brings them to a hub. It is safe for
// concurrent use.
type Server struct {
	cfg    Config
	hub    session.Admitter
	engine *engineio.Server
}

var _ http.Handler = (*Server)(nil)

// NewServer returns a server that asks hub for each namespace a client wants to enter.
func NewServer(cfg Config, hub session.Admitter) *Server {
	s := &Server{cfg: cfg, hub: hub}
	s.engine = engineio.NewServer(s.cfg.Config, func(es *engineio.Session) engineio.Receiver {
		return s.open(es)
	})
	return s
}

// ServeHTTP serves handshakes, polls and WebSocket upgrades at any path.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.engine.ServeHTTP(w, r) }

// Holds reports whether r names a session of s.
func (s *Server) Holds(r *http.Request) bool { return s.engine.Holds(r) }

// Vouches reports whether r is an upgrade of a living session whose handshake carried the same
// cookies and the same Authorization.
func (s *Server) Vouches(r *http.Request) bool { return s.engine.Vouches(r) }

// Close refuses new connections from now on, and returns what ends each of those that there
// are, for reason, one of the session.Reason constants. What waits to be sent goes out first.
// WaitForPolls has to follow.
func (s *Server) Close(reason string) (ends []func()) { return s.engine.Close(reason) }

// WaitForPolls holds the group until clients between two polls have been told of their end,
// or for Config.Farewell. It returns at once.
func (s *Server) WaitForPolls() { s.engine.WaitForPolls() }
