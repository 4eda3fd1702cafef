package wsconn

import (
	"bytes"
	"errors"
	"sync"

	"github.com/seed-ce09063a/thinkws/internal/ledger"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// A round that has queued this much for a connection is written before its end.
const (
	manyFrames = 16
	manyBytes  = coalesced / 2
)

// outbox is the write side of a connection. While nothing waits, a frame goes to the network at once, on the goroutine
// that sends it. What the socket does not take without waiting is left to a writer. Frames of a round wait until Flush
// is called or another frame is sent. Package wsconn has a diagram.
//
// The first attempt is made with mu held, because it decides the order. It is a write(2) that does not wait, and mu is
// the connection's own.
type outbox struct {
	conn *Conn

	mu      sync.Mutex // protects what follows
	queue   session.Waiting[queued]
	few     [2]queued // the memory of queue while that is enough
	writing bool      // a writer runs, and it alone writes
	flush   bool      // Flush will be called
	closed  bool      // nothing is queued any more
	last    bool      // because the close frame was queued
	share   ledger.Share
}

// queued is a frame in the outbox, or what is left of it. It implements session.Entry.
type queued struct {
	data []byte
	part session.FramePart
}

func (q queued) Len() int                { return len(q.data) }
func (q queued) Part() session.FramePart { return q.part }

// parcel is the frames of one message, or a frame of the protocol.
type parcel struct {
	frames   []queued
	volatile bool           // it is dropped unless it can be written at once
	forced   bool           // it goes past the bound
	last     bool           // nothing follows
	sheds    bool           // all messages that wait are dropped for it
	lent     bool           // its memory is used again once push returns
	round    *session.Round // whose end it may wait for; nil for none
}

// push queues all of p or nothing. It returns session.ErrClosed, ErrDropped, ErrSlow or a DisplacedError.
func (o *outbox) push(p *parcel) error {
	o.mu.Lock()
	err := o.admitLocked(p)
	if err != nil && !session.Displaced(err) {
		o.mu.Unlock()
		return err
	}
	if o.queue.Entries == nil {
		o.queue.Entries = o.few[:0]
	}
	o.queue.Push(p.frames...)
	if o.waitsLocked(p.round) {
		o.mu.Unlock()
		return err
	}
	broken := o.attemptLocked()
	if p.lent {
		o.ownLocked(len(p.frames))
	}
	if closed := o.settle(broken); closed != nil {
		return closed
	}
	return err
}

// admitLocked decides about p. o.mu must be held.
func (o *outbox) admitLocked(p *parcel) error {
	policy := o.conn.cfg.Slow
	if p.sheds {
		o.queue.Shed()
		o.countLocked()
	}
	switch {
	case o.closed:
		return session.ErrClosed
	case p.forced:
		o.closed, o.last = p.last, p.last
		return nil
	case p.volatile && o.writing:
		return session.ErrDropped
	case p.volatile:
		policy = session.SlowDropNewest
	}
	err := o.queue.Room(session.Counts(p.frames...), o.conn.cfg.Queue, policy)
	if errors.Is(err, session.ErrSlow) {
		o.queue.Shed() // the close frame does not wait behind what will hardly be taken
	}
	return err
}

// waitsLocked reports whether what was pushed may wait for the end of the round. o.mu must be held.
func (o *outbox) waitsLocked(round *session.Round) bool {
	if round == nil || len(o.queue.Entries) >= manyFrames || o.queue.Held() >= manyBytes {
		return false
	}
	o.flush = o.flush || round.Add(o)
	return o.flush
}

// Flush implements session.Flusher, for frames of a round.
func (o *outbox) Flush() {
	defer func() {
		if p := recover(); p != nil { // a mistake of ours, which ends this connection: others are flushed
			o.conn.cfg.Group.Crashed(o, p)
		}
	}()
	o.mu.Lock()
	o.flush = false
	if len(o.queue.Entries) == 0 {
		o.mu.Unlock()
		return
	}
	_ = o.settle(o.attemptLocked()) // what there is to be done about an error, it does
}

// attemptLocked writes what the socket takes at once, unless a writer runs, and starts one for the rest. o.mu must be
// held.
func (o *outbox) attemptLocked() error {
	if o.writing {
		return nil
	}
	for len(o.queue.Entries) > 0 && o.conn.in.socket != nil {
		piece, buffer := gather(o.queue.Entries)
		n, err := o.conn.in.tryWrite(piece)
		whole := n == len(piece)
		giveBack(buffer)
		o.wroteLocked(n)
		if err != nil {
			return err
		}
		if !whole {
			break
		}
	}
	if len(o.queue.Entries) > 0 {
		o.writing = true
		o.conn.cfg.Group.Start(o)
	}
	return nil
}

// wroteLocked removes what has been written. o.mu must be held.
func (o *outbox) wroteLocked(n int) {
	for n > 0 && len(o.queue.Entries) > 0 { // discard may have emptied it
		first := &o.queue.Entries[0]
		if n < len(first.data) {
			first.data = first.data[n:]
			o.queue.Sent(n)
			return
		}
		n -= len(first.data)
		o.queue.Pop()
	}
}

// ownLocked copies the last n frames if they wait. o.mu must be held.
func (o *outbox) ownLocked(n int) {
	waiting := o.queue.Entries
	for i := max(0, len(waiting)-n); i < len(waiting); i++ {
		waiting[i].data = bytes.Clone(waiting[i].data)
	}
}

// settle gives o.mu back and does what an attempt to write has made necessary.
func (o *outbox) settle(broken error) error {
	gone := o.last && !o.writing
	o.countLocked()
	o.mu.Unlock()
	switch {
	case broken != nil:
		o.conn.brokeWriting(broken)
		return session.ErrClosed
	case gone:
		o.conn.wroteClose()
	}
	return nil
}

// Run implements serial.Task: it is the writer.
func (o *outbox) Run() {
	for written := 0; ; {
		piece, buffer := o.next(written)
		if piece == nil {
			return
		}
		err := o.conn.write(piece)
		written = len(piece)
		giveBack(buffer)
		if err != nil {
			o.conn.brokeWriting(err)
		}
	}
}

// Fail implements serial.Failer: nobody writes any more.
func (o *outbox) Fail(err error) { o.conn.cut(err) }

// next removes what has been written and returns what is to be written next; nil means that the writer has to end.
func (o *outbox) next(written int) (piece []byte, buffer *[]byte) {
	o.mu.Lock()
	o.wroteLocked(written)
	if len(o.queue.Entries) > 0 {
		defer o.mu.Unlock()
		o.countLocked()
		return gather(o.queue.Entries)
	}
	o.writing = false
	o.conn.in.clearDeadline()
	_ = o.settle(nil)
	return nil, nil
}

// discard drops what waits and lets nothing in any more.
func (o *outbox) discard() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue.Clear()
	o.countLocked()
	o.closed, o.last = true, false
}

// countLocked counts the frames that wait. Those that were written at once, or that wait for the end of a round, never come
// here. o.mu must be held.
func (o *outbox) countLocked() { o.conn.flow.Account().Settle(&o.share, o.conn, o.queue.Held()) }

// held returns what waits, as the queue counts it.
func (o *outbox) held() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.queue.Held()
}

// frames calls do with each frame that waits.
func (o *outbox) frames(do func(frame []byte)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, q := range o.queue.Entries {
		do(q.data)
	}
}

// over reports whether more waits than the bound.
func (o *outbox) over() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.queue.Over(o.conn.cfg.Queue)
}
