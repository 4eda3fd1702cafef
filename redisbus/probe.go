package redisbus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-ce09063a/thinkws/internal/guard"
)

const (
	probeEvery = time.Second
	probeDown  = 250 * time.Millisecond // while the bus is down
	probeSoon  = 50 * time.Millisecond  // when it has gone down
)

// listening is the value of link.heard while the subscriber handles a message.
const listening = math.MaxInt64

var errDeaf = errors.New("redisbus: what is published does not come back")

// probing publishes something every second that has to come back: a connection may be open and
// answer, and still hear nothing, for instance to a Redis that is no master any more.
func (l *link) probing(ctx context.Context) {
	l.hears()
	wait := time.NewTimer(0)
	defer wait.Stop()
	changed := l.state.changes()
	for {
		select {
		case <-wait.C:
		case <-changed:
			if changed = l.state.changes(); l.state.down() != nil {
				wait.Reset(probeSoon)
			}
			continue
		case <-ctx.Done():
			return
		}
		began := time.Now()
		err := guard.Do(func() error { return l.sendProbe(ctx) })
		if ctx.Err() != nil {
			return
		}
		l.state.published(began, err)
		changed = l.state.changes()
		up := l.state.down() == nil
		switch {
		case !up:
			l.hears()
		case time.Since(l.opened)-time.Duration(l.heard.Load()) > silence:
			l.subscriber.kick(errDeaf)
			l.hears() // the next connection has its own time
		}
		if up {
			l.survey(ctx)
			wait.Reset(probeEvery)
		} else {
			l.redis.failed()
			wait.Reset(probeDown)
		}
	}
}

// hears records that the subscriber received a message, or that none is expected. A subscriber that lags is not deaf:
// its probe is late, but other messages arrive.
func (l *link) hears() { l.heard.Store(int64(time.Since(l.opened))) }

// sendProbe publishes a probe, and asks about the server and whether requests work.
func (l *link) sendProbe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, execTimeout)
	defer cancel()
	client, err := l.redis.node(ctx)
	if err != nil {
		return err
	}
	subscribed := l.subscriber.confirmedOn(topic{l.probe, false})
	pipe := client.Pipeline()
	role := hello(ctx, pipe)
	sent := pipe.Publish(ctx, l.probe, "")
	count := pipe.PubSubNumSub(ctx, l.receipts.channel)
	marked := l.mark(ctx, pipe)
	_, _ = pipe.Exec(ctx) // each command has its own error
	marked()
	l.receipts.observe(count)
	l.note(countServers, count.Err())
	switch err := sent.Err(); {
	case err != nil:
		if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
			l.redis.timedOut()
		}
		return fmt.Errorf("redisbus: PUBLISH %s: %w", l.probe, err)
	case isReplica(role) && l.receipts.unknown:
		l.redis.failed() // in a cluster it reaches all, but others count what masters know
	case isReplica(role):
		l.subscriber.kick(errReplica)
		l.redis.drop() // the next connections may lead to the master
		return errReplica
	case sent.Val() > 0:
		l.counts = true // a proxy may not
	case l.counts && subscribed != nil && subscribed == l.subscriber.confirmedOn(topic{l.probe, false}) && !l.receipts.unknown:
		l.subscriber.kick(errApart)
		l.redis.drop()
		return errApart
	}
	return nil
}

// mark adds marks to a pipeline, and returns what looks whether they have gone out.
func (l *link) mark(ctx context.Context, pipe redis.Pipeliner) (sent func()) {
	marks, namespaces := l.publisher.marks(l.uid)
	var last *redis.IntCmd
	for _, mark := range marks {
		last = pipe.Publish(ctx, l.goodbyes, mark)
	}
	return func() {
		if last != nil && last.Err() != nil {
			l.publisher.unmarked(namespaces)
		}
	}
}

// note takes whether Redis executes a command. An error of the connection says nothing about that.
func (l *link) note(command string, err error) {
	switch {
	case err == nil:
		l.state.limited(command, nil)
	case isReply(err):
		l.state.limited(command, fmt.Errorf("redisbus: %s: %w", command, err))
	}
}

// survey runs the checks that are too expensive for every probe: once a minute and after each reconnect.
func (l *link) survey(ctx context.Context) {
	if time.Since(l.surveyed) < l.cfg.surveyEvery && !l.state.upSince(l.surveyed) && l.state.cannotAsk() == nil {
		return
	}
	l.surveyed = time.Now()
	ctx, cancel := context.WithTimeout(ctx, execTimeout)
	defer cancel()
	_, err := channelsLike(ctx, l.redis.client, escape(l.goodbyes))
	l.note(nameServers, err)
	l.lookForSharded(ctx)
}

// lookForSharded warns of servers of Node.js with the sharded adapter: they neither hear this
// bus nor are heard by it. Redis before version 7 has no such channels, and answers an error.
func (l *link) lookForSharded(ctx context.Context) {
	channels, err := shardedLike(ctx, l.redis.client, escape(l.cfg.prefix+"#")+"*")
	switch {
	case err != nil:
	case len(channels) > 0 && !l.sharded:
		l.log.Warn("sharded adapter found, nothing is shared with it", "channel", channels[0])
	case len(channels) == 0 && l.sharded:
		l.log.Info("sharded adapter is gone")
	}
	if err == nil {
		l.sharded = len(channels) > 0
	}
}
