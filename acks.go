package thinkws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Answer is a client's answer to an EmitAck.
type Answer struct {
	ID      string // of the socket that answered
	args    session.Args
	failure *session.Failure
}

// Args returns the arguments of the answer, binary parts as base64 strings.
func (a *Answer) Args() []json.RawMessage { return a.args.Values() }

// Arg decodes argument i, counted from 0, into v; see [Context.Arg].
func (a *Answer) Arg(i int, v any) error { return decodeArg(a.args, i, v) }

// Bind decodes the arguments into v, in their order; see [Context.Bind].
func (a *Answer) Bind(v ...any) error { return bindArgs(a.args, v) }

// Err returns the error that the client answered with, an [*Error], or nil. Only
// clients that speak JSON events have a way to do so.
func (a *Answer) Err() error {
	if a.failure == nil {
		return nil
	}
	return errorOf(a.failure)
}

// collector gathers the answers to one question.
type collector struct {
	mu      sync.Mutex // protects what follows
	answers []Answer
	waiting map[*Socket]struct{}
	lostIDs []string
	why     error         // why one of these is lost; of several causes, one that is not ErrClosed
	held    []holding     // what the answers hold
	over    bool          // nobody keeps answers any more
	done    chan struct{} // closed when nobody is waited for

	tell func(*Answer) // called with each answer, and with nil for who will not answer; nil for nobody
}

// holding is an answer that is kept until the others have come, as its client is charged for it.
type holding struct {
	socket *Socket
	bytes  int
}

func newCollector(sockets []*Socket) *collector {
	c := &collector{waiting: make(map[*Socket]struct{}, len(sockets)), done: make(chan struct{})}
	for _, s := range sockets {
		c.waiting[s] = struct{}{}
	}
	return c
}

// answered takes the answer of s, once. If the answers of s that are kept hold too much, this one counts as missing.
func (c *collector) answered(s *Socket, m *session.Message) {
	a := &Answer{ID: s.id, args: m.Args, failure: m.Failure}
	if c.tell != nil {
		c.settle(s, a, 0, nil)
		return
	}
	size := m.Kept()
	if err := s.hold(size); err != nil {
		c.lost(s, err)
		return
	}
	if !c.settle(s, a, size, nil) {
		s.letGo(size)
	}
}

// lost notes that s will not answer, and why.
func (c *collector) lost(s *Socket, why error) { c.settle(s, nil, 0, why) }

// settle reports whether the answer of s, which holds size bytes, has been taken. a is nil if s will not answer, why
// says why.
func (c *collector) settle(s *Socket, a *Answer, size int, why error) bool {
	taken := c.take(s, a, size, why)
	if taken && c.tell != nil {
		c.tell(a)
	}
	return taken
}

// take is false if s has been settled before, or if nobody keeps answers any more.
func (c *collector) take(s *Socket, a *Answer, size int, why error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.waiting[s]; !ok || c.over {
		return false
	}
	delete(c.waiting, s)
	switch {
	case a == nil:
		c.lostIDs = append(c.lostIDs, s.id)
		if c.why == nil || errors.Is(c.why, ErrClosed) {
			c.why = why
		}
	case c.tell == nil:
		c.answers = append(c.answers, *a)
		c.held = append(c.held, holding{s, size})
	}
	if len(c.waiting) == 0 {
		close(c.done)
	}
	return true
}

// end gives back what the answers hold: from now on they belong to the caller.
func (c *collector) end() {
	c.mu.Lock()
	held := c.held
	c.held, c.over = nil, true
	c.mu.Unlock()
	for _, h := range held {
		h.socket.letGo(h.bytes)
	}
}

// result returns the answers so far, and who is missing.
func (c *collector) result(ctx context.Context) ([]Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	missing, cause := c.lostIDs, c.why
	for s := range c.waiting {
		missing, cause = append(missing, s.id), ctx.Err()
	}
	if len(missing) == 0 {
		return c.answers, nil
	}
	return c.answers, &NoAckError{Missing: missing, Err: cause}
}

// question is an event that asks clients for an answer. All of them are asked under one
// id, so that they receive the same bytes.
type question struct {
	message *session.Message
	id      uint64
	asked   []*Socket
	answers *collector
}

func (sp *space) question(m *session.Message, sockets []*Socket) *question {
	q := &question{message: m, id: sp.lastAck.Add(1) - 1, asked: sockets, answers: newCollector(sockets)} // from 0, as Node counts
	m.ID = strconv.FormatUint(q.id, 10)
	return q
}

