package redisbus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/seed-ce09063a/thinkws"
)

// grace is how long the bus may be down before what is published is refused: until then it
// waits.
const grace = time.Second

var errStarting = errors.New("redisbus: not subscribed yet")

// The commands that requests need besides those of broadcasts.
const (
	countServers = "PUBSUB NUMSUB"
	nameServers  = "PUBSUB CHANNELS"
	publish      = "PUBLISH"
)

// state is whether a link is up, which it is if it can publish and is subscribed, and what does not
// work all the same. Each change is one line in the log.
type state struct {
	log  *slog.Logger
	onUp func() // called when it is up again; must not call back

	mu      sync.Mutex       // protects what follows
	sub     error            // why it does not hear others; nil if it does
	pub     error            // why it cannot publish
	limits  map[string]error // what Redis refuses although the link may be up, by command
	since   time.Time        // when it has been down from, or up
	up      bool
	changed chan struct{} // closed and replaced
}

func newState(log *slog.Logger, onUp func()) *state {
	return &state{log: log, onUp: onUp, sub: errStarting, limits: map[string]error{}, since: time.Now(), changed: make(chan struct{})}
}

// subscribed records the state of the subscriber; nil means that all subscriptions are confirmed.
func (s *state) subscribed(err error) { s.set(&s.sub, err) }

// published records the result of publishing. Errors of attempts that began before the link came up are ignored.
func (s *state) published(began time.Time, err error) {
	if err == nil || !s.upSince(began) {
		s.set(&s.pub, err)
	}
}

// limited notes that Redis refuses a command, or some use of it, or that it does not any more.
func (s *state) limited(command string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.limits[command]
	switch {
	case err != nil && !known:
		s.log.Warn("bus is limited", "error", err)
	case err == nil && known:
		s.log.Info("bus is not limited any more", "command", command)
	}
	if s.limits[command] = err; err == nil {
		delete(s.limits, command)
	}
}

// upSince reports whether the link is up, and has become so after began.
func (s *state) upSince(began time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.up && began.Before(s.since)
}

func (s *state) set(part *error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := errors.Is(s.causeLocked(), errStarting)
	*part = err
	cause := s.causeLocked()
	if up := cause == nil; up != s.up || first && !up && !errors.Is(cause, errStarting) {
		s.changeLocked(up, cause)
	}
}

// changeLocked notes that the link is up or down, or why it does not come up. s.mu must be held.
func (s *state) changeLocked(up bool, cause error) {
	lasted := time.Since(s.since).Round(time.Millisecond)
	if up {
		delete(s.limits, publish) // the next message tells
		s.onUp()
		s.log.Info("bus is up", "after", lasted)
	} else {
		s.log.Warn("bus is down", "error", cause)
	}
	if up != s.up {
		s.since = time.Now()
	}
	s.up = up
	close(s.changed)
	s.changed = make(chan struct{})
}

// causeLocked returns why the link is down. s.mu must be held.
func (s *state) causeLocked() error {
	if s.sub != nil {
		return s.sub
	}
	return s.pub
}

// down returns nil if the link is up, and an ErrBus otherwise.
func (s *state) down() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up {
		return nil
	}
	return busError(s.causeLocked())
}

// health reports whether the link is up. The error is nil if everything works, and an ErrBus otherwise.
func (s *state) health() (up bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up {
		return false, busError(s.causeLocked())
	}
	if commands := slices.Sorted(maps.Keys(s.limits)); len(commands) > 0 {
		return true, busError(s.limits[commands[0]])
	}
	return true, nil
}

// cannotAsk returns nil if requests work, and an ErrBus otherwise.
func (s *state) cannotAsk() error {
	if err := s.down(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := cmp.Or(s.limits[countServers], s.limits[nameServers]); err != nil {
		return busError(err)
	}
	return nil
}

// changes returns a channel that is closed when the link goes up or down.
func (s *state) changes() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// refuses is the error for what is published now; nil if that may wait.
func (s *state) refuses() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up || time.Since(s.since) < grace {
		return nil
	}
	return busError(s.causeLocked())
}

// await waits until the link is up. The error is that it has been down for too long.
func (s *state) await(ctx context.Context) error {
	for {
		s.mu.Lock()
		up, left, changed, cause := s.up, grace-time.Since(s.since), s.changed, s.causeLocked()
		s.mu.Unlock()
		switch {
		case up:
			return nil
		case left <= 0:
			return busError(cause)
		}
		select {
		case <-changed:
		case <-time.After(left):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// busError is an ErrBus with its cause.
func busError(cause error) error { return fmt.Errorf("%w: %w", thinkws.ErrBus, cause) }
