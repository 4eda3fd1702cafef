package thinkws

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/clientip"
	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Option configures a [Handler] or, inside [Namespace], one namespace of it. An
// option that cannot be applied makes [New] fail with an error that names it.
type Option func(*builder) error

// builder is what options write to while New runs.
type builder struct {
	cfg  *config
	spec *spec // the namespace that On, Use and the like register in
	main *spec
	all  []*spec
}

// server refuses options that hold for the whole handler inside Namespace.
func (b *builder) server(name string) error {
	if b.spec != b.main {
		return fmt.Errorf("thinkws: %s belongs to New, not to Namespace", name)
	}
	return nil
}

// config is what the options say. It does not change after New.
type config struct {
	path, wsPath   string
	sockjs         SockJSOptions
	origins        []string
	originFunc     func(*http.Request, string) (bool, error)
	requireOrigin  bool
	hosts          allowedHosts
	polling        bool
	websocket      bool
	eio3           bool
	pingInterval   time.Duration
	pingTimeout    time.Duration
	connectTimeout time.Duration
	upgradeTimeout time.Duration
	writeTimeout   time.Duration
	readTimeout    time.Duration
	messageTimeout time.Duration
	maxMessage     int64
	compress       int // bytes from which messages are compressed; 0 for none
	maxRooms       int
	limits         Limits
	proxies        clientip.Proxies
	sendQueue      int
	slow           SlowPolicy
	onSlow         func(*Socket)
	receiveQueue   serial.Limit
	receiveRate    session.Rate
	cookie         *http.Cookie
	sessionCookies []string
	client         fs.FS
	logger         *slog.Logger
	onError        func(*Context, error)
	bus            Bus
	node           string

	// For tests alone.
	noWatch   bool          // handlers never run on the goroutine that reads
	coolAfter time.Duration // of wsconn.Config; 0 for the default
}

func defaults() *config {
	return &config{
		path:           "/socket.io",
		wsPath:         "/ws",
		sockjs:         SockJSOptions{}.withDefaults(),
		polling:        true,
		websocket:      true,
		eio3:           true,
		pingInterval:   25 * time.Second,
		pingTimeout:    20 * time.Second,
		connectTimeout: 45 * time.Second,
		upgradeTimeout: 10 * time.Second,
		writeTimeout:   10 * time.Second,
		readTimeout:    10 * time.Second,
		messageTimeout: 30 * time.Second,
		maxMessage:     1_000_000,
		maxRooms:       1_000,
		limits:         Limits{}.withDefaults(),
		sendQueue:      4 << 20,
		receiveQueue:   serial.Limit{Items: 1_000, Bytes: 4 << 20},
		receiveRate:    session.Rate{Messages: 5_000, Bytes: 16 << 20},
		logger:         slog.Default(),
	}
}

// WithPath sets where [Handler.Middleware] serves Socket.IO; default "/socket.io".
// It has no effect on a Handler that is mounted by hand.
func WithPath(path string) Option {
	return pathOption("WithPath", path, func(c *config) *string { return &c.path })
}

// WithWebSocketPath sets where [Handler.Middleware] serves plain WebSocket; default
// "/ws". What follows it in a URL is the namespace: /ws/chat is "/chat".
func WithWebSocketPath(path string) Option {
	return pathOption("WithWebSocketPath", path, func(c *config) *string { return &c.wsPath })
}

func pathOption(name, path string, field func(*config) *string) Option {
	return serverOption(name, func(c *config) error {
		if err := checkPath(path); err != nil {
			return fmt.Errorf("thinkws: %s: %w", name, err)
		}
		*field(c) = strings.TrimSuffix(path, "/")
		return nil
	})
}

func checkPath(path string) error {
	if len(path) < 2 || path[0] != '/' || strings.ContainsAny(path, "?#") {
		return fmt.Errorf("%q is not a path like \"/name\"", path)
	}
	return nil
}

// WithTransports names the transports that Socket.IO clients may use: "polling",
// "websocket" or both, which is the default. With both, clients begin with polling
// and upgrade.
func WithTransports(names ...string) Option {
	return serverOption("WithTransports", func(c *config) error {
		for _, name := range names {
			if name != "polling" && name != "websocket" {
				return fmt.Errorf("thinkws: WithTransports: unknown transport %q", name)
			}
		}
		if len(names) == 0 {
			return errors.New("thinkws: WithTransports: no transport named")
		}
		c.polling = slices.Contains(names, "polling")
		c.websocket = slices.Contains(names, "websocket")
		return nil
	})
}

