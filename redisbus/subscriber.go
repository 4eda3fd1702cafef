package redisbus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-ce09063a/thinkws/internal/guard"
)

const (
	chunk      = 512                    // topics in one command: what Redis confirms it has to keep until we have read it
	pingEvery  = time.Second            // on the subscriber's connection
	silence    = 3 * time.Second        // after which the connection is dead
	minBackoff = 50 * time.Millisecond  // before the next attempt
	maxBackoff = 500 * time.Millisecond // twice that is within what Redis may be away unnoticed
	lingering  = time.Second            // how long an unused subscription is kept
	maxUnused  = 1024                   // unused subscriptions at a time; beyond that, none is kept
)

// topic is something to subscribe to.
type topic struct {
	name    string
	pattern bool
}

// want is what is known about a topic.
type want struct {
	users     int
	since     time.Time // without users
	confirmed bool      // by Redis, on the present connection
}

// subscriber keeps subscriptions alive over one connection after another. The connection
// belongs to two goroutines: one reads it, and hands on what comes; the other writes. go-redis
// would subscribe to everything by one command after an interruption, and notices none where
// nothing comes any more: here a connection is given up at the first error or after
// three seconds of silence, and a new one subscribes in chunks that Redis has to confirm.
type subscriber struct {
	open   func() *redis.PubSub
	handle func(*redis.Message) // called by the reader; must not wait
	report func(error)          // nil when everything is subscribed to, or why that has ended
	last   topic                // the last one of all, by which others see that we are there

	mu      sync.Mutex // protects what follows
	topics  map[topic]*want
	unused  map[topic]struct{} // of these, those without users
	fresh   []topic            // to be subscribed to
	changed chan struct{}      // closed and replaced when something was confirmed
	wake    chan struct{}      // to the writer
	current *connection        // nil while there is none
}

// connection is one connection's state.
type connection struct {
	pubsub  *redis.PubSub
	waiting map[topic]struct{} // of the present chunk, not confirmed; protected by subscriber.mu
	done    chan struct{}      // closed when there are none; likewise
	fail    context.CancelCauseFunc
}

