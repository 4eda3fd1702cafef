package thinkws

import (
	"fmt"
	"time"
)

// rate is how much a client may send, per second. A client that has been silent may send
// twice as much at once.
type rate struct{ messages, bytes int }

// bucket is what a client may still send: a token bucket for each measure. It belongs to
// the goroutine that receives from the client.
type bucket struct {
	at       int64 // when it was filled last, on the hub's clock; 0 if never
	messages float64
	bytes    float64
	exceeded bool // once, which is for good
}

// take is false if a message of so many bytes is beyond the rate.
func (b *bucket) take(r rate, now int64, bytes int) bool {
	if b.at == 0 {
		b.messages, b.bytes = float64(2*r.messages), float64(2*r.bytes)
	} else {
		seconds := float64(now-b.at) / float64(time.Second)
		b.messages = min(b.messages+seconds*float64(r.messages), float64(2*r.messages))
		b.bytes = min(b.bytes+seconds*float64(r.bytes), float64(2*r.bytes))
	}
	b.at = now
	if b.messages < 1 || b.bytes <= 0 { // a large message may take more than there is, once
		b.exceeded = true
		return false
	}
	b.messages--
	b.bytes -= float64(bytes)
	return true
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
