package redisbus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/internal/guard"
	"github.com/seed-ce09063a/thinkws/internal/quiet"
)

// Bus is a thinkws.Bus on Redis. It is safe for concurrent use; one may serve several
// handlers, each of which is a node of its own.
type Bus struct {
	client redis.UniversalClient
	cfg    *config
	err    error
}

// New returns a bus on the Redis of client, whose options it takes over for connections
// of its own: a node has one that subscribes, and up to four that publish. What is wrong with
// the options shows when a handler opens it.
//
// Everything works with a single Redis and with a failover client of Sentinel. With a Redis
// Cluster it works too, but each message goes to all nodes of that, and what gets lost there
// is not noticed; several single ones scale better.
func New(client redis.UniversalClient, options ...Option) *Bus {
	cfg := configOf(options)
	return &Bus{client: client, cfg: cfg, err: cfg.check(client)}
}

// ours begins the uid of every node of this library. Node's have six characters.
const ours = "thinkws-"

func isOurs(uid string) bool { return strings.HasPrefix(uid, ours) }

// Open implements thinkws.Bus. It returns at once; the link is up when Redis has confirmed
// its subscriptions.
func (b *Bus) Open(node thinkws.BusNode) (thinkws.BusLink, error) {
	if b.err != nil {
		return nil, b.err
	}
	l := &link{cfg: b.cfg, node: node, log: quiet.New(node.Logger()), uid: ours + rand.Text()[:16], routes: map[topic]route{}, asked: map[string]*question{}}
	l.client, l.owned = own(b.client)
	count := b.cfg.channels("/").request
	_, cluster := l.client.(*redis.ClusterClient)
	l.receipts = &receipts{channel: count, log: l.log, unknown: cluster}
	l.state = newState(l.log, l.receipts.doubt)
	l.publisher = newPublisher(l.client, b.cfg, count, l.receipts, l.state, &l.stats)
	l.subscriber = newSubscriber(func() *redis.PubSub { return l.client.Subscribe(context.Background()) }, l.receive, l.state.subscribed)
	l.subscriber.last = topic{count, false}
	l.probe = b.cfg.prefix + "-thinkws#" + l.uid + "#"
	l.goodbyes = b.cfg.prefix + "-thinkws#"
	l.start()
	return l, nil
}

// link is one node's part in the bus. Its goroutines are the two of the subscriber, that of
// the publisher, and one that probes.
type link struct {
	cfg        *config
	node       thinkws.BusNode
	log        *slog.Logger // of node, but quiet
	uid        string
	client     redis.UniversalClient
	owned      bool // the client is ours to close
	receipts   *receipts
	state      *state
	publisher  *publisher
	subscriber *subscriber
	probe      string                    // the channel of our probes
	goodbyes   string                    // that on which nodes say goodbye
	probed     atomic.Pointer[time.Time] // when the last probe came back
	stats      counters
	sequences  sequences
	tasks      sync.WaitGroup
	stopSub    context.CancelFunc
	stop       context.CancelFunc

	mu     sync.RWMutex // protects what follows
	routes map[topic]route
	asked  map[string]*question // by the id of the request
}

// route is where a message goes that comes by a topic.
type route struct {
	channels channels
	users    int
	handle   func(l *link, c channels, channel string, data []byte) error
}

// counters are those behind thinkws.BusStats.
type counters struct{ published, received, lost, missed, dropped atomic.Uint64 }

func (l *link) start() {
	ctx, cancel := context.WithCancel(context.Background())
	sub, stopSub := context.WithCancel(ctx)
	l.stop, l.stopSub = cancel, stopSub
	ended, end := context.WithCancel(ctx)
	end() // nobody waits
	_ = l.subscriber.add(ended, topic{l.probe, false}, topic{l.goodbyes, false})
	l.tasks.Go(func() { guard.Keep(sub, l.log, func() { l.subscriber.run(sub) }) })
	l.tasks.Go(func() { guard.Keep(ctx, l.log, func() { l.publisher.run(ctx) }) })
	l.tasks.Go(func() { guard.Keep(sub, l.log, func() { l.probing(sub) }) })
}

// Subscribe implements thinkws.BusLink.
func (l *link) Subscribe(ctx context.Context, namespace string) error {
	c := l.cfg.channels(namespace)
	topics := c.topics(l.uid)
	l.mu.Lock()
	for _, t := range topics {
		r := l.routes[t]
		r.channels, r.handle = c, (*link).onRequest
		switch {
		case t.pattern:
			r.handle = (*link).onBroadcast
		case t.name != c.request:
			r.handle = (*link).onResponse
		}
		r.users++
		l.routes[t] = r
	}
	l.mu.Unlock()
	return l.subscriber.add(ctx, topics...)
}

