package stickiness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/guard"
	"github.com/seed-ce09063a/thinkws/internal/headers"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// nodeHeader names the node that has answered, for people who look.
const nodeHeader = "X-Sio-Node"

// Forwarder sends requests that have come to the wrong node to the right one: a poll, a
// POST or an upgrade of Socket.IO to the node that its session id names, and a request of
// SockJS over HTTP to the node that has its session, or else should get it. What belongs here,
// and what any node can serve, passes it at the cost of reading the query. It is safe for
// concurrent use.
//
// Middleware may be in front: CORS, security headers, cookies, compression, request ids. Each of its headers appears
// once in a forwarded answer, and the owner's value wins where both set the same header. Cookies of different names all
// stay, and Vary has the names of both.
//
// A request is forwarded once at most. It carries a header that only nodes can make,
// and that is taken off everything else.
type Forwarder struct {
	registry Registry
	cfg      Options
	routes   routes
	sealer   atomic.Pointer[sealer] // replaced by SetSecrets
	peers    peers
	places   places
	draining atomic.Bool
	counters counters

	ctx    context.Context // ends what is on its way when the forwarder is closed
	cancel context.CancelFunc
	mu     sync.Mutex // protects closed, and Add against Wait
	closed bool
	active sync.WaitGroup
}

type counters struct{ forwarded, gone, refused, forged, asked atomic.Uint64 }

// Stats counts what a [Forwarder] has done.
type Stats struct {
	Forwarded uint64 // requests that were sent to other nodes
	Asked     uint64 // questions to other nodes, where a session of SockJS lives
	Gone      uint64 // requests whose node did not answer
	Refused   uint64 // by Options.MaxActive or NoUpgrade, or since the owner took too long
	Forged    uint64 // headers that no node has made
}

// Forward returns a forwarder between the nodes of a registry. It fails if an option is
// missing or cannot be; the error names it. Its Middleware goes in front of the handlers,
// and of whatever changes paths:
//
//	forward, err := stickiness.Forward(registry, stickiness.Options{Node: "n1aB", Secret: secret, Local: ws.Holds})
//	r.Use(forward.Middleware)
//	r.Mount("/socket.io", ws)
func Forward(registry Registry, o Options) (*Forwarder, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	sealer, err := newSealer(o.Secret, o.AcceptSecrets)
	if err != nil {
		return nil, fmt.Errorf("stickiness: Forward: %w", err)
	}
	o.setDefaults()
	f := &Forwarder{
		registry: registry, cfg: o, routes: routes{socketio: o.SocketIO, sockjs: o.SockJS},
		peers: o.peers(), places: newPlaces(o.MaxPlaces),
	}
	f.sealer.Store(sealer)
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f, nil
}

// Middleware passes on what is served here and sends the rest to its node.
func (f *Forwarder) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if header := r.Header[hopHeader]; len(header) > 0 {
			r.Header.Del(hopHeader)
			if h, ok := f.accept(header, r); ok {
				f.arrive(w, r, next, h)
				return
			}
		}
		to := f.routes.read(r)
		if to.kind == kindOther || f.circles(r) {
			next.ServeHTTP(w, r)
			return
		}
		if owner := f.owner(r, to); owner != nil {
			f.forward(owner, w, r, to, next)
			return
		}
		f.serve(w, r, next)
	})
}

// accept reads a hop. One that is not for us has been forwarded all the same, and must not
// be again.
func (f *Forwarder) accept(header []string, r *http.Request) (hop, bool) {
	if len(header) > 1 {
		header = []string{""}
	}
	h, err := f.sealer.Load().open(header[0], f.cfg.Node, r.Method, hopTarget(r), time.Now())
	if err == nil {
		return h, true
	}
	f.counters.forged.Add(1)
	f.cfg.Logger.Warn("a header that only nodes may send was ignored", slog.Any("error", err), slog.String("remote", r.RemoteAddr))
	return h, errors.Is(err, errHopTarget)
}

// circles reports whether r has been here before. Where secrets are the same hops tell, but
// where they are not two nodes that are wrong about each other must not play ping-pong.
func (f *Forwarder) circles(r *http.Request) bool {
	return headers.Contains(r.Header, "Via", f.via())
}

