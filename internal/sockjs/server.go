package sockjs

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/body"
	"github.com/seed-ce09063a/thinkws/internal/jsonws"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Config tells how a Server treats its clients. All fields have to be set, but for those
// that say what they mean without.
type Config struct {
	jsonws.Config               // its Queue bounds what waits for a session over HTTP, and PingInterval is for heartbeats, too
	ReadTimeout   time.Duration // of the body of a POST, from its first byte to its last
	MaxName       int           // of what a client puts before the transport in a path, in bytes

	WebSocket  bool   // clients may use it
	Cookie     bool   // JSESSIONID is set, for load balancers
	RawStrings bool   // messages are strings of the event "message", not JSON events
	ClientURL  string // of the client's script, for the iframe page; "" for no such page

	SessionCookies []string // names of the cookies that identify a user

	ResponseLimit   int           // bytes after which a streaming answer ends, for another to begin
	DisconnectDelay time.Duration // how long a session lives without a request that receives
	Patience        time.Duration // of a receiver that waits for the one before it to leave
	Farewell        time.Duration // for which a closed server waits for clients between two requests; 0 for not at all

	Namespace func(*http.Request) string // which a client asks to enter
	Secure    func(*http.Request) bool   // reports whether a client speaks TLS to a proxy; nil for never
}

// Server serves clients of SockJS. It is safe for concurrent use.
type Server struct {
	cfg    Config
	ws     *jsonws.Server
	iframe page
	bodies body.Reader     // of sessions that do not exist
	plain  *jsonws.Framing // of the endpoint without framing
	own    *jsonws.Framing // of the one with it

	warnFlush sync.Once // middleware in the way of streaming

	mu       sync.Mutex // protects what follows
	sessions map[key]*polled
	closed   bool
	told     int    // of the sessions, how many are only there to say once more that they are closed
	left     func() // to be called when there are no others any more; nil before WaitForPolls
}

// NewServer returns a server that brings its clients to hub.
func NewServer(cfg Config, hub session.Admitter) *Server {
	s := &Server{cfg: cfg, ws: jsonws.NewServer(cfg.Config, hub), iframe: newIframePage(cfg.ClientURL), sessions: map[key]*polled{}}
	s.bodies = body.Reader{Limit: cfg.MaxMessage, Ledger: cfg.Ledger, Report: cfg.Report}
	s.plain, s.own = s.unframed(), s.framed()
	return s
}

// Serve answers a request whose path leads to route. Its origin has been checked.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request, route Route) {
	e := route.endpoint
	switch {
	case route.longest > s.cfg.MaxName:
		s.cfg.Tally.Note(errLongName)
		notFound(w)
		s.cfg.Report.Request(errLongName, r)
		return
	case !s.has(e):
		notFound(w)
		return
	case !e.takes(r.Method):
		w.Header().Set("Allow", strings.Join(e.traits().allow, ", "))
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	s.setHeaders(w, r, e)
	if r.Method == http.MethodOptions {
		preflight(w, e)
		return
	}
	switch e {
	case greeting:
		serveGreeting(w)
	case info:
		s.serveInfo(w)
	case iframe:
		s.iframe.serve(w, r)
	case rawWebSocket:
		s.serveWebSocket(w, r, s.plain)
	case webSocket:
		s.serveWebSocket(w, r, s.own)
	case xhrSend, jsonpSend:
		s.serveSend(w, r, route)
	default:
		s.serveReceive(w, r, route)
	}
}

// has reports whether an endpoint is served.
func (s *Server) has(e endpoint) bool {
	switch e {
	case nowhere:
		return false
	case iframe:
		return s.iframe.body != ""
	case rawWebSocket, webSocket:
		return s.cfg.WebSocket
	default:
		return true
	}
}

// Close refuses new clients from now on, and returns what ends each of those that there are,
// for reason, once what waits has gone out. WaitForPolls has to follow.
func (s *Server) Close(reason string) (ends []func()) {
	ends = s.ws.Close(reason)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, one := range s.sessions {
		ends = append(ends, func() { one.Close(reason) })
	}
	return ends
}

// WaitForPolls holds the group until clients that are between two requests have fetched their
// end, or for Config.Farewell and no longer than Config.Grace allows. It returns at once.
func (s *Server) WaitForPolls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left == nil { // once is enough
		s.left = s.cfg.Group.Linger(s.cfg.Grace.Of(s.cfg.Farewell))
	}
	s.checkLeftLocked()
}

// checkLeftLocked ends the wait of WaitForPolls once every client knows that its session is closed. s.mu must be held.
func (s *Server) checkLeftLocked() {
	if s.left != nil && len(s.sessions) == s.told {
		s.left()
	}
}

// Why a session cannot be had.
var (
	errLongName   = session.Beyond(session.LimitName, errors.New("sockjs: server or session id too long"))
	errClosed     = errors.New("sockjs: server is closed")
	errNoRoom     = errors.New("sockjs: too many clients") // and the request has been answered
	errNotCreated = errors.New("sockjs: another request was first")
	errStranger   = errors.New("sockjs: request of another origin or user than the session's")
)

// create enters a new session, unless there is one by then. Its receiver has it already.
func (s *Server) create(one *polled) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return errClosed
	case s.sessions[one.key] != nil:
		return errNotCreated
	}
	s.sessions[one.key] = one
	return nil
}

func (s *Server) remove(one *polled) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[one.key] != one {
		return
	}
	delete(s.sessions, one.key)
	if one.told {
		s.told--
	}
	if one.client.Gone() {
		s.cfg.Door.Leave(one.source)
	}
	s.checkLeftLocked()
}

// bid notes that the client of a session has its close frame. The session stays for requests
// that are on their way.
func (s *Server) bid() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told++
	s.checkLeftLocked()
}

func (s *Server) lookup(k key) *polled {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[k]
}

// Holds reports whether route leads to a session of s.
func (s *Server) Holds(route Route) bool {
	return route.endpoint.isHTTP() && s.lookup(route.key) != nil
}
