package session

import (
	"sync"
	"sync/atomic"
)

// Kind tells what a Message is.
type Kind uint8

// The kinds of messages.
const (
	Event  Kind = iota // a named event
	Answer             // the answer to an event that asked for one: an ack
)

// Message is one event or one answer, independent of any wire. It must not be
// changed once it has been handed to a Conn or a Receiver.
type Message struct {
	Kind      Kind
	Namespace string
	Name      string // of the event; empty in an Answer
	Args      Args
	// ID is, in an Event, the name under which an answer is wanted, or "" for none;
	// in an Answer, the ID of the event it answers. Ids that the hub gives are
	// decimal digits; those of clients are JSON text and go back as they came.
	ID       string
	Failure  *Failure // in an Answer: what went wrong, in place of Args
	Wire     int      // bytes that it took on the wire, after inflating, with its attachments; 0 if it did not come from a client
	Volatile bool     // may be dropped when it cannot go out at once
	// Deflate compresses the message for clients that have negotiated that, if it is
	// long enough; nil for never.
	Deflate *Deflater

	// Round is for a message to many: a connection may queue its frames and add itself to the
	// round, in place of writing them.
	Round *Round

	// Lent lets the message's frames lie in memory that its next use has again: for one
	// that goes to one client.
	Lent bool
	room []byte // that memory

	forms    atomic.Pointer[encoded] // in all variants so far, the latest first; read without a lock
	encoding sync.Mutex              // held to add a form; protects what follows
	first    encoded                 // the memory of the first form
	frame    [1]Frame                // and that of its first frame
}

var messages = sync.Pool{New: func() any { return new(Message) }}

// Borrow returns an empty message for one that does not live long. Whoever owns it in
// the end may give it back with Release.
func Borrow() *Message { return messages.Get().(*Message) }

// Release gives up a message that nobody holds any more. What it points to is not
// touched: arguments may be kept.
func (m *Message) Release() {
	*m = Message{}
	messages.Put(m)
}

// keepRoom is the largest memory for frames that a message which waits for its next use
// holds, in bytes.
const keepRoom = 64 << 10

// Reset empties m, but for the memory of its frames.
func (m *Message) Reset() {
	room := m.room
	if cap(room) > keepRoom {
		room = nil
	}
	*m = Message{room: room}
}

// Room is Room for the first frame of m.
func (m *Message) Room(n int) []byte {
	if !m.Lent {
		return Room(n)
	}
	if cap(m.room) < maxHeader+n {
		m.room = Room(n)
	}
	return m.room[:maxHeader]
}

// Codec encodes messages for one wire variant. It is stateless and comparable:
// its value is the key under which a message keeps its encoded frames.
type Codec interface {
	// Encode appends the frames of the message to dst.
	Encode(dst []Frame, m *Message) ([]Frame, error)
}

// encoded is a message in one wire variant. It does not change once it can be found.
type encoded struct {
	codec  Codec
	frames []Frame
	err    error
	next   *encoded
}

// Frames returns m in the wire variant of c. The first call for a variant encodes it; all later calls share the result
// and take no lock. Callers must not change it. Frames is safe for concurrent use.
func (m *Message) Frames(c Codec) ([]Frame, error) {
	e := m.form(c)
	if e == nil {
		e = m.encode(c)
	}
	return e.frames, e.err
}

// form returns m in the wire variant of c, nil if it is not encoded yet. There are a handful of variants at most.
func (m *Message) form(c Codec) *encoded {
	e := m.forms.Load()
	for e != nil && e.codec != c {
		e = e.next
	}
	return e
}

// encode adds the form for c, unless another caller has added it meanwhile.
func (m *Message) encode(c Codec) *encoded {
	m.encoding.Lock()
	defer m.encoding.Unlock()
	if e := m.form(c); e != nil {
		return e
	}
	e, dst, others := &m.first, m.frame[:0], m.forms.Load()
	if others != nil {
		e, dst = new(encoded), nil
	}
	frames, err := c.Encode(dst, m)
	m.Deflate.mark(frames)
	for i := range frames {
		frames[i].lent, frames[i].round, frames[i].part = m.Lent, m.Round, MessageRest
	}
	if len(frames) > 0 {
		frames[0].part = MessageStart
	}
	*e = encoded{c, frames, err, others}
	m.forms.Store(e)
	return e
}

// Size returns how many bytes m counts while it waits for a handler, the measure of receive queues. All
// that came over the wire counts, because that is what the client makes the server process.
func (m *Message) Size() int { return max(m.Kept(), Held(1, m.Wire)) }

// Kept returns how many bytes m holds. The codec has seen to it that they are not a small part of
// something larger.
func (m *Message) Kept() int {
	n := len(m.Name) + len(m.Args.Text)
	for _, p := range m.Args.Parts {
		n += len(p.Data)
	}
	if f := m.Failure; f != nil {
		n += len(f.Name) + len(f.Message) + len(f.Data)
	}
	return Held(1+len(m.Args.Parts), n)
}
