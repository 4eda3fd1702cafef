package engineio

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// openPolling answers the handshake of a polling client: with the open packet, and
// with whatever the layer above sends at once.
func (s *Server) openPolling(w http.ResponseWriter, r *http.Request, one *Session) {
	upgrades := ""
	if s.cfg.WebSocket {
		upgrades = `"websocket"`
	}
	p := newPoll(one) // the handshake is the first poll
	one.poll = p
	one.queue.Push(one.openFrame(upgrades))
	one.start()
	if c := s.cfg.Cookie; c != nil {
		cookie := *c
		cookie.Value = one.id
		http.SetCookie(w, &cookie)
	}
	one.respond(w, r, p)
}

// serveGet waits until there is something to send.
func (s *Session) serveGet(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	if r.ContentLength != 0 { // a connection is not watched until its request is read
		if _, status := s.readBody(w, r); status != 0 {
			s.refused(session.BodyError(status))
			refuseBody(w, status)
			return
		}
	}
	p, refused := s.enterPoll(r)
	if refused != nil {
		refused(w, r)
		return
	}
	// The server's own timeouts are for requests that are answered at once. Writers
	// without deadlines have none that could strike.
	rc.SetReadDeadline(time.Time{})
	rc.SetWriteDeadline(time.Time{})
	defer s.server.cfg.Clock.Stop(&p.alarm)
	for {
		select {
		case <-p.ready:
			if !s.mayHold(p) {
				s.respond(w, r, p)
				return
			}
			if s.hold(w, r, p) {
				return
			}
		case <-r.Context().Done():
			if s.leavePoll(p) && !p.relayed {
				s.aborted(r.RemoteAddr)
			}
			return
		}
	}
}

// mayHold says whether p has been woken because it waits for long.
func (s *Session) mayHold(p *poll) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.long && s.idles()
}

// aborted ends the session of a client that did not wait for the answer to its GET.
func (s *Session) aborted(remote string) {
	s.server.log.Debug("Engine.IO poll aborted by the client", slog.String("remote", remote))
	s.broken(nil)
}

// refusal answers a request that the state of the session does not allow.
type refusal func(http.ResponseWriter, *http.Request)

// enterPoll makes a GET the one that waits. One that another node has brought, and may have
// lost, makes way for it.
func (s *Session) enterPoll(r *http.Request) (p *poll, refused refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if refused := s.refuseHTTP(); refused != nil {
		return nil, refused
	}
	mark := session.Mark(r)
	if s.poll != nil && !s.poll.giveWay() || mark != 0 && mark == s.answered {
		return nil, s.refuseOverlap // or its answer is lost
	}
	s.poll = newPoll(s)
	if session.IsRelayed(r) {
		s.poll.relayed, s.poll.mark = true, mark
	}
	s.server.cfg.Clock.Set(&s.poll.alarm, holdAfter, s.poll)
	s.wake()
	return s.poll, nil
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
	refuseBody(w, http.StatusBadRequest)
}

// respond answers a GET: with nothing if it has made way for another.
func (s *Session) respond(w http.ResponseWriter, r *http.Request, p *poll) {
	frames, ok := s.take(p)
	if !ok {
		_ = s.write(w, r, nil) // to nobody, most likely
		return
	}
	s.responded(r.RemoteAddr, frames, s.write(w, r, frames))
}

// responded makes way for the next answer, or ends the session if err says that this one
// has not gone out.
func (s *Session) responded(remote string, frames []session.Frame, err error) {
	s.mu.Lock()
	s.responding = false
	s.wake()
	s.mu.Unlock()
	if err != nil {
		s.server.log.Debug("Engine.IO poll cannot be answered",
			slog.Any("error", err), slog.String("remote", remote))
		s.end(ending{reason: session.ReasonTransportError, last: frameClose, ifPolling: len(frames) == 0})
	}
}

// take returns what the GET that waits is answered with, and makes room for the
// next. Nothing, once the session has gone to a WebSocket or is about to. It is false
// if p is not the one that waits.
func (s *Session) take(p *poll) (frames []session.Frame, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.poll != p {
		return nil, false
	}
	s.poll, s.responding, s.answered = nil, true, p.mark
	switch {
	case s.onWebSocket:
		return nil, true
	case s.state == stateClosing:
		return s.takeLast(), true
	default:
		return s.queue.Take(), true
	}
}

// takeLast empties a session that is closing: first what waits, then, for the next
// GET, the end. It takes s.mu as held.
func (s *Session) takeLast() []session.Frame {
	if len(s.queue.Frames) > 0 {
		s.arm(lingerTimeout)
		return s.queue.Take()
	}
	s.state = stateClosed
	s.server.cfg.Clock.Stop(&s.alarm)
	s.server.remove(s)
	return []session.Frame{frameNoop, frameClose}
}

// write sends the answer to a GET. A small one stays in the server's buffer until
// its handler returns; if it is lost there, the heartbeat tells.
func (s *Session) write(w http.ResponseWriter, r *http.Request, frames []session.Frame) error {
	payload := s.compose(w.Header(), frames, isIE(r))
	// Where deadlines are not supported, none is set.
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.server.cfg.WriteTimeout))
	_, err := w.Write(payload)
	return err
}

// compose returns the body of the answer to a GET, and sets its header.
func (s *Session) compose(h http.Header, frames []session.Frame, ie bool) []byte {
	if len(frames) == 0 {
		frames = []session.Frame{frameNoop}
	}
	payload, binary := s.variant.encode(frames)
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
	if ie {
		keepFromIE(h)
	}
	return payload
}

// keepFromIE turns off the filter of old browsers that takes payloads for attacks.
func keepFromIE(h http.Header) { h.Set("X-XSS-Protection", "0") }

func isIE(r *http.Request) bool {
	ua := r.UserAgent()
	return strings.Contains(ua, ";MSIE") || strings.Contains(ua, "Trident/")
}

// readBody reads the body of a request in the time that limitBody gives it, or returns
// the status to refuse it with.
func (s *Session) readBody(w http.ResponseWriter, r *http.Request) (body []byte, status int) {
	limit := s.server.cfg.MaxMessage
	if r.ContentLength > limit {
		return nil, http.StatusRequestEntityTooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return body, 0
	case errors.As(err, &tooLarge):
		return nil, http.StatusRequestEntityTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, http.StatusRequestTimeout
	default:
		return nil, http.StatusBadRequest
	}
}

// refuseBody answers a request whose body has not been read to its end: what
// follows on the connection cannot be trusted.
func refuseBody(w http.ResponseWriter, status int) {
	w.Header().Set("Connection", "close")
	w.WriteHeader(status)
}
