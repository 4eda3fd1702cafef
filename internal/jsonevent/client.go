// Package jsonevent is what the protocols have in common that speak JSON events: plain
// WebSocket and SockJS.
//
// Every text is one JSON object:
//
//	{"event":"say","data":"hello"}              an event, either way
//	{"event":"sum","data":[1,2],"cid":1}        one that wants an answer
//	{"rid":1,"data":3}                          the answer
//	{"rid":1,"error":{"name":…,"message":…}}    or why there is none
//	{"error":{"name":…,"message":…}}            from the server: a text it cannot read
//
// [Codec] writes them and [Client] reads them: one client in the one namespace that it
// is in from its admission to its end, whatever carries it.
package jsonevent

import (
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// maxMalformed is how many texts that cannot be read a client may send.
const maxMalformed = 10

// Client is a client on its way through the hub: it is admitted once, what it sends is
// handed on, and its end is told once. Receive, Reject and Deliver have one caller at a
// time; the others are safe for concurrent use.
type Client struct {
	cfg       *Config
	id        string
	namespace string
	conn      session.Conn
	malformed int // texts; owned by the caller of Receive
	flow      session.Flow

	mu       sync.Mutex       // protects what follows
	receiver session.Receiver // nil until Admit has returned, which is before anything is received
	ended    bool             // the receiver has been or will be told, or need not be
	reason   string           // of the end; empty if the receiver is not to be told
	cause    error            // what the client has done for it; nil if nothing
	busy     bool             // the hub has admitted the client, and not released it
	gone     bool             // the connection is
}

// Config is shared by all clients of a protocol. All fields have to be set.
type Config struct {
	Hub    session.Admitter
	Group  *serial.Group  // tells of ends that come from the server itself
	Meter  *session.Meter // limits what clients send; nil for no limit
	Tally  *session.Tally // of limits that clients run into; nil for none
	Report session.Report // of what clients are sent away for; nil for none
	Logger *slog.Logger

	MaxDepth int // of JSON

	Detach func(*http.Request) session.Handshake // keeps a request beyond its handler
}

// NewClient returns a client that conn is the way back to, with an id of its own.
func NewClient(cfg *Config, conn session.Conn, namespace string) *Client {
	return &Client{cfg: cfg, id: session.NewID(), conn: conn, namespace: namespace}
}

// ID returns the public id, 20 characters.
func (c *Client) ID() string { return c.id }

// Flow returns the flow control of the connection.
func (c *Client) Flow() *session.Flow { return &c.flow }

// Namespace returns the namespace the client is in or asks to enter.
func (c *Client) Namespace() string { return c.namespace }

// Admit asks the hub to let the client in. The hub may use the connection before Admit
// returns, and end it too: then the receiver, unknown at that time, is told here.
func (c *Client) Admit(r *http.Request) {
	came := c.cfg.Detach(r)
	c.flow.Init(c.cfg.Group, c.cfg.Meter, came)
	c.mu.Lock()
	c.busy = true
	c.mu.Unlock()
	admitted := false
	defer func() {
		if !admitted { // Admit has panicked: the hub will not release the client
			_ = c.Released()
		}
	}()
	receiver := c.cfg.Hub.Admit(session.Peer{
		ID:        c.id,
		Namespace: c.namespace,
		Handshake: came,
		Conn:      c.conn,
		Flow:      &c.flow,
	})
	admitted = true
	c.mu.Lock()
	c.receiver = receiver
	reason, cause := c.reason, c.cause
	c.mu.Unlock()
	if reason != "" {
		c.tell(receiver, reason, cause)
	}
}

// Released notes that the hub does nothing for the client any more, and reports whether its
// connection is gone too: then the client is no longer counted among the sessions. A client that
// comes and goes again and again has as many handlers at a time as it may have sessions.
func (c *Client) Released() (done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = false
	return c.gone
}

// Gone notes that the connection is gone, and reports whether the hub does nothing for the client
// any more. Either Gone or Released returns true.
func (c *Client) Gone() (done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	return !c.busy
}

// End notes the end of the client by our decision, with what it has done for it, nil if nothing; and reports whether
// this is the first one. The receiver is told on a goroutine of its own: the caller may hold a lock that Closed takes.
func (c *Client) End(reason string, cause error) (first bool) {
	c.cfg.Group.Begin() // who waits for the group sees no gap before Closed is under way
	defer c.cfg.Group.End()
	receiver, first := c.finish(reason, cause)
	if receiver != nil {
		c.cfg.Group.Go(func() { c.tell(receiver, reason, cause) })
	}
	return first
}

// EndHere is End for a goroutine that may tell the receiver itself: one that holds no
// lock of others.
func (c *Client) EndHere(reason string, cause error) (first bool) {
	receiver, first := c.finish(reason, cause)
	if receiver != nil {
		c.tell(receiver, reason, cause)
	}
	return first
}

func (c *Client) tell(receiver session.Receiver, reason string, cause error) {
	c.cfg.Report.Client(cause, nil, receiver)
	receiver.Closed(reason)
}

// Refuse notes the end of a client that is not let in: nobody is told.
func (c *Client) Refuse() (first bool) {
	_, first = c.finish("", nil)
	return first
}

// finish returns whom to tell, nil if nobody.
func (c *Client) finish(reason string, cause error) (receiver session.Receiver, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return nil, false
	}
	c.ended, c.reason, c.cause = true, reason, cause
	if reason == "" {
		return nil, true
	}
	return c.receiver, true
}

// Charge charges one message of size bytes on the wire. It is called for everything that comes from the client, before
// that is read. It has one caller at a time, the same as Receive.
func (c *Client) Charge(size int) { c.flow.Charge(size) }

// Receive takes a text of the client, which is UTF-8 and the client's from then on. An
// error ends the connection, as session.Verdict says. What comes of the text is as session.Receiver says.
func (c *Client) Receive(text []byte) error {
	m, malformed := decode(text, c.cfg.MaxDepth)
	if malformed != nil {
		return c.reject(malformed)
	}
	c.Deliver(m)
	return nil
}

// Reject answers what is no text at all.
func (c *Client) Reject(reason string) error { return c.reject(&malformedError{reason: reason}) }

// Deliver hands a message on as it is.
func (c *Client) Deliver(m *session.Message) {
	m.Namespace = c.namespace
	c.receiver.Receive(m)
}

// reject answers a text that cannot be read. Too many of them are a violation.
func (c *Client) reject(bad *malformedError) error {
	c.malformed++
	c.cfg.Tally.Note(bad)
	c.cfg.Logger.Debug("malformed frame", "id", c.id, "namespace", c.namespace, "error", bad)
	if c.malformed > maxMalformed {
		c.cfg.Tally.Count(session.LimitIgnored)
		return fmt.Errorf("%w: %w", session.ErrPolicy, bad)
	}
	c.answer(bad.cid, &session.Failure{Name: "BadRequest", Message: bad.reason})
	return nil
}

// answer sends a failure of the protocol's own. A client that is gone or does not
// read is dealt with where that shows.
func (c *Client) answer(rid string, f *session.Failure) {
	_ = c.conn.Send(&session.Message{Kind: session.Answer, ID: rid, Failure: f})
}
