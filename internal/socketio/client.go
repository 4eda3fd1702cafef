package socketio

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/ledger"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// engine is the part of engineio.Session that a client needs.
type engine interface {
	ID() string
	Revision() int
	Handshake() session.Handshake
	Address() netip.Addr
	Transport() string
	Flow() *session.Flow
	Occupy()
	Vacate()
	Variant() engineio.Variant
	Send(frames []session.Frame, volatile bool) error
	Close(reason string)
	Drop(reason string)
}

var (
	_ engine            = (*engineio.Session)(nil)
	_ engineio.Receiver = (*client)(nil)
)

// client is one Engine.IO session and the namespaces entered over it. Receive has
// one caller at a time; everything else is safe for concurrent use.
type client struct {
	server *Server
	engine engine

	// out is held from a look at the state of a namespace until the frames that
	// depend on it are queued: nothing goes out before CONNECT or after DISCONNECT.
	out sync.Mutex

	mu         sync.Mutex // protects what follows; taken after out
	spaces     []*namespace
	unadmitted *deadline    // ends the connection; nil once a namespace is entered
	pending    *assembly    // the packet whose attachments are awaited; set by Receive only
	share      ledger.Share // of what it holds
	occupied   int          // sockets that the hub has not released, also of namespaces that the client has left
	ignored    int          // packets that named the wrong namespace
	lenient    bool         // such packets are not counted: the server has ended a stay, and some may be on their way
	closed     bool         // nothing is received or sent any more
}

// open is called with each new Engine.IO session, before it receives anything.
func (s *Server) open(e engine) *client {
	c := &client{server: s, engine: e, share: ledger.Share{Partial: true}}
	c.mu.Lock()
	c.unadmitted = &deadline{}
	c.within(c.unadmitted, s.cfg.ConnectTimeout, (*client).connectExpired)
	c.mu.Unlock()
	if e.Revision() == 3 { // such clients are in "/" without asking
		if n := newNamespace(c, mainName); c.register(n) == registered {
			c.enter(n, n.peer(&packet{}))
		}
	}
	return c
}

// Receive takes one message of the client. The error it returns, if any, is what
// the session has to be closed for.
func (c *client) Receive(data []byte, binary bool) error {
	c.mu.Lock()
	closed, pending := c.closed, c.pending
	c.mu.Unlock()
	switch {
	case closed: // what was on its way when the server hung up
		return nil
	case binary:
		return c.attach(pending, data)
	case pending != nil:
		return errMissing
	}
	g := c.server.cfg.grammar(c.engine.Revision())
	var p packet
	if err := g.decode(data, &p); err != nil {
		return err
	}
	p.wire = len(data)
	if p.attachments > 0 {
		return c.await(&p, data)
	}
	p.own(data)
	return c.dispatch(&p)
}

// await starts to collect the attachments of p. Together with p, which came as message, they may be as
// long as one message.
func (c *client) await(p *packet, message []byte) error {
	a, err := newAssembly(p, c.server.cfg.MaxMessage-int64(len(message)))
	if err != nil {
		return err
	}
	a.packet.own(message)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.awaitLocked(a)
	c.within(&a.deadline, c.server.cfg.AttachmentTimeout, (*client).attachmentsExpired)
	return nil
}

// attach adds data to a, the packet that waits for it.
func (c *client) attach(a *assembly, data []byte) error {
	if a == nil {
		return errStray
	}
	complete, err := a.add(data)
	if err != nil {
		return err
	}
	c.mu.Lock()
	if complete {
		a.deadline.stop()
		c.awaitLocked(nil)
	} else if !c.closed {
		c.awaitLocked(a)
	}
	c.mu.Unlock()
	if !complete {
		return nil
	}
	return c.dispatch(&a.packet)
}

// awaitLocked sets the packet whose attachments are awaited, and counts what it holds. c.mu must be held.
func (c *client) awaitLocked(a *assembly) {
	c.pending = a
	c.engine.Flow().Account().Settle(&c.share, c, a.held())
}

// Shed implements ledger.Holder: the end of the session follows.
func (c *client) Shed() {}

func (c *client) dispatch(p *packet) error {
	switch p.kind {
	case typeConnect:
		return c.connect(p)
	case typeDisconnect:
		return c.disconnect(p)
	default:
		return c.deliver(p)
	}
}

