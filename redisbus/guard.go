package redisbus

import (
	"fmt"
	"runtime/debug"
)

// panicError is a panic as an error.
type panicError struct {
	value any
	stack []byte
}

// Error implements error.
func (e *panicError) Error() string { return fmt.Sprintf("redisbus: panic: %v", e.value) }

// guarded calls fn and returns its panic as an error. go-redis takes the shape of some replies
// for granted: it indexes and asserts what a subscription reads, and allocates as much as a
// length claims. What hubs do with messages is guarded by them; this is the last resort.
func guarded(fn func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &panicError{value, debug.Stack()}
		}
	}()
	return fn()
}