func newSubscriber(open func() *redis.PubSub, handle func(*redis.Message), report func(error)) *subscriber {
	return &subscriber{open: open, handle: handle, report: report, topics: map[topic]*want{}, unused: map[topic]struct{}{},
		changed: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// add subscribes to topics, each as often as it is removed again, and waits for Redis to
// confirm that. If ctx is done before, it goes on all the same.
func (s *subscriber) add(ctx context.Context, topics ...topic) error {
	s.mu.Lock()
	for _, t := range topics {
		w := s.topics[t]
		if w == nil {
			w = &want{}
			s.topics[t] = w
			s.fresh = append(s.fresh, t)
		}
		w.users++
		delete(s.unused, t)
	}
	s.mu.Unlock()
	s.hurry()
	for {
		confirmed, changed := s.confirmed(topics)
		if confirmed {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *subscriber) confirmed(topics []topic) (bool, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range topics {
		if w := s.topics[t]; w != nil && !w.confirmed {
			return false, s.changed
		}
	}
	return true, nil
}

func (s *subscriber) remove(topics ...topic) {
	s.mu.Lock()
	for _, t := range topics {
		if w := s.topics[t]; w != nil {
			if w.users--; w.users == 0 {
				w.since = time.Now()
				s.unused[t] = struct{}{}
			}
		}
	}
	s.mu.Unlock()
	if s.crowded() {
		s.hurry()
	}
}

// crowded reports whether unused subscriptions must go at once. Clients name dynamic namespaces: without
// this, entering and leaving one after another would leave as many patterns in Redis as that takes
// a second, beyond the limit of the hub.
func (s *subscriber) crowded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.unused) > maxUnused
}

func (s *subscriber) hurry() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// kick gives the present connection up.
func (s *subscriber) kick(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil {
		s.current.fail(why)
	}
}

// run goes on until ctx is done.
func (s *subscriber) run(ctx context.Context) {
	backoff := minBackoff
	for {
		began := time.Now()
		err := s.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		s.report(err)
		if time.Since(began) > silence {
			backoff = minBackoff
		}
		select {
		case <-time.After(backoff/2 + rand.N(backoff)): //nolint:gosec // no secret: not all nodes at the same time
		case <-ctx.Done():
			return
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// connect lives through one connection and returns why it ended.
func (s *subscriber) connect(parent context.Context) error {
	ctx, fail := context.WithCancelCause(parent)
	defer fail(nil)
	c := &connection{pubsub: s.open(), fail: fail}
	stop := context.AfterFunc(ctx, func() { _ = guard.Do(c.pubsub.Close) }) // which ends the reader
	defer stop()
	defer func() { _ = c.pubsub.Close() }()
	s.begin(c)
	defer s.end()

	var writer sync.WaitGroup
	defer writer.Wait()
	writer.Go(func() {
		if err := guard.Do(func() error { return s.write(ctx, c) }); err != nil {
			fail(err)
		}
	})
	err := s.read(ctx, c)
	fail(err)
	return context.Cause(ctx)
}

// begin lets everything be subscribed to again.
func (s *subscriber) begin(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = c
	s.fresh = s.fresh[:0]
	for t, w := range s.topics {
		w.confirmed = false
		if t.pattern {
			s.fresh = append(s.fresh, t)
		}
	}
	for t := range s.topics {
		if !t.pattern && t != s.last {
			s.fresh = append(s.fresh, t)
		}
	}
	if s.topics[s.last] != nil {
		s.fresh = append(s.fresh, s.last)
	}
}

func (s *subscriber) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = nil
	for _, w := range s.topics {
		w.confirmed = false
	}
}

// read is the reading goroutine.
func (s *subscriber) read(ctx context.Context, c *connection) error {
	for {
		var got any
		err := guard.Do(func() (err error) {
			got, err = c.pubsub.ReceiveTimeout(ctx, silence)
			return err
		})
		if err != nil {
			return fmt.Errorf("redisbus: subscriber: %w", err)
		}
		switch m := got.(type) {
		case *redis.Message:
			s.handle(m)
		case *redis.Subscription:
			s.confirm(c, m)
		}
	}
}

func (s *subscriber) confirm(c *connection, m *redis.Subscription) {
	t := topic{m.Channel, m.Kind == "psubscribe"}
	if !t.pattern && m.Kind != "subscribe" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(c.waiting, t)
	if w := s.topics[t]; w != nil {
		w.confirmed = true
	}
	if len(c.waiting) == 0 && c.done != nil {
		close(c.done)
		c.done = nil
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// write is the writing goroutine.
func (s *subscriber) write(ctx context.Context, c *connection) error {
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	told := false
	for {
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
		case <-ping.C:
			if err := errors.Join(c.pubsub.Ping(ctx), s.unsubscribe(ctx, c)); err != nil {
				return err
			}
		}
	}
}

// next takes the topics of one command.
func (s *subscriber) next(c *connection) (topics []topic, done <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.fresh) == 0 {
		return nil, nil
	}
	n := 0
	for n < min(chunk, len(s.fresh)) && s.fresh[n].pattern == s.fresh[0].pattern && (n == 0 || s.fresh[n] != s.last) {
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
		return fmt.Errorf("redisbus: subscribe: %w", err)
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return nil
	case <-time.After(silence):
		return errors.New("redisbus: subscribe: not confirmed")
	}
}

// unsubscribe gives up what nobody has wanted for a while.
func (s *subscriber) unsubscribe(ctx context.Context, c *connection) error {
	var patterns, others []topic
	s.mu.Lock()
	crowded := len(s.unused) > maxUnused
	for t := range s.unused {
		if w := s.topics[t]; !w.confirmed || !crowded && time.Since(w.since) < lingering {
			continue
		}
		delete(s.topics, t)
		delete(s.unused, t)
		if t.pattern {
			patterns = append(patterns, t)
		} else {
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
