package soak

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// kind is what a client speaks, over what.
type kind int

const (
	plain        kind = iota // JSON over plain WebSocket
	socketIO                 // Socket.IO 4 over WebSocket
	sockJS                   // SockJS over WebSocket
	polling                  // Socket.IO 4 over long-polling
	xhr                      // SockJS over xhr-polling
	upgraded                 // Socket.IO 4 that begins with polling
	streaming                // SockJS over xhr-streaming
	older                    // Socket.IO 2, which has Engine.IO 3, over WebSocket
	olderPolling             // Socket.IO 2 over long-polling
	everyKind                // how many there are
)

// kinds is the number of kinds that come and go in most scenarios: those up to upgraded.
const kinds = upgraded + 1

func (k kind) String() string {
	return [everyKind]string{"plain WebSocket", "Socket.IO WebSocket", "SockJS WebSocket", "Socket.IO polling", "SockJS xhr-polling",
		"Socket.IO upgraded", "SockJS xhr-streaming", "Socket.IO 2 WebSocket", "Socket.IO 2 polling"}[k]
}

func (k kind) isOlder() bool { return k == older || k == olderPolling }

func (k kind) isSocketIO() bool { return k == socketIO || k == polling || k == upgraded || k.isOlder() }

// wire carries texts. One goroutine may send while another receives.
type wire interface {
	send(texts ...string) error // in one request, if it sends by requests
	receive() (string, error)   // answers heartbeats of the transport
	leave()                     // says goodbye and closes
	reset()                     // by RST
	limit(at time.Time)         // of everything that waits
}

// client is one that keeps to the rules. Events have one string, without anything that JSON
// would escape.
type client struct {
	kind kind
	wire
}

// endedError is how a server ends a connection in due form.
type endedError struct{ how string }

func (e *endedError) Error() string { return "ended by " + e.how }

// endOf says how a client's connection has ended.
func endOf(err error) string {
	if ended, ok := errors.AsType[*endedError](err); ok {
		return ended.how
	}
	return "cut: " + err.Error()
}

// enter connects and enters "/".
func (d door) enter(ctx context.Context, k kind) (*client, error) {
	w, err := d.connect(ctx, k)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", k, err)
	}
	c := &client{k, w}
	if k.isSocketIO() {
		err = c.welcome()
	}
	if err != nil {
		c.reset()
		return nil, fmt.Errorf("%v: %w", k, err)
	}
	c.limit(time.Time{})
	return c, nil
}

// connect opens a transport.
func (d door) connect(ctx context.Context, k kind) (wire, error) {
	switch k {
	case plain:
		return d.dialWebSocket(ctx, "/ws", "")
	case socketIO:
		return d.dialWebSocket(ctx, "/socket.io/?EIO=4&transport=websocket", "0")
	case sockJS:
		return d.dialWebSocket(ctx, "/sockjs/000/"+newID()+"/websocket", "o")
	case xhr:
		return d.dialXHR(ctx)
	case streaming:
		return d.dialStream(ctx)
	case older:
		w, err := d.dialWebSocket(ctx, "/socket.io/?EIO=3&transport=websocket", "0")
		if err == nil {
			go beat(w)
		}
		return w, err
	case olderPolling:
		p, err := d.dialPolling(ctx, 3)
		if err == nil {
			go beat(p)
		}
		return p, err
	}
	p, err := d.dialPolling(ctx, 4)
	if err != nil || k == polling {
		return p, err
	}
	defer p.close()
	w, err := d.dialWebSocket(ctx, "/socket.io/?EIO=4&transport=websocket&sid="+p.sid, "")
	if err != nil {
		return nil, err
	}
	if err := w.upgrade(); err != nil {
		w.reset()
		return nil, err
	}
	return w, nil
}

// welcome enters the main namespace.
func (c *client) welcome() error {
	begins := "40"
	if !c.kind.isOlder() { // these are in it from the beginning
		begins = "40{"
		if err := c.wire.send("40"); err != nil {
			return err
		}
	}
	text, err := c.receive()
	if err == nil && !strings.HasPrefix(text, begins) {
		err = fmt.Errorf("instead of a welcome came %q", text)
	}
	return err
}

// beatEvery is how often the clients of Socket.IO 2 send a heartbeat.
const beatEvery = 500 * time.Millisecond

// beat sends heartbeats until the connection has ended.
func beat(w wire) {
	for w.send("2") == nil {
		time.Sleep(beatEvery)
	}
}

// event is the text of an event.
func (c *client) event(name, data string) string {
	if c.kind.isSocketIO() {
		return `42["` + name + `","` + data + `"]`
	}
	return `{"event":"` + name + `","data":"` + data + `"}`
}

// say sends an event.
func (c *client) say(name, data string) error { return c.wire.send(c.event(name, data)) }

// hear returns the next event.
func (c *client) hear() (name, data string, err error) {
	name, data, _, err = c.hearQuestion()
	return name, data, err
}

// hearQuestion returns the next event, with the id that an answer must have, or "" if none is wanted.
func (c *client) hearQuestion() (name, data, id string, err error) {
	text, err := c.receive()
	if err != nil {
		return "", "", "", err
	}
	begin, between, end := `{"event":"`, `","data":"`, `}`
	rest := text
	if c.kind.isSocketIO() {
		begin, between, end = `["`, `","`, `]`
		rest = strings.TrimPrefix(rest, "42")
		id, _, _ = strings.Cut(rest, "[")
		rest = rest[len(id):]
	}
	rest, ok := strings.CutPrefix(rest, begin)
	name, rest, ok2 := strings.Cut(rest, between)
	data, rest, ok3 := strings.Cut(rest, `"`)
	rest, ok4 := strings.CutSuffix(rest, end)
	if !c.kind.isSocketIO() {
		id = strings.TrimPrefix(rest, `,"cid":`)
	}
	if !ok || !ok2 || !ok3 || !ok4 {
		return "", "", "", fmt.Errorf("%v: an unexpected message: %.100q", c.kind, text)
	}
	return name, data, id, nil
}

// answer answers a question.
func (c *client) answer(id, data string) error {
	if c.kind.isSocketIO() {
		return c.wire.send("43" + id + `["` + data + `"]`)
	}
	return c.wire.send(`{"rid":` + id + `,"data":"` + data + `"}`)
}

// echo sends something and waits until it is back.
func (c *client) echo(data string) error {
	c.limit(time.Now().Add(dialTimeout))
	if err := c.say("echo", data); err != nil {
		return err
	}
	for {
		event, got, err := c.hear()
		if err != nil {
			return err
		}
		if event != "echo" {
			continue
		}
		if got != data {
			return fmt.Errorf("%v: instead of %q came back %q", c.kind, data, got)
		}
		c.limit(time.Time{})
		return nil
	}
}
