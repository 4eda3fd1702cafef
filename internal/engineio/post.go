package engineio

import (
	"errors"
	"net/http"

	"github.com/seed-ce09063a/thinkws/internal/guard"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// servePost takes the packets of a POST.
func (s *Session) servePost(w http.ResponseWriter, r *http.Request) {
	if refused := s.enterPost(http.NewResponseController(w)); refused != nil {
		refused(w, r)
		return
	}
	defer s.leavePost()
	switch {
	case isEncoded(r):
		s.server.logRefusal(r, "body is encoded")
		session.RefuseBody(w, http.StatusUnsupportedMediaType)
	case isBinary(r) && s.variant.Revision == 4:
		s.server.logRefusal(r, "body is binary")
		s.broken(errBinary)
		session.RefuseBody(w, http.StatusBadRequest)
	case r.ContentLength > s.server.cfg.MaxMessage:
		s.refused(errBodySize)
		s.server.logRefusal(r, "body is declared too large")
		session.RefuseBody(w, http.StatusRequestEntityTooLarge)
	default:
		s.readPost(w, r)
	}
}

// enterPost makes a POST the one that is being served.
func (s *Session) enterPost(rc *http.ResponseController) (refused refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if refused := s.refuseHTTP(); refused != nil {
		return refused
	}
	if s.posting {
		return s.refuseOverlap
	}
	s.posting = true
	s.cutPost = func() { guard.Expire(rc.SetReadDeadline) }
	return nil
}

func (s *Session) leavePost() {
	s.mu.Lock()
	s.posting, s.cutPost = false, nil
	s.strikeLocked()
	s.mu.Unlock()
}

func (s *Session) readPost(w http.ResponseWriter, r *http.Request) {
	defer s.holdBody(0)
	body, status := session.ReadBody(w, r, s.server.cfg.MaxMessage, s.holdBody)
	s.leaveBody()
	switch {
	case s.tornDown(): // what has been read is nobody's any more
		session.RefuseBody(w, http.StatusBadRequest)
	case status != 0:
		cause := session.BodyError(status)
		s.server.cfg.Tally.Note(cause)
		s.server.logRefusal(r, http.StatusText(status))
		s.broken(cause)
		session.RefuseBody(w, status)
	default:
		s.answerPost(w, r, s.deliver(w, r, body))
	}
}

// interruptPost ends the reading of a body that nobody wants any more. It takes
// s.mu as held.
func (s *Session) interruptPost() {
	if s.cutPost != nil {
		s.cutPost()
	}
}

func (s *Session) leaveBody() {
	s.mu.Lock()
	s.cutPost = nil
	s.mu.Unlock()
}

// tornDown reports whether the session has ended other than in due form.
func (s *Session) tornDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == stateClosed && !s.due
}

// deliver hands the packets of a POST to the layer above, with pauses as the session's Flow says: all of them, also if
// a WebSocket takes over meanwhile. What came before a packet that is wrong has been delivered.
func (s *Session) deliver(w http.ResponseWriter, r *http.Request, body []byte) error {
	binary := isBinary(r)
	if s.jsonp != nil && !binary {
		payload, found, err := s.jsonp.unwrap(body)
		if err != nil || !found {
			return err
		}
		body = payload
	}
	s.inbox.Lock()
	defer s.inbox.Unlock()
	if s.Transport() != transportPolling {
		return errLate
	}
	for p, err := range s.variant.decode(body, binary, s.server.cfg.MaxPackets) {
		switch {
		case err != nil:
			return err
		case !p.binary || binary: // else it has been decoded from base64, into memory of its own
			p.data = s.own(p.data, body)
		}
		err := s.handle(p)
		s.flow.Dispatch()
		switch {
		case errors.Is(err, errEnded) && !s.tornDown():
			return nil // sent away in due form: what it sent meanwhile is ignored
		case err != nil:
			return err
		case p.typ == typeClose:
			return nil
		case !s.hold(w, r):
			return errGone
		}
	}
	return nil
}

// own is session.Own. A packet that is as good as the whole body counts from now on, and not the body.
func (s *Session) own(data, body []byte) []byte {
	owned := session.Own(data, body)
	if len(owned) > 0 && &owned[0] == &data[0] {
		s.holdBody(len(body) - len(data))
	}
	return owned
}

// holdBody counts what is held of a body. It is for the POST that is served.
func (s *Session) holdBody(bytes int) { s.flow.Account().Settle(&s.body, s, bytes) }

// hold waits until the client may send more, and returns false if it has gone meanwhile. s.inbox must be held; it is
// released in between, for the end of the session, and for a WebSocket that takes over.
func (s *Session) hold(w http.ResponseWriter, r *http.Request) bool {
	if s.flow.Open() {
		return true
	}
	s.inbox.Unlock()
	defer s.inbox.Lock()
	return s.flow.Hold(w, r, s.hasEnded, s.server.cfg.WriteTimeout)
}

func (s *Session) answerPost(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, errLate):
		s.server.refuse(w, r, BadRequest, "")
		return
	case errors.Is(err, errGone): // the packets that follow are lost, so the session cannot go on
		s.broken(nil)
		return
	case err != nil:
		s.fail(err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html") // text/plain makes old browsers offer a download
	h.Set("Content-Length", "2")
	h.Set("Cache-Control", "no-store")
	if isIE(r) {
		keepFromIE(h)
	}
	w.Write([]byte("ok")) // a client that has gone does not miss it
}
