package stickiness

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"slices"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/clientip"
)

// DispatcherOptions are the options of [NewDispatcher]. The zero value of each field stands
// for its default.
type DispatcherOptions struct {
	// Policies choose the node of a request: the first that names one of the registry
	// decides. Default: BySession and LeastConnections. If none decides, LeastConnections does.
	Policies []Policy

	// Cookie, if set, tells clients which node they are on, for ByCookie. Its fields are
	// those of NodeCookie.
	Cookie *http.Cookie

	// Trusted are the proxies in front of this one, whose X-Forwarded-For is passed on, with
	// their address added; what others send is dropped. Default: none.
	Trusted []netip.Prefix

	// ResponseTimeout, MaxActive, Networks, SocketDir, TLS and Logger are as in Options.
	ResponseTimeout time.Duration
	MaxActive       int
	Networks        []netip.Prefix
	SocketDir       string
	TLS             *tls.Config
	Logger          *slog.Logger
}

// Dispatcher is an http.Handler in front of the nodes of a registry: the process that
// ThinkJS's stickyCluster has, with more to go by. It is safe for concurrent use.
//
// It looks at the beginning of requests only and passes everything on. A node whose [Forward]
// knows better corrects it, so all policies work with it. Nodes have to be told to trust
// its address for [ClientIP].
type Dispatcher struct {
	registry Registry
	cfg      DispatcherOptions
	cookie   *http.Cookie
	peers    peers
}

// NewDispatcher returns a dispatcher. It fails if an option cannot be.
func NewDispatcher(registry Registry, o DispatcherOptions) (*Dispatcher, error) {
	common := Options{ResponseTimeout: o.ResponseTimeout, MaxActive: o.MaxActive, Networks: o.Networks, SocketDir: o.SocketDir, TLS: o.TLS, Logger: o.Logger}
	if o.ResponseTimeout < 0 || o.MaxActive < 0 {
		return nil, fmt.Errorf("stickiness: NewDispatcher: ResponseTimeout %v or MaxActive %d is negative", o.ResponseTimeout, o.MaxActive)
	}
	if slices.ContainsFunc(o.Policies, func(p Policy) bool { return p == nil }) {
		return nil, errors.New("stickiness: NewDispatcher: a policy is nil")
	}
	common.setDefaults()
	o.MaxActive, o.ResponseTimeout = common.MaxActive, common.ResponseTimeout
	if len(o.Policies) == 0 {
		o.Policies = []Policy{BySession("", "")}
	}
	o.Policies = append(slices.Clone(o.Policies), LeastConnections())
	d := &Dispatcher{registry: registry, cfg: o, peers: common.peers()}
	if o.Cookie != nil {
		cookie, err := prepareCookie(*o.Cookie)
		if err != nil {
			return nil, fmt.Errorf("stickiness: NewDispatcher: Cookie: %w", err)
		}
		d.cookie = &cookie
	}
	return d, nil
}

// ServeHTTP sends a request to a node. If that cannot be reached, and has read nothing of the
// body, the others get it in turn: a node that has not the session says so to the client.
func (d *Dispatcher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Header.Del(hopHeader)
	d.attempt(w, r, nil)
}

func (d *Dispatcher) attempt(w http.ResponseWriter, r *http.Request, tried []string) {
	to := d.choose(r, tried)
	switch {
	case to == nil:
		http.Error(w, http.StatusText(http.StatusBadGateway), http.StatusBadGateway)
		return
	case to.active.Load() >= int64(d.cfg.MaxActive):
		unavailable(w)
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // polls and streams take longer than other answers
	d.peers.proxy(to, w, r, exchange{
		rewrite:  d.rewrite,
		answered: func(res *http.Response) { d.setCookie(res, r, to.node.ID) },
		failed: func(why trouble, touched bool, _ error) {
			switch {
			case why == troubleClient:
				http.Error(w, http.StatusText(http.StatusRequestTimeout), http.StatusRequestTimeout) // if it is still there
			case why == troubleSilent:
				unavailable(w)
			case touched && r.ContentLength != 0:
				http.Error(w, http.StatusText(http.StatusBadGateway), http.StatusBadGateway)
			default:
				d.attempt(w, r, append(tried, to.node.ID))
			}
		},
	})
}

// setCookie names the node that has answered, which may be another one than was asked.
func (d *Dispatcher) setCookie(res *http.Response, r *http.Request, asked string) {
	if d.cookie == nil {
		return
	}
	node := res.Header.Get(nodeHeader)
	if _, ok := d.registry.Lookup(node); !ok {
		node = asked
	}
	setNodeCookie(res.Header, r, *d.cookie, node)
}

// choose returns the way to the node that a policy names, nil if nothing is left to try.
func (d *Dispatcher) choose(r *http.Request, tried []string) *peer {
	nodes := d.loads(tried)
	for len(nodes) > 0 {
		id := d.ask(r, nodes)
		i := slices.IndexFunc(nodes, func(n Load) bool { return n.ID == id })
		if to := d.reach(nodes[i].Node); to != nil {
			return to
		}
		nodes = slices.Delete(nodes, i, i+1)
	}
	return nil
}

// ask returns the id of one of the nodes.
func (d *Dispatcher) ask(r *http.Request, nodes []Load) string {
	for _, policy := range d.cfg.Policies {
		id := policy(r, nodes)
		if slices.ContainsFunc(nodes, func(n Load) bool { return n.ID == id }) {
			return id
		}
	}
	return nodes[0].ID
}

func (d *Dispatcher) loads(tried []string) []Load {
	nodes := d.registry.Nodes()
	d.peers.forget(nodes)
	loads := make([]Load, 0, len(nodes))
	for _, node := range nodes {
		if slices.Contains(tried, node.ID) {
			continue
		}
		load := Load{Node: node}
		if to, err := d.peers.get(node); err == nil {
			load.Active, load.Failed = int(to.active.Load()), to.breaker.doubtful(time.Now())
		}
		loads = append(loads, load)
	}
	return loads
}

func (d *Dispatcher) reach(node Node) *peer {
	to, err := d.peers.get(node)
	if err != nil {
		d.peers.log.Warn("a node of the registry is ignored", slog.String("node", node.ID), slog.Any("error", err))
		return nil
	}
	if !to.breaker.allow(time.Now()) {
		return nil
	}
	return to
}

func (d *Dispatcher) rewrite(pr *httputil.ProxyRequest) {
	if remote, ok := clientip.Parse(pr.In.RemoteAddr); ok && clientip.Contains(d.cfg.Trusted, remote) {
		pr.Out.Header["X-Forwarded-For"] = pr.In.Header["X-Forwarded-For"]
	}
	pr.SetXForwarded()
}

// Close closes the connections that are not in use. Requests on their way go on: shut the
// http.Server down first. WebSockets end with their node, or with this process.
func (d *Dispatcher) Close() { d.peers.close() }
