package sockjs

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/seed-ce09063a/thinkws/internal/door"
	"github.com/seed-ce09063a/thinkws/internal/headers"
	"github.com/seed-ce09063a/thinkws/internal/heartbeat"
	"github.com/seed-ce09063a/thinkws/internal/jsonevent"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// closeLost is the code of a client that gives no sign of life, closeBroken that of one
// that sends what is no frame.
const (
	closeLost   = 3000
	closeBroken = 3000
)

// socket is a client over WebSocket, with SockJS's framing or without. Its life is that
// of the connection. It is a session.Conn to the hub and a wsconn.Handler to the
// WebSocket: the latter's methods run on the reader goroutine, one at a time.
type socket struct {
	server    *Server
	source    *door.Source
	framed    bool
	codec     session.Codec
	client    *jsonevent.Client
	ws        *wsconn.Conn
	heartbeat *heartbeat.Heartbeat
}

var (
	_ session.Conn   = (*socket)(nil)
	_ wsconn.Handler = (*socket)(nil)
)

// serveWebSocket upgrades the request. It returns after the upgrade.
func (s *Server) serveWebSocket(w http.ResponseWriter, r *http.Request, framed bool) {
	s.cfg.Group.Begin() // Shutdown waits for handshakes that are under way
	defer s.cfg.Group.End()
	if s.isClosed() {
		w.Header().Set("Retry-After", "1")
		writeText(w, http.StatusServiceUnavailable, session.ReasonServerShutdown+"\n")
		return
	}
	if !isHandshake(r) && r.ProtoMajor < 2 {
		if headers.IsUpgrade(r) && r.Header.Get(version) != "13" {
			w.Header().Set(version, "13") // RFC 6455, section 4.4
		}
		w.Header().Set("Connection", "close") // frames sent right behind must not be read as a request
		writeText(w, http.StatusBadRequest, "Not a valid websocket request")
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
	c := &socket{server: s, source: source, framed: framed, codec: s.codec(framed)}
	c.client = jsonevent.NewClient(&s.clients, c, s.cfg.Namespace(r))
	ws, err := wsconn.Accept(w, r, &s.cfg.Config, c.client.Flow())
	if err != nil {
		s.refusals.Log(r, err)
		return
	}
	accepted = true
	c.ws = ws
	c.heartbeat = heartbeat.New(s.cfg.Clock, c.client.Flow(), s.cfg.HeartbeatDelay, s.cfg.PingTimeout, c.ping, c.lost)
	c.open(r)
}

// open lets the client ask to enter and starts to read. The open frame is the first, in
// time for a client that waits no longer than it must.
func (c *socket) open(r *http.Request) {
	served := false
	defer func() {
		if !served { // the service's own code has panicked
			c.server.drop(c)
			c.ws.CloseNow()
		}
	}()
	if c.framed {
		c.force([]byte(frameOpen))
	}
	if c.server.add(c) {
		c.client.Admit(r)
	} else {
		c.Close(session.ReasonServerShutdown)
	}
	c.heartbeat.Start()
	c.ws.Serve(c)
	served = true
}

// codec is how messages are encoded for a WebSocket.
func (s *Server) codec(framed bool) session.Codec {
	switch {
	case framed:
		return codec{raw: s.cfg.RawStrings}
	case s.cfg.RawStrings:
		return rawCodec{}
	default:
		return jsonevent.Codec{}
	}
}

const version = "Sec-WebSocket-Version"

// isHandshake reports whether r asks for a WebSocket in due form (RFC 6455, section 4.2.1).
func isHandshake(r *http.Request) bool {
	key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-WebSocket-Key"))
	return err == nil && len(key) == 16 && r.Header.Get(version) == "13" && headers.IsUpgrade(r)
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Accept implements session.Conn: the open frame, or an open connection, said it all.
func (c *socket) Accept() {}

// Refuse implements session.Conn: the failure comes as a message, if there is a form for
// it, and in any case as the reason of closing.
func (c *socket) Refuse(f *session.Failure) {
	c.heartbeat.Stop()
	if !c.client.Refuse() {
		return
	}
	switch {
	case c.framed:
		c.ws.Force(refusal(c.server.cfg.RawStrings, f)...)
	case !c.server.cfg.RawStrings:
		c.ws.Force(jsonevent.Refusal(f)...)
	}
	c.shut(session.ClosePolicy, f.Message)
}

// Send implements session.Conn.
func (c *socket) Send(m *session.Message) error {
	frames, err := m.Frames(c.codec)
	if err != nil {
		return err
	}
	err = c.ws.Deliver(frames, m.Volatile)
	if errors.Is(err, session.ErrSlow) {
		c.end(session.ReasonSlow, session.CloseTryLater, session.ReasonSlow, err)
	}
	return err
}

// Leave implements session.Conn: the only namespace is the whole connection.
func (c *socket) Leave(reason string) { c.Close(reason) }

// Close implements session.Conn.
func (c *socket) Close(reason string) {
	code, text := goodbye(reason)
	c.end(reason, code, text, nil)
}

// Transport implements session.Conn.
func (c *socket) Transport() string { return "websocket" }

// Released implements session.Conn.
func (c *socket) Released() {
	if c.client.Released() {
		c.server.cfg.Door.Leave(c.source)
	}
}

// end closes the connection by our decision, for what the client has done if cause is not nil.
func (c *socket) end(reason string, code int, text string, cause error) {
	group := c.server.cfg.Group
	group.Begin() // who waits for the group sees no gap before the close frame is queued
	defer group.End()
	c.heartbeat.Stop()
	if c.client.End(reason, cause) {
		c.shut(code, text)
	}
}

// shut sends SockJS's close frame, where frames are its, and WebSocket's.
func (c *socket) shut(code int, text string) {
	if c.framed {
		c.force(closeFrame(code, text))
	}
	c.ws.Close(code, text)
}

// force queues a frame of the protocol itself. A connection that is closing takes none.
func (c *socket) force(text []byte) { c.ws.Force(session.TextFrame(text)) }

func (c *socket) ping() { _ = c.ws.Ping() } // fails only if the connection is closing

// lost ends a connection whose heartbeat has stopped.
func (c *socket) lost() {
	c.server.cfg.Tally.Count(session.LimitPingTime)
	c.end(session.ReasonPingTimeout, closeLost, "No response from heartbeat", nil)
}

// Message implements wsconn.Handler.
func (c *socket) Message(data []byte, binary bool) error {
	c.heartbeat.Hear()
	c.client.Charge(len(data))
	err := c.receive(data, binary)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errFraming):
		c.finish(session.ReasonParseError, err)
		c.ws.Close(closeBroken, "Broken framing.")
		return nil
	}
	code, reason := session.Verdict(err)
	c.finish(reason, err)
	if c.framed {
		c.force(closeFrame(code, reason))
	}
	return err
}

