package thinkws

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/seed-ce09063a/thinkws/internal/ledger"
	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Socket is a client in one namespace. A client that has entered several is one
// Socket in each. All methods are safe for concurrent use, and none of them waits
// for the network but EmitAck.
//
// Its actions run one after another, on the goroutine that reads the client's connection
// where there is one, else on one that lives only while there is an event to act on.
type Socket struct {
	id        string
	space     *space
	conn      session.Conn
	flow      *session.Flow
	handshake session.Handshake
	queue     serial.Queue[job]
	entry     sync.Mutex   // held while the client is let in: from its being a member until it has been told
	ready     atomic.Bool  // the client has been told that it is in
	jobs      atomic.Int32 // those that run beside the queue, and one for the queue until its last job is done
	busy      atomic.Int64 // when the running action began, on the hub's clock; 0 if none runs or it was warned about
	shed      atomic.Bool  // its events are dropped: the client makes the server hold too much
	share     ledger.Share // of what the queue holds; protected by its lock

	slot  int   // place in space.all; protected by space.mu
	rooms seats // and places in rooms; protected by space.mu

	mu     sync.Mutex // protects what follows
	gone   bool       // left, or refused
	inside bool       // it was let in
	reason string
	extras *extras // nil as long as there are none
}

// extras are what most sockets never have. The socket's mu protects them.
type extras struct {
	auth    json.RawMessage // set when the socket is made
	ctx     context.Context // made when first asked for
	cancel  context.CancelCauseFunc
	store   map[any]any
	awaits  map[uint64]*collector // answers that the client owes us, by id
	held    int                   // bytes of its answers that are kept until others have answered
	share   ledger.Share          // of these
	besides *besides              // the Concurrent actions that run
	left    []string              // the rooms it was in, once it has left
	data    json.RawMessage       // for others to see
}

// extraLocked returns the extras to be changed. s.mu must be held.
func (s *Socket) extraLocked() *extras {
	if s.extras == nil {
		s.extras = &extras{}
	}
	return s.extras
}

// hasLocked returns the extras to be looked at. s.mu must be held.
func (s *Socket) hasLocked() extras {
	if s.extras == nil {
		return extras{}
	}
	return *s.extras
}

// job is what a socket's queue holds: an event, or a step of the socket's life.
type job struct {
	event *session.Message
	step  func(*Socket)
}

// ID returns the id of the socket, 20 or more characters. It is also the name of a room
// that only this socket is in.
//
// Security: for a client of Socket.IO 2.x it is a secret, since it is the id of its session, too:
// whoever knows it can send requests in the client's name, unless the client has an Authorization
// header or a cookie named by [WithSessionCookies]. Do not tell it to other clients. In namespaces
// other than "/" it contains the secret. All other clients have ids that may be told.
func (s *Socket) ID() string { return s.id }

// Namespace returns the name of the namespace, "/" for the main one.
func (s *Socket) Namespace() string { return s.space.name }

// Request returns the handshake: headers, cookies, query, remote address, and what
// HTTP middleware put into its context, chi's URL parameters included. It has no
// body, its context does not end, and its headers and URL must not be changed. Each call returns
// another copy, so methods that parse it, such as FormValue, may be called.
func (s *Socket) Request() *http.Request { return copyOf(s.handshake.Request()) }

// Auth returns what the client sent along to enter the namespace, a JSON object;
// nil if it sent nothing, as clients of other protocols always do.
func (s *Socket) Auth() json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hasLocked().auth
}

// Transport returns what carries the client now: "websocket", "polling" of Socket.IO, or
// "xhr-streaming", "xhr-polling", "eventsource", "htmlfile" or "jsonp-polling" of SockJS.
func (s *Socket) Transport() string { return s.conn.Transport() }

// Rooms returns the rooms the socket is in, its own id first, the others in no
// particular order. After it has left: the rooms it was in.
func (s *Socket) Rooms() []string { return append([]string{s.id}, s.space.roomsOf(s)...) }

// Emit sends an event to this client. It returns ErrReserved, ErrClosed, ErrSlow or
// ErrDropped, or the error of an argument that JSON cannot hold; in each case nothing is
// sent. A nil error means that the event is on its way in order, not that it arrived.
//
// Arguments may be anything that encoding/json takes; a []byte, also inside of other
// values, travels as binary, a json.RawMessage as it is.
func (s *Socket) Emit(event string, args ...any) error {
	if err := checkEvent(event); err != nil {
		return err
	}
	p, err := s.space.hub.borrowParcel(args)
	if err != nil {
		return err
	}
	defer p.release()
	p.message.Namespace, p.message.Name = s.space.name, event
	return s.send(&p.message)
}

