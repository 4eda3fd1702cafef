package engineio

import (
	"errors"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/headers"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// openPolling answers the handshake of a polling client with the open packet, and with what the
// layer above sends at once.
func (s *Server) openPolling(w http.ResponseWriter, r *http.Request, one *Session) {
	upgrades := ""
	if s.cfg.WebSocket {
		upgrades = `"websocket"`
	}
	p := newPoll() // the handshake is the first poll
	one.poll = p
	one.queue.Push(one.openFrame(upgrades))
	one.start()
	answered := false
	defer func() { one.forsaken(answered) }()
	if c := s.cfg.Cookie; c != nil && !session.IsBare(r) {
		cookie := *c
		cookie.Value = one.id
		headers.SetCookies(w.Header(), cookie.String())
	}
	one.respond(w, r, p)
	answered = true
}

// forsaken ends the session unless a GET was answered: the ResponseWriter or the context, which
// may be of middleware, has panicked.
func (s *Session) forsaken(answered bool) {
	if !answered {
		s.broken(nil)
	}
}

// poll is a GET that waits in its handler.
type poll struct {
	ready   chan struct{} // wakes the handler
	relayed bool          // another server sent it: its end need not be the client's
	mark    uint64        // session.Mark of a relayed request, otherwise 0
}

func newPoll() *poll { return &poll{ready: make(chan struct{}, 1)} }

// wake tells the handler to answer.
func (p *poll) wake() {
	select {
	case p.ready <- struct{}{}:
	default: // it has been told
	}
}

// serveGet waits until there is something to send. Meanwhile the request costs what net/http
// needs for it, and no goroutine, timer or buffer of ours.
func (s *Session) serveGet(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	if r.ContentLength != 0 { // a connection is not watched until its request is read
		if status := session.DropBody(w, r, s.server.cfg.MaxMessage); status != 0 {
			s.refused(session.BodyError(status))
			session.RefuseBody(w, status)
			return
		}
	}
	p, refused := s.enterPoll(r)
	if refused != nil {
		refused(w, r)
		return
	}
	answered := false
	defer func() { s.forsaken(answered) }()
	// The server's own timeouts are for requests that are answered at once. Writers
	// without deadlines have none that could strike.
	rc.SetReadDeadline(time.Time{})
	rc.SetWriteDeadline(time.Time{})
	select {
	case <-p.ready:
		s.respond(w, r, p)
	case <-r.Context().Done():
		if s.leavePoll(p) && !p.relayed {
			s.server.log.Debug("Engine.IO poll aborted by the client", slog.Any("address", s.server.cfg.Door.Address(r)))
			s.broken(nil)
		}
	}
	answered = true
}

// refusal answers a request that the state of the session does not allow.
type refusal func(http.ResponseWriter, *http.Request)

// enterPoll makes a GET the one that waits. One that another node has brought, and may have
// lost, makes way for it.
func (s *Session) enterPoll(r *http.Request) (p *poll, refused refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.quit { // once: the next GET is one too many
		s.quit = false
		return nil, func(w http.ResponseWriter, r *http.Request) { _ = s.write(w, r, nil) }
	}
	if refused := s.refuseHTTP(); refused != nil {
		return nil, refused
	}
	mark := session.Mark(r)
	if s.poll != nil && !s.dismissPoll() || mark != 0 && mark == s.answered {
		return nil, s.refuseOverlap // or its answer is lost
	}
	p = newPoll()
	if session.IsRelayed(r) {
		p.relayed, p.mark = true, mark
	}
	s.poll = p
	s.wake()
	return p, nil
}

// dismissPoll answers the GET that waits if another server relayed it, since that server may be
// lost. It returns false if the client itself sent the GET. s.mu must be held.
func (s *Session) dismissPoll() bool {
	if !s.poll.relayed {
		return false
	}
	s.poll.wake()
	s.poll = nil
	return true
}

// leavePoll returns false if p waits no more.
func (s *Session) leavePoll(p *poll) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.poll != p {
		return false
	}
	s.poll = nil
	return true
}

// refuseHTTP refuses requests by polling on sessions that have left it. It takes
// s.mu as held.
func (s *Session) refuseHTTP() refusal {
	switch {
	case s.onWebSocket:
		return func(w http.ResponseWriter, r *http.Request) { s.server.refuse(w, r, BadRequest, "") }
	case s.state == stateClosed:
		return func(w http.ResponseWriter, r *http.Request) { s.server.refuse(w, r, UnknownSID, "") }
	default:
		return nil
	}
}

