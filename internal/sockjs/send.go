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
		session.RefuseBody(w, http.StatusUnsupportedMediaType) // no client does that
		return
	}
	one := s.lookup(route.key)
	if one != nil && one.belongsTo(r) {
		one.serveSend(w, r, route.endpoint)
		return
	}
	s.limitBody(w)
	body, free, status := s.bodies.Read(w, r)
	defer free()
	if _, ok := s.strings(w, r, route.endpoint, body, status); ok {
		s.refuseUnknown(w, r, route.key)
	}
}

// strings returns the array of strings in a body, which has been read with a status. If there is none, w has been
// answered.
func (s *Server) strings(w http.ResponseWriter, r *http.Request, e endpoint, body []byte, status int) (array []byte, ok bool) {
	s.noteBody(r, status)
	if status != 0 {
		session.RefuseBody(w, status)
		return nil, false
	}
	wrong := ""
	if e == jsonpSend {
		body, wrong = formPayload(r, body)
	}
	if wrong == "" {
		wrong = checkStrings(body)
	}
	if wrong != "" {
		writeText(w, http.StatusInternalServerError, wrong)
		s.cfg.Report.Request(errors.New("sockjs: "+wrong), r)
		return nil, false
	}
	return body, true
}

// refuseUnknown answers a request for a session that does not exist or is another client's, and more firmly if the
// client seems to guess. A receiver with an unknown id begins a session, so it is no guess; the handshake limits apply
// to it.
func (s *Server) refuseUnknown(w http.ResponseWriter, r *http.Request, k key) {
	if s.cfg.Door.Guessed(w, r, k.id) {
		writeText(w, http.StatusTooManyRequests, "too many unknown session ids\n")
		return
	}
	notFound(w)
}

// maxSending limits the requests of one client that send at a time. Clients have one.
//
// Security: a request that waits is held though its client may have gone, since its connection is not watched until its
// body has been read.
const maxSending = 100

// serveSend takes messages of the session's client.
func (s *polled) serveSend(w http.ResponseWriter, r *http.Request, e endpoint) {
	if !s.enterSend(r) {
		s.server.cfg.Tally.Count(session.LimitReceiveQueue)
		session.RefuseBody(w, http.StatusServiceUnavailable)
		return
	}
	defer s.leaveSend()
	if s.isClosed() { // meanwhile: its body is not read
		w.Header().Set("Connection", "close")
		notFound(w)
		return
	}
	defer s.freeBody()
	body, status := s.readBody(w, r)
	array, ok := s.server.strings(w, r, e, body, status)
	if !ok {
		return
	}
	s.receive(w, r, array)
	// The server's own timeout is for requests that do not wait. Writers without deadlines have none.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.server.cfg.WriteTimeout))
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	if e == xhrSend {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Write([]byte("ok")) // a client that has gone does not miss it
}

// enterSend waits for the turn of a request, and for room. It returns false if too many wait.
func (s *polled) enterSend(r *http.Request) bool {
	s.mu.Lock()
	tooMany := s.sending == maxSending
	if !tooMany {
		s.sending++
	}
	s.mu.Unlock()
	if tooMany {
		return false
	}
	s.turn <- struct{}{} // the session's end lets everybody have it
	s.client.Flow().Wait(s.ended, r.Context().Done())
	return true
}

func (s *polled) leaveSend() {
	<-s.turn
	s.mu.Lock()
	s.sending--
	s.mu.Unlock()
}

// receive hands the strings of a JSON array to the hub, in order, with pauses as the session's Flow says. What comes
// for a session that is ending is dropped. The request, with all its bytes, is charged as its first message. One
// without messages is charged too.
func (s *polled) receive(w http.ResponseWriter, r *http.Request, array []byte) {
	s.client.Charge(len(array))
	more := false
	for value := range values(array, s.server.cfg.RawStrings) {
		if more {
			s.holdBody(len(array))
			s.client.Charge(0)
			if !s.hold(w, r) {
				return
			}
		}
		more = true
		if s.ended() {
			return
		}
		s.holdBody(len(array) - len(value)) // that part counts as an event from now on
		err := s.server.deliver(s.client, value, array)
		s.client.Flow().Dispatch()
		if err != nil {
			s.fail(err)
			return
		}
	}
	s.holdBody(0)
	s.hold(w, r) // the answer says that there is room for more
}

// hold waits for room. It returns false if the client has gone: then the strings that follow are lost.
func (s *polled) hold(w http.ResponseWriter, r *http.Request) bool {
	if s.client.Flow().Hold(w, r, s.ended, s.server.cfg.WriteTimeout) {
		return true
	}
	s.broke(nil)
	return false
}

// dropBody is readBody for a body that nobody wants.
func (s *Server) dropBody(w http.ResponseWriter, r *http.Request) (status int) {
	if r.ContentLength == 0 {
		return 0
	}
	s.limitBody(w)
	status = session.DropBody(w, r, s.cfg.MaxMessage)
	s.noteBody(r, status)
	return status
}

func (s *Server) limitBody(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.cfg.ReadTimeout)) // where supported
}

func (s *Server) noteBody(r *http.Request, status int) {
	err := session.BodyError(status)
	s.cfg.Tally.Note(err)
	s.cfg.Report.Request(err, r)
}
