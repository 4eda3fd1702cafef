package redisbus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/seed-ce09063a/thinkws/internal/guard"
)

// errReply is the error for a reply of Redis, or of a proxy in front of it, that does not
// have the shape of the command's replies.
var errReply = errors.New("redisbus: unexpected reply of Redis")

// countOf reads how many subscribers a channel has from a reply of PUBSUB NUMSUB.
func countOf(counts map[string]int64, channel string) (int, error) {
	const most = 1 << 24 // connections of one Redis; the sum over a cluster fits into an int of 32 bits
	n, ok := counts[channel]
	if !ok || n < 0 || n > most {
		return 0, fmt.Errorf("%w: PUBSUB NUMSUB counts %d subscribers of %q", errReply, n, channel)
	}
	return int(n), nil
}

// subscribers counts the subscribers of each channel, in a cluster those of all its nodes.
func subscribers(ctx context.Context, client redis.UniversalClient, channels ...string) (map[string]int, error) {
	var mu sync.Mutex // protects sums
	sums := make(map[string]int, len(channels))
	err := onEach(ctx, client, func(ctx context.Context, c redis.UniversalClient) error {
		counts, err := c.PubSubNumSub(ctx, channels...).Result()
		mu.Lock()
		defer mu.Unlock()
		for _, channel := range channels {
			n, failed := countOf(counts, channel)
			err = cmp.Or(err, failed)
			sums[channel] += n
		}
		return err
	})
	return sums, err
}

// channelsLike lists the channels that match a pattern, in a cluster those of all its nodes.
func channelsLike(ctx context.Context, client redis.UniversalClient, pattern string) ([]string, error) {
	return listOf(ctx, client, func(ctx context.Context, c redis.UniversalClient) *redis.StringSliceCmd {
		return c.PubSubChannels(ctx, pattern)
	})
}

// shardedLike lists the channels of sharded subscriptions that match a pattern.
func shardedLike(ctx context.Context, client redis.UniversalClient, pattern string) ([]string, error) {
	return listOf(ctx, client, func(ctx context.Context, c redis.UniversalClient) *redis.StringSliceCmd {
		return c.PubSubShardChannels(ctx, pattern)
	})
}

// listOf asks for a list, in a cluster all of its nodes.
func listOf(ctx context.Context, client redis.UniversalClient,
	ask func(context.Context, redis.UniversalClient) *redis.StringSliceCmd) ([]string, error) {
	var mu sync.Mutex // protects all
	var all []string
	err := onEach(ctx, client, func(ctx context.Context, c redis.UniversalClient) error {
		some, err := ask(ctx, c).Result()
		mu.Lock()
		defer mu.Unlock()
		all = append(all, some...)
		return err
	})
	return all, err
}

// onEach calls fn for each master of a cluster, on a goroutine each, or else for the client.
func onEach(ctx context.Context, client redis.UniversalClient, fn func(context.Context, redis.UniversalClient) error) error {
	cluster, ok := client.(*redis.ClusterClient)
	if !ok {
		return guard.Do(func() error { return fn(ctx, client) })
	}
	return cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		return guard.Do(func() error { return fn(ctx, c) })
	})
}

// servers returns the other servers of a namespace: the names of those that have one, and
// the number of those that have none.
func (l *link) servers(ctx context.Context, c channels) (named map[string]struct{}, unnamed int, err error) {
	const attempts = 3 // a server may come between the two commands
	for range attempts {
		var count int
		if named, count, err = l.countServers(ctx, c); err != nil || len(named) <= count {
			return named, count - len(named), err
		}
		unnamed = count
	}
	return mostLikely(named, unnamed), 0, nil
}

// countServers returns the names and the number of the other servers of a namespace.
func (l *link) countServers(ctx context.Context, c channels) (named map[string]struct{}, count int, err error) {
	counts, err := subscribers(ctx, l.redis.client, c.request)
	if err != nil {
		return nil, 0, err
	}
	list, err := channelsLike(ctx, l.redis.client, c.nodes())
	if err != nil {
		return nil, 0, err
	}
	named, err = l.named(ctx, c, list)
	count = counts[c.request]
	if slices.Contains(list, c.ofNode(l.uid)) {
		count-- // this server is there, too
	}
	return named, count, err
}

// named returns the names in channels of other servers.
//
// Security: the channel for answers in the namespace "/a#x" has the name of that of a server
// "x" in "/a". This library does not let clients enter such a namespace, other servers may. It
// is told from a server by its channel for requests, which no server has for itself.
func (l *link) named(ctx context.Context, c channels, list []string) (map[string]struct{}, error) {
	names := make(map[string]string, len(list)) // by the channel for requests
	for _, channel := range list {
		if uid, ok := c.node(channel); ok && uid != l.uid {
			names[c.requestsBelow(uid)] = uid
		}
	}
	named := make(map[string]struct{}, len(names))
	for some := range slices.Chunk(slices.Collect(maps.Keys(names)), chunk) {
		counts, err := subscribers(ctx, l.redis.client, some...)
		if err != nil {
			return nil, err
		}
		for _, channel := range some {
			if counts[channel] == 0 {
				named[names[channel]] = struct{}{}
			}
		}
	}
	return named, nil
}

// mostLikely returns count of the names, those of this library first.
func mostLikely(named map[string]struct{}, count int) map[string]struct{} {
	names := slices.SortedFunc(maps.Keys(named), func(a, b string) int {
		switch {
		case isOurs(a) == isOurs(b):
			return cmp.Compare(a, b)
		case isOurs(a):
			return -1
		default:
			return 1
		}
	})
	likely := make(map[string]struct{}, count)
	for _, name := range names[:min(max(0, count), len(names))] {
		likely[name] = struct{}{}
	}
	return likely
}
