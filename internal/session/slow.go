package session

import (
	"errors"
	"fmt"
	"iter"
	"slices"
)

// SlowPolicy says what becomes of a message that finds its client's queue full.
type SlowPolicy uint8

// The policies.
const (
	SlowDisconnect SlowPolicy = iota // the client is disconnected: what it gets has no gaps
	SlowDropNewest                   // the message is dropped, with ErrDropped
	SlowDropOldest                   // the messages that wait longest are dropped for it, with a DisplacedError
)

// DisplacedError says that a message has been queued, and how many others were dropped
// for it.
type DisplacedError struct{ Messages int }

// Error says so.
func (e *DisplacedError) Error() string {
	return fmt.Sprintf("thinkws: send queue full, %d older messages dropped", e.Messages)
}

// FramePart is what a frame is of a message.
type FramePart uint8

// The parts. Frames of the protocols themselves are none, and never dropped.
const (
	NoMessage FramePart = iota
	MessageStart
	MessageRest
)

// Oldest finds the message that waits longest in a queue of n frames: from and to are the
// first of its frames, and the first behind it. They are equal if there is none.
func Oldest(n int, part func(i int) FramePart) (from, to int) {
	for from < n && part(from) != MessageStart {
		from++
	}
	for to = min(n, from+1); to < n && part(to) == MessageRest; to++ {
	}
	return from, to
}

// Droppable goes through the frames of a queue that Oldest finds, one message after another.
func Droppable(n int, part func(i int) FramePart) iter.Seq[int] {
	return func(yield func(int) bool) {
		begun := false
		for i := range n {
			switch part(i) {
			case NoMessage:
				begun = false
				continue
			case MessageStart:
				begun = true
			}
			if begun && !yield(i) {
				return
			}
		}
	}
}

// Waiting is a queue of frames for one client, limited in frames and in the bytes that they hold; see
// Held. A message alone may be of any size. Its owner protects it.
type Waiting struct {
	Frames []Frame
	Bytes  int // of their payloads
}

// Room makes room for frames, as the policy says. The frames may be pushed if the error is
// nil or a DisplacedError; otherwise it is ErrDropped or ErrSlow.
func (w *Waiting) Room(frames []Frame, items, bytes int, policy SlowPolicy) error {
	size := 0
	for _, f := range frames {
		size += f.Len()
	}
	fits := func(gone, goneBytes int) bool {
		left := len(w.Frames) - gone
		return left+len(frames) <= items && (left == 0 || Held(left+len(frames), w.Bytes-goneBytes+size) <= bytes)
	}
	switch {
	case fits(0, 0):
		return nil
	case policy == SlowDisconnect:
		return ErrSlow
	case policy == SlowDropNewest || !fits(w.droppable()):
		return ErrDropped
	}
	displaced := &DisplacedError{}
	for ; !fits(0, 0); displaced.Messages++ {
		w.dropOldest()
	}
	return displaced
}

func (w *Waiting) part(i int) FramePart { return w.Frames[i].part }

func (w *Waiting) droppable() (frames, bytes int) {
	for i := range Droppable(len(w.Frames), w.part) {
		frames++
		bytes += w.Frames[i].Len()
	}
	return frames, bytes
}

func (w *Waiting) dropOldest() {
	from, to := Oldest(len(w.Frames), w.part)
	for _, f := range w.Frames[from:to] {
		w.Bytes -= f.Len()
	}
	w.Frames = slices.Delete(w.Frames, from, to)
}

// Push appends frames, copies of those that are lent.
func (w *Waiting) Push(frames ...Frame) {
	for _, f := range frames {
		w.Frames = append(w.Frames, f.Keep())
		w.Bytes += f.Len()
	}
}

// TakeSome takes the first frames, as many as are no more than so many bytes, but at least one.
func (w *Waiting) TakeSome(bytes int) []Frame {
	n, size := 0, 0
	for n < len(w.Frames) && (n == 0 || size+w.Frames[n].Len() <= bytes) {
		size += w.Frames[n].Len()
		n++
	}
	if n == len(w.Frames) {
		return w.Take()
	}
	frames := w.Frames[:n:n]
	w.Frames, w.Bytes = w.Frames[n:], w.Bytes-size
	return frames
}

// Take empties the queue.
func (w *Waiting) Take() []Frame {
	frames := w.Frames
	*w = Waiting{}
	return frames
}

// Displaced reports whether what Room has returned lets frames be pushed.
func Displaced(err error) bool {
	_, ok := errors.AsType[*DisplacedError](err)
	return ok
}
