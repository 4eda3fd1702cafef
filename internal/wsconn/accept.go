package wsconn

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/seed-ce09063a/thinkws/internal/ledger"
	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Config is shared by many connections and must not change once it is in use. All
// fields have to be set, but for those that say otherwise.
type Config struct {
	MaxMessage   int64              // bytes of one message; more closes with 1009
	Queue        int                // bound of the send queue in bytes, as session.Waiting counts them
	Slow         session.SlowPolicy // what becomes of messages beyond that
	WriteTimeout time.Duration      // for a peer to take session.Piece bytes, or as much as there is
	CloseTimeout time.Duration      // how long the peer may take to answer our close frame
	MessageTime  time.Duration      // from the first byte of a message to its last
	CoolAfter    time.Duration      // without a message, until a connection counts as idle
	Compress     bool               // permessage-deflate is negotiated with peers that offer it
	Tally        *session.Tally     // of limits that peers run into; nil for none
	Ledger       *ledger.Ledger     // for the owner of the flow: counts the bytes that peers make the server hold; nil counts nothing
	Group        *serial.Group      // every goroutine of the connection runs in it
	Watch        *Watch             // over readers that run tasks; nil if the group runs them all, which may be
	Grace        *Grace             // shortens the two timeouts when a server shuts down; nil for never

	// Subprotocol chooses one of the subprotocols that a client offers, all of them tokens and at least one, or "" for
	// none. It may be nil: the answer names the first one then, as Node.js does.
	Subprotocol func(r *http.Request, offered []string) string
}

// Why a handshake was answered 501: it is the service, or what stands in front of it,
// that has to be changed.
var (
	ErrHTTP2      = errors.New("WebSocket needs HTTP/1.1: this request came by another version of HTTP, over which a connection cannot be upgraded")
	ErrNoHijacker = errors.New("WebSocket needs a http.ResponseWriter that implements http.Hijacker or Unwrap: a middleware hides it")
)

// Accept upgrades the request to a WebSocket. The origin is not looked at: the
// caller has done that. Headers already set on w go out with the answer.
//
// If it returns an error, w has been answered: 400 for a handshake that is none,
// 501 where the connection cannot be taken over (HTTP/2, a ResponseWriter without
// Hijacker). Otherwise the caller has to call Serve, which alone cleans up. Reading pauses as flow says.
func Accept(w http.ResponseWriter, r *http.Request, cfg *Config, flow *session.Flow) (*Conn, error) {
	if err := canHijack(w, r); err != nil {
		http.Error(w, err.Error(), http.StatusNotImplemented)
		return nil, fmt.Errorf("wsconn: %w", err)
	}
	c := newConn(cfg, flow)
	w.Header().Del(extensions) // which are for the handshake to name
	nameSubprotocol(w.Header(), r, cfg.Subprotocol)
	c.deflates = cfg.Compress && nameDeflate(w.Header(), r)
	c.in.frames.limit, c.in.frames.deflates = cfg.MaxMessage, c.deflates
	if c.deflates {
		c.in.frames.hold = c.in.settle
	}
	// Origins are checked before, for every transport alike.
	ws, err := websocket.Accept(&upgrade{w, c}, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return nil, fmt.Errorf("wsconn: %w", err)
	}
	_ = ws.CloseNow() // the handshake is done, and the connection is ours: see upgrade.Hijack
	return c, nil
}

// canHijack finds out before the 101 is written what Hijack would say after it.
func canHijack(w http.ResponseWriter, r *http.Request) error {
	if r.ProtoMajor > 1 {
		return ErrHTTP2
	}
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = u.Unwrap()
	}
	// The innermost writer decides: those around it may implement Hijacker merely
	// to pass the call on.
	if _, ok := w.(http.Hijacker); !ok {
		return ErrNoHijacker
	}
	return nil
}

// upgrade is the ResponseWriter that Accept of coder/websocket sees. It gives the network connection to a Conn.
type upgrade struct {
	http.ResponseWriter
	conn *Conn
}

// WriteHeader turns the several ways to refuse a handshake into 400.
func (u *upgrade) WriteHeader(status int) {
	if 400 <= status && status < 500 {
		status = http.StatusBadRequest
		u.Header().Del(subprotocol)
		u.Header().Del(extensions)
	}
	u.ResponseWriter.WriteHeader(status)
}

// WriteHeaderNow passes on what coder/websocket asks of a gin.ResponseWriter,
// which would keep the header back otherwise.
func (u *upgrade) WriteHeaderNow() {
	if w, ok := u.ResponseWriter.(interface{ WriteHeaderNow() }); ok {
		w.WriteHeaderNow()
	}
}

// Hijack takes the connection over, and what the client has sent together with its handshake. coder/websocket gets an
// empty one: it reads and writes nothing.
func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, brw, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	if err := nc.SetDeadline(time.Time{}); err != nil {
		nc.Close()
		return nil, nil, err
	}
	early, _ := brw.Reader.Peek(brw.Reader.Buffered()) // cannot fail: it is there
	u.conn.in.init(u.conn, nc, early)
	return released{}, bufio.NewReadWriter(bufio.NewReaderSize(released{}, 0), bufio.NewWriterSize(released{}, 0)), nil
}

// released is the connection that coder/websocket gets.
type released struct{ net.Conn }

func (released) Read([]byte) (int, error)  { return 0, net.ErrClosed }
func (released) Write([]byte) (int, error) { return 0, net.ErrClosed }
func (released) Close() error              { return nil }
