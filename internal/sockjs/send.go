package sockjs

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// serveSend takes messages of a client. Whether they can be read is judged before it is
// known whose they are.
func (s *Server) serveSend(w http.ResponseWriter, r *http.Request, route Route) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		refuseBody(w, http.StatusUnsupportedMediaType) // no client does that
		return
	}
	body, status := s.readBody(w, r)
	if status != 0 {
		refuseBody(w, status)
		return
	}
	wrong := ""
	if route.endpoint == jsonpSend {
		body, wrong = formPayload(r, body)
	}
	if wrong == "" {
		wrong = checkStrings(body)
	}
	if wrong != "" {
		writeText(w, http.StatusInternalServerError, wrong)
		s.cfg.Report.Request(errors.New("sockjs: "+wrong), r)
		return
	}
	one := s.lookup(route.key)
	if one == nil || !one.belongsTo(r) {
		s.refuseUnknown(w, r, route.key)
		return
	}
	one.receive(body)
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	if route.endpoint == xhrSend {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Write([]byte("ok")) // a client that has gone does not miss it
}

// refuseUnknown answers a request for a session that does not exist or is another client's, and more firmly if the client
// seems to guess. A receiver with an unknown id begins a session, so it is no guess; the handshake limits apply to it.
func (s *Server) refuseUnknown(w http.ResponseWriter, r *http.Request, k key) {
	if s.cfg.Door.Guessed(w, r, k.id) {
		writeText(w, http.StatusTooManyRequests, "too many unknown session ids\n")
		return
	}
	notFound(w)
}

// receive hands the strings of a JSON array to the hub, in order. What comes for a
// session that is ending is dropped.
func (s *polled) receive(array []byte) {
	s.inbox.Lock()
	defer s.inbox.Unlock()
	if !s.isOpen() {
		return
	}
	if err := s.receiveStrings(array); err != nil {
		s.fail(err)
	}
}

// receiveStrings charges the request, with all its bytes, as its first message. A request without
// messages is charged too.
func (s *polled) receiveStrings(array []byte) error {
	if err := s.client.Charge(len(array)); err != nil {
		return err
	}
	more := false
	for value := range values(array, s.server.cfg.RawStrings) {
		if more {
			if err := s.client.Charge(0); err != nil {
				return err
			}
		}
		more = true
		if !s.isOpen() {
			return nil
		}
		task, err := s.server.deliver(s.client, value, array)
		if task != nil {
			s.server.cfg.Group.Start(task)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readBody reads the body of a request in limited time, or returns the status to refuse
// it with.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) (body []byte, status int) {
	defer func() {
		err := session.BodyError(status)
		s.cfg.Tally.Note(err)
		s.cfg.Report.Request(err, r)
	}()
	if r.ContentLength == 0 {
		return nil, 0
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.cfg.ReadTimeout)) // where supported
	return session.ReadBody(w, r, s.cfg.MaxMessage, nil)
}

// refuseBody answers a request whose body has not been read to its end: what follows on
// the connection cannot be trusted.
func refuseBody(w http.ResponseWriter, status int) {
	w.Header().Set("Connection", "close")
	w.WriteHeader(status)
}