func (f *Forwarder) via() string { return "1.1 thinkws-" + f.cfg.Node }

// arrive serves what another node has sent.
func (f *Forwarder) arrive(w http.ResponseWriter, r *http.Request, next http.Handler, h hop) {
	if h.purpose == hopAsk {
		status := http.StatusNotFound
		if f.cfg.Local(r) {
			status = http.StatusNoContent
		}
		w.WriteHeader(status)
		return
	}
	ctx := session.Relay(r.Context())
	if h.purpose == hopLeft {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(r.Context(), leaveAfter)
		defer cancel()
	}
	here := r.WithContext(ctx)
	here.RemoteAddr = h.remote // sessions, limits and logs are about the client
	f.serve(w, here, next)
}

// leaveAfter is how long the request of a client that has left waits before it breaks off
// as that of the client has, to which it succeeds.
const leaveAfter = 200 * time.Millisecond

// leave tells the owner that a client has broken off a request that waits. Without a word
// it would take that for the end of this node.
func (f *Forwarder) leave(to *peer, r *http.Request) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), askTimeout)
	defer cancel()
	if _, err := f.send(ctx, to, r, r.Method, hopLeft); err != nil {
		f.cfg.Logger.Debug("a node was not told of a client that has left", slog.Any("error", err))
	}
}

func (f *Forwarder) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	w.Header().Set(nodeHeader, f.cfg.Node)
	next.ServeHTTP(w, r)
}

// owner returns the way to the node that a request belongs to, nil if that is this one or
// nobody. What belongs to nobody is served here, as a session that is not known.
func (f *Forwarder) owner(r *http.Request, to route) *peer {
	switch {
	case to.kind == kindHandshake && f.draining.Load():
		return f.elsewhere()
	case to.kind == kindHandshake, f.cfg.Local(r):
		return nil
	case to.kind == kindSockJS:
		return f.seek(r, to.session)
	}
	id := Owner(to.session)
	if id == "" || id == f.cfg.Node {
		return nil
	}
	node, ok := f.registry.Lookup(id)
	if !ok {
		f.counters.gone.Add(1)
		return nil
	}
	return f.reach(node)
}

// reach returns the way to a node, nil if it is none that may be, or does not answer.
func (f *Forwarder) reach(node Node) *peer {
	to, err := f.peers.get(node)
	if err != nil {
		f.counters.gone.Add(1)
		f.cfg.Logger.Warn("a node of the registry is ignored", slog.String("node", node.ID), slog.Any("error", err))
		return nil
	}
	if !to.breaker.allow(time.Now()) {
		f.counters.gone.Add(1)
		return nil
	}
	return to
}

// forward sends r to its owner. If that does not answer a client of Socket.IO learns
// that its session is unknown, with the headers that the handler here gives it, and one of
// SockJS that it has failed: both begin anew.
func (f *Forwarder) forward(to *peer, w http.ResponseWriter, r *http.Request, what route, next http.Handler) {
	if !f.begin() {
		unavailable(w)
		return
	}
	defer f.active.Done()
	switch {
	case to.active.Load() >= int64(f.cfg.MaxActive):
		f.counters.refused.Add(1)
		unavailable(w)
		return
	case what.upgrade && f.cfg.NoUpgrade && what.kind == kindSocketIO: // a handshake would have nothing to stay on
		f.counters.refused.Add(1)
		http.Error(w, "this session is on another node: stay on polling", http.StatusBadRequest)
		return
	}
	f.counters.forwarded.Add(1)
	f.setDeadlines(w, r, what)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(f.ctx, cancel)()
	f.peers.proxy(to, w, r.WithContext(ctx), exchange{
		rewrite: f.rewrite(to.node.ID, hopServe),
		failed: func(why trouble, _ bool, err error) {
			if what.waits && r.Context().Err() != nil && f.ctx.Err() == nil {
				f.leave(to, r)
				return
			}
			f.failed(w, r, what, next, why, err)
		},
	})
}

