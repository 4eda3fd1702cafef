package thinkws

import (
	"errors"
	"fmt"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// SlowPolicy says what becomes of a message whose client does not read fast enough, so that
// its send queue is full; see [WithSlowPolicy].
type SlowPolicy = session.SlowPolicy

// The policies.
const (
	SlowDisconnect = session.SlowDisconnect // the client is disconnected with ReasonSlow: what clients get has no gaps
	SlowDropNewest = session.SlowDropNewest // the message is dropped, and its Emit returns ErrDropped
	SlowDropOldest = session.SlowDropOldest // what waits longest is dropped for it
)

// WithSlowPolicy sets what becomes of messages for a client whose send queue is full, over
// every transport alike. Volatile messages are dropped before that, and what belongs to the
// protocols never. [Stats] counts what is dropped. The default is SlowDisconnect.
func WithSlowPolicy(policy SlowPolicy) Option {
	return serverOption("WithSlowPolicy", func(c *config) error {
		if policy > SlowDropOldest {
			return fmt.Errorf("thinkws: WithSlowPolicy: unknown policy %d", policy)
		}
		c.slow = policy
		return nil
	})
}

// WithOnSlow sets a function that is called for each message that finds a client's queue full,
// whatever the policy. Emit waits for it, so it must not block. It may be called by several
// goroutines at once. The default is none.
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
	case errors.Is(err, session.ErrSlow):
		h.stats.slow.Add(1)
		late = true
	}
	if late && h.cfg.onSlow != nil {
		_ = h.call("WithOnSlow", func() { h.cfg.onSlow(s) }) // it has been logged
	}
	return err
}

// ordinary reports whether err is one that a client gives rise to, not a message.
func ordinary(err error) bool {
	return err == nil || errors.Is(err, session.ErrDropped) || errors.Is(err, session.ErrSlow) || errors.Is(err, session.ErrClosed)
}
