package jsonws

import (
	"github.com/seed-ce09063a/thinkws/internal/jsonevent"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Framing is what a protocol makes of the messages of a WebSocket. All fields have to be set, but for those that say
// otherwise.
type Framing struct {
	Codec session.Codec // of messages to the client
	Open  []byte        // the first frame to the client; nil for none

	// Refusal returns what a client is told that is not let in, before the connection is closed.
	Refusal func(f *session.Failure) []session.Frame

	// Goodbye returns the code and the text of the close frame for one of the session.Reason constants.
	Goodbye func(reason string) (code int, text string)

	// Bye returns what goes before the close frame of WebSocket. It may be nil: nothing does.
	Bye func(code int, text string) []byte

	// Receive takes a message of the client, whose memory it may keep. An error ends the connection, as session.Verdict
	// says.
	Receive func(c *Conn, data []byte, binary bool) error

	// Cut has a client that gives no sign of life cut off. Otherwise it has the time to answer the close frame.
	Cut bool
}

// Plain is the framing of plain WebSocket: every message is a text of package jsonevent.
func Plain() *Framing {
	return &Framing{
		Codec:   jsonevent.Codec{},
		Refusal: jsonevent.Refusal,
		Goodbye: func(reason string) (code int, text string) {
			if reason == session.ReasonPingTimeout {
				return session.CloseGoingAway, reason
			}
			return session.CloseCode(reason), reason
		},
		Receive: (*Conn).Event,
		Cut:     true,
	}
}
