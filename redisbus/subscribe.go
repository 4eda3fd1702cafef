package redisbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// write is the writing goroutine.
func (s *subscriber) write(ctx context.Context, c *connection) error {
	if err := greet(ctx, c); err != nil {
		return err
	}
	ping, again := time.NewTicker(pingEvery), time.NewTicker(deniedEvery)
	defer ping.Stop()
	defer again.Stop()
	told := false
	for ctx.Err() == nil {
		topics, done := s.next(c)
		if len(topics) > 0 {
			if err := s.subscribe(ctx, c, topics, done); err != nil {
				return err
			}
			continue
		}
		if !told {
			told = true
			s.report(nil)
		}
		select {
		case <-s.wake:
			if s.crowded() {
				if err := s.unsubscribe(ctx, c); err != nil {
					return err
				}
			}
		case <-ctx.Done():
			return nil
		case <-again.C:
			s.tryAgain()
		case <-ping.C:
			if err := errors.Join(c.pubsub.Ping(ctx), s.unsubscribe(ctx, c)); err != nil {
				return err
			}
		}
	}
	return nil
}

// next takes the topics of one command.
func (s *subscriber) next(c *connection) (topics []topic, done <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.fresh) == 0 {
		return nil, nil
	}
	n, most := 0, chunk
	if s.alone > 0 {
		most, s.alone = 1, s.alone-1
	}
	for n < min(most, len(s.fresh)) && s.fresh[n].pattern == s.fresh[0].pattern && (n == 0 || s.fresh[n] != s.last) {
		n++
	}
	topics, s.fresh = s.fresh[:n:n], s.fresh[n:]
	c.waiting = make(map[topic]struct{}, n)
	for _, t := range topics {
		c.waiting[t] = struct{}{}
	}
	c.done = make(chan struct{})
	return topics, c.done
}

func (s *subscriber) subscribe(ctx context.Context, c *connection, topics []topic, done <-chan struct{}) error {
	subscribe := c.pubsub.Subscribe
	if topics[0].pattern {
		subscribe = c.pubsub.PSubscribe
	}
	if err := subscribe(ctx, namesOf(topics)...); err != nil {
		return fmt.Errorf("redisbus: %s: %w", topics[0].command(), err)
	}
	return awaitAnswer(ctx, done, topics[0].command())
}

// awaitAnswer waits until Redis has answered a command.
func awaitAnswer(ctx context.Context, answered <-chan struct{}, command string) error {
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		return nil
	case <-time.After(silence):
		return fmt.Errorf("redisbus: %s: no answer", command)
	}
}

// unsubscribe gives up what nobody has wanted for a while.
func (s *subscriber) unsubscribe(ctx context.Context, c *connection) error {
	var patterns, others []topic
	s.mu.Lock()
	crowded := len(s.unused) > maxUnused
	for t := range s.unused {
		w := s.topics[t]
		if !w.confirmed && w.denied == nil || !crowded && time.Since(w.since) < lingering {
			continue
		}
		delete(s.topics, t)
		delete(s.unused, t)
		switch {
		case w.denied != nil:
			s.allowLocked(t)
		case t.pattern:
			patterns = append(patterns, t)
		default:
			others = append(others, t)
		}
	}
	s.mu.Unlock()
	var err error
	for some := range slices.Chunk(patterns, chunk) {
		err = errors.Join(err, c.pubsub.PUnsubscribe(ctx, namesOf(some)...))
	}
	for some := range slices.Chunk(others, chunk) {
		err = errors.Join(err, c.pubsub.Unsubscribe(ctx, namesOf(some)...))
	}
	return err
}

func namesOf(topics []topic) []string {
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.name
	}
	return names
}
