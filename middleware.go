package thinkws

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/alarm"
	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/excerpt"
	"github.com/seed-ce09063a/thinkws/internal/guard"
	"github.com/seed-ce09063a/thinkws/internal/headers"
	"github.com/seed-ce09063a/thinkws/internal/jsonws"
	"github.com/seed-ce09063a/thinkws/internal/quiet"
	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/socketio"
	"github.com/seed-ce09063a/thinkws/internal/sockjs"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// Handler serves real-time clients: Socket.IO by its own ServeHTTP, SockJS by [Handler.SockJS], plain WebSockets by
// [Handler.WebSocket], everything by [Handler.Middleware]. All clients meet in its [Hub]. It is safe for concurrent
// use, and stays until [Handler.Shutdown].
type Handler struct {
	cfg      *config
	origins  *originPolicy
	use      []func(HandlerFunc) HandlerFunc // what New was given for all namespaces
	hub      *Hub
	socketio *socketio.Server
	plain    *jsonws.Server
	sockjs   *sockjs.Server
	client   clientFiles
	clock    alarm.Clock  // for all that waits for a time
	watch    wsconn.Watch // over readers that run actions
	grace    wsconn.Grace // with clients that Shutdown waits for
	tasks    serial.Group // every goroutine of ours
}

// New makes a handler. It fails if an option cannot be applied; the error names all
// that cannot, with their values. It also fails if code of the service that it calls panics:
// middleware, a [Bus], a file system.
func New(options ...Option) (h *Handler, err error) {
	if mistake := guard.Call(func() { h, err = newHandler(options) }); mistake != nil {
		return nil, fmt.Errorf("thinkws: New: %w\n%s", mistake, guard.StackOf(mistake))
	}
	return h, err
}

