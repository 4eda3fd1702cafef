package thinkws

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/arguments"
	"github.com/seed-ce09063a/thinkws/internal/body"
	"github.com/seed-ce09063a/thinkws/internal/door"
	"github.com/seed-ce09063a/thinkws/internal/ledger"
	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// maxCompressors bounds the memory of compressors, of 1.2 MB each.
const maxCompressors = 8

// Hub is where all clients of a [Handler] meet, whatever protocol they speak. It may
// be used from anywhere, by any number of goroutines. Its methods that send act on
// the main namespace "/"; [Hub.Of] gives the others.
type Hub struct {
	cfg     *config
	encoder *arguments.Encoder
	deflate *session.Deflater // nil without compression
	link    BusLink           // to the other nodes; nil if there are none
	tasks   *serial.Group
	sweeper sweeper
	began   time.Time
	stats   counters
	tally   session.Tally
	report  session.Report // blame
	door    *door.Door
	ledger  *ledger.Ledger // counts what clients make us hold
	bodies  body.Reader    // of requests without a session
	meter   *session.Meter
	found   sync.Pool    // of *found, for targets
	asking  atomic.Int64 // questions of other nodes that wait for clients
	stopped context.Context
	stop    context.CancelFunc // at Shutdown

	static   map[string]*table // namespaces with a name
	patterns []pattern         // and those without, in order

	mu       sync.RWMutex // protects what follows, and users of each space
	spaces   map[string]*space
	dynamics dynamics
	closed   bool
}

// pattern is a description of dynamic namespaces.
type pattern struct {
	match func(string, *http.Request) bool
	ours  bool // match is of Namespace, not of the service
	table *table
}

func newHub(b *builder, tasks *serial.Group) *Hub {
	h := &Hub{cfg: b.cfg, encoder: arguments.NewEncoder(), tasks: tasks, sweeper: sweeper{tasks: tasks}, began: time.Now(),
		static: map[string]*table{}, spaces: map[string]*space{}}
	h.report = h.blame
	h.door = newDoor(b.cfg, &h.tally, h.report)
	h.meter = session.NewMeter(b.cfg.receiveRate, &h.tally, b.cfg.logger, h.door.Address)
	h.ledger = h.newLedger()
	h.bodies = body.Reader{Limit: b.cfg.maxMessage, Ledger: h.ledger, Report: h.report}
	h.stopped, h.stop = context.WithCancel(context.Background())
	if b.cfg.compress > 0 {
		h.deflate = session.NewDeflater(b.cfg.compress, min(runtime.GOMAXPROCS(0), maxCompressors))
	}
	for _, s := range b.all {
		t := s.table(b.main)
		if s.match != nil {
			h.patterns = append(h.patterns, pattern{match: s.match, ours: s.name != "", table: t})
			continue
		}
		h.static[s.name] = t
		h.spaces[s.name] = newSpace(h, s.name, t)
	}
	return h
}

// Of returns a namespace; the leading slash may be left out. Nobody need be in it,
// and it need not exist: what is sent to it then reaches nobody.
func (h *Hub) Of(namespace string) *Space { return &Space{hub: h, name: normalize(namespace)} }

// To returns the clients of "/" that are in any of rooms, each once; without rooms,
// all of them. A socket's id is the name of a room too.
func (h *Hub) To(rooms ...string) Target { return h.Of("/").To(rooms...) }

// Emit sends an event to everyone in "/"; see [Target.Emit].
func (h *Hub) Emit(event string, args ...any) error { return h.To().Emit(event, args...) }

// EmitAck asks everyone in "/"; see [Target.EmitAck].
func (h *Hub) EmitAck(ctx context.Context, event string, args ...any) ([]Answer, error) {
	return h.To().EmitAck(ctx, event, args...)
}

// Sockets lists everyone in "/"; see [Target.Sockets].
func (h *Hub) Sockets(ctx context.Context) ([]Member, error) { return h.To().Sockets(ctx) }

// Socket returns the client with this id in "/" of this node.
func (h *Hub) Socket(id string) (*Socket, bool) { return h.Of("/").Socket(id) }

// Space is one namespace of a [Hub]. It is a small value behind a pointer and need not
// be kept. All methods are safe for concurrent use.
type Space struct {
	hub  *Hub
	name string
}

// Name returns the name, with its leading slash.
func (sp *Space) Name() string { return sp.name }

// To returns the clients in any of rooms, each once; without rooms, all of them.
func (sp *Space) To(rooms ...string) Target {
	return Target{hub: sp.hub, namespace: sp.name}.To(rooms...)
}

// Emit sends an event to everyone in the namespace; see [Target.Emit].
func (sp *Space) Emit(event string, args ...any) error { return sp.To().Emit(event, args...) }

// EmitAck asks everyone in the namespace; see [Target.EmitAck].
func (sp *Space) EmitAck(ctx context.Context, event string, args ...any) ([]Answer, error) {
	return sp.To().EmitAck(ctx, event, args...)
}

