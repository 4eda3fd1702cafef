package engineio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/seed-ce09063a/thinkws/internal/alarm"
	"github.com/seed-ce09063a/thinkws/internal/credentials"
	"github.com/seed-ce09063a/thinkws/internal/door"
	"github.com/seed-ce09063a/thinkws/internal/ledger"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// state is how far a session has come.
type state uint8

const (
	stateOpen    state = iota
	stateClosing       // ended, but a polling client may fetch what waits
	stateClosed
)

// Session is one client, whatever carries it. It is safe for concurrent use.
type Session struct {
	server  *Server
	id      string
	variant Variant
	jsonp   *jsonp // nil if the client does not poll by script elements
	came    session.Handshake
	owner   *credentials.Owner // protected by mu; nil for revision 4

	// protected by server.mu
	source   *door.Source // nil once it has left
	ended    bool         // nothing can be fetched from it any more
	occupied int          // see Occupy

	inbox    sync.Mutex // held while recv is called, protects what follows
	recv     Receiver
	reported bool           // Closed has been called or is about to be: nothing is received any more
	pings    *session.Pings // of a client of revision 3; nil as long as it has sent none

	// One flow control for all that the client sends, over every transport and into every namespace. Charge belongs to the
	// holder of inbox.
	flow session.Flow

	// The WebSocket that carries the session: nil until it has got what waited in the queue, so that nothing overtakes
	// that, and nil for good if the session ends before. It is set with mu held, and read without a lock.
	conn atomic.Pointer[wsconn.Conn]

	mu    sync.Mutex // protects what follows
	state state
	code  int16 // how it has ended: as in ending
	due   bool  // it has ended in due form: ending.graceful
	quit  bool  // the client has closed it, and the GET that it may have under way is not answered

	// The transport. While a client polls, onWebSocket is false. From the moment of the upgrade it is true.
	onWebSocket bool
	probe       *link               // the WebSocket that may take over, if there is one
	sent        *credentials.Digest // with the handshake of a session that may be upgraded; else nil

	queue   session.Waiting[session.Frame] // what waits to be polled, or is being sent
	watched bool                           // it exceeds its bound, and a timer runs
	took    bool                           // the client has taken something since that was set
	share   ledger.Share                   // of what the queue counts
	body    ledger.Share                   // of a POST; of the one that is served
	evicted bool                           // the response that is being written is cut off
	cutPoll func()                         // interrupts that; nil if nothing large is being written

	poll       *poll  // the GET that waits; nil if none does
	answered   uint64 // the mark of the last GET that was relayed and has been answered
	responding bool   // another GET is being answered
	posting    bool   // a POST is being served
	cutPost    func() // interrupts the reading of its body; nil if that is done

	// The one alarm: heartbeats while the session is open, then the time to fetch what waits, then
	// the time for which it is remembered.
	alarm    alarm.Alarm
	awaiting bool // revision 4: a ping is unanswered; revision 3: pings are not read, so noops are sent
}

func newSession(s *Server, r *http.Request, q query, source *door.Source) *Session {
	one := &Session{
		server:  s,
		id:      session.NewIDOf(s.cfg.Node),
		variant: q.variant(),
		jsonp:   q.jsonp,
		came:    s.cfg.Detach(r),
		source:  source,
		body:    ledger.Share{Partial: true},
	}
	one.flow.Init(s.cfg.Group, s.cfg.Meter, one.came)
	one.flow.Bill(s.cfg.Ledger, one)
	if one.variant.Revision == 3 {
		one.flow.OnPause(one.paused)
	}
	one.remember(r, q)
	return one
}

// ID returns the session id, 20 characters. It is a secret of the client: a request that names
// it is one of the session. In revision 3 the request must also come from the session's owner.
func (s *Session) ID() string { return s.id }

// Revision returns the client's revision of the protocol, 3 or 4.
func (s *Session) Revision() int { return int(s.variant.Revision) }

// Variant returns what frames for this session have to look like.
func (s *Session) Variant() Variant { return s.variant }