func (f *Forwarder) failed(w http.ResponseWriter, r *http.Request, what route, next http.Handler, why trouble, err error) {
	switch {
	case f.ctx.Err() != nil:
		unavailable(w)
	case why == troubleClient:
		http.Error(w, http.StatusText(http.StatusRequestTimeout), http.StatusRequestTimeout) // if it is still there
	case why == troubleSilent:
		f.counters.refused.Add(1)
		unavailable(w)
	case what.kind == kindSockJS:
		f.counters.gone.Add(1)
		f.places.drop(what.session)
		unavailable(w)
	default:
		f.counters.gone.Add(1)
		f.cfg.Logger.Debug("a request could not be forwarded", slog.Any("error", err))
		f.serve(w, r, next)
	}
}

// rewrite makes of a request what another node gets: the same, and the hop.
func (f *Forwarder) rewrite(to string, why purpose) func(*httputil.ProxyRequest) {
	return func(pr *httputil.ProxyRequest) {
		if u, err := url.ParseRequestURI(pr.In.RequestURI); err == nil { // before middleware has cut the path
			pr.Out.URL.Path, pr.Out.URL.RawPath, pr.Out.URL.RawQuery = u.Path, u.RawPath, u.RawQuery
		}
		for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
			if values, ok := pr.In.Header[name]; ok { // the owner trusts those whom this node trusts
				pr.Out.Header[name] = values
			}
		}
		headers.Append(pr.Out.Header, "Via", f.via())
		h := hop{purpose: why, from: f.cfg.Node, to: to, remote: pr.In.RemoteAddr}
		pr.Out.Header.Set(hopHeader, f.sealer.Load().seal(h, pr.Out.Method, pr.Out.URL.RequestURI(), time.Now()))
	}
}

// bodyTimeout is for the body of a POST, as package thinkws has it.
const bodyTimeout = 10 * time.Second

// setDeadlines replaces the server's, which are for requests that are answered at once.
// A ResponseWriter without deadlines goes without.
func (f *Forwarder) setDeadlines(w http.ResponseWriter, r *http.Request, what route) {
	rc := http.NewResponseController(w)
	if r.ContentLength != 0 {
		_ = rc.SetReadDeadline(time.Now().Add(bodyTimeout))
	}
	until := time.Time{}
	if !what.stream && !what.upgrade {
		until = time.Now().Add(f.cfg.ResponseTimeout + bodyTimeout)
	}
	_ = rc.SetWriteDeadline(until)
}

// elsewhere returns the way to any node that takes new sessions.
func (f *Forwarder) elsewhere() *peer {
	nodes := f.takers()
	f.peers.forget(f.registry.Nodes())
	key := strconv.FormatInt(time.Now().UnixNano(), 36)
	for _, node := range rank(key, nodes, len(nodes)) {
		if node.ID == f.cfg.Node {
			continue
		}
		if to := f.reach(node); to != nil {
			return to
		}
	}
	return nil
}

// Drain takes this node out of the choice for new sessions: its entry in the registry says
// so, and handshakes that still come are forwarded. Its sessions live on. It returns the
// registry's error, which does not keep this node from draining.
func (f *Forwarder) Drain(ctx context.Context) error {
	f.draining.Store(true)
	node, ok := f.registry.Lookup(f.cfg.Node)
	if !ok {
		return fmt.Errorf("stickiness: Drain: node %s is not registered", f.cfg.Node)
	}
	node.Draining = true
	return f.registry.Register(ctx, node)
}

// Stats returns the counters.
func (f *Forwarder) Stats() Stats {
	c := &f.counters
	return Stats{
		Forwarded: c.forwarded.Load(), Asked: c.asked.Load(), Gone: c.gone.Load(),
		Refused: c.refused.Load(), Forged: c.forged.Load(),
	}
}

// Close cuts what is on its way, WebSockets included, refuses to forward more, and waits for
// the handlers to return, or until ctx is done, whose error it returns then. The
// handler's own Shutdown comes before it.
func (f *Forwarder) Close(ctx context.Context) error {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.cancel()
	done := make(chan struct{})
	go func() { // ends with the last handler, which cancel hurries
		defer close(done)
		_ = guard.Do(func() error { // nobody is left to be told
			f.active.Wait()
			f.peers.close()
			return nil
		})
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *Forwarder) begin() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.active.Add(1)
	}
	return !f.closed
}

func unavailable(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
}