// Rooms lists the rooms of the namespace on all nodes, in no particular order, the
// sockets' own ones included. ctx and the error are as of [Target.Sockets].
func (sp *Space) Rooms(ctx context.Context) ([]string, error) {
	var names []string
	others, err := sp.To().askOthers(ctx, &Envelope{Kind: BusRooms}, func() { names = sp.hub.roomsHere(sp.name) })
	for _, e := range others {
		names = append(names, e.Names...)
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

// Sockets lists everyone in the namespace; see [Target.Sockets].
func (sp *Space) Sockets(ctx context.Context) ([]Member, error) { return sp.To().Sockets(ctx) }

// Socket returns the client with this id on this node.
func (sp *Space) Socket(id string) (*Socket, bool) {
	state := sp.hub.lookup(sp.name)
	if state == nil {
		return nil, false
	}
	state.mu.RLock()
	defer state.mu.RUnlock()
	s := state.sockets[id]
	return s, s != nil
}

// acquire returns the named namespace and adds a reference to it, or why the client may not enter it.
// Callers must call release. Dynamic namespaces ask match for every client, also when another one is
// in already: the request counts, not only the name.
func (h *Hub) acquire(name string, came session.Handshake) (*space, error) {
	if h.isClosed() {
		return nil, errShutdown
	}
	if len(name) > h.cfg.limits.Name {
		return nil, errLongNamespace
	}
	if strings.Contains(name, separator) { // Security: the bus makes channel names of it, see separator.
		return nil, errNoNamespace
	}
	t, static := h.static[name]
	var from netip.Prefix
	if !static {
		if t = h.match(name, came); t == nil {
			return nil, errNoNamespace
		}
		from = h.door.Network(came.Request())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, errShutdown
	}
	sp := h.spaces[name]
	if sp == nil {
		if err := h.dynamics.add(from, h.cfg.limits); err != nil {
			return nil, err
		}
		sp = newSpace(h, name, t)
		sp.dynamic, sp.from = true, from
		sp.subscribe()
		h.spaces[name] = sp
	}
	sp.users++
	return sp, nil
}

// match finds the description of a dynamic namespace. A NamespaceFunc that panics does not match.
// No lock is held.
func (h *Hub) match(name string, came session.Handshake) *table {
	if len(h.patterns) == 0 {
		return nil
	}
	r := came.Request()
	for _, p := range h.patterns {
		if h.matches(p, name, r) {
			return p.table
		}
	}
	return nil
}

func (h *Hub) matches(p pattern, name string, r *http.Request) (ok bool) {
	if p.ours {
		return p.match(name, r)
	}
	r = copyOf(r)
	err := h.call("NamespaceFunc", func() { ok = p.match(name, r) })
	return ok && err == nil
}

func (h *Hub) release(sp *space) {
	if h.drop(sp) {
		sp.unsubscribe() // by code of the service, which may call us: no lock is held
	}
}

// drop gives up one use of sp. It reports whether sp is not in the hub any more.
func (h *Hub) drop(sp *space) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if sp.users--; sp.users > 0 || !sp.dynamic {
		return false
	}
	delete(h.spaces, sp.name)
	h.dynamics.remove(sp.from)
	return true
}

// open makes the hub a part of a bus.
func (h *Hub) open(bus Bus) error {
	link, err := h.openBus(bus)
	if err != nil {
		return err
	}
	h.link = link
	for _, sp := range h.spaces {
		sp.subscribe()
	}
	return nil
}

func (h *Hub) lookup(name string) *space {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.spaces[name]
}

// close refuses everyone who comes from now on.
func (h *Hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.stop()
}

func (h *Hub) isClosed() bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.closed
}

// event builds a message for a namespace.
func (h *Hub) event(namespace, name string, args []any) (*session.Message, error) {
	if err := checkEvent(name); err != nil {
		return nil, err
	}
	encoded, err := h.encoder.Encode(nil, args)
	if err != nil {
		return nil, err
	}
	return &session.Message{Kind: session.Event, Namespace: namespace, Name: name, Args: encoded, Deflate: h.deflate}, nil
}

// clock is the time since the hub was made. It never jumps and never is 0.
func (h *Hub) clock() int64 { return int64(time.Since(h.began)) + 1 }

func (h *Hub) log() *slog.Logger { return h.cfg.logger }

// Stats counts what has happened since the handler was made. Sessions, Clients, Rooms,
// Namespaces and Memory are of this moment.
type Stats struct {
	Sessions   int               // connections of clients, over all protocols, and those that have ended while a handler still runs
	Clients    int               // sockets, each namespace of a client counted
	Rooms      int               // rooms with somebody in them
	Namespaces int               // namespaces that exist
	Memory     int64             // bytes that clients make us hold, see Limits.Memory
	Received   uint64            // events and answers from clients
	Ignored    uint64            // of these: nobody was registered or waiting for them
	Failed     uint64            // actions that returned an error or panicked
	Dropped    uint64            // volatile messages that could not go out at once, and others as WithSlowPolicy says
	Slow       uint64            // clients disconnected because they took messages too slowly, see WithSendQueue
	Flooded    uint64            // pauses in reading from clients that sent more than they may, see WithReceiveRate
	Limits     map[string]uint64 // how often clients have run into each limit, by its name; each is there
	Bus        BusStats
}

// Stats returns the counters of this node.
func (h *Hub) Stats() Stats {
	st := Stats{Sessions: h.door.Len(), Memory: h.ledger.Held(), Limits: h.tally.Counts(),
		Received: h.stats.received.Load(), Ignored: h.stats.ignored.Load(), Failed: h.stats.failed.Load(),
		Dropped: h.stats.dropped.Load(), Slow: h.stats.slow.Load(), Flooded: h.tally[session.LimitReceiveRate].Load()}
	if h.link != nil {
		st.Bus = h.link.Stats()
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	st.Namespaces = len(h.spaces)
	for _, sp := range h.spaces {
		sp.mu.RLock()
		st.Clients += len(sp.all)
		st.Rooms += len(sp.rooms)
		sp.mu.RUnlock()
	}
	return st
}

// counters are the counters behind Stats.
type counters struct {
	received, ignored, failed, dropped, slow atomic.Uint64
}
