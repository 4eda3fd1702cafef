package wsconn

import (
	"fmt"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// ping counts a ping and answers it, its payload being pong's. A peer may ask for pongs, but not for any number of
// them.
func (c *Conn) ping(pong []byte) {
	if c.pings == nil { // browsers do not ping
		c.pings = new(session.Pings)
	}
	if err := c.pings.Ping(); err != nil {
		c.cfg.Tally.Note(err)
		c.fail(fmt.Errorf("%w: %w", ErrProtocol, err), session.ClosePolicy, "too many pings")
		return
	}
	_ = c.pushed(c.out.push(&parcel{frames: []queued{{data: pong}}})) // refused: the connection is on its way out, and says so itself
}
