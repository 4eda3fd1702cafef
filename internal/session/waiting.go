package session

import (
	"math"
	"slices"
)

// Entry is a frame in a send queue.
type Entry interface {
	Part() FramePart
	Len() int // in bytes
}

// Waiting is the send queue of one client, over every transport. It counts the bytes of the frames that wait or are on
// their way, and 100 more for each message. Its owner protects it.
//
// A message that finds the queue empty may have any size. It does not count against the bound: the messages behind it
// find as much room as always.
type Waiting[E Entry] struct {
	Entries []E  // the frames that wait
	held    int  // what they count, with those on their way
	first   int  // the share of the message that found the queue empty
	slow    bool // Room has returned ErrSlow: nothing may follow what was refused
}

// burst is how many times its bound a queue takes under SlowDisconnect. Beyond the bound, its owner disconnects a
// client that takes nothing for a while.
const burst = 4

// Room makes room for a message that counts size, as the policy says. The message must be pushed if the error is nil or
// a DisplacedError. Otherwise the error is ErrDropped or ErrSlow.
func (w *Waiting[E]) Room(size, bound int, policy SlowPolicy) error {
	if w.held == 0 {
		w.first = size
	}
	switch {
	case w.slow:
		return ErrSlow
	case w.fits(0, size, bound), policy == SlowDisconnect && w.fits(0, size, burst*min(bound, math.MaxInt/burst)):
		return nil
	case policy == SlowDisconnect:
		w.slow = true
		return ErrSlow
	case policy == SlowDropOldest:
		return w.displace(size, bound)
	default:
		return ErrDropped
	}
}

// fits reports whether there is room once freed is gone.
func (w *Waiting[E]) fits(freed, size, bound int) bool {
	held := w.held - freed
	return held == 0 || held-min(w.first, held)+size <= bound
}

// displace drops the oldest messages to make room, or none if that does not make enough.
func (w *Waiting[E]) displace(size, bound int) error {
	old := w.oldest(func(freed int) bool { return w.fits(freed, size, bound) })
	if !w.fits(old.counts, size, bound) {
		return ErrDropped
	}
	if w.drop(old); w.held == 0 {
		w.first = size
	}
	return &DisplacedError{Messages: old.messages}
}

// Shed drops all messages that wait. Frames of the protocol, and what remains of a message that is on its way, stay.
func (w *Waiting[E]) Shed() { w.drop(w.oldest(func(int) bool { return false })) }

// head is the beginning of a queue, and the messages in it that may be dropped.
type head[E Entry] struct {
	frames           int
	stay             []E // the frames that may not be dropped
	messages, counts int
}

// oldest returns the shortest head that is enough, or the whole queue.
func (w *Waiting[E]) oldest(enough func(counts int) bool) (s head[E]) {
	dropping := false
	for _, e := range w.Entries {
		part := e.Part()
		if part != MessageRest && enough(s.counts) {
			break
		}
		s.frames++
		if dropping = part == MessageStart || part == MessageRest && dropping; !dropping {
			s.stay = append(s.stay, e)
			continue
		}
		s.counts += Counts(e)
		if part == MessageStart {
			s.messages++
		}
	}
	return s
}

func (w *Waiting[E]) drop(s head[E]) {
	gone := s.frames - len(s.stay)
	copy(w.Entries[gone:], s.stay)
	clear(w.Entries[:gone])
	w.Entries = w.Entries[gone:]
	w.held -= s.counts
	w.first = min(w.first, w.held)
}

// Over reports whether the queue exceeds the bound.
func (w *Waiting[E]) Over(bound int) bool { return w.held-w.first > bound }

// Held returns what the queue counts.
func (w *Waiting[E]) Held() int { return w.held }

// Push appends the frames of a message for which Room has made room, or frames of the protocol.
func (w *Waiting[E]) Push(entries ...E) {
	w.Entries = append(w.Entries, entries...)
	w.held += Counts(entries...)
}

// Counts returns what frames count in a queue.
func Counts[E Entry](entries ...E) (n int) {
	for _, e := range entries {
		n += e.Len()
		if e.Part() != MessageRest {
			n += overhead
		}
	}
	return n
}

// Pop removes the first frame, which has left.
func (w *Waiting[E]) Pop() {
	w.Sent(Counts(w.Entries[0]))
	clear(w.Entries[:1])
	if w.Entries = w.Entries[1:]; len(w.Entries) == 0 {
		w.Entries = nil
	}
}

// Take removes the first frames, up to the given number of bytes, but at least one frame. They are on their way, and
// count until Sent is called with the number that Take returns.
func (w *Waiting[E]) Take(bytes int) (entries []E, counts int) {
	n, size := 0, 0
	for n < len(w.Entries) && (n == 0 || size+w.Entries[n].Len() <= bytes) {
		size += w.Entries[n].Len()
		n++
	}
	if n == len(w.Entries) {
		entries, w.Entries = w.Entries, nil
	} else {
		entries = slices.Clone(w.Entries[:n])
		clear(w.Entries[:n]) // the caller may let go of them
		w.Entries = w.Entries[n:]
	}
	return entries, Counts(entries...)
}

// Sent notes that something has left the queue, the oldest first.
func (w *Waiting[E]) Sent(counts int) {
	w.held -= counts
	w.first = max(0, w.first-counts)
}

// Clear drops all frames that wait.
func (w *Waiting[E]) Clear() {
	w.Sent(Counts(w.Entries...))
	clear(w.Entries)
	w.Entries = nil
}
