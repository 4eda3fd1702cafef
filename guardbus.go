package thinkws

import (
	"context"
	"errors"

	"github.com/seed-ce09063a/thinkws/internal/guard"
)

// guardedLink is a BusLink, which the service may have written, whose mistakes are errors: an
// [ErrBus], or a [NodesError] that wraps one.
type guardedLink struct {
	link BusLink
	hub  *Hub
}

var _ BusLink = (*guardedLink)(nil)

// openBus makes the hub a part of a bus.
func (h *Hub) openBus(bus Bus) (*guardedLink, error) {
	var link BusLink
	var err error
	mistake := guard.Call(func() {
		if link, err = bus.Open((*node)(h)); err != nil {
			_ = err.Error()
		}
	})
	switch {
	case mistake != nil:
		return nil, mistake
	case err != nil:
		return nil, err
	case link == nil:
		return nil, errors.New("its Open returns no link")
	}
	return &guardedLink{link, h}, nil
}

// call calls a method of the link.
func (l *guardedLink) call(fn func()) error {
	if err := l.hub.call("WithBus", fn); err != nil {
		return busError(err)
	}
	return nil
}

// Subscribe implements BusLink.
func (l *guardedLink) Subscribe(ctx context.Context, namespace string) (err error) {
	if mistake := l.call(func() { err = l.link.Subscribe(ctx, namespace) }); mistake != nil {
		return mistake
	}
	return err
}

// Unsubscribe implements BusLink.
func (l *guardedLink) Unsubscribe(namespace string) {
	_ = l.call(func() { l.link.Unsubscribe(namespace) }) // it has been logged
}

// Publish implements BusLink.
func (l *guardedLink) Publish(e *Envelope) (err error) {
	if err := e.check(); err != nil {
		return err
	}
	if mistake := l.call(func() { err = l.link.Publish(e) }); mistake != nil {
		return mistake
	}
	return err
}

// Ask implements BusLink.
func (l *guardedLink) Ask(ctx context.Context, e *Envelope, answer func(*Envelope)) (err error) {
	if err := e.check(); err != nil {
		return &NodesError{Err: err}
	}
	if mistake := l.call(func() { err = l.link.Ask(ctx, e, answer) }); mistake != nil {
		return &NodesError{Err: mistake}
	}
	return err
}

// Stats implements BusLink.
func (l *guardedLink) Stats() (s BusStats) {
	if mistake := l.call(func() { s = l.link.Stats() }); mistake != nil {
		return BusStats{Err: mistake}
	}
	return s
}

// Close implements BusLink.
func (l *guardedLink) Close(ctx context.Context) (err error) {
	if mistake := l.call(func() { err = l.link.Close(ctx) }); mistake != nil {
		return mistake
	}
	return err
}

// guardedReply returns reply, which the bus has brought, guarded; nil for nil.
func (h *Hub) guardedReply(reply func(*Envelope)) func(*Envelope) {
	if reply == nil {
		return nil
	}
	return func(e *Envelope) {
		_ = h.call("WithBus", func() { reply(e) }) // it has been logged
	}
}
