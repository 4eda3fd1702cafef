package redisbus

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Bounds of our connections. They are shorter than go-redis's, so that what hangs is
// noticed while it may still be made good.
const (
	dialTimeout  = time.Second
	replyTimeout = 1500 * time.Millisecond
	poolSize     = 4
)

// own returns a client of our own to the same Redis: one that sends nothing twice, since a
// PUBLISH that seems to have failed may have gone out, that keeps to the deadlines of contexts,
// and that speaks RESP2, in which subscriptions have been around for longest.
func own(client redis.UniversalClient) (own redis.UniversalClient, closes bool) {
	switch c := client.(type) {
	case *redis.Client:
		o := *c.Options()
		o.Protocol, o.MaxRetries, o.ContextTimeoutEnabled = 2, -1, true
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout = dialTimeout, replyTimeout, replyTimeout
		o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.PoolTimeout = poolSize, 0, 0, execTimeout
		o.DialerRetries = 1
		o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		return redis.NewClient(&o), true
	case *redis.ClusterClient:
		o := *c.Options()
		o.Protocol, o.MaxRetries, o.ContextTimeoutEnabled = 2, -1, true
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout = dialTimeout, replyTimeout, replyTimeout
		o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.PoolTimeout = poolSize, 0, 0, execTimeout
		o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		return redis.NewClusterClient(&o), true
	default:
		return client, false
	}
}

// master returns what publishes: in a cluster one node of it, since what different nodes
// publish has no order.
func master(ctx context.Context, client redis.UniversalClient, channel string) (redis.UniversalClient, error) {
	cluster, ok := client.(*redis.ClusterClient)
	if !ok {
		return client, nil
	}
	return cluster.MasterForKey(ctx, channel)
}
