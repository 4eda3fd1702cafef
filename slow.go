package thinkws

import (
	"errors"
	"fmt"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// SlowPolicy decides about messages for a client whose send queue has no room; see [WithSlowPolicy].
type SlowPolicy = session.SlowPolicy

// The policies.
const (
	SlowDisconnect = session.SlowDisconnect // a client that stays behind is disconnected: what clients get has no gaps
	SlowDropNewest = session.SlowDropNewest // the message is dropped, and its Emit returns ErrDropped
	SlowDropOldest = session.SlowDropOldest // the messages that wait longest are dropped for it
)

// WithSlowPolicy sets what happens to messages for a client whose send queue has reached its bound, over every
// transport alike; see [WithSendQueue]. SlowDropNewest and SlowDropOldest act at the bound. SlowDisconnect, the
// default, lets the queue grow to four times the bound for a while. Volatile messages are dropped before any of that,
// and the frames of the protocols never. [Stats] counts what is dropped and who is disconnected.
func WithSlowPolicy(policy SlowPolicy) Option {
	return serverOption("WithSlowPolicy", func(c *config) error {
		if policy > SlowDropOldest {
			return fmt.Errorf("thinkws: WithSlowPolicy: unknown policy %d", policy)
		}
		c.slow = policy
		return nil
	})
}

// WithOnSlow sets a function that is called when a client takes messages too slowly: for each message that the policy
// drops, or drops others for, and once when it disconnects the client. Emit may wait for it, so it must not block. It
// may be called by several goroutines at once. The default is none.
func WithOnSlow(fn func(*Socket)) Option {
	return serverOption("WithOnSlow", func(c *config) error { c.onSlow = fn; return nil })
}

// undelivered counts what one client did not get, and returns what its Emit has to return.
func (s *Socket) undelivered(m *session.Message, err error) error {
	h := s.space.hub
	displaced, late := errors.AsType[*session.DisplacedError](err)
	switch {
	case late:
		h.stats.dropped.Add(uint64(displaced.Messages))
		err = nil
	case errors.Is(err, session.ErrDropped):
		h.stats.dropped.Add(1)
		late = !m.Volatile
	}
	if late {
		s.slow()
	}
	return err
}

// slow tells the service that the client takes messages too slowly.
func (s *Socket) slow() {
	if h := s.space.hub; h.cfg.onSlow != nil {
		_ = h.call("WithOnSlow", func() { h.cfg.onSlow(s) }) // it has been logged
	}
}

// ordinary reports whether err is one that a client gives rise to, not a message.
func ordinary(err error) bool {
	return err == nil || errors.Is(err, session.ErrDropped) || errors.Is(err, session.ErrSlow) || errors.Is(err, session.ErrClosed)
}