// connect asks the hub to let the client into a namespace.
func (c *client) connect(p *packet) error {
	n := newNamespace(c, p.namespace)
	switch most := c.server.cfg.MaxNamespaces; c.register(n) {
	case alreadyIn:
		return c.ignore(p, "namespace entered twice")
	case tooMany: // only this namespace is refused: the client draws on its allowance if it keeps trying
		c.refuse(n, session.LimitNamespaces, fmt.Sprintf("too many namespaces, at most %d over one connection", most))
		return nil
	}
	if len(p.auth)+len(p.query) > c.server.cfg.MaxAuth {
		c.mu.Lock()
		c.drop(n)
		c.mu.Unlock()
		c.refuse(n, session.LimitAuth, "auth payload too big")
		return nil
	}
	c.enter(n, n.peer(p))
	return nil
}

// registration is the outcome of register.
type registration uint8

const (
	registered registration = iota
	alreadyIn               // in a namespace of that name, or closed
	tooMany
)

// register adds a namespace that waits to be admitted.
func (c *client) register(n *namespace) registration {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed || c.findLocked([]byte(n.name)) != nil:
		return alreadyIn
	case len(c.spaces) >= c.server.cfg.MaxNamespaces:
		return tooMany
	}
	c.spaces = append(c.spaces, n)
	return registered
}

// refuse refuses n because of a limit, without asking the hub.
func (c *client) refuse(n *namespace, limit session.Limit, why string) {
	c.server.cfg.Tally.Count(limit)
	c.server.cfg.Logger.Info("namespace refused", slog.String("why", why), slog.String("namespace", n.name),
		slog.Any("address", c.engine.Address()))
	c.out.Lock()
	defer c.out.Unlock()
	n.send(typeConnectError, refusal(&session.Failure{Name: "BadRequest", Message: why}, c.engine.Revision()))
}

// enter asks the hub to let n in, or lets n wait for a slot. A client has MaxNamespaces slots. A
// socket keeps its slot until the hub has released it, also after the client has left: the slots
// limit what runs for one client. So a namespace that the client leaves and enters again is
// admitted at once if a slot is free, and else when the hub has done its work for one that the client
// has left. Such a namespace is not refused, and it costs nothing while it waits: if the client
// leaves it meanwhile, the hub never hears of it.
func (c *client) enter(n *namespace, p session.Peer) {
	c.mu.Lock()
	free := c.occupied < c.server.cfg.MaxNamespaces
	if free {
		c.occupied++
	} else {
		n.waiting = &p
		c.lenient = true // events may come before the answer to CONNECT
	}
	c.mu.Unlock()
	if free {
		c.engine.Occupy()
		n.admit(p)
	}
}

// vacate gives a slot back, or to the namespace that has waited longest for one.
func (c *client) vacate() {
	c.mu.Lock()
	i := slices.IndexFunc(c.spaces, func(n *namespace) bool { return n.waiting != nil })
	if i < 0 {
		c.occupied--
		c.mu.Unlock()
		c.engine.Vacate()
		return
	}
	next := c.spaces[i]
	p := *next.waiting
	next.waiting = nil
	c.mu.Unlock()
	next.admit(p)
}

// disconnect takes the client out of a namespace it leaves.
func (c *client) disconnect(p *packet) error {
	c.mu.Lock()
	n := c.findLocked(p.namespace)
	c.mu.Unlock()
	if n == nil {
		return c.ignore(p, "not in this namespace")
	}
	if c.remove(n, stateGone, session.ReasonClientDisconnect) {
		n.report()
	}
	return nil
}

// deliver passes an event or an ack to the hub, which also gets what comes before
// its answer to CONNECT: it knows first whether that is of use.
func (c *client) deliver(p *packet) error {
	c.mu.Lock()
	n := c.findLocked(p.namespace)
	var r session.Receiver
	if n != nil && n.state.Load() <= stateJoined {
		r = n.receiver
	}
	c.mu.Unlock()
	if r == nil {
		return c.ignore(p, "not in this namespace")
	}
	m := session.Borrow()
	m.Kind, m.Namespace, m.Name, m.Args, m.ID = session.Event, n.name, p.name, p.args, string(p.id)
	m.Wire = p.wire
	if p.kind == typeAck {
		if m.ID == "" {
			return nil // answers nothing
		}
		m.Kind = session.Answer
	}
	r.Receive(m)
	return nil
}

