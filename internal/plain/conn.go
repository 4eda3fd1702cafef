package plain

import (
	"errors"
	"net/http"
	"sync"

	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// maxMalformed is how many frames that cannot be read a connection may send.
const maxMalformed = 10

// conn is one client. It is a session.Conn to the hub and a wsconn.Handler to the
// WebSocket: the latter's methods run on the reader goroutine, one at a time.
type conn struct {
	server    *Server
	id        string
	namespace string
	ws        *wsconn.Conn
	heartbeat *heartbeat
	malformed int // frames; the reader goroutine's

	mu       sync.Mutex       // protects what follows
	receiver session.Receiver // set before the reader starts, nil if there is none
	ended    bool             // the receiver has been or will be told, or need not be
	reason   string           // of the end; empty if the receiver is not to be told
}

var (
	_ session.Conn   = (*conn)(nil)
	_ wsconn.Handler = (*conn)(nil)
)

func newConn(s *Server, ws *wsconn.Conn, namespace string) *conn {
	c := &conn{server: s, id: session.NewID(), ws: ws, namespace: namespace}
	c.heartbeat = newHeartbeat(s.cfg.Clock, s.cfg.PingInterval, s.cfg.PingTimeout, c.ping, c.lost)
	return c
}

// admit asks the hub to let the client in. The hub may use c before Admit returns,
// and end it too: then the receiver, unknown at that time, is told here.
func (c *conn) admit(r *http.Request) {
	receiver := c.server.hub.Admit(session.Peer{
		ID:        c.id,
		Namespace: c.namespace,
		Handshake: c.server.cfg.Detach(r),
		Conn:      c,
	})
	c.mu.Lock()
	c.receiver = receiver
	reason := c.reason
	c.mu.Unlock()
	if reason != "" {
		receiver.Closed(reason)
	}
}

// serve starts the heartbeat and the reader.
func (c *conn) serve() {
	c.heartbeat.start()
	c.ws.Serve(c)
}

// Accept implements session.Conn: an open connection says it all.
func (c *conn) Accept() {}

// Refuse implements session.Conn: the failure comes as a frame and once more as the
// reason of closing, for clients that look there.
func (c *conn) Refuse(f *session.Failure) {
	if _, first := c.finish(""); !first {
		return
	}
	c.ws.Force(failureFrame("", f)) // fails only if the client has left
	c.ws.Close(session.ClosePolicy, f.Message)
}

// Send implements session.Conn.
func (c *conn) Send(m *session.Message) error {
	if m.Volatile && !c.ws.Idle() {
		return session.ErrDropped
	}
	frames, err := m.Frames(codec{})
	if err != nil {
		return err
	}
	err = c.ws.Send(frames...)
	if errors.Is(err, session.ErrSlow) {
		c.end(session.ReasonSlow, session.CloseTryLater)
	}
	return err
}

// Leave implements session.Conn: the only namespace is the whole connection.
func (c *conn) Leave(reason string) { c.leave(reason) }

// Close implements session.Conn.
func (c *conn) Close(reason string) { c.leave(reason) }

// Transport implements session.Conn.
func (c *conn) Transport() string { return "websocket" }

// Listen implements session.Conn.
func (c *conn) Listen() { c.ws.Listen() }

func (c *conn) leave(reason string) { c.end(reason, closeCode(reason)) }

// end closes the connection by our decision. The receiver is told on a goroutine of
// its own: the caller may hold a lock that Closed takes.
func (c *conn) end(reason string, code int) {
	group := c.server.cfg.Group
	group.Begin() // who waits for the group sees no gap before Closed is under way
	defer group.End()
	receiver, first := c.finish(reason)
	if !first {
		return
	}
	c.ws.Close(code, reason)
	if receiver != nil {
		group.Go(func() { receiver.Closed(reason) })
	}
}

// finish notes the end and says whether this is the first one. Whoever gets true
// tells the receiver, unless it is nil or the reason empty.
func (c *conn) finish(reason string) (receiver session.Receiver, first bool) {
	c.heartbeat.stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return nil, false
	}
	c.ended, c.reason = true, reason
	return c.receiver, true
}

// finishHere is finish for the reader goroutine, which may tell the receiver itself.
func (c *conn) finishHere(reason string) {
	if receiver, first := c.finish(reason); first && receiver != nil {
		receiver.Closed(reason)
	}
}

// Message implements wsconn.Handler.
func (c *conn) Message(data []byte, binary bool) (session.Task, error) {
	c.heartbeat.hear()
	task, err := c.receive(data, binary)
	if err != nil {
		_, reason := session.Verdict(err)
		c.finishHere(reason)
	}
	return task, err
}

// Pong implements wsconn.Handler.
func (c *conn) Pong() { c.heartbeat.hear() }

// Closed implements wsconn.Handler.
func (c *conn) Closed(err error) {
	c.finishHere(reasonOf(err))
	c.server.remove(c)
	c.server.cfg.Logger.Debug("websocket closed", "id", c.id, "namespace", c.namespace, "error", err)
}

func (c *conn) receive(data []byte, binary bool) (session.Task, error) {
	if binary {
		return nil, c.reject(&malformedError{reason: "binary frame"})
	}
	m, err := decode(data)
	if err != nil {
		return nil, c.reject(err)
	}
	if m.Kind == session.Event && isReserved(m.Name) {
		c.ignore(m)
		return nil, nil
	}
	m.Namespace = c.namespace
	return c.receiver.Receive(m)
}

// reject answers a frame that cannot be read. Too many of them are a violation.
func (c *conn) reject(bad *malformedError) error {
	c.malformed++
	c.server.cfg.Logger.Debug("malformed frame", "id", c.id, "namespace", c.namespace, "error", bad)
	if c.malformed > maxMalformed {
		return session.ErrPolicy
	}
	c.answer(bad.cid, &session.Failure{Name: "BadRequest", Message: bad.reason})
	return nil
}

// ignore drops an event that clients may not send. To a client that waits for an
// answer it looks like one that nobody has registered.
func (c *conn) ignore(m *session.Message) {
	if m.ID != "" {
		c.answer(m.ID, &session.Failure{Name: "NotFound", Message: "no such event"})
	}
}

// answer sends a failure of the protocol's own. A client that is gone or does not
// read is dealt with where that shows.
func (c *conn) answer(rid string, f *session.Failure) {
	_ = c.Send(&session.Message{Kind: session.Answer, ID: rid, Failure: f})
}

func (c *conn) ping() { _ = c.ws.Ping() } // fails only if the connection is closing

// lost ends a connection whose heartbeat has stopped.
func (c *conn) lost() {
	c.end(session.ReasonPingTimeout, session.CloseGoingAway)
	c.ws.CloseNow()
}

// closeCode returns the WebSocket close code that goes with a reason of ours.
func closeCode(reason string) int {
	switch reason {
	case session.ReasonServerShutdown:
		return session.CloseGoingAway
	case session.ReasonSlow:
		return session.CloseTryLater
	case session.ReasonOverrun:
		return session.ClosePolicy
	default:
		return session.CloseNormal
	}
}

// reasonOf puts the end of a WebSocket in the words of this library.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, wsconn.ErrClosedByPeer):
		return session.ReasonTransportClose
	case errors.Is(err, session.ErrSlow):
		return session.ReasonSlow
	case errors.Is(err, wsconn.ErrProtocol):
		return session.ReasonParseError
	default: // a lost connection is a closed one, as Node has it
		return session.ReasonTransportClose
	}
}
