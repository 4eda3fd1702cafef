package redisbus_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/redisbus"
)

// traffic is what several nodes publish to each other at the same time, numbered.
type traffic struct {
	nodes []*trafficNode
	stop  chan struct{}
	done  sync.WaitGroup
}

// trafficNode is one of the nodes.
type trafficNode struct {
	*node
	log       *lines
	published atomic.Int64   // Publish has returned nil
	refused   atomic.Int64   // Publish has returned an error
	attempts  atomic.Int64   // the number of the last message
	arrived   atomic.Int64   // of all others
	last      []atomic.Int64 // the number of the last one that has arrived, by sender
}

const perSender = 1_000_000_000 // messages of a sender have numbers below that

// startTraffic opens as many nodes as there are clients, and lets each publish every two
// milliseconds.
func startTraffic(t *testing.T, clients []redis.UniversalClient, options ...redisbus.Option) *traffic {
	t.Helper()
	tr := &traffic{stop: make(chan struct{})}
	for range clients {
		tr.nodes = append(tr.nodes, &trafficNode{log: &lines{}, last: make([]atomic.Int64, len(clients))})
	}
	for i, n := range tr.nodes {
		n.node = open(t, clients[i], &hub{log: n.log.logger(), answer: n.take(t)}, options...)
	}
	for i, n := range tr.nodes {
		tr.done.Go(func() { n.publish(tr.stop, int64(i)*perSender) })
	}
	t.Cleanup(tr.end)
	tr.flows(t)
	return tr
}

// same returns a client as often as there are to be nodes.
func same(client redis.UniversalClient, nodes int) (clients []redis.UniversalClient) {
	for range nodes {
		clients = append(clients, client)
	}
	return clients
}

func (n *trafficNode) take(t *testing.T) func(*thinkws.Envelope, func(*thinkws.Envelope)) {
	return func(e *thinkws.Envelope, _ func(*thinkws.Envelope)) {
		number, err := strconv.ParseInt(string(e.Args.Text), 10, 64)
		assert.NoError(t, err)
		n.arrived.Add(1)
		from := &n.last[number/perSender]
		assert.Greater(t, number%perSender, from.Load(), "none twice, and in order")
		from.Store(number % perSender)
	}
}

func (n *trafficNode) publish(stop <-chan struct{}, first int64) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-stop:
			return
		}
		text := strconv.AppendInt(nil, first+n.attempts.Add(1), 10)
		e := &thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "n", Args: thinkws.Payload{Text: text, Count: 1}}
		if n.Publish(e) == nil {
			n.published.Add(1)
		} else {
			n.refused.Add(1)
		}
	}
}

// flows waits until everybody hears something from everybody else that is published after the
// call, and returns how long that took.
func (tr *traffic) flows(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	before := make([]int64, len(tr.nodes))
	for i, n := range tr.nodes {
		before[i] = n.attempts.Load()
	}
	require.Eventually(t, func() bool {
		for _, to := range tr.nodes {
			for i, from := range tr.nodes {
				if from != to && to.last[i].Load() <= before[i] {
					return false
				}
			}
		}
		return true
	}, time.Minute, 5*time.Millisecond, "traffic flows again")
	return time.Since(began)
}

func (tr *traffic) end() {
	select {
	case <-tr.stop:
	default:
		close(tr.stop)
	}
	tr.done.Wait()
}

// check ends the traffic. For each node, of what the others have published and was not refused,
// everything has arrived or is counted as missed: no more, and no less.
func (tr *traffic) check(t *testing.T) {
	t.Helper()
	tr.end()
	for i, to := range tr.nodes {
		var published, refused int64
		for _, from := range tr.nodes {
			if from != to {
				published += from.published.Load()
				refused += from.refused.Load()
			}
		}
		ok := assert.Eventually(t, func() bool {
			return published == to.arrived.Load()+int64(to.Stats().Missed)
		}, time.Minute, 10*time.Millisecond, "all that was published has arrived or is counted")
		s := to.Stats()
		t.Logf("node %d: others published %d and were refused %d; %d arrived, %d missed, %d of its own lost", i, published, refused,
			to.arrived.Load(), s.Missed, s.Lost)
		if !ok {
			t.Log(to.log.String())
		}
		assert.True(t, s.Up, "%v", s.Err)
		assert.NoError(t, s.Err)
	}
}

// losses returns how many messages are counted as lost or missed by now.
func (tr *traffic) losses() (n uint64) {
	for _, node := range tr.nodes {
		n += node.Stats().Lost + node.Stats().Missed
	}
	return n
}

// checkChanges checks that each change of the bus, of which there were at least so many, is one line
// in the log.
func (tr *traffic) checkChanges(t *testing.T, least int) {
	t.Helper()
	for _, n := range tr.nodes {
		down, up := n.log.count("bus is down"), n.log.count("bus is up")
		assert.GreaterOrEqual(t, down, least)
		assert.LessOrEqual(t, down, least+2, n.log.String()) // a slow machine may add some
		assert.Equal(t, down+1, up, "at the beginning, and after each: %s", n.log)
	}
}