var errFraming = errors.New("sockjs: message is no array of strings")

func (c *socket) receive(data []byte, binary bool) error {
	switch {
	case c.framed:
		return c.receiveFrame(data, binary)
	case binary:
		return c.client.Reject("binary frame")
	case c.server.cfg.RawStrings:
		deliverRaw(c.client, session.Fit(appendQuoted(nil, data)))
		return nil
	default:
		return c.client.Receive(data)
	}
}

// receiveFrame takes an array of strings, a single string as well, and nothing, as npm's
// server does.
func (c *socket) receiveFrame(data []byte, binary bool) error {
	text := trimSpace(data)
	switch {
	case len(text) == 0 && !binary:
		return nil
	case binary:
		return errFraming
	case text[0] == '"' && session.CheckJSON(text, session.Depth) == nil:
		text = append(append([]byte{'['}, text...), ']')
	case checkStrings(text) != "":
		return errFraming
	}
	return c.receiveStrings(text)
}

// receiveStrings pauses between strings as between frames, since a frame may have any number of them. What the last one
// gives rise to is for the reader to run.
func (c *socket) receiveStrings(array []byte) error {
	more := false
	for value := range values(array, c.server.cfg.RawStrings) {
		if more { // the frame, with all its bytes, is charged as its first message
			c.client.Charge(0)
			if !c.ws.Wait() {
				return nil
			}
		}
		more = true
		if err := c.server.deliver(c.client, value, array); err != nil {
			return err
		}
	}
	return nil
}

// deliver hands one of the values of an array to the hub, as what it is agreed to be.
func (s *Server) deliver(c *jsonevent.Client, value, array []byte) error {
	value = session.Own(value, array)
	if s.cfg.RawStrings {
		deliverRaw(c, value)
		return nil
	}
	return c.Receive(value)
}

// deliverRaw makes a JSON string the argument of the event "message".
func deliverRaw(c *jsonevent.Client, value []byte) {
	c.Deliver(&session.Message{Kind: session.Event, Name: messageEvent, Args: session.Args{Text: value, Count: 1}, Wire: len(value)})
}

// Pong implements wsconn.Handler. Nothing limits how often a peer sends pong frames but the rate.
func (c *socket) Pong() {
	c.heartbeat.Hear()
	c.client.Charge(0)
}

// Closed implements wsconn.Handler.
func (c *socket) Closed(err error) {
	c.finish(wsconn.Reason(err), wsconn.Fault(err))
	c.server.drop(c)
	c.server.cfg.Logger.Log(context.Background(), wsconn.Level(err), "websocket closed", "id", c.client.ID(), "namespace", c.client.Namespace(), "error", err)
}

// finish notes the end on the reader goroutine.
func (c *socket) finish(reason string, cause error) {
	c.heartbeat.Stop()
	c.client.EndHere(reason, cause)
}
