package redisbus_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/redisbus"
)

// redisCluster is a Redis Cluster of our own: masters, and a replica of each if there are any.
type redisCluster struct {
	servers map[string]*redisServer  // by address
	single  map[string]*redis.Client // of each
	client  *redis.ClusterClient
}

// startCluster starts a Redis Cluster of three masters.
func startCluster(t *testing.T, replicas int) *redisCluster {
	t.Helper()
	c := &redisCluster{servers: map[string]*redisServer{}, single: map[string]*redis.Client{}}
	args := []string{"--cluster", "create", "--cluster-yes", "--cluster-replicas", strconv.Itoa(replicas)}
	var addrs []string
	for range 3 * (1 + replicas) {
		server, err := startRedis(0, "--cluster-enabled", "yes", "--cluster-config-file", filepath.Join(t.TempDir(), "nodes.conf"),
			"--cluster-node-timeout", "2500", "--repl-diskless-sync-delay", "0", "--dir", t.TempDir())
		require.NoError(t, err)
		t.Cleanup(server.kill)
		c.servers[server.addr()] = server
		c.single[server.addr()] = clientOf(t, "redis://"+server.addr())
		addrs = append(addrs, server.addr())
	}
	out, err := exec.CommandContext(t.Context(), "redis-cli", append(args, addrs...)...).CombinedOutput()
	require.NoError(t, err, string(out))
	c.client = redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	t.Cleanup(func() { c.client.Close() })
	for addr := range c.servers {
		c.awaitOK(t, addr, 3*(1+replicas))
		require.Eventually(t, func() bool { return len(c.ids(t, addr)) == 3 }, time.Minute, 20*time.Millisecond, "the others are replicas")
	}
	return c
}

// awaitOK waits until a server knows so many, and that the cluster is well.
func (c *redisCluster) awaitOK(t *testing.T, addr string, known int) {
	t.Helper()
	client := c.single[addr]
	require.Eventually(t, func() bool {
		info := client.ClusterInfo(t.Context()).Val()
		return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", known))
	}, time.Minute, 20*time.Millisecond)
}

// ids returns the ids of the masters that are well, by address, as one server names them.
func (c *redisCluster) ids(t *testing.T, of string) map[string]string {
	t.Helper()
	ids := map[string]string{}
	for line := range strings.Lines(c.single[of].ClusterNodes(t.Context()).Val()) {
		fields := strings.Fields(line)
		if len(fields) > 2 && strings.Contains(fields[2], "master") && !strings.Contains(fields[2], "fail") {
			addr, _, _ := strings.Cut(fields[1], "@")
			ids[addr] = fields[0]
		}
	}
	return ids
}

// listeners returns how many listen to a channel at a server.
func (c *redisCluster) listeners(t *testing.T, addr, channel string) int64 {
	t.Helper()
	return c.single[addr].PubSubNumSub(t.Context(), channel).Val()[channel]
}

// inUse returns the server at which most listen to a channel.
func (c *redisCluster) inUse(t *testing.T, channel string) (most string) {
	t.Helper()
	require.Eventually(t, func() bool {
		for addr := range c.servers {
			if n := c.listeners(t, addr, channel); n > 0 && (most == "" || n > c.listeners(t, most, channel)) {
				most = addr
			}
		}
		return most != ""
	}, time.Minute, 10*time.Millisecond)
	return most
}

