// Package body reads the bodies of requests that have no session yet, or none at all. Each is counted in an account of
// its own: a client may hold memory before it is known who it is.
//
//	reading --------> read --------> closed
//	   |       the body is there     the request is answered: nothing is held
//	   | the server holds too much
//	   v
//	evicted: reading fails, and the request is refused with 503
package body

import (
	"net/http"
	"sync"

	"github.com/seed-ce09063a/thinkws/internal/guard"
	"github.com/seed-ce09063a/thinkws/internal/ledger"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Reader reads bodies. One serves all protocols of a handler. It must not change once it is in use.
type Reader struct {
	Limit  int64          // bytes of a body; more is refused with 413
	Ledger *ledger.Ledger // counts the bytes of bodies; nil counts nothing
	Report session.Report // hears of requests that are refused with 503; nil for nobody
}

// Read reads the body of r. Otherwise status is what to refuse the request with: as session.ReadBody says, or 503 if
// the server holds too much. The body counts until free is called, which may be done at any time, once.
func (rd *Reader) Read(w http.ResponseWriter, r *http.Request) (data []byte, free func(), status int) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, func() {}, 0
	}
	q := &request{rc: http.NewResponseController(w), reading: true}
	q.account.Open(rd.Ledger, q, nil)
	q.share.Partial = true
	returned := false
	defer func() {
		if !returned { // the body may be of middleware, and has panicked
			q.close()
		}
	}()
	data, status = session.ReadBody(w, r, rd.Limit, q.hold)
	if cause := q.done(); cause != nil && status != 0 {
		status = http.StatusServiceUnavailable
		rd.Report.Request(cause, r)
	}
	if status != 0 {
		q.close()
	}
	returned = true
	return data, q.close, status
}

// request is a request whose body is read. It is the owner of its account, and the only holder. The goroutine that
// reads owns share.
type request struct {
	rc      *http.ResponseController
	account ledger.Account
	share   ledger.Share

	mu      sync.Mutex // protects what follows, and the read deadline while the body is read
	reading bool
	cause   error // of its eviction; nil if there was none
}

func (q *request) hold(bytes int) { q.account.Settle(&q.share, q, bytes) }

// done ends the reading. It returns why the request was evicted, nil if it was not.
func (q *request) done() (cause error) {
	q.account.Strike(q) // it can be evicted no more: its handler runs
	q.mu.Lock()
	defer q.mu.Unlock()
	q.reading = false
	return q.cause
}

func (q *request) close() { q.hold(0) }

// Evict implements ledger.Owner.
func (q *request) Evict(cause error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.reading {
		q.cause = cause
		guard.Expire(q.rc.SetReadDeadline)
	}
}

// Shed implements ledger.Holder. Reading fails after Evict, and gives back what is held.
func (q *request) Shed() {}
