package redisbus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// deniedEvery is how often the subscriber tries again what Redis has refused.
const deniedEvery = 10 * time.Second

// isDenied reports whether Redis has refused a command because its user lacks the right to it.
func isDenied(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply) && strings.HasPrefix(reply.Error(), "NOPERM")
}

// greetings are the commands of greet.
const greetings = 3

// greet sends the commands that a connection needs besides subscriptions, to learn at once
// whether they are allowed, and waits for the answers.
func greet(ctx context.Context, c *connection) error {
	const nothing = "-"
	err := errors.Join(c.pubsub.Ping(ctx), c.pubsub.Unsubscribe(ctx, nothing), c.pubsub.PUnsubscribe(ctx, nothing))
	if err != nil {
		return fmt.Errorf("redisbus: PING: %w", err)
	}
	return awaitAnswer(ctx, c.greeted, "PING")
}

// heard counts the replies to greet. Later messages are ignored.
func (c *connection) heard() {
	if c.unheard == 0 {
		return
	}
	if c.unheard--; c.unheard == 0 {
		close(c.greeted)
	}
}

// refused takes an error that Redis has answered with, and reports whether the connection can go
// on. It can if the subscription to some topics was refused: one command is refused as a whole, so
// each of its topics is tried alone.
func (s *subscriber) refused(c *connection, err error) bool {
	if !isDenied(err) || c.unheard > 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch topics := slices.Collect(maps.Keys(c.waiting)); len(topics) {
	case 0: // it was something else
		return false
	case 1:
		s.denyLocked(c, topics[0], err)
	default:
		s.fresh = append(topics, s.fresh...)
		s.alone = len(topics)
	}
	clear(c.waiting)
	s.answeredLocked(c)
	return true
}

// denyLocked notes that a topic was refused. Without a vital one the connection ends. s.mu must be
// held.
func (s *subscriber) denyLocked(c *connection, t topic, err error) {
	err = fmt.Errorf("redisbus: %s %s: %w", t.command(), t.name, err)
	if s.isVital(t) {
		c.fail(err)
		return
	}
	if w := s.topics[t]; w != nil {
		w.denied = err
		s.refusals[t] = struct{}{}
		s.denied(t, err)
	}
}

// allowLocked clears the refusal of a topic. s.mu must be held.
func (s *subscriber) allowLocked(t topic) {
	if _, refused := s.refusals[t]; refused {
		delete(s.refusals, t)
		s.denied(t, nil)
	}
}

// tryAgain subscribes once more to what was refused. It is the writer's.
func (s *subscriber) tryAgain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t, w := range s.topics {
		if w.denied != nil {
			s.fresh = append(s.fresh, t)
		}
	}
}

func (s *subscriber) isVital(t topic) bool {
	return s.denied == nil || slices.Contains(s.vital, t)
}

// command is that by which one subscribes to a topic.
func (t topic) command() string {
	if t.pattern {
		return "PSUBSCRIBE"
	}
	return "SUBSCRIBE"
}