func TestRedisCluster(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 0)
	line := append(rightsOf(t, "bus"), "+cluster|slots", "&socket.io#/chat#*")
	var addrs []string
	for addr := range c.servers {
		(&users{admin: c.single[addr]}).do(t, line...)
		addrs = append(addrs, addr)
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, Username: "bus", Password: "secret"})
	defer client.Close()
	log := &lines{}
	a := open(t, client, &hub{log: log.logger()}, redisbus.SurveyEvery(time.Millisecond))
	b := open(t, client, &hub{answer: func(e *thinkws.Envelope, reply func(*thinkws.Envelope)) {
		if reply != nil {
			reply(&thinkws.Envelope{Kind: thinkws.BusAnswer, Names: []string{"b"}})
		}
	}})
	b.subscribe(t, "/chat")
	for i := range 100 { // in order, whatever the channel
		require.NoError(t, a.Publish(&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e", Rooms: []string{string(rune('a' + i%26))}, Args: payload(t, i)}))
	}
	for i, e := range b.take(t, 100) {
		assert.Equal(t, payload(t, i), e.Args)
	}
	var got []*thinkws.Envelope
	require.NoError(t, a.Ask(t.Context(), &thinkws.Envelope{Kind: thinkws.BusRooms, Namespace: "/chat"}, func(e *thinkws.Envelope) { got = append(got, e) }))
	assert.Len(t, got, 1)
	require.NoError(t, redisbus.NewEmitter(client).Emit(t.Context(), "e"))
	assert.Equal(t, "e", b.take(t, 2)[1].Event)
	assert.Zero(t, a.Stats().Lost+b.Stats().Missed)
	assert.NoError(t, a.Stats().Err, "the documented rights are enough")
	for _, channel := range []string{"socket.io#/#", "socket.io#/chat#", "socket.io#/x#"} { // of several masters
		sharded := c.client.SSubscribe(t.Context(), channel)
		require.Eventually(t, func() bool { return log.count("sharded adapter found") == 1 }, time.Minute, 10*time.Millisecond)
		sharded.Close()
		require.Eventually(t, func() bool { return log.count("sharded adapter is gone") == 1 }, time.Minute, 10*time.Millisecond)
		log.clear()
	}
}

// Rows D3 and 3: whatever becomes of the masters, the nodes hear each other as soon as any of them
// answers, and everything that was published has arrived or is counted.
func TestRedisClusterLosesMasters(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	log := &lines{}
	registry, err := redisbus.NewRegistry(t.Context(), c.client, log.logger())
	require.NoError(t, err)
	defer registry.Close()
	require.NoError(t, registry.Register(t.Context(), nodeAt("n1aB", 1)))
	tr := startTraffic(t, same(c.client, 3))
	const channel = "socket.io-request#/#"
	at := c.inUse(t, channel)
	assert.EqualValues(t, 3, c.listeners(t, at, channel), "all are at one master")

	// The slot of the channel moves to another master.
	slot := c.single[at].ClusterKeySlot(t.Context(), channel).Val()
	ids := c.ids(t, at)
	var to string
	for addr := range ids {
		if addr != at {
			to = addr
		}
	}
	out, err := exec.CommandContext(t.Context(), "redis-cli", "--cluster", "reshard", at, "--cluster-from", ids[at], "--cluster-to", ids[to],
		"--cluster-slots", "100", "--cluster-yes").CombinedOutput()
	require.NoError(t, err, string(out))
	for _, step := range []struct{ addr, state, id string }{
		{to, "IMPORTING", ids[at]}, {at, "MIGRATING", ids[to]}, {to, "NODE", ids[to]}, {at, "NODE", ids[to]},
	} {
		require.NoError(t, c.single[step.addr].Do(t.Context(), "CLUSTER", "SETSLOT", slot, step.state, step.id).Err())
	}
	t.Logf("slots moved: traffic flows after %v", tr.flows(t))
	assert.Zero(t, tr.losses(), "moving slots loses nothing")

	// The master becomes a replica.
	replica := c.replicaOf(t, at, ids[at])
	var asked time.Time
	require.Eventually(t, func() bool {
		if time.Since(asked) > 6*time.Second { // the replica gives up after five
			asked = time.Now()
			assert.NoError(t, c.single[replica].ClusterFailover(t.Context()).Err())
		}
		return c.ids(t, replica)[replica] != ""
	}, time.Minute, 10*time.Millisecond)
	began := time.Now()
	require.Eventually(t, func() bool { return c.listeners(t, at, channel) == 0 }, time.Minute, 10*time.Millisecond, "the master is left")
	tr.flows(t)
	t.Logf("CLUSTER FAILOVER: traffic flows after %v", time.Since(began))

	// The master does not let anybody publish for a while.
	at = c.inUse(t, channel)
	require.NoError(t, c.single[at].Do(t.Context(), "CLIENT", "PAUSE", 60_000, "WRITE").Err())
	t.Logf("CLIENT PAUSE: traffic flows after %v", tr.flows(t))
	require.NoError(t, c.single[at].Do(t.Context(), "CLIENT", "UNPAUSE").Err())

	// Masters are killed.
	for range 2 {
		at = c.inUse(t, channel)
		c.servers[at].kill()
		delete(c.servers, at)
		t.Logf("kill -9 of the master: traffic flows after %v", tr.flows(t))
		for addr := range c.servers {
			require.Eventually(t, func() bool {
				ids := c.ids(t, addr)
				return ids[at] == "" && len(ids) == 3
			}, time.Minute, 10*time.Millisecond)
			c.awaitOK(t, addr, 6)
		}
		t.Logf("the cluster is well: traffic flows after %v", tr.flows(t))
		require.Eventually(t, func() bool { return registry.Register(t.Context(), nodeAt("n1aB", 1)) == nil }, time.Minute, 10*time.Millisecond)
		require.Eventually(t, func() bool {
			emitter := redisbus.NewEmitter(c.client)
			for i := range 10 { // of slots of all masters
				if emitter.Of("/"+strconv.Itoa(i)).Emit(t.Context(), "e") != nil {
					return false
				}
			}
			return true
		}, time.Minute, 10*time.Millisecond)
		assert.Empty(t, goRedis.since(0, "failed to dial after 1 attempts: dial tcp "+at), "go-redis logs nothing of our connections")
	}
	for _, text := range []string{"getting command info", "marked as failed", "pings to all nodes"} {
		assert.Empty(t, goRedis.since(0, text))
	}
	tr.check(t)
}

// replicaOf returns the address of a replica.
func (c *redisCluster) replicaOf(t *testing.T, addr, master string) (replica string) {
	t.Helper()
	require.Eventually(t, func() bool {
		for line := range strings.Lines(c.single[addr].ClusterNodes(t.Context()).Val()) {
			if fields := strings.Fields(line); len(fields) > 3 && fields[3] == master {
				replica, _, _ = strings.Cut(fields[1], "@")
			}
		}
		return replica != ""
	}, time.Minute, 10*time.Millisecond)
	return replica
}
