package redisbus_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/redisbus"
)

// sentinels are a master, a replica and three Sentinels of our own.
type sentinels struct {
	servers map[string]*redisServer // master and replica, by address
	addrs   []string                // of the Sentinels
	first   *redis.SentinelClient   // of one of them
}

func startSentinels(t *testing.T) *sentinels {
	t.Helper()
	s := &sentinels{servers: map[string]*redisServer{}}
	master, err := startRedis(0, "--dir", t.TempDir())
	require.NoError(t, err)
	t.Cleanup(master.kill)
	replica, err := startRedis(0, "--dir", t.TempDir(), "--replicaof", "127.0.0.1 "+strconv.Itoa(master.port), "--repl-diskless-sync-delay", "0")
	require.NoError(t, err)
	t.Cleanup(replica.kill)
	s.servers[master.addr()], s.servers[replica.addr()] = master, replica
	client := clientOf(t, "redis://"+replica.addr())
	require.Eventually(t, func() bool {
		return client.Do(t.Context(), "ROLE").Val().([]any)[3] == "connected"
	}, time.Minute, 10*time.Millisecond)
	for range 3 {
		port := freePort()
		config := filepath.Join(t.TempDir(), "sentinel.conf")
		require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, "port %d\nbind 127.0.0.1\nsentinel monitor m 127.0.0.1 %d 2\n"+
			"sentinel down-after-milliseconds m 1000\nsentinel failover-timeout m 5000\nloglevel warning\n", port, master.port), 0o600))
		sentinel, err := startProcess(port, config, "--sentinel")
		require.NoError(t, err)
		t.Cleanup(sentinel.kill)
		s.addrs = append(s.addrs, sentinel.addr())
	}
	s.first = redis.NewSentinelClient(&redis.Options{Addr: s.addrs[0]})
	t.Cleanup(func() { s.first.Close() })
	for _, addr := range s.addrs {
		sentinel := redis.NewSentinelClient(&redis.Options{Addr: addr})
		require.Eventually(t, func() bool {
			m := sentinel.Master(t.Context(), "m").Val()
			return m["num-slaves"] == "1" && m["num-other-sentinels"] == "2"
		}, time.Minute, 10*time.Millisecond)
		sentinel.Close()
	}
	return s
}

// client returns a client that follows the master.
func (s *sentinels) client(t *testing.T) *redis.Client {
	client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "m", SentinelAddrs: s.addrs})
	t.Cleanup(func() { client.Close() })
	return client
}

// master returns the address of the master, as the first Sentinel names it.
func (s *sentinels) master(t *testing.T) string {
	t.Helper()
	addr, err := s.first.GetMasterAddrByName(t.Context(), "m").Result()
	require.NoError(t, err)
	return net.JoinHostPort(addr[0], addr[1])
}

// switched waits until the first Sentinel names another master.
func (s *sentinels) switched(t *testing.T, old string) {
	t.Helper()
	require.Eventually(t, func() bool { return s.master(t) != old }, time.Minute, 5*time.Millisecond)
}

// Rows D4 and 3: a failover that is planned. The old master goes on as a master for some seconds;
// nobody stays there.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	s := startSentinels(t)
	log := &lines{}
	registry, err := redisbus.NewRegistry(t.Context(), s.client(t), log.logger())
	require.NoError(t, err)
	defer registry.Close()
	tr := startTraffic(t, []redis.UniversalClient{s.client(t), s.client(t), s.client(t)})
	old := s.master(t)
	require.NoError(t, s.first.Failover(t.Context(), "m").Err())
	s.switched(t, old)
	began := time.Now()
	client := clientOf(t, "redis://"+old)
	require.Eventually(t, func() bool {
		return len(client.PubSubChannels(t.Context(), "socket.io-*").Val()) == 0
	}, time.Minute, 5*time.Millisecond, "the old master is left, also by the registry")
	moved := time.Since(began)
	for _, n := range tr.nodes {
		assert.Contains(t, n.log.String(), "the connections are at different servers", "not when it has become a replica, seconds later")
	}
	tr.flows(t)
	t.Logf("SENTINEL FAILOVER: all had moved after %v, traffic flowed after %v", moved, time.Since(began))
	require.NoError(t, registry.Register(t.Context(), nodeAt("n1aB", 1)))
	tr.check(t)
}

func TestSentinelMasterIsKilled(t *testing.T) {
	t.Parallel()
	s := startSentinels(t)
	tr := startTraffic(t, []redis.UniversalClient{s.client(t), s.client(t), s.client(t)})
	old := s.master(t)
	s.servers[old].kill()
	s.switched(t, old)
	began := time.Now()
	tr.flows(t)
	t.Logf("kill -9 of the master: traffic flows %v after there is a new one", time.Since(began))
	tr.check(t)
	tr.checkChanges(t, 1)
}

// A server that becomes a replica is left, whatever leads to the next one: here a proxy.
func TestMasterBecomesReplica(t *testing.T) {
	t.Parallel()
	one, err := startRedis(0)
	require.NoError(t, err)
	defer one.kill()
	two, err := startRedis(0)
	require.NoError(t, err)
	defer two.kill()
	proxy := startProxy(t, one.addr())
	tr := startTraffic(t, same(clientOf(t, "redis://"+proxy.listener.Addr().String()), 3))
	began := time.Now()
	require.NoError(t, clientOf(t, "redis://"+one.addr()).Do(t.Context(), "REPLICAOF", "127.0.0.1", strconv.Itoa(two.port)).Err())
	require.Eventually(t, func() bool {
		for _, n := range tr.nodes {
			if stats := n.Stats(); stats.Up || !strings.Contains(stats.Err.Error(), "is a replica") {
				return false
			}
		}
		return true
	}, time.Minute, time.Millisecond)
	t.Logf("REPLICAOF: noticed after %v", time.Since(began))
	proxy.lead(two.addr())
	began = time.Now()
	tr.flows(t)
	t.Logf("the proxy leads to the new master: traffic flows after %v", time.Since(began))
	tr.check(t)
}

// Clients of kinds that the bus cannot work with are refused, not misunderstood.
func TestKindsOfClients(t *testing.T) {
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	defer ring.Close()
	failover := redis.NewFailoverClusterClient(&redis.FailoverOptions{MasterName: "m", SentinelAddrs: []string{"127.0.0.1:1"}})
	defer failover.Close()
	for name, client := range map[string]redis.UniversalClient{"redis.Ring": ring, "redis.NewFailoverClusterClient": failover} {
		_, err := redisbus.New(client).Open(&hub{})
		assert.ErrorContains(t, err, name)
		_, err = redisbus.NewRegistry(t.Context(), client, nil)
		assert.ErrorContains(t, err, name)
		assert.ErrorContains(t, redisbus.NewEmitter(client).Emit(t.Context(), "e"), name)
	}
}
