package redisbus

import (
	"context"
	"crypto/rand"
	"errors"
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

// New returns a bus on the Redis of client. It takes over the options of the client for connections
// of its own: one that subscribes and a few that publish. An error in the options shows when a
// handler opens the bus.
//
// The client is one of redis.NewClient, redis.NewFailoverClient (Sentinel) or
// redis.NewClusterClient (Redis Cluster), and stays open for as long as the bus is used. A
// redis.Ring and a client of redis.NewFailoverClusterClient are errors. A Redis Cluster passes each
// message on to all of its servers; a single Redis scales better.
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
	l := &link{
		cfg: b.cfg, node: node, log: quiet.New(node.Logger()), uid: ours + rand.Text()[:16], opened: time.Now(),
		routes: map[topic]route{}, asked: map[string]*question{},
	}
	count := b.cfg.channels("/").request
	l.redis = connect(b.client, count)
	_, cluster := l.redis.cluster()
	l.receipts = &receipts{channel: count, log: l.log, unknown: cluster}
	l.state = newState(l.log, l.receipts.doubt)
	l.publisher = newPublisher(l.redis, b.cfg, count, l.receipts, l.state, &l.stats)
	l.subscriber = newSubscriber(l.redis.subscribe, l.receive, l.subscription)
	l.subscriber.last = topic{count, false}
	l.subscriber.denied = func(t topic, err error) { l.state.limited(t.command()+" "+t.name, err) }
	l.probe = b.cfg.prefix + "-thinkws#" + l.uid + "#"
	l.goodbyes = b.cfg.prefix + "-thinkws#"
	l.subscriber.vital = append(b.cfg.channels("/").topics(l.uid), topic{l.probe, false}, topic{l.goodbyes, false})
	l.start()
	return l, nil
}

// link is one node's part in the bus. Its goroutines are the two of the subscriber, that of the
// publisher, one that probes, and one that watches where the connections are.
type link struct {
	cfg        *config
	node       thinkws.BusNode
	log        *slog.Logger // of node, but quiet
	uid        string
	redis      *connections
	receipts   *receipts
	state      *state
	publisher  *publisher
	subscriber *subscriber
	probe      string // the channel of our probes
	goodbyes   string // that on which nodes say goodbye
	opened     time.Time
	heard      atomic.Int64 // when the last message came, which may be a probe, in nanoseconds after opened
	counts     bool         // Redis has counted who hears a probe; probing's
	surveyed   time.Time    // when survey asked last; probing's
	sharded    bool         // and whether it has found a sharded adapter
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
	l.tasks.Go(func() { guard.Keep(sub, l.log, func() { l.redis.watch(sub, l.subscriber, l.probe) }) })
}

// subscription is called with nil when all subscriptions are confirmed, and with the error when they end.
func (l *link) subscription(err error) {
	if err != nil {
		l.redis.failed()
	}
	l.state.subscribed(err)
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
			l.sequences.leave(namespace)
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
	if err := l.push(it); err != nil {
		return busError(err)
	}
	return nil
}

// push lets a message wait for its turn, if other servers take it.
func (l *link) push(it item) error {
	if err := l.cfg.fits(it.payload); err != nil {
		return err
	}
	return l.publisher.push(it)
}

// answer publishes an answer to somebody's request; nothing if data is nil.
func (l *link) answer(channel string, data []byte) error {
	if data == nil {
		return nil
	}
	err := l.push(item{channel: channel, payload: data})
	if err != nil {
		l.log.Warn("answer to another node not sent", "channel", channel, "error", err)
	}
	return err
}

// Stats implements thinkws.BusLink.
func (l *link) Stats() thinkws.BusStats {
	up, err := l.state.health()
	return thinkws.BusStats{Up: up, Err: err, Nodes: l.receipts.nodes(), Published: l.stats.published.Load(),
		Received: l.stats.received.Load(), Lost: l.stats.lost.Load(), Missed: l.stats.missed.Load(), Dropped: l.stats.dropped.Load()}
}

// Close implements thinkws.BusLink. Other nodes of this library are told, so that they do
// not wait for this one.
func (l *link) Close(ctx context.Context) error {
	err := l.publisher.close(ctx)
	l.stopSub()
	if l.state.down() == nil {
		err = errors.Join(err, guard.Do(func() error { return l.sayGoodbye(ctx) }))
	}
	l.stop()
	l.tasks.Wait()
	return errors.Join(err, l.redis.close())
}

func (l *link) sayGoodbye(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, execTimeout)
	defer cancel()
	client, err := l.redis.node(ctx)
	if err != nil {
		return err
	}
	pipe := client.Pipeline()
	for _, mark := range l.publisher.lastMarks(l.uid) {
		pipe.Publish(ctx, l.goodbyes, mark)
	}
	pipe.Publish(ctx, l.goodbyes, encodeGoodbye(l.uid))
	_, err = pipe.Exec(ctx)
	return err
}
