// Package guard calls code of the service, so that a mistake in it costs no more than that
// call.
//
// A mistake is a panic, or a call of runtime.Goexit, which is what t.FailNow does. A panic can
// be stopped where it happens. Goexit cannot: it ends its goroutine. So [Call] gives the code a
// goroutine to lose, for a microsecond. Where that is too slow, code runs in place with a
// deferred call of [Caught], and everything above it survives the loss of its goroutine.
package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// Error is a mistake of guarded code.
type Error struct {
	text  string
	Stack []byte // of the goroutine, when it happened
}

// Error returns what the code panicked with, or that it called runtime.Goexit.
func (e *Error) Error() string { return "thinkws: " + e.text }

// Caught returns the mistake of code that did not return. It is for a deferred function, and p
// is the result of recover.
func Caught(p any) *Error {
	e := &Error{text: "runtime.Goexit was called", Stack: debug.Stack()}
	if p != nil {
		e.text = "panic: " + describe(p)
	}
	return e
}

// describe returns p as text. The methods of p are code of the service as well. What they panic
// with is dropped: it may be p again, and so on for ever.
func describe(p any) string {
	if s, ok := p.(string); ok {
		return s
	}
	text := make(chan string, 1)
	go func() {
		printed := fmt.Sprintf("a %T that cannot be printed", p)
		defer func() {
			_ = recover()
			text <- printed
		}()
		printed = fmt.Sprint(p)
	}()
	return <-text
}

// Do calls fn and returns its error, or its panic as an [*Error]. If fn calls runtime.Goexit,
// the goroutine ends: Do is for goroutines of the service.
func Do(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = Caught(p)
		}
	}()
	return fn()
}

// Call calls fn on a goroutine of its own, waits until that ends, and returns the mistake of fn,
// an [*Error], or nil.
func Call(fn func()) error {
	done := make(chan error, 1)
	go func() {
		returned := false
		defer func() {
			if returned {
				done <- nil
			} else {
				done <- Caught(recover())
			}
		}()
		fn()
		returned = true
	}()
	return <-done
}

// Expire ends what waits for a deadline, by a method of an http.ResponseController that sets one. That does nothing
// where it is not supported, and the ResponseWriter may be of middleware.
func Expire(set func(deadline time.Time) error) { _ = Call(func() { _ = set(time.Unix(1, 0)) }) }

// StackOf returns the stack of the mistake that err is or wraps, nil if it is none. It runs the
// methods of err.
func StackOf(err error) []byte {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Stack
	}
	return nil
}

// Keep runs fn until it returns, and begins anew a second after each mistake of it, until ctx is
// done. It is for goroutines that a server cannot do without, and the last resort of those. log
// gets the mistakes.
func Keep(ctx context.Context, log *slog.Logger, fn func()) {
	for {
		err := Call(fn)
		if err == nil {
			return
		}
		log.Error("task panicked", "error", err, "stack", string(StackOf(err)))
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
	}
}
