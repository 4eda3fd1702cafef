package thinkws

import (
	"time"

	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// admitter is the hub as the protocols see it. It is a type of its own to keep its
// method out of the hub's public ones.
type admitter Hub

// receiver is a socket as the protocols see it.
type receiver Socket

var (
	_ session.Admitter = (*admitter)(nil)
	_ session.Receiver = (*receiver)(nil)
)

// Admit implements session.Admitter. Whether the client may enter is decided on the
// socket's own goroutine, so a slow Authorize delays nobody else.
func (a *admitter) Admit(p session.Peer) session.Receiver {
	h := (*Hub)(a)
	s := &Socket{id: p.ID, conn: p.Conn, flow: p.Flow, handshake: p.Handshake}
	s.jobs.Store(1)
	if p.Auth != nil {
		s.extras = &extras{auth: p.Auth}
	}
	s.queue = serial.NewQueue(h.tasks, (*gauge)(s), h.cfg.receiveQueue, s.work)
	var refused error
	if s.space, refused = h.acquire(p.Namespace, p.Handshake); refused != nil {
		s.space = newSpace(h, p.Namespace, &table{}) // of nobody else, and not in the hub
		_ = s.queue.Finish(job{step: func(s *Socket) { s.unknown(refused) }})
	} else {
		_ = s.queue.Push(h.tasks, 0, job{step: (*Socket).enter})
	}
	return (*receiver)(s)
}

// Receive implements session.Receiver: answers are handed over at once, events
// queue for their action.
func (r *receiver) Receive(m *session.Message) {
	s := (*Socket)(r)
	s.space.hub.stats.received.Add(1)
	if m.Kind == session.Answer {
		s.answered(m)
		return
	}
	s.warnIfStuck()
	_ = s.queue.Push(s.flow, m.Size(), job{event: m}) // it fails after the client has left: what it sent after that is void
	s.flow.Relieve()
}

// done ends one of s.jobs. The protocol may let another socket in for this one when nothing
// runs for it any more, and not sooner: otherwise a client that enters and leaves again and again
// has any number of Authorize calls and handlers at a time.
func (s *Socket) done() {
	if s.jobs.Add(-1) == 0 {
		s.flow.Account().Strike((*hoard)(s))
		s.conn.Released()
	}
}

// Closed implements session.Receiver: the client is out of all rooms at once, its
// action "close" runs after its last event.
func (r *receiver) Closed(reason string) {
	s := (*Socket)(r)
	if !s.space.remove(s, reason) {
		return
	}
	s.release()
	_ = s.queue.Finish(job{step: (*Socket).closed})
}

// Fail implements serial.Failer.
func (r *receiver) Fail(error) { (*Socket)(r).Close() }

// stuckAfter is how long an action may hold up the next events of its client
// before that is worth a warning.
const stuckAfter = 10 * time.Second

func (s *Socket) warnIfStuck() {
	began := s.busy.Load()
	if began == 0 || time.Duration(s.space.hub.clock()-began) < stuckAfter {
		return
	}
	if s.busy.CompareAndSwap(began, 0) {
		s.log().Warn("an action holds up the client's next events", "for", stuckAfter)
	}
}