// Handshake returns what the client came with.
func (s *Session) Handshake() session.Handshake { return s.came }

// Transport names what carries the session now, "polling" or "websocket".
func (s *Session) Transport() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.onWebSocket {
		return transportWebSocket
	}
	return transportPolling
}

// Flow returns the flow control of the session.
func (s *Session) Flow() *session.Flow { return &s.flow }

// Occupy lets the session count among those of its client, beyond its end, until Vacate is called as
// often: the layer above still works for it. Otherwise a client that connects and disconnects again
// and again could have any amount of such work done at a time.
func (s *Session) Occupy() {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.occupied++
}

// Vacate undoes one Occupy.
func (s *Session) Vacate() {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.occupied--
	s.leaveLocked()
}

// leaveLocked lets the session count no more once it has ended and nobody works for it. server.mu must
// be held.
func (s *Session) leaveLocked() {
	if s.source != nil && s.ended && s.occupied == 0 {
		s.server.cfg.Door.Leave(s.source)
		s.source = nil
	}
}

// start introduces the session to the layer above, then to the server, and starts
// its heartbeat.
func (s *Session) start() {
	s.introduce()
	s.mu.Lock()
	if s.state != stateOpen { // closed by the layer above
		s.mu.Unlock()
		return
	}
	reason, added := s.server.add(s)
	if added {
		s.startHeartbeat()
	}
	s.mu.Unlock()
	if !added {
		s.end(shutdown(reason))
	}
}

func (s *Session) introduce() {
	s.inbox.Lock()
	defer s.inbox.Unlock()
	s.recv = s.server.open(s)
}

// openFrame is the packet that starts every session; upgrades are JSON strings.
func (s *Session) openFrame(upgrades string) session.Frame {
	cfg := &s.server.cfg
	return session.TextOf(fmt.Appendf(session.Room(160),
		`%c{"sid":%q,"upgrades":[%s],"pingInterval":%d,"pingTimeout":%d,"maxPayload":%d}`, typeOpen,
		s.id, upgrades, cfg.PingInterval.Milliseconds(), cfg.PingTimeout.Milliseconds(), cfg.MaxMessage))
}

// receive hands a packet to the layer above, or ends the session over it. It is how
// a WebSocket delivers.
func (s *Session) receive(p packet) error {
	s.inbox.Lock()
	defer s.inbox.Unlock()
	err := s.handle(p)
	if errors.Is(err, errEnded) {
		return nil // the connection is on its way out already
	}
	if err != nil {
		s.fail(err)
	}
	return err
}

// handle does what a packet asks for, or returns errEnded. s.inbox must be held.
func (s *Session) handle(p packet) error {
	if s.reported || s.hasEnded() {
		return errEnded
	}
	s.flow.Charge(p.wire) // whatever it asks for: also what means nothing causes work
	switch p.typ {
	case typeMessage:
		return s.recv.Receive(p.data, p.binary)
	case typePing:
		return s.gotPing()
	case typePong:
		return s.gotPong()
	case typeClose:
		s.end(ending{reason: session.ReasonTransportClose, quits: true})
	}
	return nil // the others mean nothing from a client
}

// hasEnded reports whether nothing is received any more.
func (s *Session) hasEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state != stateOpen
}

// ending is how a session ends.
type ending struct {
	reason    string
	code      int   // of the WebSocket close frame; 0 for one without
	graceful  bool  // what waits goes out first
	cause     error // what the client has done for it; nil if nothing
	quits     bool  // the client asked for it
	ifPolling bool  // not once the session has gone to a WebSocket
}

// Close ends the session after what has been sent before has gone out. A client
// between two polls has 30 s to fetch that, and as long again to fetch the close
// packet. Close returns at once, and Closed of the Receiver follows on another goroutine.
func (s *Session) Close(reason string) {
	code := 0
	if reason == session.ReasonParseError { // found out later than by Receive
		code = session.CloseProtocol
	}
	s.end(ending{reason: reason, code: code, graceful: true})
}