// ignore counts a packet that is dropped, and objects when there are too many.
func (c *client) ignore(p *packet, why string) error {
	c.mu.Lock()
	if !c.lenient {
		c.ignored++
	}
	ignored, closed := c.ignored, c.closed
	c.mu.Unlock()
	if closed {
		return nil
	}
	c.server.cfg.Logger.Debug("Socket.IO packet ignored",
		slog.String("why", why), slog.Int("type", int(p.kind)), slog.String("namespace", string(p.namespace)),
		slog.Int("ignored", ignored), slog.Any("address", c.engine.Address()))
	if ignored > c.server.cfg.MaxIgnored {
		return session.Beyond(session.LimitIgnored, fmt.Errorf("socketio: %s: %w", why, session.ErrPolicy))
	}
	return nil
}

// forgive is called when the server ends a stay. What the client sent to it before it could know
// is no mistake, and there may be any amount of it.
func (c *client) forgive() {
	c.mu.Lock()
	c.lenient = true
	c.mu.Unlock()
}

// Failed tells what the client has done, by the namespace that it has entered first.
func (c *client) Failed(err error) { c.server.cfg.Report.Client(err, c.engine.Handshake(), c.first()) }

// first returns the receiver of the namespace that was entered first, nil if there is none.
func (c *client) first() session.Receiver {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.spaces {
		if n.state.Load() == stateJoined && n.receiver != nil {
			return n.receiver
		}
	}
	return nil
}

// Closed tells the hub that the session has ended. The session may call it from
// within Send.
func (c *client) Closed(reason string) {
	ended, _ := c.end(reason)
	c.reportAll(ended)
}

// close ends the session and every stay in a namespace. What was sent goes out first.
func (c *client) close(reason string) { c.leave(reason, c.engine.Close) }

// leave ends the session in the way that end does.
func (c *client) leave(reason string, end func(reason string)) {
	group := c.server.cfg.Group
	group.Begin() // who waits for the group sees no gap before reportAll
	defer group.End()
	c.out.Lock()
	var goodbyes []session.Frame
	if reason == session.ReasonServerDisconnect {
		goodbyes = c.goodbyes()
	}
	ended, first := c.end(reason)
	if first && len(goodbyes) > 0 {
		_ = c.engine.Send(goodbyes, false) // if it fails, the session is closing anyway
	}
	c.out.Unlock()
	if first {
		end(reason)
		c.reportAll(ended)
	}
}

// goodbyes returns a DISCONNECT for each namespace that the client is in.
func (c *client) goodbyes() []session.Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	var frames []session.Frame
	for _, n := range c.spaces {
		if n.state.Load() == stateJoined {
			frames = append(frames, n.frame(typeDisconnect, nil))
		}
	}
	return frames
}

// end marks everything as closed. It returns the namespaces that this has ended,
// and whether it was the first to do so.
func (c *client) end(reason string) (ended []*namespace, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, false
	}
	c.closed = true
	c.stopUnadmittedLocked()
	if c.pending != nil {
		c.pending.deadline.stop()
		c.awaitLocked(nil)
	}
	c.engine.Flow().Account().Strike(c)
	ended, c.spaces = c.spaces, nil
	for _, n := range ended {
		n.reason = reason
		n.state.Store(stateGone)
	}
	return ended, true
}

// reportAll tells the hub of the namespaces that have ended, in the background: who
// called may hold locks of the hub.
func (c *client) reportAll(ended []*namespace) {
	if len(ended) == 0 {
		return
	}
	c.server.cfg.Group.Go(func() {
		for _, n := range ended {
			n.report()
		}
	})
}

// remove takes n out, and reports whether it was still there.
func (c *client) remove(n *namespace, state uint32, reason string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.drop(n) {
		return false
	}
	n.reason = reason
	n.state.Store(state)
	return true
}

// drop takes n out of c.spaces, and reports whether it was there. c.mu must be held.
func (c *client) drop(n *namespace) bool {
	i := slices.Index(c.spaces, n)
	if i < 0 {
		return false
	}
	c.spaces = slices.Delete(c.spaces, i, i+1)
	return true
}

// findLocked returns the namespace of that name, or nil. c.mu must be held.
func (c *client) findLocked(name []byte) *namespace {
	for _, n := range c.spaces {
		if n.name == string(name) {
			return n
		}
	}
	return nil
}

// stopUnadmittedLocked lifts the time limit for entering a namespace. c.mu must be held.
func (c *client) stopUnadmittedLocked() {
	if c.unadmitted != nil {
		c.unadmitted.stop()
		c.unadmitted = nil
	}
}
