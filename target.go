package thinkws

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Target is a choice of clients: those in any of its rooms (without rooms, all of
// its namespace) but in none of the rooms excepted. It is an immutable value: each
// method that narrows it returns a copy, so a Target may be kept and shared. Who is
// meant is looked up when something is sent.
type Target struct {
	hub       *Hub
	namespace string
	rooms     []string
	except    []string
	local     bool
	volatile  bool
	plain     bool // not compressed
}

// To adds rooms, to the effect that a client in any of them is meant, once.
func (t Target) To(rooms ...string) Target {
	t.rooms = slices.Concat(t.rooms, rooms)
	return t
}

// Except leaves out the clients that are in any of rooms. A socket's id is the name
// of a room too.
func (t Target) Except(rooms ...string) Target {
	t.except = slices.Concat(t.except, rooms)
	return t
}

// Local keeps to the clients of this node.
func (t Target) Local() Target {
	t.local = true
	return t
}

// Volatile marks what is sent as dispensable: a client that cannot take it at this
// moment does not get it, as with positions in a game. [Stats] counts the drops.
func (t Target) Volatile() Target {
	t.volatile = true
	return t
}

// Compress reports whether what is sent may be compressed, which it may unless this says
// no. Without [WithCompression] it changes nothing. Say no for what is compressed
// already, such as images, and for secrets: see there.
func (t Target) Compress(on bool) Target {
	t.plain = !on
	return t
}

// Emit sends an event to all clients of the target. The error is ErrReserved or
// that of an argument that JSON cannot hold or that is nested deeper than 10,000 levels, and nothing
// has been sent then; or ErrBus, and the clients of this node have been sent it, of those of others at
// most some. An event that is too large for the bus is an ErrBus that wraps [ErrTooLarge].
// Otherwise it is nil: each client gets the event in order with everything else,
// unless it leaves or is too slow to take it, which its action "close" tells, or its node
// is lost, which [BusStats] counts.
//
// The arguments are marshaled once, and encoded once for each kind of client,
// however many there are. See [Socket.Emit] for what they may be.
func (t Target) Emit(event string, args ...any) error {
	m, err := t.event(event, args)
	if err != nil {
		return err
	}
	m.Volatile = t.volatile
	t.each(func(sp *space, sockets []*Socket) { sp.broadcast(m, sockets) })
	return t.publish(&Envelope{Kind: BusEmit, Event: event, Args: m.Args, Volatile: t.volatile, Plain: t.plain})
}

// EmitAck sends an event that asks for an answer and waits until every client has
// answered or ctx is done. It returns the answers that came, in the order they came;
// if some are missing also a [NoAckError] that says whose, or a [NodesError] for other
// nodes, or both joined. Give ctx a deadline: clients need not answer.
func (t Target) EmitAck(ctx context.Context, event string, args ...any) (answers []Answer, err error) {
	m, err := t.event(event, args)
	if err != nil {
		return nil, err
	}
	others, failed := t.askOthers(ctx, &Envelope{Kind: BusEmit, Event: event, Args: m.Args, Plain: t.plain}, func() {
		t.each(func(sp *space, sockets []*Socket) { answers, err = sp.ask(ctx, m, sockets) })
	})
	left := 0
	for _, e := range others {
		switch {
		case e.Kind == BusAnswer:
			answers = append(answers, Answer{args: e.Args})
		case e.Clients < 0:
			left -= e.Clients
		}
	}
	return answers, errors.Join(err, withLeft(failed, left))
}

// withLeft adds clients of other nodes to err that have left without an answer.
func withLeft(err error, clients int) error {
	if clients == 0 {
		return err
	}
	if e, ok := errors.AsType[*NodesError](err); ok {
		e.Clients += clients
		return err
	}
	return errors.Join(err, &NodesError{Clients: clients, Err: ErrClosed})
}

// event builds the message that all clients of the target get.
func (t Target) event(name string, args []any) (*session.Message, error) {
	m, err := t.hub.event(t.namespace, name, args)
	if err != nil {
		return nil, err
	}
	if t.plain {
		m.Deflate = nil
	}
	return m, nil
}

// Member is a client of a [Target] as [Target.Sockets] lists it.
type Member struct {
	ID         string          // of its socket; Hub.To(ID) reaches it
	Namespace  string          // with its leading slash
	Rooms      []string        // its own id first
	Transport  string          // as of Socket.Transport
	RemoteAddr string          // of the handshake, as net/http gives it
	Data       json.RawMessage // as of Socket.Data
	Auth       json.RawMessage // as of Socket.Auth
	// Request returns the handshake, as Socket.Request does; of a client on another node
	// its URL, Header, Host and RemoteAddr. It is made when it is asked for.
	Request func() *http.Request
}

// Sockets lists the clients of the target. ctx bounds how long other nodes may take to
// answer; if some have not, the others' clients come with a [NodesError].
func (t Target) Sockets(ctx context.Context) ([]Member, error) {
	var members []Member
	others, err := t.askOthers(ctx, &Envelope{Kind: BusSockets}, func() { members = t.membersHere() })
	for _, e := range others {
		members = append(members, e.Members...)
	}
	return members, err
}

// Join puts all clients of the target into rooms. It returns ErrTooMany if that was
// too many for one of them on this node, and ErrBus as Emit does; the others are in. More rooms
// than [WithMaxRooms] allows are ErrTooMany, and no client is in them.
func (t Target) Join(rooms ...string) error {
	if err := t.hub.checkRooms(rooms); err != nil {
		return err
	}
	var failed error
	t.each(func(sp *space, sockets []*Socket) {
		for _, s := range sockets {
			if err := sp.join(s, rooms); err != nil && failed == nil && !s.isGone() {
				failed = err
			}
		}
	})
	return errors.Join(failed, t.publish(&Envelope{Kind: BusJoin, Names: rooms}))
}

// Leave takes all clients of the target out of rooms. The error is nil or ErrBus, as of Emit.
func (t Target) Leave(rooms ...string) error {
	t.eachSocket(func(s *Socket) { s.Leave(rooms...) })
	return t.publish(&Envelope{Kind: BusLeave, Names: rooms})
}

// Disconnect ends the stay of all clients of the target in the namespace; see
// [Socket.Disconnect]. The error is nil or ErrBus, as of Emit.
func (t Target) Disconnect() error { return t.disconnect(false) }

// Close ends the whole connection of all clients of the target; see [Socket.Close]. The
// error is nil or ErrBus, as of Emit.
func (t Target) Close() error { return t.disconnect(true) }

func (t Target) disconnect(whole bool) error {
	t.disconnectHere(whole)
	return t.publish(&Envelope{Kind: BusDisconnect, Whole: whole})
}

// publish sends e to the other nodes, for the clients of the target.
func (t Target) publish(e *Envelope) error {
	if t.local || t.hub.link == nil {
		return nil
	}
	t.address(e)
	return t.hub.link.Publish(e)
}

func (t Target) address(e *Envelope) {
	e.Namespace, e.Rooms, e.Except = t.namespace, t.rooms, t.except
}

// askOthers asks the other servers, runs here meanwhile, and returns the answers. ctx may be of
// the service: it is used by the caller's goroutine alone, and package context does not see it.
func (t Target) askOthers(ctx context.Context, e *Envelope, here func()) ([]*Envelope, error) {
	if t.local || t.hub.link == nil {
		here()
		return nil, ctx.Err()
	}
	t.address(e)
	asking, cancel := context.WithCancel(t.hub.stopped)
	deadline, limited := ctx.Deadline()
	if limited {
		cancel()
		e.Timeout = time.Until(deadline)
		asking, cancel = context.WithDeadline(t.hub.stopped, deadline)
	}
	defer cancel()
	var answers []*Envelope
	var err error
	done := make(chan struct{})
	t.hub.tasks.Go(func() {
		defer close(done)
		err = t.hub.link.Ask(asking, e, func(a *Envelope) { answers = append(answers, a) })
	})
	here()
	select {
	case <-done:
	case <-ctx.Done():
		if !limited || time.Now().Before(deadline) { // otherwise asking ends by its own deadline, and says so
			cancel()
		}
		<-done
	}
	return answers, err
}

func (t Target) eachSocket(do func(*Socket)) {
	t.each(func(_ *space, sockets []*Socket) {
		for _, s := range sockets {
			do(s)
		}
	})
}

// found keeps the slices that targets are collected into.
type found struct{ sockets []*Socket }

// each calls do with the clients of the target, outside of any lock. The slice is
// only lent.
func (t Target) each(do func(*space, []*Socket)) {
	sp := t.hub.lookup(t.namespace)
	if sp == nil {
		return
	}
	f, _ := t.hub.found.Get().(*found)
	if f == nil {
		f = &found{}
	}
	f.sockets = sp.collect(f.sockets[:0], t.rooms, t.except)
	do(sp, f.sockets)
	clear(f.sockets)
	t.hub.found.Put(f)
}
