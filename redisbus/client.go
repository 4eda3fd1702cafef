package redisbus

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Bounds of our connections. They are shorter than the defaults of go-redis, so that a server
// that hangs is noticed while the loss can still be made good.
const (
	replyTimeout = 1500 * time.Millisecond
	poolSize     = 4
)

// own returns a copy of client and its dialer. Retries are off, because a failed PUBLISH may have been delivered.
// Deadlines of contexts apply. The protocol is RESP2. A client of another type is returned as it is, without a dialer.
func own(client redis.UniversalClient) (redis.UniversalClient, *dialer) {
	switch c := client.(type) {
	case *redis.Client:
		return ownSingle(*c.Options())
	case *redis.ClusterClient:
		return ownCluster(*c.Options())
	default:
		return client, nil
	}
}

func ownSingle(o redis.Options) (*redis.Client, *dialer) {
	d := newDialer(o.Dialer)
	o.Dialer = d.Dial
	o.Protocol, o.MaxRetries, o.ContextTimeoutEnabled = 2, -1, true
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = dialTimeout, replyTimeout, replyTimeout
	o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.PoolTimeout = poolSize, 0, 0, execTimeout
	o.DialerRetries = 1
	o.ClientSideCache, o.ClientSideCacheConfig = nil, nil
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(&o), d
}

func ownCluster(o redis.ClusterOptions) (*redis.ClusterClient, *dialer) {
	next := o.Dialer
	if next == nil {
		next = redis.NewDialer(&redis.Options{DialTimeout: dialTimeout, TLSConfig: o.TLSConfig})
	}
	d := newDialer(next)
	o.Dialer = d.Dial
	o.Protocol, o.MaxRetries, o.ContextTimeoutEnabled = 2, -1, true
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = dialTimeout, replyTimeout, replyTimeout
	o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.PoolTimeout = poolSize, 0, 0, execTimeout
	o.DialerRetries = 1
	o.ReadOnly, o.RouteByLatency, o.RouteRandomly = false, false, false
	o.DisableRoutingPolicies = true // for which go-redis would need COMMAND, and log that it may not
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClusterClient(&o), d
}

var (
	errRing  = errors.New("redisbus: redis.Ring is not supported: its servers do not share what is published")
	errSlots = errors.New("redisbus: redis.NewFailoverClusterClient and ClusterOptions.ClusterSlots are not supported: " +
		"use redis.NewFailoverClient")
)

// checkKind returns an error for clients of a kind that the bus cannot work with.
func checkKind(client redis.UniversalClient) error {
	switch c := client.(type) {
	case nil:
		return errors.New("redisbus: no client")
	case *redis.Ring:
		return errRing
	case *redis.ClusterClient:
		if c.Options().ClusterSlots != nil {
			return errSlots
		}
	}
	return nil
}

// master returns the server that publishes: in a cluster the master of the channel's slot, because
// what different servers publish has no order.
func master(ctx context.Context, client redis.UniversalClient, channel string) (redis.UniversalClient, error) {
	cluster, ok := client.(*redis.ClusterClient)
	if !ok {
		return client, nil
	}
	return cluster.MasterForKey(ctx, channel)
}
