package wsconn

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// A peer may take its time between two messages, but not within one, and it may ask for
// pongs, but not for any number of them.

// errDawdles ends a connection whose message does not.
var errDawdles = session.Beyond(session.LimitMessageTime, fmt.Errorf("%w: a message took too long", ErrProtocol))

// Level is how much what Handler.Closed gets is worth a line in the log.
func Level(err error) slog.Level {
	if errors.Is(err, session.ErrPings) {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// ping counts a ping and answers it, its payload being pong's. The count is there for who
// pings at all: browsers do not.
func (c *Conn) ping(pong []byte) {
	if c.pings == nil {
		c.pings = new(session.Pings)
	}
	if err := c.pings.Ping(); err != nil {
		c.cfg.Tally.Note(err)
		c.fail(fmt.Errorf("%w: %w", ErrProtocol, err), session.ClosePolicy, "too many pings")
		return
	}
	_ = c.pushed(c.out.push(&parcel{frames: []queued{{data: pong}}})) // refused: the connection is on its way out, and says so itself
}

// clock sets the time for a message that has begun, before the network is waited for. Most messages are there in whole by
// then, so they need no timer.
func (s *stream) clock() {
	if !s.frames.between() && s.timer == nil {
		s.timer = s.conn.cfg.Group.AfterFunc(s.conn.cfg.MessageTime, func() {
			s.conn.cfg.Tally.Note(errDawdles)
			s.conn.fail(errDawdles, session.ClosePolicy, "message takes too long")
		})
	}
}

// unclock is for a message that has come to its end.
func (s *stream) unclock() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}
