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
	plain    kind = iota // JSON over plain WebSocket
	socketIO             // Socket.IO 4 over WebSocket
	sockJS               // SockJS over WebSocket
	polling              // Socket.IO 4 over long-polling
	xhr                  // SockJS over xhr-polling
	upgraded             // Socket.IO 4 that begins with polling
	kinds                // how many there are
)

func (k kind) String() string {
	return [...]string{"plain WebSocket", "Socket.IO WebSocket", "SockJS WebSocket", "Socket.IO polling", "SockJS xhr-polling",
		"Socket.IO upgraded"}[k]
}

func (k kind) isSocketIO() bool { return k == socketIO || k == polling || k == upgraded }

// wire carries texts. One goroutine may send while another receives.
type wire interface {
	send(text string) error
	receive() (string, error) // answers heartbeats of the transport
	leave()                   // says goodbye and closes
	reset()                   // by RST
	limit(at time.Time)       // of everything that waits
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
	}
	p, err := d.dialPolling(ctx)
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
	if err := c.wire.send("40"); err != nil {
		return err
	}
	text, err := c.receive()
	if err == nil && !strings.HasPrefix(text, "40{") {
		err = fmt.Errorf("instead of a welcome came %q", text)
	}
	return err
}

// say sends an event.
func (c *client) say(event, data string) error {
	if c.kind.isSocketIO() {
		return c.wire.send(`42["` + event + `","` + data + `"]`)
	}
	return c.wire.send(`{"event":"` + event + `","data":"` + data + `"}`)
}

// hear returns the next event.
func (c *client) hear() (event, data string, err error) {
	text, err := c.receive()
	if err != nil {
		return "", "", err
	}
	begin, between, end := `{"event":"`, `","data":"`, `"}`
	if c.kind.isSocketIO() {
		begin, between, end = `42["`, `","`, `"]`
	}
	rest, ok := strings.CutPrefix(text, begin)
	event, rest, ok2 := strings.Cut(rest, between)
	data, ok3 := strings.CutSuffix(rest, end)
	if !ok || !ok2 || !ok3 {
		return "", "", fmt.Errorf("%v: an unexpected message: %.100q", c.kind, text)
	}
	return event, data, nil
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
