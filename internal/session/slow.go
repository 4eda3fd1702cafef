package session

import (
	"errors"
	"fmt"
)

// SlowPolicy decides about a message for which the send queue of its client has no room.
type SlowPolicy uint8

// The policies.
const (
	SlowDisconnect SlowPolicy = iota // the client is disconnected if it stays behind: what it gets has no gaps
	SlowDropNewest                   // the message is dropped, with ErrDropped
	SlowDropOldest                   // the messages that wait longest are dropped for it, with a DisplacedError
)

// DisplacedError reports that a message has been queued, and how many others were dropped for it.
type DisplacedError struct{ Messages int }

// Error returns a sentence with the number.
func (e *DisplacedError) Error() string {
	return fmt.Sprintf("thinkws: send queue full, %d older messages dropped", e.Messages)
}

// Displaced reports whether err, from [Waiting.Room], lets the message be pushed.
func Displaced(err error) bool {
	_, ok := errors.AsType[*DisplacedError](err)
	return ok
}

// FramePart is the part of a message that a frame carries.
type FramePart uint8

// The parts.
const (
	NoMessage    FramePart = iota // a frame of the protocol itself, or one whose beginning is sent: it is never dropped
	MessageStart                  // the first frame of a message
	MessageRest                   // one of the others
)
