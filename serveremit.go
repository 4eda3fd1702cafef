package thinkws

import (
	"bytes"
	"context"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// ServerEmit sends an event to the other nodes themselves, whose actions of [OnServer] it
// runs; not to this one. The error is that of an argument that JSON cannot hold, or ErrBus.
// Binary travels as base64 strings.
func (sp *Space) ServerEmit(event string, args ...any) error {
	encoded, err := sp.hub.encoder.Encode(nil, args)
	if err != nil {
		return err
	}
	return sp.To().publish(&Envelope{Kind: BusServerEmit, Event: event, Args: encoded})
}

// ServerEmitAck is ServerEmit that waits for the answers of the other nodes, one of each,
// until ctx is done. If some are missing it returns those that came with a [NodesError]. A
// node of this library that has no action for the event is not waited for; one of Node.js is.
func (sp *Space) ServerEmitAck(ctx context.Context, event string, args ...any) ([]Answer, error) {
	encoded, err := sp.hub.encoder.Encode(nil, args)
	if err != nil {
		return nil, err
	}
	others, err := sp.To().askOthers(ctx, &Envelope{Kind: BusServerEmit, Event: event, Args: encoded}, func() {})
	answers := make([]Answer, len(others))
	for i, e := range others {
		answers[i] = Answer{args: e.Args}
	}
	return answers, err
}

// ServerEmit sends an event to the other nodes themselves; see [Space.ServerEmit].
func (h *Hub) ServerEmit(event string, args ...any) error {
	return h.Of("/").ServerEmit(event, args...)
}

// ServerEmitAck asks the other nodes themselves; see [Space.ServerEmitAck].
func (h *Hub) ServerEmitAck(ctx context.Context, event string, args ...any) ([]Answer, error) {
	return h.Of("/").ServerEmitAck(ctx, event, args...)
}

// serverEvent runs the action for an event of another node, behind those that came before.
func (h *Hub) serverEvent(e *Envelope, reply func(*Envelope)) {
	sp := h.lookup(e.Namespace)
	var fn HandlerFunc
	if sp != nil {
		fn = sp.table.server[e.Event]
	}
	if fn == nil {
		h.log().Debug("event of another node without an action", "event", e.Event, "namespace", e.Namespace)
		if reply != nil {
			reply(nil)
		}
		return
	}
	c := &Context{hub: h, space: sp, event: e.Event, args: e.Args}
	if reply != nil {
		c.reply = func(lent session.Args) {
			lent.Text = bytes.Clone(lent.Text)
			reply(&Envelope{Kind: BusAnswer, Namespace: e.Namespace, Args: lent})
		}
	}
	if !sp.events.Fits(len(e.Args.Text)) {
		h.log().Warn("event of another node dropped, too many wait", "event", e.Event, "namespace", e.Namespace)
		return
	}
	_ = sp.events.Push(h.tasks, len(e.Args.Text), func() { c.act(fn) }) // fails on a queue that is finished, which none is
}
