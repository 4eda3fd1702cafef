package stickiness_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/stickiness"
)

var secret = []byte("a secret of all nodes")

// member is a node of a cluster under test: a whole service.
type member struct {
	id      string
	ws      *thinkws.Handler
	forward *stickiness.Forwarder
	server  *httptest.Server
	log     *logs
	remotes *sync.Map    // addresses of the clients that have come
	arrived atomic.Int64 // requests
}

func (m *member) url() string { return m.server.URL }

// group is a cluster and the registry that its nodes share.
type group struct {
	t        testing.TB
	registry *stickiness.Static
	members  []*member
	next     atomic.Int64
}

// newGroup starts n nodes named n0aB, n1aB and so on.
func newGroup(t testing.TB, n int, change ...func(*stickiness.Options)) *group {
	t.Helper()
	return newGroupBehind(t, n, nil, change...)
}

// newGroupBehind starts nodes that have middleware in front of Forward.
func newGroupBehind(t testing.TB, n int, front []func(http.Handler) http.Handler, change ...func(*stickiness.Options)) *group {
	t.Helper()
	g := &group{t: t, registry: new(stickiness.Static)}
	for i := range n {
		g.members = append(g.members, newMemberBehind(t, fmt.Sprintf("n%daB", i), g.registry, front, change...))
	}
	for _, m := range g.members {
		require.NoError(t, g.registry.Register(t.Context(), stickiness.Node{ID: m.id, URL: m.url()}))
	}
	return g
}

func newMember(t testing.TB, id string, registry stickiness.Registry, change ...func(*stickiness.Options)) *member {
	t.Helper()
	return newMemberBehind(t, id, registry, nil, change...)
}

func newMemberBehind(t testing.TB, id string, registry stickiness.Registry, front []func(http.Handler) http.Handler, change ...func(*stickiness.Options)) *member {
	t.Helper()
	m := &member{id: id, log: new(logs), remotes: new(sync.Map)}
	logger := slog.New(slog.NewTextHandler(m.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	m.ws, err = thinkws.New(thinkws.WithNode(id), thinkws.WithLogger(logger),
		thinkws.WithSockJS(thinkws.SockJSOptions{DisconnectDelay: time.Minute}), // of a busy client, too
		thinkws.WithAllowOrigin("https://app.example.com"),
		thinkws.On("open", func(c *thinkws.Context) error {
			m.remotes.Store(c.Request().RemoteAddr, true)
			return nil
		}),
		thinkws.On("echo", func(c *thinkws.Context) error { return c.Ack(id, c.WsData()) }))
	require.NoError(t, err)
	options := stickiness.Options{Node: id, Secret: secret, Local: m.ws.Holds, Logger: logger}
	for _, fn := range change {
		fn(&options)
	}
	m.forward, err = stickiness.Forward(registry, options)
	require.NoError(t, err)
	r := chi.NewRouter()
	r.Use(m.count)
	r.Use(front...)
	r.Use(m.forward.Middleware)
	r.Mount("/socket.io", m.ws)
	r.Mount("/sockjs", m.ws.SockJS())
	r.Get("/headers", func(w http.ResponseWriter, r *http.Request) { _ = r.Header.Write(w) })
	m.server = httptest.NewUnstartedServer(r)
	m.server.Config.ReadHeaderTimeout = 5 * time.Second
	m.server.Start()
	t.Cleanup(m.stop)
	return m
}

// count counts the requests that come.
func (m *member) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.arrived.Add(1)
		next.ServeHTTP(w, r)
	})
}

// comes returns when the request has come that send sends.
func (m *member) comes(t *testing.T, send func()) {
	t.Helper()
	before := m.arrived.Load()
	send()
	require.Eventually(t, func() bool { return m.arrived.Load() > before }, time.Minute, time.Millisecond)
}

// stop ends a node in an orderly way. It may be called twice.
func (m *member) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = m.ws.Shutdown(ctx)
	_ = m.forward.Close(ctx)
	m.server.Close()
}

// kill closes everything at once, as far as that can be done from within.
func (m *member) kill() {
	_ = m.server.Listener.Close()
	m.server.CloseClientConnections()
}

// any is a load balancer without stickiness: the URL of another node at each call.
func (g *group) any() string {
	return g.members[int(g.next.Add(1))%len(g.members)].url()
}

func (g *group) stats() (sum stickiness.Stats) {
	for _, m := range g.members {
		s := m.forward.Stats()
		sum.Forwarded += s.Forwarded
		sum.Asked += s.Asked
		sum.Gone += s.Gone
		sum.Refused += s.Refused
		sum.Forged += s.Forged
	}
	return sum
}

// logs collects the lines of a logger.
type logs struct {
	mu   sync.Mutex // protects text
	text []byte
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// freshClient makes a connection for each request, from a source address of its own if
// there is one.
func freshClient(t *testing.T, source string) *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	if source != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(source)}
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: dialer.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 40 * time.Second}
}

// fixed is one URL for all requests.
func fixed(url string) func() string { return func() string { return url } }
