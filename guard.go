package thinkws

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/seed-ce09063a/thinkws/internal/guard"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Every call into code of the service goes through this file, and so does every look at the
// values that come back. Actions run in place, by Context.act; everything else runs on a
// goroutine of its own, by Hub.call. A panic and a call of runtime.Goexit are the same here: a
// mistake, which is an error with a stack, and logged once.

// outcome is the result of a call into code of the service.
type outcome struct {
	err     error            // nil if there is none; its methods may be called anywhere
	failure *session.Failure // what the client may know of err
	stack   []byte           // of a mistake; nil for an error that was returned
}

// internalFailure is what a client may know of most errors.
func internalFailure() *session.Failure {
	return &session.Failure{Name: Internal, Message: "internal error"}
}

// act runs an action, and then finishes with what became of it. If fn calls runtime.Goexit, act
// finishes too, but does not return.
func (c *Context) act(fn HandlerFunc) {
	var err error
	returned := false
	defer func() {
		if !returned {
			err = guard.Caught(recover())
		}
		if err != nil {
			c.finish(judge(err))
		}
	}()
	err = fn(c)
	returned = true
}

// try calls functions of the service until one returns an error, and returns what became of it.
func (c *Context) try(functions ...HandlerFunc) outcome {
	var err error
	mistake := guard.Call(func() {
		for _, fn := range functions {
			if err = fn(c); err != nil {
				return
			}
		}
	})
	if mistake != nil {
		err = mistake
	}
	return judge(err)
}

// call calls a function of the service, by the name of the option that it was given to. A
// mistake in it is logged and returned.
func (h *Hub) call(option string, fn func()) error {
	err := guard.Call(fn)
	if err != nil {
		h.log().Error("function of the service failed", "option", option, "error", err, "stack", string(guard.StackOf(err)))
	}
	return err
}

// judge looks at an error of the service. An error may have methods Error, Unwrap, Is, As and
// LogValue, and data that marshals itself. A mistake in one of them takes the place of the error.
func judge(err error) outcome {
	if err == nil {
		return outcome{}
	}
	var o outcome
	mistake := guard.Call(func() {
		_ = err.Error()
		_ = slog.AnyValue(err).Resolve()
		o = outcome{err, failureOf(err), guard.StackOf(err)}
	})
	if mistake != nil {
		return outcome{mistake, internalFailure(), guard.StackOf(mistake)}
	}
	return o
}

// failureOf is err as the client may see it. It runs methods of err; see judge.
func failureOf(err error) *session.Failure {
	var public *Error
	if !errors.As(err, &public) {
		return internalFailure()
	}
	f := &session.Failure{Name: public.name(), Message: public.Message}
	if public.Data != nil {
		const around = 2 // levels that answers have around it
		if data, err := json.Marshal(public.Data); err == nil && !session.Deeper(data, session.MaxDepth-around) {
			f.Data = session.UTF8(data)
		}
	}
	return f
}

// guardedOrigin returns the function of WithAllowOriginFunc, guarded: a mistake in it refuses the
// request. Its errors are plain text from then on.
func (h *Handler) guardedOrigin() func(*http.Request, string) (bool, error) {
	fn := h.cfg.originFunc
	if fn == nil {
		return nil
	}
	return func(r *http.Request, origin string) (ok bool, err error) {
		mistake := h.hub.call("WithAllowOriginFunc", func() {
			if ok, err = fn(r, origin); err != nil {
				err = errors.New(err.Error())
			}
		})
		if mistake != nil {
			return false, mistake
		}
		return ok, err
	}
}
