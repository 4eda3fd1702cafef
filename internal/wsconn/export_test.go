package wsconn

import (
	"errors"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Bridge to what the external tests look at.

// Bounds of a Watch.
const (
	Places   = places
	Patience = patience
)

// Looking reports whether the Watch still looks at its places.
func (w *Watch) Looking() bool { return w.looking.Load() }

// FrameReader is a frameReader.
type FrameReader struct{ frameReader }

// NewFrameReader returns one for messages of limit bytes.
func NewFrameReader(limit int64, deflates bool) *FrameReader {
	return &FrameReader{frameReader{limit: limit, deflates: deflates}}
}

// Next is next.
func (r *FrameReader) Next(p []byte) (rest []byte, opcode byte, data []byte, err error) {
	rest, in, err := r.next(p)
	return rest, in.opcode, in.data, err
}

// Room is room.
func (r *FrameReader) Room() []byte { return r.room() }

// Filled is filled.
func (r *FrameReader) Filled(n int) { r.filled(n) }

// Between is between.
func (r *FrameReader) Between() bool { return r.between() }

// Held is held.
func (r *FrameReader) Held() int { return r.held() }

// OnHold sets hold.
func (r *FrameReader) OnHold(hold func(bytes int)) { r.hold = hold }

// CodeOf returns the close code of a violation; 0 for another error.
func CodeOf(err error) int {
	if v, ok := errors.AsType[*violation](err); ok {
		return v.code
	}
	return 0
}

// Flow returns the flow control that the connection was given.
func (c *Conn) Flow() *session.Flow { return c.flow }

// Held returns what the send queue counts.
func (c *Conn) Held() int {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.queue.Held()
}

// Idle reports whether everything has been handed to the network.
func (c *Conn) Idle() bool {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return !c.out.writing
}
