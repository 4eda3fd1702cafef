package stickiness

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/quiet"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Options are the options of [Forward]. Node, Secret and Local have to be set; the zero value
// of each other field stands for its default.
type Options struct {
	// Node is the id of this node, as thinkws.WithNode has it.
	Node string

	// Secret signs what this server forwards, and is accepted from other servers. It has at least 16 bytes. All servers
	// have the same one, except while it changes: see [Forwarder.SetSecrets].
	//
	// Security: anyone with the secret can pass for a server, and choose the address that requests seem to come from.
	Secret []byte

	// AcceptSecrets are further secrets that are accepted from other servers, of at least 16 bytes each; default none.
	// They sign nothing. Set them only while the secret changes.
	AcceptSecrets [][]byte

	// Local reports whether the session that a request belongs to lives on this node:
	// Handler.Holds of package thinkws, of one handler or of several.
	Local func(*http.Request) bool

	// SocketIO and SockJS are the paths, or their ends, that the handlers are mounted on;
	// defaults "/socket.io" and "/sockjs". Nothing else is looked at.
	SocketIO, SockJS string

	// ResponseTimeout is how long an owner may take to begin its answer; default 60
	// seconds. It has to be longer than the ping interval and the ping timeout together, and
	// than SockJS's heartbeat delay.
	ResponseTimeout time.Duration

	// MaxActive bounds how many requests and WebSockets are on their way to one node at a
	// time; what exceeds it is answered by 503. Default 10,000.
	MaxActive int

	// MaxPlaces bounds how many SockJS sessions of other nodes this one remembers the place
	// of, with 24 bytes or so for each; others are asked for anew. Default 100,000.
	MaxPlaces int

	// Candidates is how many nodes are asked for a SockJS session that this one has not seen
	// yet, in the order of [Rendezvous]. A session is found as long as less than that many
	// nodes, better placed, have come since it began. Default 3.
	Candidates int

	// StickyFront says that what is in front of the nodes brings all requests of a SockJS
	// session to the same one, as long as none comes or goes, so sessions begin where they
	// arrive. One that is not known there is asked for on every node, not only on Candidates.
	StickyFront bool

	// NoUpgrade refuses WebSockets for sessions of other nodes: their clients stay on
	// polling, for which no connection is kept. Default: they are forwarded.
	NoUpgrade bool

	// Networks are the addresses that nodes may have, whatever a registry says; default:
	// loopback and private ones. SocketDir is the only directory whose unix sockets may be
	// nodes; default none.
	Networks  []netip.Prefix
	SocketDir string

	// TLS is for nodes with an https URL, which all have to have if it is set.
	TLS *tls.Config

	// Logger is where the forwarder logs; default slog.Default().
	Logger *slog.Logger
}

func (o *Options) check() error {
	switch {
	case !session.IsNode(o.Node):
		return fmt.Errorf("stickiness: Forward: Node %q is not 4 characters of [A-Za-z0-9_-]", o.Node)
	case o.Local == nil:
		return errors.New("stickiness: Forward: Local is missing")
	case o.ResponseTimeout < 0:
		return fmt.Errorf("stickiness: Forward: ResponseTimeout %v is negative", o.ResponseTimeout)
	case o.MaxActive < 0 || o.MaxPlaces < 0 || o.Candidates < 0:
		return fmt.Errorf("stickiness: Forward: MaxActive %d, MaxPlaces %d or Candidates %d is negative", o.MaxActive, o.MaxPlaces, o.Candidates)
	}
	for _, path := range []string{o.SocketIO, o.SockJS} {
		if path != "" && (len(path) < 2 || path[0] != '/' || path[len(path)-1] == '/') {
			return fmt.Errorf("stickiness: Forward: %q is not a path like \"/name\"", path)
		}
	}
	return nil
}

func (o *Options) setDefaults() {
	o.SocketIO = cmp.Or(o.SocketIO, "/socket.io")
	o.SockJS = cmp.Or(o.SockJS, "/sockjs")
	o.ResponseTimeout = cmp.Or(o.ResponseTimeout, 60*time.Second)
	o.MaxActive = cmp.Or(o.MaxActive, 10_000)
	o.MaxPlaces = cmp.Or(o.MaxPlaces, 100_000)
	o.Candidates = cmp.Or(o.Candidates, 3)
	if o.Networks == nil {
		o.Networks = privateNetworks
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Logger = quiet.New(o.Logger)
}

func (o *Options) peers() peers {
	return peers{
		networks: o.Networks, socketDir: o.SocketDir, tls: o.TLS, timeout: o.ResponseTimeout, log: o.Logger,
		errorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug), nodes: make(map[string]*peer),
	}
}
