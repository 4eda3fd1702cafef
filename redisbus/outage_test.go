package redisbus_test

import (
	"encoding/json"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// stream is what one node publishes and another receives, numbered.
type stream struct {
	from, to  *node
	published int
	refused   int // Publish has returned an error
	stop      chan struct{}
	done      sync.WaitGroup
	last      atomic.Int64 // the number of the last one received
}

func startStream(t *testing.T, from, to *node) *stream {
	s := &stream{from: from, to: to, stop: make(chan struct{})}
	s.last.Store(-1)
	from.hub.answer = nil
	to.hub.answer = func(e *thinkws.Envelope, _ func(*thinkws.Envelope)) {
		n, err := strconv.ParseInt(string(e.Args.Text), 10, 64)
		assert.NoError(t, err)
		assert.Greater(t, n, s.last.Load(), "none twice, and in order")
		s.last.Store(n)
	}
	s.done.Go(func() {
		for tick := time.NewTicker(time.Millisecond); ; s.published++ {
			select {
			case <-tick.C:
			case <-s.stop:
				tick.Stop()
				return
			}
			text, _ := json.Marshal(s.published)
			if err := from.Publish(&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "n", Args: thinkws.Payload{Text: text, Count: 1}}); err != nil {
				assert.ErrorIs(t, err, thinkws.ErrBus)
				s.refused++
			}
		}
	})
	require.Eventually(t, func() bool { return s.last.Load() >= 0 }, time.Minute, time.Millisecond)
	return s
}

// flows waits until what is published now arrives, and returns how long that took.
func (s *stream) flows(t *testing.T) time.Duration {
	t.Helper()
	began, last := time.Now(), s.last.Load()
	require.Eventually(t, func() bool { return s.last.Load() > last }, time.Minute, time.Millisecond)
	return time.Since(began)
}

// advance waits until so many more have arrived.
func (s *stream) advance(t *testing.T, n int64) {
	t.Helper()
	last := s.last.Load()
	require.Eventually(t, func() bool { return s.last.Load() >= last+n }, time.Minute, time.Millisecond)
}

// check ends the stream. What has not arrived and was not refused is counted as missed.
func (s *stream) check(t *testing.T) {
	t.Helper()
	close(s.stop)
	s.done.Wait()
	assert.Eventually(t, func() bool {
		return s.to.count()+s.refused+int(s.to.Stats().Missed) == s.published
	}, time.Minute, 10*time.Millisecond, "something has vanished, or is counted twice")
	t.Logf("%d published, %d arrived, %d refused, %d counted as lost, %d as missed", s.published, s.to.count(), s.refused,
		s.from.Stats().Lost, s.to.Stats().Missed)
}

func TestRedisIsKilledAndStartedAgain(t *testing.T) {
	t.Parallel()
	for _, away := range []time.Duration{0, 300 * time.Millisecond, 2 * time.Second} {
		t.Run(away.String(), func(t *testing.T) {
			t.Parallel()
			server, err := startRedis(0)
			require.NoError(t, err)
			defer func() { server.kill() }()
			client := clientOf(t, "redis://"+server.addr())
			a, b := open(t, client, &hub{}), open(t, client, &hub{})
			s := startStream(t, a, b)
			for range 2 {
				s.advance(t, 100)
				server.kill()
				time.Sleep(away)
				server, err = startRedis(server.port)
				require.NoError(t, err)
				assert.Less(t, s.flows(t), 3*time.Second)
				require.Eventually(t, func() bool { return a.Stats().Up && b.Stats().Up }, time.Minute, time.Millisecond)
			}
			s.check(t)
		})
	}
}

func TestSubscribersAreKilled(t *testing.T) {
	t.Parallel()
	server, err := startRedis(0)
	require.NoError(t, err)
	defer server.kill()
	client := clientOf(t, "redis://"+server.addr())
	a, b := open(t, client, &hub{}), open(t, client, &hub{})
	s := startStream(t, a, b)
	for range 5 {
		s.advance(t, 50)
		require.NoError(t, client.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err())
		assert.Less(t, s.flows(t), 3*time.Second)
	}
	s.check(t)
}

// silentProxy passes on what it gets until it is told to be silent: connections stay
// open, and nothing comes any more.
type silentProxy struct {
	listener net.Listener
	to       atomic.Value // the address
	silent   atomic.Bool
	deaf     atomic.Int64 // directions that have become so
	conns    sync.WaitGroup
	mu       sync.Mutex // protects open
	open     []net.Conn
}

func startProxy(t *testing.T, to string) *silentProxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &silentProxy{listener: l}
	p.lead(to)
	p.conns.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for _, c := range p.open {
			c.Close()
		}
		p.mu.Unlock()
		p.conns.Wait()
	})
	return p
}