// WithEIO3 sets whether clients of Socket.IO 2.x are served (Engine.IO revision 3). Default: true.
func WithEIO3(on bool) Option {
	return serverOption("WithEIO3", func(c *config) error { c.eio3 = on; return nil })
}

// WithPingInterval sets the pause between heartbeats; default 25 seconds.
func WithPingInterval(d time.Duration) Option {
	return durationOption("WithPingInterval", d, func(c *config) *time.Duration { return &c.pingInterval })
}

// WithPingTimeout sets how long a client may take to answer a heartbeat before it
// counts as gone; default 20 seconds. The time begins anew for a client that the server has not read
// meanwhile; see [WithReceiveQueue].
func WithPingTimeout(d time.Duration) Option {
	return durationOption("WithPingTimeout", d, func(c *config) *time.Duration { return &c.pingTimeout })
}

// WithConnectTimeout sets how long a Socket.IO connection may exist without having
// entered any namespace; default 45 seconds.
func WithConnectTimeout(d time.Duration) Option {
	return durationOption("WithConnectTimeout", d, func(c *config) *time.Duration { return &c.connectTimeout })
}

// WithUpgradeTimeout sets how long the change from polling to WebSocket may take
// before the client stays on polling; default 10 seconds.
func WithUpgradeTimeout(d time.Duration) Option {
	return durationOption("WithUpgradeTimeout", d, func(c *config) *time.Duration { return &c.upgradeTimeout })
}

// WithWriteTimeout sets how long a client may need to take the next 64 KiB of what is sent to it, or all of it if that
// is less; default 10 seconds. Then the connection is cut. The client counts as slow if more waits than the bound of
// [WithSendQueue], and as lost otherwise.
func WithWriteTimeout(d time.Duration) Option {
	return durationOption("WithWriteTimeout", d, func(c *config) *time.Duration { return &c.writeTimeout })
}

// WithReadTimeout sets how long the body of a request may take, from its first byte to its
// last, whatever it is for; default 10 seconds. It is answered by 408 then.
func WithReadTimeout(d time.Duration) Option {
	return durationOption("WithReadTimeout", d, func(c *config) *time.Duration { return &c.readTimeout })
}

// WithMessageTimeout sets how long one message over WebSocket may take, from its first byte
// to its last, in however many fragments; and, over any transport, the attachments of a
// Socket.IO packet. A ping, a pong or a close frame has the same time. Between two messages a
// client may take its time. Default 30 seconds. Beyond it the connection ends, a WebSocket with
// close code 1008.
func WithMessageTimeout(d time.Duration) Option {
	return durationOption("WithMessageTimeout", d, func(c *config) *time.Duration { return &c.messageTimeout })
}

func durationOption(name string, d time.Duration, field func(*config) *time.Duration) Option {
	return serverOption(name, func(c *config) error {
		if d < time.Millisecond {
			return fmt.Errorf("thinkws: %s: %v is less than a millisecond", name, d)
		}
		*field(c) = d
		return nil
	})
}

// WithMaxMessage limits what a client may send at once, in bytes: a WebSocket message, the body of a
// POST, a packet with its binary attachments. More gets 413, or close code 1009. The default is
// 1,000,000. A limit of more than half the largest int (1 GiB if an int has 32 bits) counts as that.
func WithMaxMessage(bytes int64) Option {
	return serverOption("WithMaxMessage", func(c *config) error {
		if bytes < 1 {
			return fmt.Errorf("thinkws: WithMaxMessage: %d is not positive", bytes)
		}
		c.maxMessage = min(bytes, math.MaxInt/2) // so that what is computed with it fits into an int
		return nil
	})
}

