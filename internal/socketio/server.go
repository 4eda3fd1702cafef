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
	"log/slog"
	"net/http"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/alarm"
	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Config says how a Server works. Zero bounds stand for the defaults named.
type Config struct {
	engineio.Config

	// ConnectTimeout is how long a client may stay without having entered a
	// namespace: 45 s.
	ConnectTimeout time.Duration
	// AttachmentTimeout is how long the attachments of one packet may take: 30 s.
	AttachmentTimeout time.Duration
	// MaxDepth bounds how deep the JSON of a client is nested: session.Depth.
	MaxDepth int
	// MaxName bounds the name of a namespace, in bytes: 256.
	MaxName int
	// MaxAttachments bounds the binary messages of one packet: 10.
	MaxAttachments int
	// MaxNamespaces limits the namespaces that a client is in or waits for, and the sockets that
	// the hub has not released: 64.
	MaxNamespaces int
	// MaxAuth bounds what a client sends along with CONNECT, in bytes: 64 KiB.
	MaxAuth int
	// MaxIgnored bounds the packets of a client that name a namespace it is not
	// in, or enter one twice: 10. One more ends the connection.
	MaxIgnored int
}

func (c Config) withDefaults() Config {
	c.ConnectTimeout = orDefault(c.ConnectTimeout, 45*time.Second)
	c.AttachmentTimeout = orDefault(c.AttachmentTimeout, 30*time.Second)
	c.MaxDepth = orDefault(c.MaxDepth, session.Depth)
	c.MaxName = orDefault(c.MaxName, 256)
	c.MaxAttachments = orDefault(c.MaxAttachments, 10)
	c.MaxNamespaces = orDefault(c.MaxNamespaces, 64)
	c.MaxAuth = orDefault(c.MaxAuth, 64<<10)
	c.MaxIgnored = orDefault(c.MaxIgnored, 10)
	c.MaxMessage = orDefault(c.MaxMessage, 1_000_000)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = new(alarm.Clock)
	}
	if c.Group == nil {
		c.Group = new(serial.Group)
	}
	return c
}

// grammar is what clients of a revision of Engine.IO are held to.
func (c *Config) grammar(revision int) grammar {
	return grammar{revision: revision, maxAttachments: c.MaxAttachments, maxName: c.MaxName, maxDepth: c.MaxDepth}
}

func orDefault[T int | int64 | time.Duration](value, fallback T) T {
	if value > 0 {
		return value
	}
	return fallback
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
	s := &Server{cfg: cfg.withDefaults(), hub: hub}
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

// Len returns the number of connections, whatever namespaces they are in.
func (s *Server) Len() int { return s.engine.Len() }