func newHandler(options []Option) (*Handler, error) {
	main := &spec{name: "/", actions: map[string]HandlerFunc{}}
	b := &builder{cfg: defaults(), spec: main, main: main, all: []*spec{main}}
	var errs []error
	for i, option := range options {
		if option == nil {
			errs = append(errs, fmt.Errorf("thinkws: New: option %d is nil", i))
			continue
		}
		errs = append(errs, option(b))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, s := range b.all {
		if most := b.cfg.limits.Name; len(s.name) > most {
			return nil, fmt.Errorf("thinkws: Namespace: %q has more than %d bytes, see Limits.Name", s.name, most)
		}
	}
	b.cfg.logger = quiet.New(b.cfg.logger)
	h := &Handler{cfg: b.cfg, use: main.use}
	h.tasks.Logger = b.cfg.logger
	h.clock.Crashed = h.tasks.Crashed
	var err error
	if h.origins, err = newOriginPolicy(b.cfg.origins, h.guardedOrigin(), b.cfg.requireOrigin); err != nil {
		return nil, fmt.Errorf("thinkws: WithAllowOrigin: %w", err)
	}
	h.origins.proxies = b.cfg.proxies
	if b.cfg.client != nil {
		if h.client, err = readClientFiles(b.cfg.client); err != nil {
			return nil, fmt.Errorf("thinkws: WithClient: %w", err)
		}
	}
	h.hub = newHub(b, &h.tasks)
	if b.cfg.bus != nil {
		if err := h.hub.open(b.cfg.bus); err != nil {
			return nil, fmt.Errorf("thinkws: WithBus: %w", err)
		}
	}
	h.socketio = socketio.NewServer(h.socketioConfig(), (*admitter)(h.hub))
	h.plain = jsonws.NewServer(h.jsonwsConfig(b.cfg.pingInterval, b.cfg.pingTimeout), (*admitter)(h.hub))
	h.sockjs = sockjs.NewServer(h.sockjsConfig(), (*admitter)(h.hub))
	return h, nil
}

func (h *Handler) socketioConfig() socketio.Config {
	c := h.cfg
	return socketio.Config{
		ConnectTimeout: c.connectTimeout, AttachmentTimeout: c.messageTimeout,
		MaxDepth: c.limits.Depth, MaxName: c.limits.Name, MaxAttachments: c.limits.Attachments,
		MaxNamespaces: c.limits.Namespaces, MaxAuth: c.limits.Auth, MaxIgnored: maxIgnored,
		Config: engineio.Config{
			Config: h.wsconnConfig(), Polling: c.polling, WebSocket: c.websocket, EIO3: c.eio3,
			PingInterval: c.pingInterval, PingTimeout: c.pingTimeout, UpgradeTimeout: c.upgradeTimeout, Farewell: farewell,
			MaxPackets: c.limits.Packets, Node: c.node, Cookie: c.cookie, SessionCookies: c.sessionCookies,
			Clock: &h.clock, Logger: c.logger, Door: h.hub.door, Meter: h.hub.meter, Report: h.hub.report, Detach: detach,
		},
	}
}

func (h *Handler) jsonwsConfig(pingInterval, pingTimeout time.Duration) jsonws.Config {
	c := h.cfg
	return jsonws.Config{
		Config: h.wsconnConfig(), PingInterval: pingInterval, PingTimeout: pingTimeout,
		MaxDepth: c.limits.Depth, Clock: &h.clock, Door: h.hub.door, Meter: h.hub.meter, Report: h.hub.report, Logger: c.logger, Detach: detach,
	}
}

func (h *Handler) sockjsConfig() sockjs.Config {
	c, o := h.cfg, h.cfg.sockjs
	return sockjs.Config{
		Config: h.jsonwsConfig(o.HeartbeatDelay, sockjsTimeout), ReadTimeout: c.readTimeout, MaxName: c.limits.Name,
		WebSocket: !o.NoWebSocket, Cookie: o.Cookie, SessionCookies: c.sessionCookies, RawStrings: o.RawStrings, ClientURL: o.ClientURL,
		ResponseLimit: o.ResponseLimit, DisconnectDelay: o.DisconnectDelay, Farewell: farewell, Patience: patience,
		Namespace: func(r *http.Request) string { return normalize(r.URL.Query().Get("nsp")) },
		Secure: func(r *http.Request) bool {
			scheme, _ := h.origins.target(r)
			return scheme == "https"
		},
	}
}

func (h *Handler) wsconnConfig() wsconn.Config {
	c := h.cfg
	return wsconn.Config{
		MaxMessage: c.maxMessage, Queue: c.sendQueue, Slow: c.slow, WriteTimeout: c.writeTimeout,
		Tally: &h.hub.tally, Ledger: h.hub.ledger,
		MessageTime: c.messageTimeout, CloseTimeout: closeTimeout, Group: &h.tasks, Watch: h.watcher(),
		CoolAfter: cmp.Or(c.coolAfter, coolAfter), Grace: &h.grace, Compress: c.compress > 0,
	}
}

// watcher returns the Watch of the connections; nil if they have none.
func (h *Handler) watcher() *wsconn.Watch {
	if h.cfg.noWatch {
		return nil
	}
	return &h.watch
}

const (
	farewell      = time.Second      // for polling clients to come and be told of a shutdown: mostly one round trip
	closeTimeout  = 5 * time.Second  // for the answer to a close frame
	sockjsTimeout = 10 * time.Second // for the answer to a heartbeat over SockJS's WebSocket, as Node has it
	coolAfter     = time.Second      // without a message, until a WebSocket counts as idle
	maxIgnored    = 10               // packets of a Socket.IO client for a namespace that it is not in

	// patience is how long a receiver of SockJS waits for the one before it to leave. The wait is only for clients whose
	// first connection has just died. net/http may serve the second before it notices, which takes it about a millisecond.
	patience = 250 * time.Millisecond
)

// ServeHTTP serves Socket.IO clients, revisions 3 and 4 of Engine.IO, at any path
// it is mounted on.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.client.serve(w, r) {
		return
	}
	want := evidenceNone
	if engineio.IsJSONP(r) {
		want = evidenceEmbedded
	}
	var v originVerdict
	if !h.judges(w, r, want, h.socketio.Vouches, &v) {
		return
	}
	if v.claim.header != "" && engineio.IsRevision3(r) {
		h.origins.echoTo(r, &v)
	}
	if h.answers(w, r, &v) {
		h.socketio.ServeHTTP(w, h.bare(r, &v, h.cfg.cookie != nil))
	}
}

// bare marks a request of a page that is not trusted with credentials, for its answer not to set
// the cookie that the service has configured.
//
// Security: the page's next request would carry the cookie, and be refused for it.
func (h *Handler) bare(r *http.Request, v *originVerdict, cookie bool) *http.Request {
	if !cookie || v.grant != grantBare || v.claim == (originClaim{}) || !h.origins.isForeign(r, &v.claim) {
		return r
	}
	return r.WithContext(session.Bare(r.Context()))
}

// WebSocket serves plain WebSockets that speak JSON: {"event":…,"data":…}, and "cid"
// and "rid" for acks; see the package documentation. The path below the mount point, or
// the query parameter nsp, is the namespace. It returns after the upgrade.
func (h *Handler) WebSocket() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.admits(w, r, evidenceNone) {
			h.plain.Serve(w, r, namespaceOf(r, h.cfg.wsPath), nil)
		}
	})
}

// SockJS serves clients of SockJS over all of their transports, with JSON events in the
// messages as [Handler.WebSocket] has them, or raw strings; see [WithSockJS]. The query
// parameter nsp of the client's URL is the namespace.
//
// It may be mounted anywhere with chi, http.ServeMux or http.StripPrefix, which tell where.
// Otherwise, or at "/", it goes by the configured path or by how the URL ends; then a
// WebSocket without framing is recognised at /websocket and /name/websocket only.
func (h *Handler) SockJS() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.serveSockJS(w, r, h.sockjsRoute(r)) })
}

