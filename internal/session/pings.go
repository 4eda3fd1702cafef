package session

import (
	"errors"
	"time"
)

// maxPings is how many pings of a client are answered in a second; an honest one sends one
// in some seconds, if any.
const maxPings = 20

// ErrPings is what a client has sent that asks for more.
var ErrPings = Beyond(LimitPings, errors.New("thinkws: too many pings"))

// Pings counts the pings that a client sends, for each of which it gets an answer. The zero
// value is ready. It is not safe for concurrent use.
type Pings struct {
	since time.Time // when the second began that is counted
	count int
}

// Ping counts one more, and returns ErrPings if it is one too many.
func (p *Pings) Ping() error {
	if now := time.Now(); now.Sub(p.since) >= time.Second {
		p.since, p.count = now, 0
	}
	if p.count++; p.count > maxPings {
		return ErrPings
	}
	return nil
}
