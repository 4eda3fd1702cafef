package thinkws

import (
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Context is what an action works with: the event, the client that sent it, and
// the way to everybody else. It belongs to one event and may be used by several
// goroutines and after the action has returned.
type Context struct {
	hub     *Hub
	socket  *Socket // nil over plain HTTP, and for events of other nodes
	space   *space  // for events of other nodes, nil otherwise
	event   string
	args    session.Args
	kept    int    // bytes of args, and of what belongs to them
	ackID   string // under which the client waits for an answer; "" if it does not
	reason  Reason
	request *http.Request      // over plain HTTP
	reply   func(session.Args) // without a client: takes the answer, which is only lent
	acked   atomic.Bool
	beside  atomic.Bool // a Concurrent action runs for the event, or is about to
}

// Event returns the name of the event: "open" and "close" in these two actions, the name
// it came by elsewhere.
func (c *Context) Event() string { return c.event }

// WsData returns the event's first argument as JSON text, nil if it came with
// none. Binary parts read as base64 strings, so a []byte field just decodes.
func (c *Context) WsData() json.RawMessage {
	first, ok := c.args.At(0)
	if !ok {
		return nil
	}
	return first.JSON()
}

// Args returns all arguments of the event, as WsData does for the first.
func (c *Context) Args() []json.RawMessage { return c.args.Values() }

// Arg decodes argument i, counted from 0, into v as json.Unmarshal does. A binary
// argument may go into a *[]byte. The error is an [*Error] named BadRequest.
func (c *Context) Arg(i int, v any) error { return decodeArg(c.args, i, v) }

// Bind decodes the arguments into v, in their order. What was not sent stays as it is.
func (c *Context) Bind(v ...any) error { return bindArgs(c.args, v) }

// Emit sends an event to this client; see [Socket.Emit]. Over plain HTTP there is
// none: ErrNoClient.
func (c *Context) Emit(event string, args ...any) error {
	if c.socket == nil {
		return ErrNoClient
	}
	return c.socket.Emit(event, args...)
}

// EmitAck sends an event to this client and waits for its answer; see [Socket.EmitAck].
func (c *Context) EmitAck(ctx context.Context, event string, args ...any) (*Answer, error) {
	if c.socket == nil {
		return nil, ErrNoClient
	}
	return c.socket.EmitAck(ctx, event, args...)
}

// Broadcast sends an event to everyone in the namespace, this client included, as
// ThinkJS does. Over plain HTTP: to everyone in "/".
func (c *Context) Broadcast(event string, args ...any) error {
	return c.hub.Of(c.namespace()).Emit(event, args...)
}

// Others returns everyone in the namespace but this client: what Socket.IO calls
// broadcast.
func (c *Context) Others() Target { return c.To() }

// To returns the clients in any of rooms, without this one; without rooms, all others.
func (c *Context) To(rooms ...string) Target {
	t := c.hub.Of(c.namespace()).To(rooms...)
	if c.socket != nil {
		t = t.Except(c.socket.id)
	}
	return t
}

func (c *Context) namespace() string {
	switch {
	case c.socket != nil:
		return c.socket.space.name
	case c.space != nil:
		return c.space.name
	default:
		return "/"
	}
}

// Ack answers the event. If the client does not wait for an answer nothing
// happens. The second answer to one event is ErrAnswered. Over plain HTTP it makes the
// response.
func (c *Context) Ack(args ...any) error {
	if c.ackID == "" && c.reply == nil {
		return nil
	}
	p, err := c.hub.borrowParcel(args)
	if err != nil {
		return err
	}
	defer p.release()
	if c.acked.Swap(true) {
		return ErrAnswered
	}
	if c.reply != nil {
		c.reply(p.message.Args)
		return nil
	}
	return c.answer(p)
}

// answer sends the one answer to the event.
func (c *Context) answer(p *parcel) error {
	p.message.Kind, p.message.Namespace, p.message.ID = session.Answer, c.socket.space.name, c.ackID
	return c.socket.send(&p.message)
}

// Join puts this client into rooms; see [Socket.Join].
func (c *Context) Join(rooms ...string) error {
	if c.socket == nil {
		return ErrNoClient
	}
	return c.socket.Join(rooms...)
}

// Leave takes this client out of rooms.
func (c *Context) Leave(rooms ...string) {
	if c.socket != nil {
		c.socket.Leave(rooms...)
	}
}

// Rooms returns the rooms this client is in, its own id first. In "close": the rooms it
// was in. Over plain HTTP: nil.
func (c *Context) Rooms() []string {
	if c.socket == nil {
		return nil
	}
	return c.socket.Rooms()
}

// ID returns the public id of the client's socket, "" over plain HTTP.
func (c *Context) ID() string {
	if c.socket == nil {
		return ""
	}
	return c.socket.id
}

// Get returns what Set has stored for this client under key, in any of its events;
// nil if nothing, and over plain HTTP.
func (c *Context) Get(key any) any {
	if c.socket == nil {
		return nil
	}
	return c.socket.Get(key)
}

// Set stores a value for as long as the client stays; see [Socket.Set]. Over plain
// HTTP it does nothing.
func (c *Context) Set(key, value any) {
	if c.socket != nil {
		c.socket.Set(key, value)
	}
}

// Request returns the client's handshake, see [Socket.Request]; over plain HTTP the
// request itself; nil in an action of [OnServer].
func (c *Context) Request() *http.Request {
	if c.socket != nil {
		return c.socket.Request()
	}
	return c.request
}

// Context returns a context that is cancelled when the client leaves, see
// [Socket.Context]; over plain HTTP that of the request; in an action of [OnServer] one
// that is cancelled at Shutdown.
func (c *Context) Context() context.Context {
	switch {
	case c.socket != nil:
		return c.socket.Context()
	case c.request != nil:
		return c.request.Context()
	default:
		return c.hub.stopped
	}
}

// Websocket returns the client's socket; nil over plain HTTP.
func (c *Context) Websocket() *Socket { return c.socket }

// IsWebsocket reports whether the action runs for an event; it is false for a plain
// HTTP request, see [Handler.Action].
func (c *Context) IsWebsocket() bool { return c.socket != nil }

// Reason says in the action "close" why the client has left; "" elsewhere.
func (c *Context) Reason() Reason { return c.reason }

// Hub returns the hub, for everything beyond this client and its namespace.
func (c *Context) Hub() *Hub { return c.hub }