func (h *Handler) serveSockJS(w http.ResponseWriter, r *http.Request, route sockjs.Route) {
	want := evidenceNone
	switch {
	case route.Embedded():
		want = evidenceEmbedded
	case route.EventSource():
		want = evidenceAmbient
	}
	var v originVerdict
	if h.judges(w, r, want, nil, &v) {
		h.sockjs.Serve(w, h.bare(r, &v, h.cfg.sockjs.Cookie), route)
	}
}

func (h *Handler) sockjsRoute(r *http.Request) sockjs.Route {
	path := r.URL.EscapedPath()
	if n := mountOf(r, path); n > 0 {
		return sockjs.NewRoute(path, n)
	}
	if n := indexPath(path, h.cfg.sockjs.Path); n > 0 {
		return sockjs.NewRoute(path, n)
	}
	return sockjs.GuessRoute(path)
}

// Middleware serves every protocol at its configured path ([WithPath], [WithSockJS],
// [WithWebSocketPath]) and passes everything else on.
func (h *Handler) Middleware(next http.Handler) http.Handler {
	websocket := h.WebSocket()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case below(r.URL.Path, h.cfg.path):
			h.ServeHTTP(w, r)
		case below(r.URL.Path, h.cfg.wsPath):
			websocket.ServeHTTP(w, r)
		case below(r.URL.Path, h.cfg.sockjs.Path):
			path := r.URL.EscapedPath()
			h.serveSockJS(w, r, sockjs.NewRoute(path, matched(path, h.cfg.sockjs.Path)))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// Holds reports whether r belongs to a session that lives in this handler: one of Socket.IO by
// its query, or one of SockJS over HTTP by its path, which is read as [Handler.SockJS]
// does. It is for package stickiness, and asks nothing else of r: not its method, nor its origin.
func (h *Handler) Holds(r *http.Request) bool {
	return h.socketio.Holds(r) || h.sockjs.Holds(h.sockjsRoute(r))
}

// Hub returns the hub.
func (h *Handler) Hub() *Hub { return h.hub }

// judges is the gate in front of every protocol: it checks the origin and sets v. It returns false after it
// has answered r. Caches do not keep what a page can embed for another page. A protocol may vouch
// for a request that is refused for its credentials alone.
func (h *Handler) judges(w http.ResponseWriter, r *http.Request, want evidence, vouches func(*http.Request) bool, v *originVerdict) bool {
	h.limitBody(w, r)
	if !h.limitHeader(w, r) {
		return false
	}
	if h.cfg.hosts.refuses(w, r) {
		h.cfg.logger.Debug("host refused", "host", r.Host, "address", h.hub.door.Address(r), "url", r.URL.Path)
		h.hub.report.Request(&Error{Name: Forbidden, Message: "host refused", Err: fmt.Errorf("%q", excerpt.Text(r.Host))}, r)
		return false
	}
	headers.Append(w.Header(), "Vary", "Origin")
	if want != evidenceNone {
		headers.Append(w.Header(), "Vary", "Referer, Sec-Fetch-Site")
	}
	h.origins.decide(r, want, v)
	if v.unknown && vouches != nil && vouches(r) {
		v.vouch()
	}
	if !v.allowed {
		h.refuse(w, r, v)
	}
	return v.allowed
}

// admits is the gate with CORS: it sets the headers and answers preflights. It returns false
// after it has answered r. SockJS has rules of its own for that.
func (h *Handler) admits(w http.ResponseWriter, r *http.Request, want evidence) bool {
	var v originVerdict
	return h.judges(w, r, want, nil, &v) && h.answers(w, r, &v)
}

func (h *Handler) answers(w http.ResponseWriter, r *http.Request, v *originVerdict) bool {
	if isPreflight(r) {
		h.origins.preflight(w, r, v)
		return false
	}
	h.origins.setCORS(w.Header(), r, v)
	return true
}

// limitBody bounds how long the body of a request may take. That holds for refused
// requests too, for net/http reads on before it answers them.
func (h *Handler) limitBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(h.cfg.readTimeout)) // where supported
	}
}

func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, v *originVerdict) {
	h.cfg.logger.Warn("origin refused", "origin", v.origin, "reason", v.reason, "set", v.set,
		"host", r.Host, "address", h.hub.door.Address(r), "url", r.URL.Path)
	h.origins.setCORS(w.Header(), r, v)
	code, message := engineio.Forbidden, "Forbidden"
	if v.malformed {
		code, message = engineio.BadRequest, "Bad request"
	}
	engineio.WriteError(w, r, code, message)
	why := fmt.Errorf("%q: %s", excerpt.Text(v.origin), excerpt.Text(v.reason))
	h.hub.report.Request(&Error{Name: Forbidden, Message: "origin refused", Err: why}, r)
}
