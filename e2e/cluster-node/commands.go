package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/redisbus"
)

// command is what the node, or its emitter, is to do.
type command struct {
	Do        string
	Emitter   bool
	Namespace string
	Rooms     []string
	Except    []string
	Volatile  bool
	Local     bool
	Compress  *bool
	Event     string
	Args      []json.RawMessage
	Names     []string // of rooms to enter or to leave
	Close     bool
	Timeout   int // milliseconds
	From      string
	First     int // publish: the number of the first message
	Count     int
	Rate      int    // traffic: messages a second
	Size      int    // burst: bytes of a message
	Password  string // of new connections to Redis
}

// answers is what has come back from others.
type answers struct {
	Answers []json.RawMessage `json:"answers"`
	Nodes   int               `json:"nodes"`   // that are missing
	Clients int               `json:"clients"` // that are missing, of all nodes
	Error   string            `json:"error,omitempty"`
}

func (n *node) serveCommand(w http.ResponseWriter, r *http.Request) {
	var c command
	err := json.NewDecoder(r.Body).Decode(&c)
	var result any
	if err == nil {
		ctx, cancel := context.WithTimeout(r.Context(), time.Duration(cmp.Or(c.Timeout, 5000))*time.Millisecond)
		defer cancel()
		if c.Emitter {
			err = n.emit(ctx, c)
		} else {
			result, err = n.do(ctx, c)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(result) // the client has gone
}

// do is for the node.
func (n *node) do(ctx context.Context, c command) (any, error) {
	t, space := n.target(c), n.handler.Hub().Of(c.Namespace)
	args, err := values(c.Args)
	if err != nil {
		return nil, err
	}
	switch c.Do {
	case "emit":
		return nil, t.Emit(c.Event, args...)
	case "publish":
		return nil, n.publish(c)
	case "emitAck":
		got, err := t.EmitAck(ctx, c.Event, args...)
		return answersOf(got, err)
	case "join":
		return nil, t.Join(c.Names...)
	case "leave":
		return nil, t.Leave(c.Names...)
	case "disconnect":
		if c.Close {
			return nil, t.Close()
		}
		return nil, t.Disconnect()
	case "sockets":
		return listed(t.Sockets(ctx))
	case "rooms":
		return space.Rooms(ctx)
	case "serverEmit":
		return nil, space.ServerEmit(c.Event, args...)
	case "serverEmitAck":
		got, err := space.ServerEmitAck(ctx, c.Event, args...)
		return answersOf(got, err)
	case "events":
		return n.events.take(), nil
	case "count":
		return n.handler.Hub().Stats().Clients, nil
	case "stats":
		return n.handler.Hub().Stats(), nil
	case "password":
		n.login.setPassword(c.Password)
		return nil, nil
	default:
		return n.doTraffic(c)
	}
}

// doTraffic is for the commands of the failover tests.
func (n *node) doTraffic(c command) (any, error) {
	switch c.Do {
	case "traffic":
		return nil, n.traffic.start(n.handler.Hub(), c)
	case "burst":
		return nil, n.traffic.burst(c)
	case "endTraffic":
		return n.traffic.end()
	default:
		return nil, fmt.Errorf("what is %q?", c.Do)
	}
}

func (n *node) target(c command) thinkws.Target {
	t := n.handler.Hub().Of(c.Namespace).To(c.Rooms...).Except(c.Except...)
	if c.Volatile {
		t = t.Volatile()
	}
	if c.Local {
		t = t.Local()
	}
	if c.Compress != nil {
		t = t.Compress(*c.Compress)
	}
	return t
}

// publish sends numbered messages to the rooms in turn.
func (n *node) publish(c command) error {
	hub := n.handler.Hub()
	for i := c.First; i < c.First+c.Count; i++ {
		if err := hub.To(c.Rooms[i%len(c.Rooms)]).Emit("news", []any{c.From, i}); err != nil {
			return err
		}
	}
	return nil
}

// emit is for the emitter.
func (n *node) emit(ctx context.Context, c command) error {
	args, err := values(c.Args)
	if err != nil {
		return err
	}
	m := n.emission(c)
	switch c.Do {
	case "emit":
		return m.Emit(ctx, c.Event, args...)
	case "join":
		return m.Join(ctx, c.Names...)
	case "leave":
		return m.Leave(ctx, c.Names...)
	case "disconnect":
		if c.Close {
			return m.Close(ctx)
		}
		return m.Disconnect(ctx)
	case "serverEmit":
		return m.ServerEmit(ctx, c.Event, args...)
	default:
		return fmt.Errorf("an emitter cannot %q", c.Do)
	}
}

func (n *node) emission(c command) redisbus.Emission {
	m := n.emitter.Of(c.Namespace).To(c.Rooms...).Except(c.Except...)
	if c.Volatile {
		m = m.Volatile()
	}
	if c.Compress != nil {
		m = m.Compress(*c.Compress)
	}
	return m
}

// answersOf tells apart what is missing from what has failed.
func answersOf(got []thinkws.Answer, err error) (*answers, error) {
	if err != nil && !errors.Is(err, thinkws.ErrNoAck) {
		return nil, err
	}
	a := &answers{Answers: []json.RawMessage{}}
	for _, answer := range got {
		args := answer.Args()
		if len(args) == 0 {
			args = []json.RawMessage{json.RawMessage("null")}
		}
		a.Answers = append(a.Answers, args[0])
	}
	if err == nil {
		return a, nil
	}
	a.Error = err.Error()
	if missing, ok := errors.AsType[*thinkws.NodesError](err); ok {
		a.Nodes, a.Clients = missing.Count, missing.Clients
	}
	if missing, ok := errors.AsType[*thinkws.NoAckError](err); ok {
		a.Clients += len(missing.Missing)
	}
	return a, nil
}
