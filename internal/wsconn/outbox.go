package wsconn

import (
	"bytes"
	"errors"
	"sync"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Errors of outbox.push.
var (
	errFull  = errors.New("wsconn: outbox full")
	errEnded = errors.New("wsconn: outbox closed")
)

// fewFrames is how many frames usually wait, if any do.
const fewFrames = 4

// Where so much waits for the end of a round, it is written at once.
const (
	manyFrames = 16
	manyBytes  = coalesced / 2
)

// frameLists are lent to outboxes in which something waits.
var frameLists = sync.Pool{New: func() any { return new([fewFrames][]byte) }}

// outbox is what waits to be written to one connection. While nothing does, a frame
// goes to the network at once, by the goroutine that brings it, as far as the
// socket takes it without waiting. The rest is written by a goroutine that lives
// only while there is some. Frames of a round wait until somebody calls Flush, or sends
// another frame.
//
// A first attempt is made with mu held, because it decides what comes first. It
// is one write(2) that does not wait; mu is the connection's own.
type outbox struct {
	conn *Conn

	mu      sync.Mutex // protects what follows
	waiting [][]byte   // whole frames, but for the first, of which a part may be gone
	items   int        // waiting or being written
	bytes   int        // of these
	running bool       // the goroutine
	flush   bool       // Flush will be called
	closed  bool       // nothing is let in any more
	last    bool       // because the close frame was
}

// push lets frames in, all or none; past the limit if forced; and nothing behind
// them if they are the last.
func (o *outbox) push(frames [][]byte, forced, last bool) error {
	o.mu.Lock()
	if err := o.admit(len(frames), size(frames), forced); err != nil {
		o.mu.Unlock()
		return err
	}
	o.closed, o.last = last, last
	o.keep(frames...)
	return o.settle(o.attempt())
}

// pushOne is push for a single frame within the limit, or several in one piece, without
// any garbage. What is lent is copied if it has to wait.
func (o *outbox) pushOne(frame []byte, lent bool) error {
	o.mu.Lock()
	if err := o.admit(1, len(frame), false); err != nil {
		o.mu.Unlock()
		return err
	}
	var broken error
	if len(o.waiting) == 0 && !o.running && o.conn.in.socket != nil {
		var n int
		n, broken = o.conn.in.socket.write(frame)
		frame = frame[n:]
	}
	if len(frame) > 0 && broken == nil {
		if lent {
			frame = bytes.Clone(frame)
		}
		o.keep(frame)
		broken = o.attempt()
	}
	return o.settle(broken)
}

// queue is push for frames of a round.
func (o *outbox) queue(round *session.Round, frames []session.Frame) error {
	var one [1][]byte
	whole := one[:]
	if len(frames) == 1 {
		one[0] = o.conn.wire(frames[0])
	} else {
		whole = o.conn.unwrap(frames)
	}
	o.mu.Lock()
	if err := o.admit(len(whole), size(whole), false); err != nil {
		o.mu.Unlock()
		return err
	}
	o.keep(whole...)
	if len(o.waiting) < manyFrames && o.bytes < manyBytes {
		o.flush = o.flush || round.Add(o)
		if o.flush {
			o.mu.Unlock()
			return nil
		}
	}
	return o.settle(o.attempt())
}

// Flush implements session.Flusher, for frames of a round.
func (o *outbox) Flush() {
	o.mu.Lock()
	o.flush = false
	if len(o.waiting) == 0 {
		o.mu.Unlock()
		return
	}
	_ = o.settle(o.attempt()) // what there is to be done about an error, it does
}

// settle gives o.mu back and does what an attempt to write has made necessary.
func (o *outbox) settle(broken error) error {
	gone := o.last && !o.running
	o.mu.Unlock()
	switch {
	case broken != nil:
		o.conn.brokeWriting(broken)
		return errEnded
	case gone:
		o.conn.wroteClose()
	}
	return nil
}

// admit takes o.mu as held.
func (o *outbox) admit(frames, bytes int, forced bool) error {
	limit := o.conn.cfg.Queue
	switch {
	case o.closed:
		return errEnded
	case !forced && (o.items+frames > limit.Items || o.items > 0 && o.bytes+bytes > limit.Bytes):
		return errFull
	}
	return nil
}

// keep lets frames wait. It takes o.mu as held.
func (o *outbox) keep(frames ...[]byte) {
	if o.waiting == nil {
		o.waiting = frameLists.Get().(*[fewFrames][]byte)[:0]
	}
	o.waiting = append(o.waiting, frames...)
	o.items += len(frames)
	o.bytes += size(frames)
}

// attempt writes what waits, as far as the socket takes it at once, unless the goroutine
// does. That gets the rest. It takes o.mu as held.
func (o *outbox) attempt() (broken error) {
	if o.running {
		return nil
	}
	all := o.waiting
	o.empty()
	rest, broken := o.conn.in.tryWrite(all)
	if broken == nil && len(rest) > 0 {
		o.keep(rest...)
		o.running = true
		o.conn.cfg.Group.Start(o)
	}
	giveBack(all)
	return broken
}

// empty lets nothing wait. It takes o.mu as held.
func (o *outbox) empty() {
	o.items -= len(o.waiting)
	o.bytes -= size(o.waiting)
	o.waiting = nil
}

// giveBack takes the memory of a list whose frames are elsewhere.
func giveBack(frames [][]byte) {
	if cap(frames) != fewFrames {
		return
	}
	list := (*[fewFrames][]byte)(frames[:fewFrames])
	clear(list[:])
	frameLists.Put(list)
}

// discard drops what waits and lets nothing in any more.
func (o *outbox) discard() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.empty()
	o.closed = true
}

// idle says whether everything has been handed to the network.
func (o *outbox) idle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.running
}

// Run implements serial.Task: it is the writing goroutine.
func (o *outbox) Run() {
	var frames [][]byte
	for {
		if frames = o.take(frames[:0]); len(frames) == 0 {
			return
		}
		err := o.conn.writeAll(frames)
		gone := o.done(frames)
		clear(frames)
		switch {
		case err != nil:
			o.conn.brokeWriting(err)
		case gone:
			o.conn.wroteClose()
		}
	}
}

// take moves what waits to frames. None means that the goroutine has to end.
func (o *outbox) take(frames [][]byte) [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	frames = append(frames, o.waiting...)
	if len(frames) == 0 {
		o.running = false
		o.conn.in.clearDeadline()
	}
	giveBack(o.waiting)
	o.waiting = nil
	return frames
}

// done says whether the close frame was the last of frames.
func (o *outbox) done(frames [][]byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.items -= len(frames)
	o.bytes -= size(frames)
	return o.last && len(o.waiting) == 0
}

// outcome puts an error of push in the words of the layers above.
func outcome(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errFull):
		return session.ErrSlow
	default:
		return session.ErrClosed
	}
}
