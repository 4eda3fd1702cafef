package thinkws

import (
	"encoding/json"
	"fmt"

	"github.com/seed-ce09063a/thinkws/internal/excerpt"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// HandlerFunc is an action: what happens when a client sends an event.
//
// The events of one client in one namespace run one after another, in the order
// they were sent; those of different clients run at the same time. [Concurrent]
// lifts the order for an action. An action may take its time; the client's next
// events wait, up to the bounds of [WithReceiveQueue].
//
// An error is logged (or passed to [WithOnError]). If the client waits for an ack that was not
// given yet, the error answers it; see [Error] for what the client sees. A panic, and a call of
// runtime.Goexit, is an error with a stack: the client sees [Internal] and stays connected. It
// costs that one event, also if it happens in a method of a value that the action returns or
// emits: Error, Unwrap, Is, As or MarshalJSON.
type HandlerFunc func(c *Context) error

// Bind makes an action of a function that takes the event's first argument as a
// value of type T. An argument that does not decode into a T is answered by
// [BadRequest]; a missing one leaves the zero value.
func Bind[T any](fn func(c *Context, data T) error) HandlerFunc {
	return func(c *Context) error {
		data, err := bound[T](c)
		if err != nil {
			return err
		}
		return fn(c, data)
	}
}

// Reply makes an action as [Bind] does, and answers the client's ack with what fn
// returns.
func Reply[T, R any](fn func(c *Context, data T) (R, error)) HandlerFunc {
	return func(c *Context) error {
		data, err := bound[T](c)
		if err != nil {
			return err
		}
		result, err := fn(c, data)
		if err != nil {
			return err
		}
		return c.Ack(result)
	}
}

func bound[T any](c *Context) (data T, err error) {
	if c.args.Count == 0 {
		return data, nil
	}
	err = c.Arg(0, &data)
	return data, err
}

// Concurrent lets an action run beside the client's other events, in place of
// before the next one. At most 64 run at a time for one client, with
// events of no more bytes than WithReceiveQueue allows; further events wait. After the client has left
// and its last action has run, it returns ErrClosed and fn does not run.
// Middleware of [Use] sees the action return at once; its errors are handled all the same.
// "close" may run while concurrent actions still do.
func Concurrent(fn HandlerFunc) HandlerFunc {
	return func(c *Context) error {
		if c.socket == nil {
			return fn(c)
		}
		return c.socket.beside(c, fn)
	}
}

// decodeArg decodes argument i into v. A binary argument goes into a *[]byte as it is.
func decodeArg(args session.Args, i int, v any) error {
	arg, ok := args.At(i)
	if !ok {
		return &Error{Name: BadRequest, Message: fmt.Sprintf("argument %d is missing", i)}
	}
	return decodeValue(arg, i, v)
}

func decodeValue(arg session.Args, i int, v any) error {
	if dst, ok := v.(*[]byte); ok {
		if data, ok := arg.Bytes(); ok {
			*dst = data
			return nil
		}
	}
	if err := json.Unmarshal(arg.JSON(), v); err != nil {
		return &Error{Name: BadRequest, Message: fmt.Sprintf("argument %d is not what the action takes", i), Err: excerpt.Error(err)}
	}
	return nil
}

func bindArgs(args session.Args, targets []any) error {
	for i, arg := range args.All() {
		if i == len(targets) {
			break
		}
		if err := decodeValue(arg, i, targets[i]); err != nil {
			return err
		}
	}
	return nil
}