// Unsubscribe implements thinkws.BusLink.
func (l *link) Unsubscribe(namespace string) {
	topics := l.cfg.channels(namespace).topics(l.uid)
	l.subscriber.remove(topics...)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range topics {
		r := l.routes[t]
		if r.users--; r.users > 0 {
			l.routes[t] = r
		} else {
			delete(l.routes, t)
		}
	}
}

// Publish implements thinkws.BusLink.
func (l *link) Publish(e *thinkws.Envelope) error {
	if err := l.state.refuses(); err != nil {
		return err
	}
	c := l.cfg.channels(e.Namespace)
	it := item{channel: c.request, counts: true}
	var err error
	if e.Kind == thinkws.BusEmit {
		it.channel, it.payload = c.forRooms(e.Rooms), encodeBroadcast(l.uid, e, l.cfg.old, true)
		it.series = e.Namespace
	} else if it.payload, err = l.cfg.encodeRequest(l.uid, "", e); err != nil {
		return err
	}
	if err := l.publisher.push(it); err != nil {
		return busError(err)
	}
	return nil
}

// answer publishes an answer to somebody's request.
func (l *link) answer(channel string, data []byte) {
	if err := l.publisher.push(item{channel: channel, payload: data}); err != nil {
		l.log.Warn("answer to another node not sent", "channel", channel, "error", err)
	}
}

// Stats implements thinkws.BusLink.
func (l *link) Stats() thinkws.BusStats {
	err := l.state.err()
	return thinkws.BusStats{Up: err == nil, Err: err, Nodes: l.receipts.nodes(), Published: l.stats.published.Load(),
		Received: l.stats.received.Load(), Lost: l.stats.lost.Load(), Missed: l.stats.missed.Load(), Dropped: l.stats.dropped.Load()}
}

// Close implements thinkws.BusLink. Other nodes of this library are told, so that they do
// not wait for this one.
func (l *link) Close(ctx context.Context) error {
	err := l.publisher.close(ctx)
	l.stopSub()
	if l.state.err() == nil {
		short, cancel := context.WithTimeout(ctx, execTimeout)
		defer cancel()
		err = errors.Join(err, guard.Do(func() error { return l.client.Publish(short, l.goodbyes, encodeGoodbye(l.uid)).Err() }))
	}
	l.stop()
	l.tasks.Wait()
	if l.owned {
		err = errors.Join(err, l.client.Close())
	}
	return err
}

const (
	probeEvery = time.Second
	probeDown  = 250 * time.Millisecond // while the bus is down
)

var errDeaf = errors.New("redisbus: what is published does not come back")

// probing publishes something every second that has to come back: a connection may be open
// and answer, and still hear nothing, for instance to a Redis that is no master any more.
func (l *link) probing(ctx context.Context) {
	l.cameBack()
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-wait.C:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		err := guard.Do(func() error { return l.sendProbe(ctx) })
		if ctx.Err() != nil {
			return
		}
		l.state.published(began, err)
		up := l.state.err() == nil
		switch {
		case !up:
			l.cameBack()
		case time.Since(*l.probed.Load()) > silence:
			l.subscriber.kick(errDeaf)
		}
		if up {
			wait.Reset(probeEvery)
		} else {
			wait.Reset(probeDown)
		}
	}
}

// cameBack notes that a probe has, or that it need not have. It keeps a time.Time, which goes
// on evenly when the clock of the machine is set.
func (l *link) cameBack() {
	now := time.Now()
	l.probed.Store(&now)
}

func (l *link) sendProbe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, execTimeout)
	defer cancel()
	client, err := master(ctx, l.client, l.receipts.channel)
	if err != nil {
		return err
	}
	pipe := client.Pipeline()
	sent := pipe.Publish(ctx, l.probe, "")
	for _, mark := range l.publisher.marks(l.uid) {
		pipe.Publish(ctx, l.goodbyes, mark) // failing, the next one says as much
	}
	count := pipe.PubSubNumSub(ctx, l.receipts.channel)
	_, _ = pipe.Exec(ctx) // each command has its own error
	l.receipts.observe(count)
	if err := sent.Err(); err != nil {
		return fmt.Errorf("redisbus: publish: %w", err)
	}
	return nil
}
