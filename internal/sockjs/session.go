package sockjs

import (
	"net/http"
	"sync"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/alarm"
	"github.com/seed-ce09063a/thinkws/internal/credentials"
	"github.com/seed-ce09063a/thinkws/internal/door"
	"github.com/seed-ce09063a/thinkws/internal/jsonevent"
	"github.com/seed-ce09063a/thinkws/internal/ledger"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// state is how far a session has come.
type state uint8

const (
	stateOpen    state = iota
	stateClosing       // who comes gets what waits, then the close frame
	stateClosed        // and is in no table any more
)

// polled is a session over HTTP. It is a session.Conn to the hub, and safe for concurrent
// use.
type polled struct {
	server *Server
	key    key
	source *door.Source
	client *jsonevent.Client

	// turn is held by the one request that sends, while its body is read and client receives; and until the client has
	// been admitted. Others wait before their bodies are read, so that a client has one body here, however many requests
	// it makes.
	turn chan struct{}
	body ledger.Share // of the body that is read and received; as long as it comes, others wait for turn

	mu      sync.Mutex // protects what follows
	state   state
	owner   credentials.Owner
	opened  bool                           // the open frame has been taken
	queue   session.Waiting[session.Frame] // what waits or is being sent, of codec
	share   ledger.Share                   // of what the queue counts
	closing []byte                         // the close frame
	told    bool                           // a client has it

	receiver  *receiver   // the request that takes frames; nil if there is none
	waiting   bool        // it has nothing to send
	ending    []*receiver // let go of, and still writing their last frame
	transport string      // of the last receiver
	sending   int         // requests that send, or wait for their turn
	cutBody   func()      // interrupts the reading of a body; nil if none is read
	evicted   bool        // a body is not read to its end
	answered  uint64      // the mark of the last one that was relayed and has been answered

	// The one alarm: for the next heartbeat while a receiver waits, otherwise for the end.
	alarm alarm.Alarm
	beat  bool // a heartbeat is due
}

var _ session.Conn = (*polled)(nil)

// newPolled returns a session that its first receiver has already, and that nobody else
// knows of. Nobody has a turn to send until admit returns.
func newPolled(s *Server, k key, first *receiver, source *door.Source) *polled {
	one := &polled{
		server: s, key: k, source: source,
		owner:    credentials.NewOwner(first.r, s.rules()),
		receiver: first, transport: first.endpoint.traits().transport,
		turn: make(chan struct{}, 1), body: ledger.Share{Partial: true},
	}
	one.client = jsonevent.NewClient(s.ws.Clients(), one, s.cfg.Namespace(first.r))
	one.client.Flow().Bill(s.cfg.Ledger, one)
	one.turn <- struct{}{}
	return one
}

// admit brings a new session to the hub.
func (s *polled) admit(r *http.Request) {
	defer func() { <-s.turn }()
	admitted := false
	defer func() {
		if !admitted { // the service's own code has panicked
			s.broke(nil)
		}
	}()
	s.client.Admit(r)
	admitted = true
}

// belongsTo reports whether a request may be of the session's client.
//
// Security: the client chooses the id, and those of sockjs-client have 40 bits. So an id that is guessed or has leaked
// opens nothing to a page of another origin, or to another user.
func (s *polled) belongsTo(r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owner.Owns(r, s.server.rules())
}

// rules say what identifies the owner of a session. Browsers leave Origin out of some requests of the same page.
func (s *Server) rules() credentials.Rules {
	return credentials.Rules{Cookies: s.cfg.SessionCookies, OriginMayMiss: true}
}

// armLocked sets the alarm. s.mu must be held.
func (s *polled) armLocked(d time.Duration) { s.server.cfg.Clock.Set(&s.alarm, d, (*sleeper)(s)) }

// sleeper is a session as its alarm sees it.
type sleeper polled

// Fail implements serial.Failer.
func (w *sleeper) Fail(error) { (*polled)(w).broke(nil) }

// Ring implements alarm.Sleeper.
func (w *sleeper) Ring() {
	s := (*polled)(w)
	switch gone, slow := s.rang(); {
	case slow:
		s.fail(session.ErrSlow)
	case gone:
		s.client.End(session.ReasonTransportClose, nil)
	}
}

// rang does what the alarm was set for. It reports whether the client is gone by that, or takes too little.
func (s *polled) rang() (gone, slow bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state == stateClosed || !s.server.cfg.Clock.Rang(&s.alarm):
		return false, false
	case s.state == stateOpen && s.receiver != nil:
		s.beat = s.waiting // otherwise it is busy, and sets the alarm when it is not
		s.wakeLocked()
		return false, false
	case s.receiver != nil || len(s.ending) > 0: // not all that waited is out
		s.armLocked(s.server.cfg.DisconnectDelay)
		return false, false
	case s.state == stateOpen && s.overLocked():
		return false, true
	}
	gone = s.state == stateOpen
	s.close()
	return gone, false
}

