package thinkws

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/guard"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

const (
	subscribeTimeout = time.Second // how long a client may have to wait until its namespace hears the others
	maxAsk           = time.Minute // how long clients are waited for on behalf of another node
	maxAsking        = 1_000       // questions of other nodes that wait for clients
)

// node is the hub as its bus sees it.
type node Hub

var _ BusNode = (*node)(nil)

// Logger implements BusNode.
func (n *node) Logger() *slog.Logger { return n.cfg.logger }

// Wants implements BusNode.
func (n *node) Wants(namespace, room string) bool {
	sp := (*Hub)(n).lookup(namespace)
	if sp == nil {
		return false
	}
	sp.mu.RLock()
	defer sp.mu.RUnlock()
	return room == "" || sp.sockets[room] != nil || sp.rooms[room] != nil
}

// Deliver implements BusNode: it does here what another node does there.
func (n *node) Deliver(e *Envelope, reply func(*Envelope)) {
	h := (*Hub)(n)
	defer func() { // the goroutine is of the bus, the mistake is ours
		if p := recover(); p != nil {
			h.tasks.Crashed(e, p)
		}
	}()
	reply = h.guardedReply(reply)
	t := Target{hub: h, namespace: e.Namespace, rooms: e.Rooms, except: e.Except, local: true}
	switch e.Kind {
	case BusEmit:
		h.emitHere(t, e, reply)
	case BusJoin:
		if err := t.Join(e.Names...); err != nil {
			h.log().Warn("another node's join refused", "namespace", e.Namespace, "rooms", e.Names, "error", err)
		}
	case BusLeave:
		_ = t.Leave(e.Names...) // cannot fail here
	case BusDisconnect:
		t.disconnectHere(e.Whole)
	case BusSockets:
		if reply != nil {
			reply(&Envelope{Kind: BusAnswer, Namespace: e.Namespace, Members: t.membersHere()})
		}
	case BusRooms:
		if reply != nil {
			reply(&Envelope{Kind: BusAnswer, Namespace: e.Namespace, Names: h.roomsHere(e.Namespace)})
		}
	case BusServerEmit:
		h.serverEvent(e, reply)
	}
}

// emitHere sends an event of another node to the clients of this one.
func (h *Hub) emitHere(t Target, e *Envelope, reply func(*Envelope)) {
	m := &session.Message{Kind: session.Event, Namespace: e.Namespace, Name: e.Event, Args: e.Args, Volatile: e.Volatile}
	if !e.Plain {
		m.Deflate = h.deflate
	}
	if reply == nil {
		t.each(func(sp *space, sockets []*Socket) { sp.broadcast(m, sockets) })
		return
	}
	if h.asking.Add(1) > maxAsking {
		h.asking.Add(-1)
		h.log().Warn("too many questions of other nodes", "event", e.Event, "namespace", e.Namespace)
		return
	}
	var q *question
	t.each(func(sp *space, sockets []*Socket) {
		if len(sockets) > 0 {
			q = sp.question(m, slices.Clone(sockets))
		}
	})
	if q == nil {
		h.asking.Add(-1)
		reply(&Envelope{Kind: BusClients, Namespace: e.Namespace})
		return
	}
	h.askHere(q, e, reply)
}

// askHere asks clients at once, in the order of everything else, and waits for their
// answers on a goroutine of its own.
func (h *Hub) askHere(q *question, e *Envelope, reply func(*Envelope)) {
	reply(&Envelope{Kind: BusClients, Namespace: e.Namespace, Clients: len(q.asked)})
	timeout := e.Timeout
	if timeout <= 0 || timeout > maxAsk {
		timeout = maxAsk
	}
	q.answers.tell = func(a *Answer) {
		if a == nil {
			reply(&Envelope{Kind: BusClients, Namespace: e.Namespace, Clients: -1})
			return
		}
		reply(&Envelope{Kind: BusAnswer, Namespace: e.Namespace, Args: a.payload()})
	}
	_ = q.send() // who could not be asked is told of one by one
	h.tasks.Go(func() {
		defer h.asking.Add(-1)
		ctx, cancel := context.WithTimeout(h.stopped, timeout)
		defer cancel()
		_, _ = q.wait(ctx) // all has been told
	})
}

// payload is the answer as other nodes get it: a failure as Socket.IO clients have it.
func (a *Answer) payload() Payload {
	if a.failure == nil {
		return a.args
	}
	return Payload{Text: failureJSON(a.failure), Count: 1}
}

// roomsHere lists the rooms of a namespace, the sockets' own ones included.
func (h *Hub) roomsHere(namespace string) []string {
	sp := h.lookup(namespace)
	if sp == nil {
		return nil
	}
	sp.mu.RLock()
	defer sp.mu.RUnlock()
	names := make([]string, 0, len(sp.rooms)+len(sp.sockets))
	for name := range sp.rooms {
		names = append(names, name)
	}
	for id := range sp.sockets {
		if sp.rooms[id] == nil {
			names = append(names, id)
		}
	}
	return names
}

// membersHere lists the clients of t that are on this node.
func (t Target) membersHere() (members []Member) {
	t.each(func(_ *space, sockets []*Socket) {
		members = make([]Member, len(sockets))
		for i, s := range sockets {
			members[i] = s.member()
		}
	})
	return members
}

func (s *Socket) member() Member {
	return Member{ID: s.id, Namespace: s.space.name, Rooms: s.Rooms(), Transport: s.Transport(),
		RemoteAddr: s.handshake.RemoteAddr(), Data: s.Data(), Auth: s.Auth(), Request: s.Request}
}

func (t Target) disconnectHere(whole bool) {
	if whole {
		t.eachSocket((*Socket).Close)
		return
	}
	t.eachSocket((*Socket).Disconnect)
}

// subscribe lets the namespace hear the other nodes.
func (sp *space) subscribe() {
	link := sp.hub.link
	if link == nil {
		return
	}
	sp.heard = make(chan struct{})
	sp.hub.tasks.Go(func() {
		defer close(sp.heard)
		ctx, cancel := context.WithTimeout(sp.hub.stopped, subscribeTimeout)
		defer cancel()
		_ = link.Subscribe(ctx, sp.name) // the link says what is the matter, and goes on trying
	})
}

// unsubscribe undoes subscribe, for a namespace that goes.
func (sp *space) unsubscribe() {
	if sp.hub.link != nil {
		sp.hub.link.Unsubscribe(sp.name)
	}
}

// hear waits until the namespace hears the other nodes, for a client that is about to
// enter. Without them it is let in all the same.
func (sp *space) hear() {
	if sp.heard != nil {
		<-sp.heard
	}
}

// Data returns what SetData has set, nil if nothing.
func (s *Socket) Data() json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hasLocked().data
}

// SetData sets what others learn of the client from [Target.Sockets], on all nodes: the
// socket.data of Node.js. It is marshaled at once; an error leaves things as they were. v is nested
// at most 10,000 levels deep.
// What others need not know is better kept by Set.
func (s *Socket) SetData(v any) error {
	var data json.RawMessage
	err := guard.Do(func() (err error) { data, err = json.Marshal(v); return err })
	if err == nil && session.Deeper(data, session.MaxDepth) {
		err = fmt.Errorf("thinkws: data %w", session.ErrDeep)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.extraLocked().data = session.UTF8(data)
	return nil
}