// refuseOverlap ends a session whose client has two GETs or two POSTs at a time.
func (s *Session) refuseOverlap(w http.ResponseWriter, r *http.Request) {
	s.server.logRefusal(r, "overlapping requests")
	s.broken(errOverlap)
	session.RefuseBody(w, http.StatusBadRequest)
}

// respond answers a GET: with nothing if it has made way for another.
func (s *Session) respond(w http.ResponseWriter, r *http.Request, p *poll) {
	frames, counts, ok := s.take(p)
	if !ok {
		_ = s.write(w, r, nil) // to nobody, most likely
		return
	}
	empty, err := len(frames) == 0, errLost // unless the ResponseWriter, which may be of middleware, returns
	defer func() { s.responded(r, empty, counts, err) }()
	err = s.write(w, r, frames) // their text, and no more the frames, is what is held then
}

// responded notes that a GET has been answered with what has that count in the queue, or how that failed.
func (s *Session) responded(r *http.Request, empty bool, counts int, err error) {
	s.mu.Lock()
	slow := errors.Is(err, os.ErrDeadlineExceeded) && s.queue.Over(s.server.cfg.Queue)
	s.queue.Sent(counts)
	s.countLocked()
	s.responding, s.took, s.cutPoll = false, true, nil
	s.strikeLocked()
	s.wake()
	s.mu.Unlock()
	switch {
	case slow:
		s.endSlow()
	case err != nil:
		s.server.log.Debug("Engine.IO poll cannot be answered",
			slog.Any("error", err), slog.Any("address", s.server.cfg.Door.Address(r)))
		s.end(ending{reason: session.ReasonTransportError, ifPolling: empty})
	}
}

// take returns what the GET that waits is answered with, what that counts in the queue, and makes room for the next.
// Nothing, once the session has gone to a WebSocket or is about to. It is false if p is not the one that waits.
func (s *Session) take(p *poll) (frames []session.Frame, counts int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.poll != p {
		return nil, 0, false
	}
	s.poll, s.responding, s.answered = nil, true, p.mark
	switch {
	case s.onWebSocket:
		return nil, 0, true
	case s.state != stateClosing:
	case len(s.queue.Entries) == 0:
		s.closeLocked()
		return []session.Frame{frameNoop, frameClose}, 0, true
	default:
		s.arm(lingerTimeout)
	}
	frames, counts = s.queue.Take(session.MostPolled)
	return frames, counts, true
}

// write sends the answer to a GET. net/http buffers a small answer until the handler returns;
// if it is lost after that, the heartbeat finds out.
func (s *Session) write(w http.ResponseWriter, r *http.Request, frames []session.Frame) error {
	if len(frames) == 0 {
		frames = []session.Frame{frameNoop}
	}
	payload, binary := s.variant.encode(frames)
	h := w.Header()
	switch {
	case s.jsonp != nil:
		payload = s.jsonp.wrap(payload)
		h.Set("Content-Type", "text/javascript; charset=UTF-8")
		h.Set("X-Content-Type-Options", "nosniff")
	case binary:
		h.Set("Content-Type", "application/octet-stream")
	default:
		h.Set("Content-Type", "text/plain; charset=UTF-8")
	}
	h.Set("Content-Length", strconv.Itoa(len(payload)))
	h.Set("Cache-Control", "no-store")
	if isIE(r) {
		keepFromIE(h)
	}
	if len(payload) > session.Piece {
		s.letCut(w)
	}
	return session.WriteBody(w, payload, s.writeTimeout)
}

// writeTimeout is the time for a piece of a response.
func (s *Session) writeTimeout() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.evicted {
		return -1
	}
	return s.server.cfg.Grace.Of(s.server.cfg.WriteTimeout)
}

// keepFromIE turns off the filter of old browsers that takes payloads for attacks.
func keepFromIE(h http.Header) { h.Set("X-XSS-Protection", "0") }

func isIE(r *http.Request) bool {
	ua := r.UserAgent()
	return strings.Contains(ua, ";MSIE") || strings.Contains(ua, "Trident/")
}
