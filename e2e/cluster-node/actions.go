package main

import (
	"encoding/json"
	"strings"
	"sync"

	"github.com/seed-ce09063a/thinkws"
)

// clientActions are what clients may ask for.
func clientActions() []thinkws.Option {
	return []thinkws.Option{thinkws.WithMessages(thinkws.Messages{
		"id":    func(c *thinkws.Context) error { return c.Ack(c.ID()) },
		"join":  thinkws.Bind(join),
		"data":  thinkws.Bind(setData),
		"say":   thinkws.Bind(say),
		"leave": thinkws.Bind(func(c *thinkws.Context, room string) error { c.Leave(room); return c.Ack() }),
	})}
}

// join takes the name of a room, or a number.
func join(c *thinkws.Context, room json.RawMessage) error {
	if err := c.Join(strings.Trim(string(room), `"`)); err != nil {
		return err
	}
	return c.Ack()
}

func setData(c *thinkws.Context, data json.RawMessage) error {
	if err := c.Websocket().SetData(data); err != nil {
		return err
	}
	return c.Ack()
}

type saying struct {
	Room string
	Text json.RawMessage
}

// say tells all others in a room, or all others.
func say(c *thinkws.Context, s saying) error {
	target := c.Others()
	if s.Room != "" {
		target = c.To(s.Room)
	}
	if err := target.Emit("said", s.Text); err != nil {
		return err
	}
	return c.Ack()
}

// events keeps what other nodes have said to this one.
type events struct {
	mu   sync.Mutex // protects list
	list []serverEvent
}

type serverEvent struct {
	Namespace string            `json:"namespace"`
	Event     string            `json:"event"`
	Args      []json.RawMessage `json:"args"`
}

// actions are those for events of other nodes: one that tells, and one that asks.
func (e *events) actions(namespace string) []thinkws.Option {
	return []thinkws.Option{
		thinkws.OnServer("tell", func(c *thinkws.Context) error {
			e.add(namespace, c)
			return nil
		}),
		thinkws.OnServer("ask", func(c *thinkws.Context) error {
			e.add(namespace, c)
			return c.Ack(map[string]any{"of": "go", "args": c.Args()})
		}),
	}
}

func (e *events) add(namespace string, c *thinkws.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, serverEvent{namespace, c.Event(), append([]json.RawMessage{}, c.Args()...)})
}

// take returns what there is, once.
func (e *events) take() []serverEvent {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := append([]serverEvent{}, e.list...)
	e.list = nil
	return list
}