// send asks. The error is that of the last client that could not be asked.
func (q *question) send() (failed error) {
	for _, s := range q.asked {
		err := s.await(q.id, q.answers)
		if err == nil {
			s.flow.Listen()
			err = s.send(q.message)
		}
		if err != nil {
			failed = err
			q.answers.lost(s, err)
		}
	}
	return failed
}

// wait returns the answers that come until ctx is done.
func (q *question) wait(ctx context.Context) ([]Answer, error) {
	defer func() {
		for _, s := range q.asked {
			s.forget(q.id)
		}
		q.answers.end()
	}()
	select {
	case <-q.answers.done:
	case <-ctx.Done():
	}
	return q.answers.result(ctx)
}

// ask sends m to sockets and waits for their answers.
func (sp *space) ask(ctx context.Context, m *session.Message, sockets []*Socket) ([]Answer, error) {
	if len(sockets) == 0 {
		return nil, nil
	}
	q := sp.question(m, sockets)
	failed := q.send()
	answers, err := q.wait(ctx)
	if len(sockets) == 1 && failed != nil && !errors.Is(failed, ErrClosed) {
		return nil, failed
	}
	return answers, err
}

// await remembers that the client owes c an answer.
func (s *Socket) await(id uint64, c *collector) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return ErrClosed
	}
	e := s.extraLocked()
	h := s.space.hub
	switch {
	case len(e.awaits) >= h.cfg.limits.Answers:
		h.tally.Count(session.LimitAnswers)
		return fmt.Errorf("%w answers awaited from %s", ErrTooMany, s.id)
	case len(e.awaits) > 0:
	case !s.flow.Expect((*asker)(s)):
		return s.unreadable()
	default:
		e.awaits = map[uint64]*collector{}
	}
	e.awaits[id] = c
	return nil
}

func (s *Socket) forget(id uint64) *collector {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.extras
	if e == nil || e.awaits[id] == nil {
		return nil
	}
	c := e.awaits[id]
	delete(e.awaits, id)
	if len(e.awaits) == 0 {
		s.settleLocked()
	}
	return c
}

// settleLocked notes that the client owes nothing more, and returns what it owed. s.mu must be held.
func (s *Socket) settleLocked() (owed map[uint64]*collector) {
	e := s.extras
	if e == nil || e.awaits == nil {
		return nil
	}
	owed, e.awaits = e.awaits, nil
	s.flow.Settle((*asker)(s))
	return owed
}

// asker is a socket as the flow control of its connection sees it.
type asker Socket

// GiveUp implements session.Asker.
func (a *asker) GiveUp() {
	s := (*Socket)(a)
	s.mu.Lock()
	owed := s.settleLocked()
	s.mu.Unlock()
	for _, c := range owed {
		c.lost(s, s.unreadable())
	}
}

// unreadable counts an answer that cannot be read, because too many events of its client wait.
func (s *Socket) unreadable() error {
	s.space.hub.tally.Count(session.LimitReceiveQueue)
	return fmt.Errorf("%w events wait for the handlers of %s, so its answer is not read", ErrTooMany, s.id)
}

// answered hands an answer to the question that waits for it. Duplicate, late and unsolicited answers
// are counted and dropped.
func (s *Socket) answered(m *session.Message) {
	if id, err := strconv.ParseUint(m.ID, 10, 64); err == nil {
		if c := s.forget(id); c != nil {
			c.answered(s, m)
			return
		}
	}
	s.space.hub.stats.ignored.Add(1)
}

// hold charges the client for an answer that is kept until other clients have answered the same
// question: as much as its receive queue may hold, in bytes. One answer alone may have any size.
func (s *Socket) hold(size int) error {
	limit := s.space.hub.cfg.receiveQueue.Bytes
	if s.mayHold(size, limit) {
		return nil
	}
	s.space.hub.tally.Count(session.LimitReceiveQueue)
	return fmt.Errorf("%w bytes in the answers of %s that are kept, at most %d", ErrTooMany, s.id, limit)
}

func (s *Socket) mayHold(size, limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.extraLocked()
	if e.held > 0 && e.held+size > limit {
		return false
	}
	e.held += size
	s.hoardedLocked(e)
	return true
}

// letGo undoes hold.
func (s *Socket) letGo(size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.extraLocked()
	e.held -= size
	s.hoardedLocked(e)
}

// hoardedLocked counts the answers that are kept. s.mu must be held.
func (s *Socket) hoardedLocked(e *extras) { s.flow.Account().Settle(&e.share, (*hoard)(s), e.held) }
