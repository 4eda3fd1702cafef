package thinkws

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Bus connects the hubs of several nodes, so that a [Target] reaches its clients on whatever
// node they are. Package redisbus has one for nodes that share a Redis, [MemoryBus] is one
// for handlers of one process. A Bus is given to [WithBus], also to several handlers; who
// only uses one need not know more.
type Bus interface {
	// Open makes node a part of the whole. It does not wait for the network: what does not
	// answer yet is reported by BusLink.Stats.
	Open(node BusNode) (BusLink, error)
}

// BusNode is the hub of one node as its bus sees it. All methods may be called at any time
// by any goroutine, and do not wait for clients or actions.
type BusNode interface {
	// Deliver takes what another node has sent. What one node has sent to one namespace has
	// to be delivered in that order. If the sender waits for answers they go to reply, which
	// may be called by any goroutine, before or after Deliver returns; otherwise it is nil.
	// reply(nil) says that there is none.
	// The envelope is the hub's from then on.
	Deliver(e *Envelope, reply func(*Envelope))
	// Wants reports whether anybody of the namespace is in the room here, so that nobody need
	// decode what is for nobody. The room "" is the whole namespace.
	Wants(namespace, room string) bool
	// Logger is the one of [WithLogger].
	Logger() *slog.Logger
}

// BusLink is the part that one node has in a bus. All methods are safe for concurrent use.
type BusLink interface {
	// Subscribe begins to receive what concerns a namespace. When it returns nil, whatever
	// is published by then will be delivered. When ctx is done before that it returns ctx's
	// error, and the namespace is subscribed to as soon as that is possible; so it is after any other
	// error. Each call is undone by one of Unsubscribe.
	Subscribe(ctx context.Context, namespace string) error
	Unsubscribe(namespace string)
	// Publish sends e to all other nodes, behind all that was published to its namespace
	// before. It does not wait for them, nor for the network. The error is [ErrBus] if it is
	// known that e will not arrive everywhere. If that turns out later, Stats counts it. Values in e
	// are nested up to 10,000 levels deep, and names are UTF-8: the hub has checked that. What
	// Publish takes, the other servers must take.
	Publish(e *Envelope) error
	// Ask publishes e and calls answer with what comes back, one call at a time, until all
	// nodes have answered or ctx is done. Each node answers by one envelope of kind
	// BusAnswer, but to a BusEmit by one of kind BusClients with the number of clients that
	// it asks, and by one BusAnswer for each of them. The error is a [NodesError] if
	// something is missing.
	Ask(ctx context.Context, e *Envelope, answer func(*Envelope)) error
	// Stats returns the state of the link.
	Stats() BusStats
	// Close ends the link, after what was published has gone out, or when ctx is done.
	Close(ctx context.Context) error
}

// EnvelopeKind says what an [Envelope] is about.
type EnvelopeKind uint8

// The kinds of envelopes.
const (
	BusEmit       EnvelopeKind = iota + 1 // an event for clients; asked for answers, they have to ack it
	BusJoin                               // clients enter the rooms of Names
	BusLeave                              // clients leave the rooms of Names
	BusDisconnect                         // clients have to leave the namespace, or altogether
	BusSockets                            // asks which clients there are; answered by Members
	BusRooms                              // asks which rooms there are; answered by Names
	BusServerEmit                         // an event for the nodes themselves; see OnServer
	BusAnswer                             // an answer
	BusClients                            // an answer to BusEmit: how many clients are asked; less than none if they have left since
)

// Envelope is what nodes send to each other. What means nothing for its kind is empty.
// It must not be changed once it has been sent or delivered.
type Envelope struct {
	Kind      EnvelopeKind
	Namespace string   // with its leading slash
	Rooms     []string // clients that are in any of these, all if there are none
	Except    []string // but in none of these
	Event     string   // BusEmit, BusServerEmit
	Args      Payload  // BusEmit, BusServerEmit, and answers to them
	Volatile  bool     // BusEmit: as of Target.Volatile
	Plain     bool     // BusEmit: not to be compressed
	Whole     bool     // BusDisconnect: end the whole connection
	Timeout   time.Duration
	Names     []string // of rooms, see the kinds
	Members   []Member // the answer to BusSockets
	Clients   int      // BusClients
}

// check returns an error if a name in e would be another one on other servers, which have UTF-8.
func (e *Envelope) check() error {
	for _, name := range slices.Concat([]string{e.Event}, e.Rooms, e.Except, e.Names) {
		if !utf8.ValidString(name) {
			return busError(fmt.Errorf("name %q is not UTF-8", name))
		}
	}
	return nil
}

// Payload is a list of JSON values with the binary parts cut out of their text.
type Payload = session.Args

// Part is a binary part of a [Payload], and the place it was cut out of.
type Part = session.Part

// BusStats is the state of a node's link to its bus. The counters begin when it is opened.
type BusStats struct {
	Up        bool   // broadcasts go out, and those of others are heard
	Err       error  // nil if everything works; while Up, a part that fails, such as requests without the right to them
	Nodes     int    // that are known to be there, this one included; 0 if that is not known
	Published uint64 // envelopes that have gone out
	Received  uint64 // envelopes that have come in
	Lost      uint64 // envelopes that did not reach every node, or may not have
	Missed    uint64 // envelopes of other nodes that did not reach this one, once it has learned of them
	Dropped   uint64 // what came in and was no envelope
}

// WithBus connects the handler with the other nodes of bus: what is sent to a [Target] reaches
// its clients on all of them, unless [Target.Local] says otherwise. The default is none.
func WithBus(bus Bus) Option {
	return serverOption("WithBus", func(c *config) error {
		if bus == nil {
			return errors.New("thinkws: WithBus: no bus")
		}
		c.bus = bus
		return nil
	})
}

// Health returns nil if the handler can do everything that is asked of it, and otherwise the reason:
// an [ErrBus] if its bus does not reach the other nodes, or may not do all that it has to
// (BusStats.Up is true then), or that [Handler.Shutdown] has begun. Clients of this node are served
// without the bus, too. Health is made for readiness probes, costs nothing and never waits.
func (h *Handler) Health() error {
	switch {
	case h.hub.isClosed():
		return errShuttingDown
	case h.hub.link == nil:
		return nil
	default:
		return h.hub.link.Stats().Err
	}
}

var errShuttingDown = errors.New("thinkws: the handler is shutting down")
