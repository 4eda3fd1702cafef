package redisbus

import (
	"context"
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
	denied    error     // Redis has refused it, on the present connection
}

// subscriber keeps subscriptions alive over one connection after another. The connection
// belongs to two goroutines: one reads it, and hands on what comes; the other writes. go-redis
// would subscribe to everything by one command after an interruption, and notices none where
// nothing comes any more: here a connection is given up at the first error or after
// three seconds of silence, and a new one subscribes in chunks that Redis has to confirm.
type subscriber struct {
	open   func(context.Context) (*redis.PubSub, error)
	handle func(*redis.Message) // called by the reader; must not wait
	report func(error)          // nil when everything is subscribed to, or why that has ended
	last   topic                // the last one of all, by which others see that we are there
	vital  []topic              // without these nothing works; all, if denied is nil
	denied func(topic, error)   // a topic that is not vital is refused, or is not any more

	mu       sync.Mutex // protects what follows
	topics   map[topic]*want
	unused   map[topic]struct{} // of these, those without users
	fresh    []topic            // to be subscribed to
	alone    int                // how many of the first of these go by a command each
	refusals map[topic]struct{} // reported to denied
	changed  chan struct{}      // closed and replaced when something was confirmed
	wake     chan struct{}      // to the writer
	current  *connection        // nil while there is none
}

// connection is one connection's state.
type connection struct {
	pubsub  *redis.PubSub
	unheard int                // answers to greet that have not come; the reader's
	greeted chan struct{}      // closed when all have
	waiting map[topic]struct{} // of the present chunk, not confirmed; protected by subscriber.mu
	done    chan struct{}      // closed when there are none; likewise
	fail    context.CancelCauseFunc
}

func newSubscriber(open func(context.Context) (*redis.PubSub, error), handle func(*redis.Message), report func(error)) *subscriber {
	return &subscriber{open: open, handle: handle, report: report, topics: map[topic]*want{}, unused: map[topic]struct{}{},
		refusals: map[topic]struct{}{}, changed: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// add subscribes to topics, each as often as it is removed again, and waits for Redis to
// confirm that. If ctx is done before, it goes on all the same. It fails if Redis refuses one.
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
		confirmed, changed, err := s.confirmed(topics)
		if confirmed || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *subscriber) confirmed(topics []topic) (bool, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range topics {
		if w := s.topics[t]; w != nil && !w.confirmed {
			return false, s.changed, w.denied
		}
	}
	return true, nil, nil
}

// confirmedOn returns the present connection if it has subscribed to t, nil if not.
func (s *subscriber) confirmedOn(t topic) *connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.topics[t]; w == nil || !w.confirmed {
		return nil
	}
	return s.current
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

// kick gives the present connection up. It reports why at once, before the loss of other
// connections is reported.
func (s *subscriber) kick(why error) {
	s.mu.Lock()
	current := s.current
	s.mu.Unlock()
	if current != nil {
		s.report(why)
		current.fail(why)
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
	var pubsub *redis.PubSub
	err := guard.Do(func() (err error) {
		pubsub, err = s.open(parent)
		return err
	})
	if err != nil {
		return fmt.Errorf("redisbus: subscriber: %w", err)
	}
	ctx, fail := context.WithCancelCause(withOneDial(parent))
	defer fail(nil)
	c := &connection{pubsub: pubsub, unheard: greetings, greeted: make(chan struct{}), fail: fail}
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
	err = s.read(ctx, c)
	fail(err)
	return context.Cause(ctx)
}

// begin lets everything be subscribed to again: patterns first, and of either kind what is vital.
func (s *subscriber) begin(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.alone = c, 0
	var vitalPatterns, patterns, vital, others []topic
	for t, w := range s.topics {
		w.confirmed, w.denied = false, nil
		switch isVital := s.isVital(t); {
		case t == s.last:
		case t.pattern && isVital:
			vitalPatterns = append(vitalPatterns, t)
		case t.pattern:
			patterns = append(patterns, t)
		case isVital:
			vital = append(vital, t)
		default:
			others = append(others, t)
		}
	}
	s.fresh = slices.Concat(vitalPatterns, patterns, vital, others)
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
			if s.refused(c, err) {
				continue
			}
			return fmt.Errorf("redisbus: subscriber: %w", err)
		}
		c.heard()
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
		w.confirmed, w.denied = true, nil
		s.allowLocked(t)
	}
	if len(c.waiting) == 0 {
		s.answeredLocked(c)
	}
}

// answeredLocked lets the writer go on. s.mu must be held.
func (s *subscriber) answeredLocked(c *connection) {
	if c.done == nil {
		return
	}
	close(c.done)
	c.done = nil
	close(s.changed)
	s.changed = make(chan struct{})
}