// lead lets connections that come from now on go to another server.
func (p *silentProxy) lead(to string) { p.to.Store(to) }

func (p *silentProxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.to.Load().(string))
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.open = append(p.open, client, server)
		p.mu.Unlock()
		p.conns.Go(func() { p.pass(client, server) })
		p.conns.Go(func() { p.pass(server, client) })
	}
}

// pass is silent from the first moment on that it has to be, for good: what was lost on
// the way cannot come later.
func (p *silentProxy) pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 32<<10)
	deaf := false
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if !deaf && p.silent.Load() {
			deaf = true
			p.deaf.Add(1)
		}
		if deaf {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func TestSilentConnections(t *testing.T) {
	t.Parallel()
	proxy := startProxy(t, addrOf(t))
	through := clientOf(t, "redis://"+proxy.listener.Addr().String())
	a, b := open(t, through, &hub{}, prefix(t)), open(t, through, &hub{}, prefix(t))
	s := startStream(t, a, b)
	proxy.silent.Store(true)
	require.Eventually(t, func() bool { return !a.Stats().Up && !b.Stats().Up }, time.Minute, time.Millisecond, "silence is noticed")
	assert.ErrorIs(t, a.Stats().Err, thinkws.ErrBus)
	time.Sleep(time.Second)
	proxy.silent.Store(false)
	assert.Less(t, s.flows(t), 3*time.Second)
	s.check(t)
}

// Only the connection that subscribes hears nothing any more: what is published goes out
// to the others, and does not come back.
func TestDeafSubscriber(t *testing.T) {
	t.Parallel()
	proxy := startProxy(t, addrOf(t))
	through := clientOf(t, "redis://"+proxy.listener.Addr().String())
	b := open(t, through, &hub{}, prefix(t))
	a := open(t, clientOf(t, shared), &hub{}, prefix(t))
	s := startStream(t, a, b)
	proxy.silent.Store(true)
	require.Eventually(t, func() bool { return proxy.deaf.Load() > 0 }, time.Minute, time.Millisecond, "what the subscriber would hear")
	proxy.silent.Store(false) // for new connections
	assert.Less(t, s.flows(t), 2*silenceOfRedis)
	s.check(t)
}

// silenceOfRedis is after which a connection counts as dead.
const silenceOfRedis = 3 * time.Second

func addrOf(t *testing.T) string {
	options, err := redis.ParseURL(shared)
	require.NoError(t, err)
	return options.Addr
}

// Without Redis a handler starts, says that it is not ready, and is once Redis is there.
func TestRedisComesLate(t *testing.T) {
	t.Parallel()
	server, err := startRedis(0)
	require.NoError(t, err)
	server.kill()
	client := clientOf(t, "redis://"+server.addr())
	log := &lines{}
	a := openLate(t, client, &hub{log: log.logger()})
	require.Eventually(t, func() bool {
		return a.Publish(&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e"}) != nil
	}, time.Minute, 10*time.Millisecond)
	time.Sleep(time.Second)
	assert.Equal(t, 1, log.count("bus is down"), "one line for one change")
	server, err = startRedis(server.port)
	require.NoError(t, err)
	defer server.kill()
	require.Eventually(t, func() bool { return a.Stats().Up }, time.Minute, time.Millisecond)
	assert.Equal(t, 1, log.count("bus is up"), string(log.text))
	assert.NoError(t, a.Publish(&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e"}))
}

// Commands that Redis refuses are errors, too.
func TestRedisRefuses(t *testing.T) {
	t.Parallel()
	server, err := startRedis(0)
	require.NoError(t, err)
	defer server.kill()
	client := clientOf(t, "redis://"+server.addr())
	a := open(t, client, &hub{})
	require.NoError(t, client.Do(t.Context(), "ACL", "SETUSER", "default", "-publish").Err())
	require.Eventually(t, func() bool { return !a.Stats().Up }, time.Minute, time.Millisecond)
	assert.ErrorContains(t, a.Stats().Err, "NOPERM")
	require.NoError(t, client.Do(t.Context(), "ACL", "SETUSER", "default", "+publish").Err())
	require.Eventually(t, func() bool { return a.Stats().Up }, time.Minute, time.Millisecond)
}

func TestOutboxIsBounded(t *testing.T) {
	t.Parallel()
	server, err := startRedis(0)
	require.NoError(t, err)
	client := clientOf(t, "redis://"+server.addr())
	server.kill()
	a := openLate(t, client, &hub{}, smallOutbox)
	e := &thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e"}
	for range 3 {
		require.NoError(t, a.Publish(e))
	}
	assert.ErrorContains(t, a.Publish(e), "too much waits")
	require.Eventually(t, func() bool { return a.Stats().Lost == 3 }, time.Minute, 10*time.Millisecond)
}
