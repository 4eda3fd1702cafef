package engineio

import (
	"log/slog"
	"net/http"
	"sync"

	"github.com/seed-ce09063a/thinkws/internal/headers"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// Receiver takes what one client sends: the layer above has one for each session.
type Receiver interface {
	// Receive takes the data of a message, which is its own from then on. It has
	// one caller at a time and must not block. The task that Session.Flow keeps then is left to the
	// caller. An error closes the session, as session.Verdict says.
	Receive(data []byte, binary bool) error
	// Failed says what the client has done that a request of it is refused for, or that the
	// session ends for, in which case Closed follows. It is called with no lock held.
	Failed(err error)
	// Closed says why the session has ended, in the words of package session. It is
	// called exactly once, last, and with no lock held.
	Closed(reason string)
}

// Server is the http.Handler of all requests of Engine.IO. It is safe for concurrent use.
type Server struct {
	cfg  Config
	open func(*Session) Receiver
	log  *slog.Logger

	refusals    wsconn.Refusals
	warnHeaders sync.Once // a server without a limit on slow headers

	mu       sync.Mutex          // protects what follows
	sessions map[string]*Session // all that have not ended, and those that ended less than endedMemory ago
	ended    int                 // of these, how many have ended; maxEnded at most
	closed   bool
	reason   string // why, if closed
	left     func() // to be called when nobody is there any more; nil before WaitForPolls
}

// NewServer returns a server that calls open for each new session, before anything
// of it is received. It may Send at once: the open packet goes first all the same.
func NewServer(cfg Config, open func(*Session) Receiver) *Server {
	return &Server{
		cfg: cfg, open: open, log: cfg.Logger, refusals: wsconn.Refusals{Logger: cfg.Logger, Address: cfg.Door.Address},
		sessions: map[string]*Session{},
	}
}

// Holds reports whether r names a session of s.
func (s *Server) Holds(r *http.Request) bool {
	sid := newQuery(r.URL.RawQuery).sid
	return sid != "" && s.lookup(sid) != nil
}

// Close refuses new sessions from now on, with status 503, and returns what ends each of those
// that there are, for reason, after what waits in it has gone out. WaitForPolls has to follow.
func (s *Server) Close(reason string) (ends []func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.reason = true, reason
	for _, one := range s.sessions {
		if !one.ended {
			ends = append(ends, func() { one.end(shutdown(reason)) })
		}
	}
	return ends
}

// WaitForPolls holds the group until clients that are between two polls have fetched their
// end, or for Config.Farewell and no longer than Config.Grace allows. It returns at once.
func (s *Server) WaitForPolls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left == nil { // once is enough
		s.left = s.cfg.Group.Linger(s.cfg.Grace.Of(s.cfg.Farewell))
	}
	s.checkLeft()
}

// checkLeft ends the wait of WaitForPolls once all sessions have ended. s.mu must be held.
func (s *Server) checkLeft() {
	if s.left != nil && len(s.sessions) == s.ended {
		s.left()
	}
}

// ServeHTTP answers requests of all clients. The caller has checked the origin, and set the time for the body.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.checkServer(r)
	if !cleanPath(r.URL.Path) {
		http.NotFound(w, r)
		return
	}
	q := newQuery(r.URL.RawQuery)
	switch {
	case !s.speaks(q.transport):
		s.refuse(w, r, UnknownTransport, "")
	case q.sid == "":
		s.handshake(w, r, q)
	default:
		s.resume(w, r, q)
	}
}

func (s *Server) speaks(transport string) bool {
	return transport == transportPolling && s.cfg.Polling || transport == transportWebSocket && s.cfg.WebSocket
}

// handshake answers a request without a session id.
func (s *Server) handshake(w http.ResponseWriter, r *http.Request, q query) {
	switch {
	case r.Method != http.MethodGet:
		s.refuse(w, r, BadMethod, "")
	case headers.IsUpgrade(r) != (q.transport == transportWebSocket):
		s.refuse(w, r, BadRequest, s.explain(r, q))
	case q.revision == 0 || q.revision == 3 && !s.cfg.EIO3:
		s.refuse(w, r, UnsupportedVersion, "")
	case s.isClosed():
		w.Header().Set("Retry-After", "1")
		http.Error(w, "server shutting down", http.StatusServiceUnavailable)
	default:
		s.begin(w, r, q)
	}
}