// close makes the session one that never was, for requests that come. It takes s.mu as
// held; it and what follows from it for the table are one step, so nobody finds a closed
// session there.
func (s *polled) close() {
	s.state = stateClosed
	s.queue.Clear()
	s.countLocked()
	s.client.Flow().Account().Strike(s)
	s.server.cfg.Clock.Stop(&s.alarm)
	s.server.remove(s)
	s.wakeLocked() // a receiver that came too late
	s.client.Flow().Wake()
}

// broke ends the session because frames on their way to the client were lost; cause is nil if that need not be the
// client's doing.
func (s *polled) broke(cause error) {
	s.mu.Lock()
	open := s.state == stateOpen
	if open {
		s.close()
	}
	s.mu.Unlock()
	if open {
		s.endBroken(cause)
	}
}

// endBroken is told the hub.
func (s *polled) endBroken(cause error) {
	reason := session.ReasonTransportClose
	if cause != nil {
		_, reason = session.Verdict(cause)
	}
	s.client.End(reason, cause)
}

// Accept implements session.Conn: the open frame said it all.
func (s *polled) Accept() {}

// Refuse implements session.Conn: the failure comes as a message, if there is a form for
// it, and in any case as the reason of closing.
func (s *polled) Refuse(f *session.Failure) {
	if s.client.Refuse() {
		s.shut(closeFrame(session.ClosePolicy, f.Message), true, refusal(s.server.cfg.RawStrings, f)...)
	}
}

// Leave implements session.Conn: the only namespace is the whole session.
func (s *polled) Leave(reason string) { s.Close(reason) }

// Close implements session.Conn. A client that is between two requests has
// DisconnectDelay to fetch what waits, and as long again to fetch the close frame.
func (s *polled) Close(reason string) {
	s.end(reason, closeFrame(goodbye(reason)), nil)
}

// fail ends the session over something the client did, or did not do.
func (s *polled) fail(cause error) {
	code, reason := session.Verdict(cause)
	s.end(reason, closeFrame(code, reason), cause)
}

func (s *polled) end(reason string, frame []byte, cause error) {
	group := s.server.cfg.Group
	group.Begin() // who waits for the group sees no gap before the receiver has been told
	defer group.End()
	if s.client.End(reason, cause) {
		s.shut(frame, cause == nil)
	}
}

// shut leaves nothing but last messages and the close frame for those who come, without
// what waited before unless that is graceful.
func (s *polled) shut(frame []byte, graceful bool, last ...session.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateOpen {
		return
	}
	if !graceful {
		s.queue.Clear()
	}
	s.queue.Push(last...)
	s.countLocked()
	s.state, s.closing = stateClosing, frame
	s.hurryLocked()
	s.armLocked(s.server.cfg.DisconnectDelay)
	s.wakeLocked()
	s.client.Flow().Wake()
}

// hurryLocked shortens the writes that are under way if the server has little time left. s.mu must be held.
func (s *polled) hurryLocked() {
	cfg := &s.server.cfg
	d := cfg.Grace.Of(cfg.WriteTimeout)
	if d == cfg.WriteTimeout {
		return
	}
	if s.receiver != nil {
		s.receiver.rc.SetWriteDeadline(time.Now().Add(d)) // where supported
	}
	for _, r := range s.ending {
		r.rc.SetWriteDeadline(time.Now().Add(d)) // where supported
	}
}

// Transport implements session.Conn.
func (s *polled) Transport() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.transport
}

// Released implements session.Conn.
func (s *polled) Released() {
	if s.client.Released() {
		s.server.cfg.Door.Leave(s.source)
	}
}

// ended is the opposite of isOpen.
func (s *polled) ended() bool { return !s.isOpen() }

func (s *polled) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == stateOpen
}

func (s *polled) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == stateClosed
}

// goodbye returns the code and the reason that clients get for a reason of ours.
func goodbye(reason string) (code int, text string) {
	code = session.CloseCode(reason)
	switch {
	case reason == session.ReasonPingTimeout:
		return closeProtocol, "No response from heartbeat"
	case code == session.CloseNormal:
		return code, "Normal closure"
	default:
		return code, reason
	}
}

// refusal is what clients are told that are not let in, beside the close frame.
func refusal(raw bool, f *session.Failure) []session.Frame {
	if raw {
		return nil
	}
	frames, _ := codec{}.Encode(nil, &session.Message{Kind: session.Answer, Failure: f}) // fails for raw strings only
	return frames
}
