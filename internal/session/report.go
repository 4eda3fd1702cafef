package session

import (
	"errors"
	"net/http"
)

// Report hears of each request that is refused for what it is or for a limit, and of each client
// that is sent away for what it has done: once, and from a goroutine that holds no lock. The
// receiver is that of the client; where there is none, came is what to know it by. A nil Report
// tells nobody.
type Report func(err error, came Handshake, r Receiver)

// Client tells of a client, if err is not nil.
func (f Report) Client(err error, came Handshake, r Receiver) {
	if f != nil && err != nil {
		f(err, came, r)
	}
}

// Request tells of a request that is no client's, if err is not nil.
func (f Report) Request(err error, r *http.Request) {
	if f != nil && err != nil {
		f(err, Keep(r), nil)
	}
}

// ErrTooMany is what every error is that says that a client has run into a limit.
var ErrTooMany = errors.New("thinkws: too many")

// excess is an error that says so.
type excess struct{ error }

func (excess) Is(target error) bool { return target == ErrTooMany }

func (e excess) Unwrap() error { return e.error }
