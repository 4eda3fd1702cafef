package thinkws

import (
	"fmt"

	"github.com/seed-ce09063a/thinkws/internal/bucket"
)

// rate is how much a client may send, per second. A client that has been silent may send
// twice as much at once.
type rate struct{ messages, bytes int }

// allowance is what a client may still send. It belongs to the goroutine that receives from
// the client.
type allowance struct {
	messages, bytes bucket.Bucket
	exceeded        bool // once, which is for good
}

// take is false if a message of so many bytes is beyond the rate.
func (a *allowance) take(r rate, now int64, bytes int) bool {
	a.exceeded = !a.messages.Take(now, r.messages, 1) || !a.bytes.Take(now, r.bytes, bytes)
	return !a.exceeded
}

// WithReceiveRate bounds what one client may send into one namespace, in messages and in
// bytes per second, events and answers counted alike; twice as much may come at once after a
// silence. A client that sends more is disconnected with [ReasonOverrun], and WebSocket code
// 1008. The default is 5,000 and 16 MiB.
func WithReceiveRate(messages, bytes int) Option {
	return serverOption("WithReceiveRate", func(c *config) error {
		if messages < 1 || bytes < 1 {
			return fmt.Errorf("thinkws: WithReceiveRate: %d and %d must be positive", messages, bytes)
		}
		c.receiveRate = rate{messages, bytes}
		return nil
	})
}