// send is deliver, counted.
func (s *Socket) send(m *session.Message) error {
	if err := s.deliver(m); err != nil {
		return s.undelivered(m, err)
	}
	return nil
}

// deliver hands m to the client's protocol. What comes while the client is being let
// in waits until it has been told so.
func (s *Socket) deliver(m *session.Message) error {
	if !s.ready.Load() {
		s.entry.Lock()
		ready := s.ready.Load()
		s.entry.Unlock()
		if !ready {
			return ErrClosed
		}
	}
	return s.conn.Send(m)
}

// begin lets the client in and tells it so; false if it has left meanwhile.
func (s *Socket) begin() bool {
	s.entry.Lock()
	defer s.entry.Unlock()
	if !s.space.add(s) {
		return false
	}
	s.conn.Accept()
	s.ready.Store(true)
	return true
}

// EmitAck sends an event and waits for the client's answer, until ctx is done
// (a [NoAckError] with the context's error) or the client leaves (ErrClosed). A
// handler may wait for its own client: answers do not queue behind events. But they come behind them over the network.
// If twice as many events of the client wait as [WithReceiveQueue] allows, in any of its namespaces, the answer is not
// read: EmitAck returns ErrTooMany at once.
func (s *Socket) EmitAck(ctx context.Context, event string, args ...any) (*Answer, error) {
	m, err := s.space.hub.event(s.space.name, event, args)
	if err != nil {
		return nil, err
	}
	answers, err := s.space.ask(ctx, m, []*Socket{s})
	if err != nil {
		return nil, err
	}
	if f := answers[0].failure; f != nil {
		return nil, errorOf(f)
	}
	return &answers[0], nil
}

// Join puts the socket into rooms. It returns ErrTooMany past the limit of
// [WithMaxRooms], having joined none of them, and ErrClosed after the client has left.
func (s *Socket) Join(rooms ...string) error { return s.space.join(s, rooms) }

// Leave takes the socket out of rooms. It stays in the room of its own id.
func (s *Socket) Leave(rooms ...string) { s.space.leave(s, rooms) }

// Disconnect ends the client's stay in this namespace. The client is told so, after
// everything that was sent before, and does not reconnect by itself.
func (s *Socket) Disconnect() { s.conn.Leave(session.ReasonServerDisconnect) }

// Close ends the client's whole connection, in every namespace, likewise.
func (s *Socket) Close() { s.conn.Close(session.ReasonServerDisconnect) }

// Get returns what Set has stored under key, nil if nothing.
func (s *Socket) Get(key any) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hasLocked().store[key]
}

// Set stores a value for as long as the socket lives. Keys are compared with ==;
// a type of your own keeps them apart from those of other packages.
func (s *Socket) Set(key, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.extraLocked()
	if e.store == nil {
		e.store = map[any]any{}
	}
	e.store[key] = value
}

// Context returns a context that carries the values of the handshake request and is
// cancelled, with ErrClosed as its cause, when the client leaves.
func (s *Socket) Context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.extraLocked()
	if e.ctx == nil {
		e.ctx, e.cancel = context.WithCancelCause(s.handshake.Request().Context())
		if s.gone {
			e.cancel(ErrClosed)
		}
	}
	return e.ctx
}

// release lets go of everybody who waits for the client.
func (s *Socket) release() {
	s.mu.Lock()
	if e := s.extras; e != nil && e.cancel != nil {
		e.cancel(ErrClosed)
	}
	owed := s.settleLocked()
	s.mu.Unlock()
	for _, c := range owed {
		c.lost(s, ErrClosed)
	}
}

func (s *Socket) isGone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
}

// work runs one job of the queue. Only the queue's goroutine is in here.
func (s *Socket) work(j job) {
	defer s.worked(j)
	s.busy.Store(s.space.hub.clock())
	switch {
	case j.step != nil:
		j.step(s)
	case !s.shed.Load():
		s.dispatch(j.event)
	}
}

// worked is deferred by work. A panic that reaches it is a mistake of ours, and ends the client.
func (s *Socket) worked(j job) {
	if p := recover(); p != nil {
		s.space.hub.tasks.Crashed((*receiver)(s), p)
	}
	if j.event != nil {
		j.event.Release()
	}
	s.busy.Store(0)
}

// entered reports whether the client was let in.
func (s *Socket) entered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inside
}

// admitted marks the client as let in; false if it has left meanwhile.
func (s *Socket) admitted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inside = !s.gone
	return s.inside
}
