package redisbus

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-ce09063a/thinkws/internal/guard"
)

const (
	watchEvery  = 500 * time.Millisecond // whether the connections are at the right server
	answersFast = time.Second            // a master that takes longer is left, if another one is faster
)

var (
	errApart    = errors.New("redisbus: the connections are at different servers")
	errLeft     = errors.New("redisbus: another server of the cluster is used from now on")
	errReplica  = errors.New("redisbus: this Redis is a replica: its master does not get what is published here")
	errNoMaster = errors.New("redisbus: no master of the cluster answers")
)

// connections are those of a link or a registry to its Redis. In a Redis Cluster all of them go to
// one master, because what different servers publish has no order. Any master does: a cluster
// passes on what is published. So they stay where they are until that one fails, whatever becomes of
// the slots.
type connections struct {
	client   redis.UniversalClient        // our own; the service's if we do not know its type
	dialer   *dialer                      // of client; nil if that is the service's
	sentinel *redis.Client                // the service's, if it follows Sentinel
	key      string                       // the master of its slot is preferred
	at       atomic.Pointer[redis.Client] // the master of a cluster that is used; nil until one is needed
	slow     atomic.Pointer[redis.Client] // the same, if it does not answer in time
	counts   bool                         // the server has counted who hears a message; watch's
	hurry    chan struct{}                // holds one when something has failed
}

func connect(service redis.UniversalClient, key string) *connections {
	c := &connections{key: key, hurry: make(chan struct{}, 1)}
	c.client, c.dialer = own(service)
	if client, ok := service.(*redis.Client); ok && client.Options().Addr == failoverAddr {
		c.sentinel = client.WithTimeout(answersFast)
	}
	return c
}

// failoverAddr is the address that clients of redis.NewFailoverClient have.
const failoverAddr = "FailoverClient"

func (c *connections) cluster() (*redis.ClusterClient, bool) {
	cluster, ok := c.client.(*redis.ClusterClient)
	return cluster, ok
}

// node returns the client of the server that is used.
func (c *connections) node(ctx context.Context) (redis.UniversalClient, error) {
	cluster, ok := c.cluster()
	if !ok {
		return c.client, nil
	}
	if at := c.at.Load(); at != nil {
		return at, nil
	}
	ctx, cancel := context.WithTimeout(ctx, execTimeout)
	defer cancel()
	masters, err := mastersOf(ctx, cluster)
	if err != nil {
		return nil, err
	}
	chosen := c.choose(ctx, cluster, masters)
	if chosen == nil {
		return nil, errNoMaster
	}
	c.at.CompareAndSwap(nil, chosen)
	return c.at.Load(), nil
}

// subscribe returns a PubSub at the server that is used. It does not connect yet.
func (c *connections) subscribe(ctx context.Context) (*redis.PubSub, error) {
	node, err := c.node(ctx)
	if err != nil {
		return nil, err
	}
	return node.Subscribe(ctx), nil
}

// failed lets watch look at once.
func (c *connections) failed() {
	select {
	case c.hurry <- struct{}{}:
	default:
	}
}

// timedOut notes that the server that is used has not answered in time: it may answer some commands
// and not others, for instance while a master waits for its replica to take over.
func (c *connections) timedOut() {
	c.slow.Store(c.at.Load())
	c.failed()
}

// drop closes all connections. The next ones go to where the dialer leads by then.
func (c *connections) drop() {
	if c.dialer != nil {
		c.dialer.closeAll()
	}
}

func (c *connections) close() error {
	if c.dialer == nil {
		return nil
	}
	return c.client.Close()
}

// watch moves the connections when they are not at the right server any more, until ctx is done.
// s has subscribed to channel, on which it gets messages that mean nothing.
func (c *connections) watch(ctx context.Context, s *subscriber, channel string) {
	_, cluster := c.cluster()
	if !cluster && c.sentinel == nil {
		return
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.hurry:
		case <-ctx.Done():
			return
		}
		_ = guard.Do(func() error {
			if cluster {
				c.watchCluster(ctx, s)
			} else {
				c.watchSentinel(ctx, s, topic{channel, false})
			}
			return nil
		})
	}
}

