package plain

import (
	"context"
	"errors"
	"net/http"

	"github.com/seed-ce09063a/thinkws/internal/door"
	"github.com/seed-ce09063a/thinkws/internal/heartbeat"
	"github.com/seed-ce09063a/thinkws/internal/jsonevent"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// conn is one client. It is a session.Conn to the hub and a wsconn.Handler to the
// WebSocket: the latter's methods run on the reader goroutine, one at a time.
type conn struct {
	server    *Server
	source    *door.Source
	client    *jsonevent.Client
	ws        *wsconn.Conn
	heartbeat *heartbeat.Heartbeat
}

var (
	_ session.Conn   = (*conn)(nil)
	_ wsconn.Handler = (*conn)(nil)
)

func newConn(s *Server, namespace string, source *door.Source) *conn {
	c := &conn{server: s, source: source}
	c.client = jsonevent.NewClient(&s.clients, c, namespace)
	c.heartbeat = heartbeat.New(s.cfg.Clock, c.client.Flow(), s.cfg.PingInterval, s.cfg.PingTimeout, c.ping, c.lost)
	return c
}

// open lets the client ask to enter, and starts the heartbeat and the reader.
func (c *conn) open(r *http.Request) {
	served := false
	defer func() {
		if !served { // the service's own code has panicked
			c.server.remove(c)
			c.ws.CloseNow()
		}
	}()
	if c.server.add(c) {
		c.client.Admit(r)
	} else {
		c.leave(session.ReasonServerShutdown)
	}
	c.heartbeat.Start()
	c.ws.Serve(c)
	served = true
}

// Accept implements session.Conn: an open connection says it all.
func (c *conn) Accept() {}

// Refuse implements session.Conn: the failure comes as a frame and once more as the
// reason of closing, for clients that look there.
func (c *conn) Refuse(f *session.Failure) {
	c.heartbeat.Stop()
	if !c.client.Refuse() {
		return
	}
	c.ws.Force(jsonevent.Refusal(f)...) // fails only if the client has left
	c.ws.Close(session.ClosePolicy, f.Message)
}

// Send implements session.Conn.
func (c *conn) Send(m *session.Message) error {
	frames, err := m.Frames(jsonevent.Codec{})
	if err != nil {
		return err
	}
	err = c.ws.Deliver(frames, m.Volatile)
	if errors.Is(err, session.ErrSlow) {
		c.end(session.ReasonSlow, session.CloseTryLater, err)
	}
	return err
}

// Leave implements session.Conn: the only namespace is the whole connection.
func (c *conn) Leave(reason string) { c.leave(reason) }

// Close implements session.Conn.
func (c *conn) Close(reason string) { c.leave(reason) }

// Transport implements session.Conn.
func (c *conn) Transport() string { return "websocket" }

// Released implements session.Conn.
func (c *conn) Released() {
	if c.client.Released() {
		c.server.cfg.Door.Leave(c.source)
	}
}

func (c *conn) leave(reason string) { c.end(reason, session.CloseCode(reason), nil) }

// end closes the connection by our decision, for what the client has done if cause is not nil.
func (c *conn) end(reason string, code int, cause error) {
	group := c.server.cfg.Group
	group.Begin() // who waits for the group sees no gap before the close frame is queued
	defer group.End()
	c.heartbeat.Stop()
	if c.client.End(reason, cause) {
		c.ws.Close(code, reason)
	}
}

// Message implements wsconn.Handler.
func (c *conn) Message(data []byte, binary bool) error {
	c.heartbeat.Hear()
	c.client.Charge(len(data))
	err := c.receive(data, binary)
	if err != nil {
		_, reason := session.Verdict(err)
		c.finish(reason, err)
	}
	return err
}

func (c *conn) receive(data []byte, binary bool) error {
	if binary {
		return c.client.Reject("binary frame")
	}
	return c.client.Receive(data)
}

// Pong implements wsconn.Handler. Nothing limits how often a peer sends pong frames but the rate.
func (c *conn) Pong() {
	c.heartbeat.Hear()
	c.client.Charge(0)
}

// Closed implements wsconn.Handler.
func (c *conn) Closed(err error) {
	c.finish(wsconn.Reason(err), wsconn.Fault(err))
	c.server.remove(c)
	c.server.cfg.Logger.Log(context.Background(), wsconn.Level(err), "websocket closed", "id", c.client.ID(), "namespace", c.client.Namespace(), "error", err)
}

// finish notes the end on the reader goroutine.
func (c *conn) finish(reason string, cause error) {
	c.heartbeat.Stop()
	c.client.EndHere(reason, cause)
}

func (c *conn) ping() { _ = c.ws.Ping() } // fails only if the connection is closing

// lost ends a connection whose heartbeat has stopped.
func (c *conn) lost() {
	c.server.cfg.Tally.Count(session.LimitPingTime)
	c.end(session.ReasonPingTimeout, session.CloseGoingAway, nil)
	c.ws.CloseNow()
}
