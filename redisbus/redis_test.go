package redisbus_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/redisbus"
)

// shared is the Redis of all tests that do not harm it: REDIS_URL, or one that is started
// here.
var shared string

func TestMain(m *testing.M) {
	flag.Parse()
	if worker := flag.Lookup("test.fuzzworker"); worker != nil && worker.Value.String() == "true" {
		os.Exit(m.Run()) // it needs no Redis, which would keep the worker's pipes open when that is ended
	}
	redis.SetLogger(goRedis)
	stop := func() {}
	if shared = os.Getenv("REDIS_URL"); shared == "" {
		server, err := startRedis(0)
		if err != nil {
			fmt.Fprintln(os.Stderr, "redisbus tests need a redis-server, or REDIS_URL:", err)
			os.Exit(1)
		}
		shared, stop = "redis://"+server.addr(), server.kill
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		stop()
		os.Exit(code)
	}))
}

// goRedis is what go-redis logs in this process.
var goRedis = &goRedisLog{}

type goRedisLog struct {
	mu    sync.Mutex // protects lines
	lines []string
}

// Printf implements the logger of go-redis.
func (l *goRedisLog) Printf(_ context.Context, format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, v...))
}

func (l *goRedisLog) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lines)
}

// since returns the lines from the first one on that have a text in them.
func (l *goRedisLog) since(first int, text string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines[first:] {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// redisServer is a redis-server of our own, without persistence.
type redisServer struct {
	port    int
	command *exec.Cmd
}

// startRedis starts one on the port, 0 for a free one, and waits until it answers.
func startRedis(port int, more ...string) (*redisServer, error) {
	if port == 0 {
		port = freePort()
	}
	args := append([]string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--loglevel", "warning"}, more...)
	return startProcess(port, args...)
}

// freePort returns a port that nobody listens on. The one 10,000 above, for the traffic of a Redis
// Cluster, is free as well. Neither is one that the system gives to outgoing connections, which
// might take it while a server is away.
func freePort() int {
	for {
		port := 10_000 + rand.IntN(10_000)
		one, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		above, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+10_000)))
		one.Close()
		if err == nil {
			above.Close()
			return port
		}
	}
}

// startProcess starts redis-server and waits until it answers on the port.
func startProcess(port int, args ...string) (*redisServer, error) {
	s := &redisServer{port: port, command: exec.Command("redis-server", args...)}
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	for range 500 {
		if conn, err := net.Dial("tcp", s.addr()); err == nil {
			conn.Close()
			return s, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.kill()
	return nil, fmt.Errorf("redis-server does not answer on %s", s.addr())
}

func (s *redisServer) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// signal sends the process a signal.
func (s *redisServer) signal(t testing.TB, signal os.Signal) {
	t.Helper()
	require.NoError(t, s.command.Process.Signal(signal))
}

func (s *redisServer) kill() {
	_ = s.command.Process.Kill()
	_ = s.command.Wait()
}

// clientOf is a client for the time of the test.
func clientOf(t testing.TB, url string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	require.NoError(t, err)
	client := redis.NewClient(options)
	t.Cleanup(func() { client.Close() })
	return client
}

// prefix keeps tests that share a Redis apart.
func prefix(t testing.TB) redisbus.Option { return redisbus.WithPrefix("test-" + t.Name()) }

// hub is the hub of a node, played by the test.
type hub struct {
	rooms  map[string]bool // that somebody is in; nil for all
	answer func(e *thinkws.Envelope, reply func(*thinkws.Envelope))
	log    *slog.Logger

	mu  sync.Mutex // protects got
	got []*thinkws.Envelope
}

func (h *hub) Deliver(e *thinkws.Envelope, reply func(*thinkws.Envelope)) {
	h.mu.Lock()
	h.got = append(h.got, e)
	h.mu.Unlock()
	if h.answer != nil {
		h.answer(e, reply)
	}
}

func (h *hub) Wants(_, room string) bool { return room == "" || h.rooms == nil || h.rooms[room] }

func (h *hub) Logger() *slog.Logger {
	if h.log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return h.log
}

// take waits for n envelopes.
func (h *hub) take(t testing.TB, n int) []*thinkws.Envelope {
	t.Helper()
	var got []*thinkws.Envelope
	require.Eventually(t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.got) < n {
			return false
		}
		got, h.got = h.got[:n], h.got[n:]
		return true
	}, time.Minute, time.Millisecond)
	return got
}

func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.got)
}

// node is a hub with its link, subscribed to "/" and more.
type node struct {
	*hub
	thinkws.BusLink
}

func open(t testing.TB, client redis.UniversalClient, h *hub, options ...redisbus.Option) *node {
	t.Helper()
	n := openLate(t, client, h, options...)
	n.subscribe(t, "/")
	require.Eventually(t, func() bool { return n.Stats().Up }, time.Minute, time.Millisecond)
	return n
}

// openLate does not wait for Redis.
func openLate(t testing.TB, client redis.UniversalClient, h *hub, options ...redisbus.Option) *node {
	t.Helper()
	link, err := redisbus.New(client, options...).Open(h)
	require.NoError(t, err)
	n := &node{h, link}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		link.Close(ctx)
	})
	return n
}

var smallOutbox = redisbus.WithOutbox(3, 1<<20)

// lines is a log that is looked at.
type lines struct {
	mu   sync.Mutex // protects text
	text []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

func (l *lines) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = nil
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(string(l.text), text)
}

func (n *node) subscribe(t testing.TB, namespace string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	require.NoError(t, n.Subscribe(ctx, namespace))
}

func payload(t testing.TB, values ...any) thinkws.Payload {
	t.Helper()
	args, err := redisbus.EncodeArgs(values...)
	require.NoError(t, err)
	return args
}
