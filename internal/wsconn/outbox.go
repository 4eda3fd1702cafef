package wsconn

import (
	"bytes"
	"errors"
	"slices"
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

	mu      sync.Mutex          // protects what follows
	waiting [][]byte            // whole frames, but for the first, of which a part may be gone
	items   int                 // waiting or being written
	bytes   int                 // of these
	running bool                // the goroutine
	flush   bool                // Flush will be called
	parts   []session.FramePart // what waits, for SlowDropOldest only
	closed  bool                // nothing is let in any more
	last    bool                // because the close frame was
}

// push lets a message in, all of its frames or none.
func (o *outbox) push(frames [][]byte) error {
	o.mu.Lock()
	displaced, err := o.admit(len(frames), size(frames))
	if err != nil {
		o.mu.Unlock()
		return err
	}
	o.keep(session.MessageStart, frames...)
	return o.settle(o.attempt(), displaced)
}

// force lets frames of the protocol in, past the limit; and nothing behind them if they are
// the last.
func (o *outbox) force(frames [][]byte, last bool) error {
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return errEnded
	}
	o.closed, o.last = last, last
	o.keep(session.NoMessage, frames...)
	return o.settle(o.attempt(), 0)
}

// pushOne is push for a single frame, or several in one piece, without any garbage. What is
// lent is copied if it has to wait.
func (o *outbox) pushOne(frame []byte, part session.FramePart, lent bool) error {
	o.mu.Lock()
	displaced, err := o.admit(1, len(frame))
	if err != nil {
		o.mu.Unlock()
		return err
	}
	var broken error
	whole := len(frame)
	if len(o.waiting) == 0 && !o.running && o.conn.in.socket != nil {
		var n int
		n, broken = o.conn.in.socket.write(frame)
		frame = frame[n:]
	}
	if len(frame) > 0 && broken == nil {
		if lent {
			frame = bytes.Clone(frame)
		}
		if n := len(frame); n < whole {
			part = session.NoMessage // its beginning is gone
		}
		o.keep(part, frame)
		broken = o.attempt()
	}
	return o.settle(broken, displaced)
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
	displaced, err := o.admit(len(whole), size(whole))
	if err != nil {
		o.mu.Unlock()
		return err
	}
	o.keep(session.MessageStart, whole...)
	if len(o.waiting) < manyFrames && o.bytes < manyBytes {
		o.flush = o.flush || round.Add(o)
		if o.flush {
			o.mu.Unlock()
			return displacedError(displaced)
		}
	}
	return o.settle(o.attempt(), displaced)
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
	if len(o.waiting) == 0 {
		o.mu.Unlock()
		return
	}
	_ = o.settle(o.attempt(), 0) // what there is to be done about an error, it does
}

// settle gives o.mu back and does what an attempt to write has made necessary.
func (o *outbox) settle(broken error, displaced int) error {
	gone := o.last && !o.running
	o.mu.Unlock()
	switch {
	case broken != nil:
		o.conn.brokeWriting(broken)
		return errEnded
	case gone:
		o.conn.wroteClose()
	}
	return displacedError(displaced)
}

func displacedError(messages int) error {
	if messages == 0 {
		return nil
	}
	return &session.DisplacedError{Messages: messages}
}

// admit makes room for frames, and says how many messages have been dropped for that. It
// takes o.mu as held.
func (o *outbox) admit(frames, bytes int) (displaced int, err error) {
	if o.closed {
		return 0, errEnded
	}
	if o.fits(frames, bytes, 0, 0) {
		return 0, nil
	}
	switch o.conn.cfg.Slow {
	case session.SlowDropOldest:
		return o.displace(frames, bytes)
	case session.SlowDropNewest:
		return 0, session.ErrDropped
	default:
		return 0, errFull
	}
}

// fits reports whether there is room once so much has gone. It takes o.mu as held.
func (o *outbox) fits(frames, bytes, goneFrames, goneBytes int) bool {
	limit, items := o.conn.cfg.Queue, o.items-goneFrames
	return items+frames <= limit.Items && (items == 0 || session.Held(items+frames, o.bytes-goneBytes+bytes) <= limit.Bytes)
}

// displace drops what waits longest, unless that does not help. It takes o.mu as held.
func (o *outbox) displace(frames, bytes int) (displaced int, err error) {
	all, size := 0, 0
	for i := range session.Droppable(len(o.waiting), o.part) {
		all++
		size += len(o.waiting[i])
	}
	if !o.fits(frames, bytes, all, size) {
		return 0, session.ErrDropped
	}
	for ; !o.fits(frames, bytes, 0, 0); displaced++ {
		o.dropOldest()
	}
	return displaced, nil
}

func (o *outbox) part(i int) session.FramePart { return o.parts[i] }

// dropOldest drops the message that waits longest. It takes o.mu as held.
func (o *outbox) dropOldest() {
	from, to := session.Oldest(len(o.waiting), o.part)
	o.items -= to - from
	o.bytes -= size(o.waiting[from:to])
	o.waiting = slices.Delete(o.waiting, from, to)
	o.parts = slices.Delete(o.parts, from, to)
}

// keep lets frames wait, the first of which is what it says of a message. It takes o.mu as
// held.
func (o *outbox) keep(first session.FramePart, frames ...[]byte) {
	if o.conn.cfg.Slow == session.SlowDropOldest {
		for range frames {
			o.parts = append(o.parts, first)
			if first == session.MessageStart {
				first = session.MessageRest
			}
		}
	}
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
	all, parts := o.waiting, o.parts
	o.empty()
	rest, broken := o.conn.in.tryWrite(all)
	if broken == nil && len(rest) > 0 {
		o.keep(session.NoMessage, rest...)
		if gone := len(all) - len(rest); len(rest[0]) == len(all[gone]) {
			copy(o.parts, parts[min(gone, len(parts)):])
		} else { // the beginning of the first is gone
			copy(o.parts[min(1, len(o.parts)):], parts[min(gone+1, len(parts)):])
		}
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
	o.waiting, o.parts = nil, nil
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

// idle reports whether everything has been handed to the network.
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

// Fail implements serial.Failer: nobody writes any more.
func (o *outbox) Fail(err error) { o.conn.cut(err) }

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
	o.waiting, o.parts = nil, nil
	return frames
}

// done reports whether the close frame was the last of frames.
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
	case errors.Is(err, session.ErrDropped), session.Displaced(err):
		return err
	default:
		return session.ErrClosed
	}
}