// watchSentinel publishes by the service's client, which drops its connections when Sentinel names
// another master. If nobody hears that while s is subscribed, ours are still at the old one, which
// goes on as a master for some seconds.
func (c *connections) watchSentinel(ctx context.Context, s *subscriber, own topic) {
	connection := s.confirmedOn(own)
	if connection == nil { // while Redis is away it would log what it cannot do
		return
	}
	ctx, cancel := context.WithTimeout(ctx, execTimeout)
	defer cancel()
	hearers, err := c.sentinel.Publish(ctx, own.name, "").Result()
	switch {
	case err != nil:
	case hearers > 0:
		c.counts = true // a proxy may not
	case c.counts && s.confirmedOn(own) == connection:
		s.kick(errApart)
		c.drop()
	}
}

// watchCluster looks whether the server that is used is a master of the cluster, and answers. If
// not, it moves to one that does.
func (c *connections) watchCluster(ctx context.Context, s *subscriber) {
	cluster, _ := c.cluster()
	at := c.at.Load()
	if at == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*execTimeout)
	defer cancel()
	masters, err := mastersOf(ctx, cluster)
	slow := c.slow.Swap(nil) == at
	if err != nil || len(masters) == 0 || slices.Contains(masters, at) && !slow && isMaster(ctx, at) {
		return
	}
	others := slices.DeleteFunc(masters, func(c *redis.Client) bool { return c == at })
	if chosen := c.choose(ctx, cluster, others); chosen != nil {
		s.report(errLeft) // first: what is published at both without a pause may arrive in another order
		c.at.Store(chosen)
		s.kick(errLeft)
	}
}

// choose returns the master of the key's slot if it is among masters and answers, or else the first
// one by its address that does; nil if none does. All servers that lose a master therefore choose the same one.
func (c *connections) choose(ctx context.Context, cluster *redis.ClusterClient, masters []*redis.Client) *redis.Client {
	answer := make([]bool, len(masters))
	var asked sync.WaitGroup
	for i, client := range masters {
		asked.Go(func() { answer[i] = isMaster(ctx, client) })
	}
	asked.Wait()
	preferred, _ := cluster.MasterForKey(ctx, c.key)
	var chosen *redis.Client
	for i, client := range masters {
		switch {
		case !answer[i]:
		case client == preferred:
			return client
		case chosen == nil || cmp.Less(client.Options().Addr, chosen.Options().Addr):
			chosen = client
		}
	}
	return chosen
}

// mastersOf returns the clients of all masters, as one of the cluster's servers names them now.
func mastersOf(ctx context.Context, cluster *redis.ClusterClient) ([]*redis.Client, error) {
	var mu sync.Mutex // protects masters
	var masters []*redis.Client
	err := cluster.ForEachMaster(ctx, func(_ context.Context, client *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		masters = append(masters, client)
		return nil
	})
	return masters, err
}

// isMaster reports whether a server answers, and not as a replica.
func isMaster(ctx context.Context, client *redis.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, answersFast)
	defer cancel()
	var answer *redis.MapStringInterfaceCmd
	err := guard.Do(func() error {
		pipe := client.Pipeline()
		answer = hello(ctx, pipe)
		_, _ = pipe.Exec(ctx)
		return nil
	})
	return err == nil && (answer.Err() == nil || isReply(answer.Err())) && !isReplica(answer)
}

// hello asks a server what it is. Redis answers HELLO to every user, whatever its rights.
func hello(ctx context.Context, pipe redis.Pipeliner) *redis.MapStringInterfaceCmd {
	return pipe.Hello(ctx, 2, "", "", "")
}

// isReplica reports whether an answer to hello is that of a replica. Servers before Redis 6 and
// proxies do not know the command; they pass as masters.
func isReplica(answer *redis.MapStringInterfaceCmd) bool {
	role, _ := answer.Val()["role"].(string)
	return role == "replica" || role == "slave"
}

// isReply reports whether an error is an answer of Redis, and not one of the connection.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}
