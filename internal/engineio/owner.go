package engineio

import (
	"net/http"

	"github.com/seed-ce09063a/thinkws/internal/credentials"
)

// remember keeps what the handshake r carried, for comparison with later requests. It is
// called before the session is known to others.
func (s *Session) remember(r *http.Request, q query) {
	cfg := &s.server.cfg
	if s.variant.Revision == 3 {
		owner := credentials.NewOwner(r, s.server.rules())
		s.owner = &owner
	}
	if cfg.WebSocket && q.transport == transportPolling {
		sent := s.server.sent(r)
		s.sent = &sent
	}
}

// belongsTo reports whether r may be of the session's client.
//
// Security: in revision 3 the session id is also the id of the socket, which a service may have told
// to other clients. So the session answers only requests of the user that began it. In revision 4
// nobody but the client learns the session id, and Authorization may change between requests.
func (s *Session) belongsTo(r *http.Request) bool {
	if s.variant.Revision != 3 {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owner.Owns(r, s.server.rules())
}

func (s *Server) rules() credentials.Rules { return credentials.Rules{Cookies: s.cfg.SessionCookies} }

// Vouches reports whether r is an upgrade of a living session whose handshake carried the same
// cookies and the same Authorization.
//
// Security: the handshake was a poll, whose origin could be judged by Sec-Fetch-Site. A page of
// another origin can neither read the id of the session nor change the cookies of its user. So r
// comes from the page that polls, though Origin and Host of r may disagree behind a proxy. In revision 3
// the id may be known to others, whose page a user of the service may look at. There r must also name
// the origin of the page that began the session.
//
// A proxy may have dropped the Upgrade header, as nginx does by default. Such an r is answered 400,
// which says what is wrong, and not refused for its origin.
func (s *Server) Vouches(r *http.Request) bool {
	q := newQuery(r.URL.RawQuery)
	if q.sid == "" || q.transport != transportWebSocket {
		return false
	}
	one := s.lookup(q.sid)
	return one != nil && one.vouches(r, s.sent(r))
}

func (s *Session) vouches(r *http.Request, sent credentials.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateOpen || s.sent == nil || !s.sent.Equal(sent) {
		return false
	}
	return s.owner == nil || s.owner.Knows(r)
}

// sent leaves out our own cookie, which the answer to the handshake sets.
func (s *Server) sent(r *http.Request) credentials.Digest {
	ours := ""
	if s.cfg.Cookie != nil {
		ours = s.cfg.Cookie.Name
	}
	return credentials.Sent(r, ours)
}
