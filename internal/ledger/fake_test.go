package ledger_test

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/ledger"
	"github.com/seed-ce09063a/thinkws/internal/serial"
)

const mebi = 1 << 20

// office is a ledger, with the clients that it has evicted.
type office struct {
	*ledger.Ledger
	group serial.Group

	clients atomic.Int32

	mu   sync.Mutex // protects what follows
	gone []int      // their numbers, in order
}

func newOffice(limit int64) *office {
	o := new(office)
	o.Ledger = ledger.New(ledger.Config{
		Limit: limit, Go: o.group.Go,
		After: func(d time.Duration, run func()) { o.group.AfterFunc(d, run) },
		Cause: func(held int64) error { return fullError(held) },
	})
	return o
}

// fullError is why a client is evicted: that it holds so many bytes.
type fullError int64

func (fullError) Error() string { return "full" }

// evicted returns the numbers of the clients that were evicted, in order.
func (o *office) evicted() []int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.gone)
}

// run runs f in a bubble, with an office that nobody owes anything in the end.
func run(t *testing.T, limit int64, f func(t *testing.T, o *office)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(limit)
		f(t, o)
		time.Sleep(time.Second)
		synctest.Wait()
		if err := o.group.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// client has an account, and is the only holder of it.
type client struct {
	office  *office
	account ledger.Account
	number  int
	stuck   bool              // it keeps what it holds when it is to shed it
	evict   func(cause error) // may be nil

	mu     sync.Mutex // protects what follows
	share  ledger.Share
	cause  error
	resume int // how often it was resumed
}

func newClient(o *office) *client {
	c := &client{office: o, number: int(o.clients.Add(1))}
	c.account.Open(o.Ledger, c, c)
	return c
}

// hold sets what the client holds.
func (c *client) hold(bytes int) *client {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.account.Settle(&c.share, c, bytes)
	return c
}

func (c *client) Evict(cause error) {
	c.office.mu.Lock()
	c.office.gone = append(c.office.gone, c.number)
	c.office.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cause = cause
	if c.evict != nil {
		c.evict(cause)
	}
}

func (c *client) Shed() {
	if !c.stuck {
		c.hold(0)
	}
}

func (c *client) isEvicted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause != nil
}

func (c *client) Wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resume++
}

func (c *client) resumes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resume
}

// queue is a holder beside the client, whose frames may be shared.
type queue struct {
	client *client

	mu     sync.Mutex // protects what follows
	share  ledger.Share
	frames [][]byte
}

func (q *queue) put(frames ...[]byte) *queue {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.frames = append(q.frames, frames...)
	q.settleLocked()
	return q
}

func (q *queue) settleLocked() {
	bytes := 0
	for _, f := range q.frames {
		bytes += len(f)
	}
	q.client.account.Settle(&q.share, q, bytes)
}

func (q *queue) Shed() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.frames = nil
	q.settleLocked()
}

func (q *queue) Frames(do func([]byte)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, f := range q.frames {
		do(f)
	}
}

func quietLogger() *slog.Logger { return slog.New(slog.DiscardHandler) }
