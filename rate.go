package thinkws

import (
	"fmt"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// WithReceiveRate limits what one client may send over one connection, in messages and in bytes
// per second. A client that has been silent may send twice as much at once. One connection is an
// Engine.IO session with all its namespaces and transports, a plain WebSocket, or a SockJS session.
// A client that exceeds the rate is read more slowly: the server reads on, or answers the POST, when the
// client may have sent what it has sent. It is not disconnected. [Stats] counts these pauses. The default is
// 5,000 messages and 16 MiB.
//
// Each of these counts as one message: a packet of Socket.IO (events, answers, CONNECT and
// DISCONNECT), each of its binary attachments, any other packet of Engine.IO (ping, pong, noop),
// a JSON event or answer, a frame that cannot be read, an empty frame or request of SockJS, and a
// WebSocket pong. Bytes are those on the wire, after inflating: the payload of a WebSocket message,
// or the packet's share of the body of a POST.
func WithReceiveRate(messages, bytes int) Option {
	return serverOption("WithReceiveRate", func(c *config) error {
		if messages < 1 || bytes < 1 {
			return fmt.Errorf("thinkws: WithReceiveRate: %d and %d must be positive", messages, bytes)
		}
		c.receiveRate = session.Rate{Messages: messages, Bytes: bytes}
		return nil
	})
}