// begin begins a session, if there is room for one more.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, q query) {
	source, ok := s.cfg.Door.Enter(w, r)
	if !ok {
		return
	}
	var one *Session
	begun := false
	defer func() {
		switch {
		case begun:
		case one == nil: // the context, which may be of middleware, has panicked
			s.cfg.Door.Leave(source)
		default: // there is no WebSocket, or the ResponseWriter has panicked
			s.remove(one, false)
		}
	}()
	one = newSession(s, r, q, source) // before the connection is taken over: Detach may look at it
	if q.transport == transportWebSocket {
		begun = s.openWebSocket(w, r, one)
		return
	}
	s.openPolling(w, r, one)
	begun = true
}

// resume answers a request with a session id.
func (s *Server) resume(w http.ResponseWriter, r *http.Request, q query) {
	one := s.lookup(q.sid)
	switch {
	case one == nil && s.isForeign(q.sid):
		s.refuse(w, r, UnknownSID, "")
	case one == nil || !one.belongsTo(r):
		s.refuseUnknown(w, r, q.sid)
	case one.Revision() != q.revision:
		s.refuse(w, r, BadRequest, "")
	case r.Method != http.MethodGet && r.Method != http.MethodPost,
		q.transport == transportWebSocket && r.Method != http.MethodGet:
		w.Header().Set("Allow", "GET, POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
	case headers.IsUpgrade(r) != (q.transport == transportWebSocket):
		s.refuse(w, r, BadRequest, s.explain(r, q))
	case q.transport == transportWebSocket:
		one.upgrade(w, r)
	case r.Method == http.MethodPost:
		one.servePost(w, r)
	default:
		one.serveGet(w, r)
	}
}

// explain returns the message for a request whose transport and headers disagree.
func (s *Server) explain(r *http.Request, q query) string {
	if q.transport != transportWebSocket || r.ProtoMajor < 2 {
		return ""
	}
	s.refusals.Log(r, wsconn.ErrHTTP2)
	return "WebSocket needs HTTP/1.1"
}

// refuse answers with an error.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, code Code, message string) {
	s.logRefusal(r, messages[code])
	WriteError(w, r, code, message)
}

// isForeign reports whether a session id is of another node. It cannot be one of ours, so
// whoever sends it does not guess, but has lost a node.
func (s *Server) isForeign(sid string) bool {
	node := session.NodeOf(sid)
	return s.cfg.Node != "" && node != "" && node != s.cfg.Node
}

// refuseUnknown refuses a session id, and more firmly if the client seems to guess.
func (s *Server) refuseUnknown(w http.ResponseWriter, r *http.Request, sid string) {
	if s.cfg.Door.Guessed(w, r, sid) {
		writeError(w, r, http.StatusTooManyRequests, UnknownSID, "")
		return
	}
	s.refuse(w, r, UnknownSID, "")
}

func (s *Server) logRefusal(r *http.Request, why string) {
	s.log.Debug("Engine.IO request refused",
		slog.String("why", why), slog.String("method", r.Method), slog.Any("address", s.cfg.Door.Address(r)))
}

// checkServer warns of a server that lets clients send headers for ever.
func (s *Server) checkServer(r *http.Request) {
	s.warnHeaders.Do(func() {
		server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
		if ok && server.ReadHeaderTimeout == 0 && server.ReadTimeout == 0 {
			s.log.Warn("the http.Server has no ReadHeaderTimeout: slow clients can hold connections for ever; 5 s is a good value")
		}
	})
}

// add enters a new session. If the server has been closed, it fails with the reason.
func (s *Server) add(one *Session) (reason string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.reason, false
	}
	s.sessions[one.id] = one
	return "", true
}

// keep enters a session that is closing, if the layer above has closed it before add.
func (s *Server) keep(one *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[one.id] = one
}

// remove takes a session out that has ended. If it is to be remembered, and there are not too many of these, it stays
// until forget is called. Only the first call counts.
func (s *Server) remove(one *Session, remember bool) (remembered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one.ended {
		return false
	}
	one.ended = true
	one.leaveLocked()
	if remembered = remember && s.ended < maxEnded; remembered {
		s.ended++
		s.sessions[one.id] = one
	} else {
		delete(s.sessions, one.id)
	}
	s.checkLeft()
	return remembered
}

func (s *Server) forget(one *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended--
	delete(s.sessions, one.id)
}

func (s *Server) lookup(sid string) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[sid]
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// shutdown is how a session ends when its server is closed.
func shutdown(reason string) ending {
	return ending{reason: reason, code: session.CloseGoingAway, graceful: true}
}