// WithCompression lets WebSocket clients that offer permessage-deflate, as browsers and
// Node's client do, get messages of at least threshold bytes compressed, and send
// compressed ones themselves; 1024 is a good threshold. Default: no compression.
//
// A message is compressed once for each kind of client, however many receive it, and
// alone: nothing is kept from one message to the next. That costs some microseconds of
// CPU per kilobyte, and 1.2 MB of memory for each of the compressors, of which
// there are as many as cores, at most eight. A client that sends compressed messages costs
// 6 KB more until it has been silent for a second, and 40 KB more while one of them comes
// in. [WithMaxMessage] bounds what they unpack to. Polls are not compressed; that is for HTTP middleware.
//
// The length of a compressed message tells something of what is in it. Do not mix
// secrets with what others may choose, or see [Target.Compress].
func WithCompression(threshold int) Option {
	return serverOption("WithCompression", func(c *config) error {
		if threshold < 1 {
			return fmt.Errorf("thinkws: WithCompression: %d is not positive", threshold)
		}
		c.compress = threshold
		return nil
	})
}

// WithSendQueue bounds what waits to be sent to one client, in bytes. Each message counts its length on the wire and
// 100 bytes more, until the network has taken it. A message that finds the queue empty may have any size and does not
// count. The default is 4 MiB.
//
// [WithSlowPolicy] decides about messages beyond the bound. By default the queue may grow to four times the bound, so
// that a client is not disconnected for a burst. Beyond that, Emit returns [ErrSlow] and the client is disconnected
// with [ReasonSlow]. So is a client that takes too little within [WithWriteTimeout] while its queue exceeds the bound:
// less than 64 KiB of what is being sent, or no poll at all.
//
// On Linux the kernel buffers about 128 KiB more of each WebSocket that has fallen behind; elsewhere its default
// applies.
func WithSendQueue(bytes int) Option {
	return serverOption("WithSendQueue", func(c *config) error {
		if bytes < 1 {
			return fmt.Errorf("thinkws: WithSendQueue: %d is not positive", bytes)
		}
		c.sendQueue = bytes
		return nil
	})
}

// WithReceiveQueue limits what waits for the handlers of one client in one namespace, in events and
// in bytes. Each event counts its length on the wire after inflating, with its attachments, and 100
// bytes more. One event alone may have any size.
//
// When a limit is reached, the server stops reading from the client until half of the queue has been handled. Over
// polling, it answers the POST then. The client is not disconnected: what it sends waits in the network, and in the end
// with the client. While a handler waits for an answer of the client, reading goes on to twice the limits, because the
// answer comes behind the events; see [Socket.EmitAck]. [Stats] counts the pauses. The end of a client that is not read
// is noticed late: when writing to it fails, after the next heartbeat or the one after that.
//
// The same number of bytes limits the client's answers to EmitAck that are kept until other clients have answered. An
// answer beyond that counts as missing. The default is 1,000 events and 4 MiB.
func WithReceiveQueue(events, bytes int) Option {
	return limitOption("WithReceiveQueue", events, bytes, func(c *config) *serial.Limit { return &c.receiveQueue })
}

func limitOption(name string, items, bytes int, field func(*config) *serial.Limit) Option {
	return serverOption(name, func(c *config) error {
		if items < 1 || bytes < 1 {
			return fmt.Errorf("thinkws: %s: %d and %d must be positive", name, items, bytes)
		}
		*field(c) = serial.Limit{Items: items, Bytes: bytes}
		return nil
	})
}

// WithMaxRooms bounds how many rooms one client may be in; default 1,000.
func WithMaxRooms(rooms int) Option {
	return serverOption("WithMaxRooms", func(c *config) error {
		if rooms < 1 {
			return fmt.Errorf("thinkws: WithMaxRooms: %d is not positive", rooms)
		}
		c.maxRooms = rooms
		return nil
	})
}

// WithCookie sends the session id of a polling client as a cookie too, for load
// balancers that route by cookies. Name (default "io"), Path (default "/"), SameSite
// (default Lax), Secure, Domain and MaxAge are taken from cookie; it is HttpOnly, and
// SameSite None wants Secure. The server never reads the cookie; do not use it for
// authentication. Pages of other origins do not get it unless they are listed with
// [WithAllowOrigin]. Default: no cookie.
func WithCookie(cookie http.Cookie) Option {
	return serverOption("WithCookie", func(c *config) error {
		if cookie.Name == "" {
			cookie.Name = "io"
		}
		if cookie.Path == "" {
			cookie.Path = "/"
		}
		if cookie.SameSite == 0 {
			cookie.SameSite = http.SameSiteLaxMode
		}
		cookie.HttpOnly = true
		cookie.Value = "x"
		if cookie.SameSite == http.SameSiteNoneMode && !cookie.Secure {
			return errors.New("thinkws: WithCookie: SameSite None without Secure, which browsers drop")
		}
		if err := cookie.Valid(); err != nil {
			return fmt.Errorf("thinkws: WithCookie: %w", err)
		}
		c.cookie = &cookie
		return nil
	})
}

