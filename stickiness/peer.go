package stickiness

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// peers are the ways to other nodes, each with connections of its own. They are safe for
// concurrent use.
type peers struct {
	networks  []netip.Prefix
	socketDir string // "" for no unix sockets
	tls       *tls.Config
	timeout   time.Duration // for the header of an answer
	log       *slog.Logger
	errorLog  *log.Logger
	buffers   bufferPool

	mu    sync.Mutex // protects nodes
	nodes map[string]*peer
}

const (
	dialTimeout = 2 * time.Second
	idleConns   = 256

	// idleTimeout is less than servers keep a connection, so that no POST meets one that ends: it cannot be sent again,
	// and its session would be lost. http.Transport also keeps connections that it has dialled and not needed. Servers end
	// these after ReadHeaderTimeout, for which 5 seconds are usual.
	idleTimeout = 2 * time.Second
)

// privateNetworks are those that nodes are in by default. Link-local addresses are not
// among them: that of the metadata service of clouds is one.
var privateNetworks = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fc00::/7"),
}

// peer is the way to one node.
type peer struct {
	node      Node
	scheme    string
	transport *http.Transport
	breaker   breaker
	active    atomic.Int64 // requests on their way, WebSockets included
}

var errNotAllowed = errors.New("stickiness: the address of the node is not one that is allowed")

// get returns the way to a node. It fails if a registry names an address that nodes
// may not have.
func (p *peers) get(node Node) (*peer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.nodes[node.ID]; known != nil && known.node.URL == node.URL {
		return known, nil
	}
	made, err := p.connect(node)
	if err != nil {
		return nil, err
	}
	if old := p.nodes[node.ID]; old != nil {
		old.transport.CloseIdleConnections()
	}
	p.nodes[node.ID] = made
	return made, nil
}

func (p *peers) connect(node Node) (*peer, error) {
	network, address, err := node.address()
	if err != nil {
		return nil, err
	}
	scheme := "http"
	switch {
	case network == "unix":
		if p.socketDir == "" || filepath.Dir(filepath.Clean(address)) != filepath.Clean(p.socketDir) {
			return nil, fmt.Errorf("%w: unix socket outside of SocketDir", errNotAllowed)
		}
	case node.URL[:5] == "https":
		scheme = "https"
	case p.tls != nil:
		return nil, fmt.Errorf("%w: http, though TLS is configured", errNotAllowed)
	}
	dialer := &net.Dialer{Timeout: dialTimeout, Control: p.control}
	return &peer{node: node, scheme: scheme, transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		},
		TLSClientConfig:       p.tls,
		TLSHandshakeTimeout:   dialTimeout,
		DisableCompression:    true, // what the owner answers is what the client gets
		MaxIdleConnsPerHost:   idleConns,
		IdleConnTimeout:       idleTimeout,
		ResponseHeaderTimeout: p.timeout,
	}}, nil
}

// control sees an address when it is about to be dialled, after names have been resolved:
// there is no way around it.
func (p *peers) control(network, address string, _ syscall.RawConn) error {
	if network == "unix" {
		return nil
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return errNotAllowed
	}
	for _, prefix := range p.networks {
		if prefix.Contains(to.Addr().Unmap()) {
			return nil
		}
	}
	return fmt.Errorf("%w: %s", errNotAllowed, to.Addr())
}

// forget gives up the ways to nodes that are no more.
func (p *peers) forget(nodes []Node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.nodes) <= len(nodes) {
		return
	}
	for id, one := range p.nodes {
		if _, ok := find(nodes, id); !ok && one.active.Load() == 0 {
			one.transport.CloseIdleConnections()
			delete(p.nodes, id)
		}
	}
}

func (p *peers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.nodes {
		one.transport.CloseIdleConnections()
	}
}

// Why a node has not answered.
type trouble uint8

const (
	troubleClient trouble = iota // its own fault, or it has gone
	troubleSilent                // the node takes too long
	troubleGone                  // the node cannot be reached, or has died
)

// exchange says what becomes of a request that is sent to a node.
type exchange struct {
	rewrite  func(*httputil.ProxyRequest)
	answered func(*http.Response) // nil if that changes nothing
	// failed gives an answer where the node has given none. It may send the request
	// elsewhere, unless its body has been touched.
	failed func(why trouble, touched bool, err error)
}

// proxy sends r to a node.
func (p *peers) proxy(to *peer, w http.ResponseWriter, r *http.Request, x exchange) {
	body := &watchedBody{ReadCloser: r.Body}
	out := r.WithContext(r.Context()) // the caller's r stays as it is
	out.Body = body
	answer := newAnswer(w)
	proxy := httputil.ReverseProxy{
		Transport:     to.transport,
		FlushInterval: -1, // streams are streams
		ErrorLog:      p.errorLog,
		BufferPool:    &p.buffers,
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL.Scheme, pr.Out.URL.Host = to.scheme, "node"
			pr.Out.URL.RawQuery = pr.In.URL.RawQuery // also what Go does not like: the owner judges
			if encodes(w) {
				pr.Out.Header.Del("Accept-Encoding")
			}
			x.rewrite(pr)
		},
		ModifyResponse: func(res *http.Response) error {
			to.breaker.succeed()
			newTunnel(res, &p.buffers)
			if x.answered != nil {
				x.answered(res)
			}
			answer.upgrade(res)
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) {
			answer.fail()
			x.failed(p.judge(to, r, body, err), body.touched.Load(), err)
		},
	}
	to.active.Add(1)
	defer to.active.Add(-1)
	proxy.ServeHTTP(answer, out)
	answer.finish()
}

// judge finds out whose fault an error is. A client must not be able to make a node look
// dead, so only what it has no part in counts.
func (p *peers) judge(to *peer, r *http.Request, body *watchedBody, err error) trouble {
	if r.Context().Err() != nil || body.failed.Load() {
		return troubleClient
	}
	verdict := troubleGone
	dial, isOp := errors.AsType[*net.OpError](err)
	dialled := !isOp || dial.Op != "dial"
	timeout, isNet := errors.AsType[net.Error](err)
	if dialled && isNet && timeout.Timeout() {
		verdict = troubleSilent
	}
	if !dialled || verdict == troubleSilent || errors.Is(err, errNotAllowed) {
		p.fail(to, err)
	}
	return verdict
}

func (p *peers) fail(to *peer, err error) {
	if to.breaker.fail(time.Now()) {
		p.log.Warn("a node does not answer", slog.String("node", to.node.ID), slog.Any("error", err))
	}
}

// watchedBody reports whether it was the client's sending that has failed.
type watchedBody struct {
	io.ReadCloser
	touched atomic.Bool
	failed  atomic.Bool
}

// Close leaves the body to net/http, for there may be another one who reads it.
func (b *watchedBody) Close() error { return nil }

func (b *watchedBody) Read(dst []byte) (int, error) {
	b.touched.Store(true)
	n, err := b.ReadCloser.Read(dst)
	if err != nil && !errors.Is(err, io.EOF) {
		b.failed.Store(true)
	}
	return n, err
}

// bufferPool implements httputil.BufferPool.
type bufferPool struct{ pool sync.Pool }

const bufferSize = 16 << 10

func (b *bufferPool) Get() []byte {
	if buffer, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return buffer[:]
	}
	return make([]byte, bufferSize)
}

func (b *bufferPool) Put(buffer []byte) {
	if len(buffer) == bufferSize {
		b.pool.Put((*[bufferSize]byte)(buffer))
	}
}