// Drop is Close for a client that does not seem to be there: a poll that waits is answered,
// but nothing is kept for others.
func (s *Session) Drop(reason string) { s.end(ending{reason: reason}) }

// Address returns the address of the client, the zero Addr if it is unknown.
func (s *Session) Address() netip.Addr { return s.server.cfg.Door.Address(s.came.Request()) }

// fail ends the session over something the client did.
func (s *Session) fail(err error) {
	s.server.cfg.Tally.Note(err)
	code, reason := verdict(err)
	s.server.log.Log(context.Background(), wsconn.Level(err), "Engine.IO client violates the protocol",
		slog.Any("error", err), slog.Any("address", s.Address()))
	s.end(ending{reason: reason, code: code, cause: err})
}

// broken ends the session because its polling does not work as it must; cause is nil if that
// need not be the client's doing.
func (s *Session) broken(cause error) {
	s.end(ending{reason: session.ReasonTransportError, cause: cause, ifPolling: true})
}

// refused notes what a request of the session was refused for, without ending it.
func (s *Session) refused(cause error) {
	if cause != nil {
		s.server.cfg.Tally.Note(cause)
		s.recv.Failed(cause) // nobody sets recv any more
	}
}

// end ends the session, unless it has ended already. It may be called with s.inbox
// held, by the layer above too, because all that follows happens elsewhere.
func (s *Session) end(e ending) {
	group := s.server.cfg.Group
	group.Begin() // who waits for the group sees no gap before report, timers being outside of it
	defer group.End()
	s.mu.Lock()
	if s.state != stateOpen || e.ifPolling && s.onWebSocket {
		s.mu.Unlock()
		return
	}
	s.state, s.code, s.due = stateClosed, int16(e.code), e.graceful
	s.server.cfg.Clock.Stop(&s.alarm)
	if !e.graceful {
		s.queue.Clear()
		s.countLocked()
		s.interruptPost()
	}
	if !s.onWebSocket {
		s.lastPoll(e)
	}
	if s.state == stateClosed {
		s.closeLocked()
	}
	conn, probing := s.conn.Load(), s.dropProbe(s.probe)
	s.mu.Unlock()
	s.flow.Wake()
	if conn != nil {
		conn.Close(e.code, "")
	}
	if probing != nil {
		probing.Close(0, "")
	}
	s.report(e.reason, e.cause)
}

// lastPoll gives a polling client the end of the session: at once if a GET waits and
// nothing else is to be said, otherwise when the next one comes. Clients act on the
// close packet before they act on messages of the same payload, so the two never
// share one. s.mu must be held.
func (s *Session) lastPoll(e ending) {
	switch {
	case s.poll != nil && len(s.queue.Entries) == 0:
		last := frameClose
		if e.quits {
			last = frameNoop
		}
		s.queue.Push(last)
		s.wake()
	case e.graceful:
		s.state = stateClosing
		s.server.keep(s)
		s.arm(lingerTimeout)
	case e.quits:
		s.quit = true // also while an answer is written: its client may have it and ask again
	}
}

// closeLocked takes the session out of the server. For a moment it is remembered, since a request
// of its client may be under way. s.mu must be held.
func (s *Session) closeLocked() {
	s.state = stateClosed
	s.server.cfg.Clock.Stop(&s.alarm)
	s.strikeLocked()
	if s.server.remove(s, !s.onWebSocket) {
		s.arm(endedMemory)
	}
}

// report tells the layer above, on a goroutine of its own: whoever ends a session
// may hold locks that Closed wants.
func (s *Session) report(reason string, cause error) {
	s.server.cfg.Group.Go(func() {
		s.inbox.Lock() // a Receive that runs comes to its end first
		s.reported = true
		recv := s.recv
		s.inbox.Unlock()
		if recv == nil { // open has panicked
			return
		}
		if cause != nil {
			recv.Failed(cause)
		}
		recv.Closed(reason)
	})
}