// WithSessionCookies names the cookies that identify a user of the service, such as the one with
// the id of its login session. Names are case-sensitive. It may be given several times.
//
// A session of Socket.IO 2.x (Engine.IO 3), or of SockJS over HTTP, answers only requests that carry
// the Authorization, the Origin and these cookies of its first request. All others get the answer
// for an unknown session and count as guesses. Other cookies do not matter, so name none that
// changes while a user stays: a client whose cookie changes has to connect anew. A browser cannot
// send Authorization with a WebSocket. So a page with socket.io-client 2.x that sends it with its
// polls, and no other way, is refused the upgrade and stays on polling.
//
// Security: [Socket.ID] of a Socket.IO 2.x client is the id of its session. Without this option, and
// without Authorization, anyone who learns it can speak for the client. Default: none.
func WithSessionCookies(names ...string) Option {
	return serverOption("WithSessionCookies", func(c *config) error {
		for _, name := range names {
			if err := (&http.Cookie{Name: name, Value: "x"}).Valid(); err != nil {
				return fmt.Errorf("thinkws: WithSessionCookies: %q: %w", name, err)
			}
		}
		c.sessionCookies = append(c.sessionCookies, names...)
		return nil
	})
}

// WithNode names this node of several, by 4 characters of [A-Za-z0-9_-] that no other
// one has: the session ids of Socket.IO begin with them, so that package stickiness and
// load balancers find the node a session lives on. The other 16 characters are 96 random bits.
// Default: none, and ids are wholly random.
func WithNode(id string) Option {
	return serverOption("WithNode", func(c *config) error {
		if !session.IsNode(id) {
			return fmt.Errorf("thinkws: WithNode: %q is not 4 characters of [A-Za-z0-9_-]", id)
		}
		c.node = id
		return nil
	})
}

// WithClient serves the files of Node's client, which the service brings, below the
// Socket.IO path: socket.io.js, socket.io.min.js, socket.io.esm.min.js,
// socket.io.msgpack.min.js and their source maps, as far as files has them. Default:
// none are served.
func WithClient(files fs.FS) Option {
	return serverOption("WithClient", func(c *config) error {
		if files == nil {
			return errors.New("thinkws: WithClient: no files")
		}
		c.client = files
		return nil
	})
}

// WithLogger sets where the handler logs; default slog.Default(). If its slog.Handler panics, the
// line is lost, and the first such panic is written to standard error.
func WithLogger(logger *slog.Logger) Option {
	return serverOption("WithLogger", func(c *config) error {
		if logger == nil {
			return errors.New("thinkws: WithLogger: no logger")
		}
		c.logger = logger
		return nil
	})
}

// WithOnError sets a function that hears of everything that goes wrong, each once:
//
//   - errors that actions return, and their panics. It replaces the log line that is
//     written otherwise, and c is the Context of the action.
//   - requests that are refused: for their origin or host (an [*Error] named Forbidden), or for a
//     limit. c has the request, which lasts until fn returns, and no client: it is as in
//     [Handler.Action], without an event. A POST of Socket.IO that is too large is told as its client's.
//   - clients that are sent away because they broke the protocol or a limit. c has the
//     client if it was let in, of several namespaces the one that it was about or else the
//     first; otherwise the request that it came with. c.Event is "".
//
// Of the last two the log says what it says without fn, warnings at most ten times in ten
// seconds; fn is called for each. errors.Is finds [ErrTooMany] in what is about a limit, and
// [ErrSlow] if a client did not read; of others the text says what was wrong, and may quote
// the client. Clients that go or are lost, also by not answering heartbeats, are no error.
//
// fn is called synchronously and concurrently, so it must be fast and safe for concurrent use. If
// it panics, that and the error are logged.
func WithOnError(fn func(c *Context, err error)) Option {
	return serverOption("WithOnError", func(c *config) error { c.onError = fn; return nil })
}

func serverOption(name string, apply func(*config) error) Option {
	return func(b *builder) error {
		if err := b.server(name); err != nil {
			return err
		}
		return apply(b.cfg)
	}
}
