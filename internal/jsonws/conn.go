package jsonws

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/seed-ce09063a/thinkws/internal/door"
	"github.com/seed-ce09063a/thinkws/internal/heartbeat"
	"github.com/seed-ce09063a/thinkws/internal/jsonevent"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// Conn is one client. It is a session.Conn to the hub and a wsconn.Handler to the
// WebSocket: the latter's methods run on the reader goroutine, one at a time.
type Conn struct {
	server    *Server
	framing   *Framing
	source    *door.Source
	client    *jsonevent.Client
	ws        *wsconn.Conn
	heartbeat *heartbeat.Heartbeat
}

var (
	_ session.Conn   = (*Conn)(nil)
	_ wsconn.Handler = (*Conn)(nil)
)

func newConn(s *Server, f *Framing, namespace string, source *door.Source) *Conn {
	c := &Conn{server: s, framing: f, source: source}
	c.client = jsonevent.NewClient(&s.clients, c, namespace)
	c.client.Flow().Bill(s.cfg.Ledger, c)
	c.heartbeat = heartbeat.New(s.cfg.Clock, c.client.Flow(), s.cfg.PingInterval, s.cfg.PingTimeout, c.ping, c.lost)
	return c
}

// open lets the client ask to enter, and starts the heartbeat and the reader. The first frame goes out in time for a
// client that waits no longer than it must.
func (c *Conn) open(r *http.Request) {
	served := false
	defer func() {
		if !served { // the service's own code has panicked
			c.server.remove(c)
			c.ws.CloseNow()
		}
	}()
	c.force(c.framing.Open)
	if c.server.add(c) {
		c.client.Admit(r)
	} else {
		c.Close(session.ReasonServerShutdown)
	}
	c.heartbeat.Start()
	c.ws.Serve(c)
	served = true
}

// Accept implements session.Conn: an open connection says it all.
func (c *Conn) Accept() {}

// Refuse implements session.Conn: the failure comes as a message, if there is a form for it, and once more as the
// reason of closing, for clients that look there.
func (c *Conn) Refuse(f *session.Failure) {
	c.heartbeat.Stop()
	if !c.client.Refuse() {
		return
	}
	c.ws.Force(c.framing.Refusal(f)...) // fails only if the client has left
	c.shut(session.ClosePolicy, f.Message)
}

// Send implements session.Conn.
func (c *Conn) Send(m *session.Message) error {
	frames, err := m.Frames(c.framing.Codec)
	if err != nil {
		return err
	}
	err = c.ws.Deliver(frames, m.Volatile)
	if errors.Is(err, session.ErrSlow) {
		c.fail(err)
	}
	return err
}

// Leave implements session.Conn: the only namespace is the whole connection.
func (c *Conn) Leave(reason string) { c.Close(reason) }

// Close implements session.Conn.
func (c *Conn) Close(reason string) {
	code, text := c.framing.Goodbye(reason)
	c.end(reason, code, text, nil)
}

// Transport implements session.Conn.
func (c *Conn) Transport() string { return "websocket" }

// Released implements session.Conn.
func (c *Conn) Released() {
	if c.client.Released() {
		c.server.cfg.Door.Leave(c.source)
	}
}

// fail ends the connection over something the client did, or did not do.
func (c *Conn) fail(cause error) {
	code, reason := session.Verdict(cause)
	c.end(reason, code, reason, cause)
}

// Evict implements ledger.Owner.
func (c *Conn) Evict(cause error) { c.fail(cause) }

// end closes the connection by our decision. cause is what the client has done, nil if nothing.
func (c *Conn) end(reason string, code int, text string, cause error) {
	group := c.server.cfg.Group
	group.Begin() // who waits for the group sees no gap before the close frame is queued
	defer group.End()
	c.heartbeat.Stop()
	if c.client.End(reason, cause) {
		c.shut(code, text)
	}
}

// shut sends the protocol's own close frame, if it has one, and WebSocket's.
func (c *Conn) shut(code int, text string) {
	c.bye(code, text)
	c.ws.Close(code, text)
}

func (c *Conn) bye(code int, text string) {
	if c.framing.Bye != nil {
		c.force(c.framing.Bye(code, text))
	}
}

// force queues a frame of the protocol itself; nil for none. A connection that is closing takes none.
func (c *Conn) force(text []byte) {
	if text != nil {
		c.ws.Force(session.TextFrame(text))
	}
}

// Client returns the client, for Framing.Receive.
func (c *Conn) Client() *jsonevent.Client { return c.client }

// Wait is wsconn.Conn.Wait, for Framing.Receive.
func (c *Conn) Wait() bool { return c.ws.Wait() }

// Event takes a message that is a text of package jsonevent, as Framing.Receive does.
func (c *Conn) Event(data []byte, binary bool) error {
	if binary {
		return c.client.Reject("binary frame")
	}
	return c.client.Receive(data)
}

// Break ends the connection over a message that means nothing in the protocol, with a close frame of its own. It is for
// Framing.Receive.
func (c *Conn) Break(cause error, code int, text string) {
	c.finish(session.ReasonParseError, cause)
	c.ws.Close(code, text)
}

// Message implements wsconn.Handler.
func (c *Conn) Message(data []byte, binary bool) error {
	c.heartbeat.Hear()
	c.client.Charge(len(data))
	err := c.framing.Receive(c, data, binary)
	if err != nil {
		code, reason := session.Verdict(err)
		c.finish(reason, err)
		c.bye(code, reason)
	}
	return err
}

// Pong implements wsconn.Handler. Nothing limits how often a peer sends pong frames but the rate.
func (c *Conn) Pong() {
	c.heartbeat.Hear()
	c.client.Charge(0)
}

// Closed implements wsconn.Handler.
func (c *Conn) Closed(err error) {
	c.finish(wsconn.Reason(err), wsconn.Fault(err))
	c.server.remove(c)
	c.server.cfg.Logger.Log(context.Background(), wsconn.Level(err), "websocket closed",
		slog.String("id", c.client.ID()), slog.String("namespace", c.client.Namespace()), slog.Any("error", err))
}

// finish notes the end on the reader goroutine.
func (c *Conn) finish(reason string, cause error) {
	c.heartbeat.Stop()
	c.client.EndHere(reason, cause)
}

func (c *Conn) ping() { _ = c.ws.Ping() } // fails only if the connection is closing

// lost ends a connection whose heartbeat has stopped.
func (c *Conn) lost() {
	c.server.cfg.Tally.Count(session.LimitPingTime)
	c.Close(session.ReasonPingTimeout)
	if c.framing.Cut {
		c.ws.CloseNow()
	}
}
