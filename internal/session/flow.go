package session

import (
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/bucket"
	"github.com/seed-ce09063a/thinkws/internal/ledger"
)

// Rate is how much one client may send over one connection, per second. Both numbers are
// positive. A client that has been silent may send twice as much at once.
type Rate struct{ Messages, Bytes int }

// Meter is what the flows of a handler have in common: how much clients may send. A nil Meter sets no limit.
type Meter struct {
	rate    Rate
	began   time.Time
	tally   *Tally
	logger  *slog.Logger
	address func(*http.Request) netip.Addr
}

// NewMeter returns a Meter that counts in tally and logs to logger when a client is slowed down.
// address returns the address of a request's client.
func NewMeter(rate Rate, tally *Tally, logger *slog.Logger, address func(*http.Request) netip.Addr) *Meter {
	return &Meter{rate: rate, began: time.Now(), tally: tally, logger: logger, address: address}
}

// Why a client is not read. Flow.state holds any of them.
const (
	isFull  = 1 << iota // a receive queue has reached its limit
	isOver              // or twice its limit
	inDebt              // the client has sent more than it may
	hasTask             // no reason: Start has kept a task
)

// Flow is the flow control of one connection: an Engine.IO session with all its transports, a WebSocket, or a SockJS
// session. The goroutines that receive from the client share it with the sockets on the connection. A client that sends
// faster than its handlers run, or than it may, is not read for a while. So what it sends waits in the network, and in
// the end with the client, which keeps its connection.
//
//	reading ---------> paused     a queue is full and the client owes no answer,
//	        <---------            a queue is at twice its limit,
//	                              the rate is exceeded,
//	                              or all clients hold much, and this one most (see package ledger)
//
// While a handler waits for an answer of the client, reading goes on to twice the limit of the queue, because the
// answer comes behind the events. If it has not come by then, it is given up: see Expect.
//
// A Flow is safe for concurrent use, except for Charge. The zero Flow limits no rate.
type Flow struct {
	meter   *Meter
	came    Handshake
	group   Starter
	onPause func() // called when a pause begins; nil for nobody
	account ledger.Account

	messages, bytes bucket.Bucket // what the client may still send; owned by the caller of Charge

	state atomic.Uint32 // the bits above; written with mu held

	mu      sync.Mutex // protects what follows
	full    int32      // queues that have reached their limits, also twice
	over    int32      // of these, queues that have reached them twice
	pending Task       // what Start has kept
	reader  Listener   // the connection whose reader has taken a task
	rare    *rare      // nil as long as it is not needed
}

// rare is what most flows never need.
type rare struct {
	owing   []Asker       // sockets to which the client owes answers
	readers int           // that wait now
	ended   time.Time     // the last one, if none wait
	paid    time.Time     // when the debt is paid
	change  chan struct{} // closed when a reader has to look again; nil if none waits
	logged  bool
}

// Starter runs tasks on goroutines of its own.
type Starter interface{ Start(t Task) }

// Listener is a connection whose reader may run tasks.
type Listener interface {
	// Listen has another goroutine read on, if the reader runs a task. It does not block.
	Listen()
}

// Asker is a socket that waits for answers of its client.
type Asker interface {
	// GiveUp is called, with no lock held, when answers of the client cannot be read.
	GiveUp()
}

// Init sets what a Flow needs. It is called before anybody else knows the Flow. group runs the tasks that no reader
// runs.
func (f *Flow) Init(group Starter, meter *Meter, came Handshake) {
	f.group, f.meter, f.came = group, meter, came
}

// Bill has l count what the client makes the server hold. o is the connection. It is called before anybody else knows
// the Flow.
func (f *Flow) Bill(l *ledger.Ledger, o ledger.Owner) { f.account.Open(l, o, f) }

// Account returns what the client makes the server hold.
func (f *Flow) Account() *ledger.Account { return &f.account }

// OnPause sets a function that is called, with no lock held, when reading pauses. It is called before anything is
// received.
func (f *Flow) OnPause(fn func()) { f.onPause = fn }

// Charge charges one packet to the client. Every packet that causes work is charged, whatever it contains. size is its
// length in bytes on the wire, after inflating. If that is more than the client may send, reading pauses until the
// client may have sent it. Charge has one caller at a time.
func (f *Flow) Charge(size int) {
	m := f.meter
	if m == nil {
		return
	}
	now := int64(time.Since(m.began)) + 1
	owed := max(f.messages.Spend(now, m.rate.Messages, 1), f.bytes.Spend(now, m.rate.Bytes, size))
	if owed > 0 {
		f.lend(owed)
	}
}

// shortest is the shortest pause for a rate: a client at its rate shall not cost a timer for each message.
const shortest = 10 * time.Millisecond

func (f *Flow) lend(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rareLocked().paid = time.Now().Add(max(d, shortest))
	f.setLocked(inDebt, true)
}

// Filled implements serial.Gauge: a queue of the connection has another level.
func (f *Flow) Filled(before, now int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.full += int32(min(now, 1) - min(before, 1))
	f.over += int32(now/2 - before/2)
	f.setLocked(isFull, f.full > 0)
	f.setLocked(isOver, f.over > 0)
	if now < before {
		f.changedLocked()
	}
}

func (f *Flow) setLocked(bit uint32, on bool) {
	if on {
		f.state.Or(bit)
	} else {
		f.state.And(^bit)
	}
}

func (f *Flow) rareLocked() *rare {
	if f.rare == nil {
		f.rare = new(rare)
	}
	return f.rare
}

// changedLocked has those that wait look again.
func (f *Flow) changedLocked() {
	if f.rare != nil && f.rare.change != nil {
		close(f.rare.change)
		f.rare.change = nil
	}
}

// Wake has Wait look again whether its connection has ended, or the ledger lets it go on.
func (f *Flow) Wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changedLocked()
}

// Open reports whether the client may be read without asking Wait.
func (f *Flow) Open() bool {
	return f.state.Load()&(isFull|isOver|inDebt) == 0 && !f.account.Paused()
}

// Wait returns when the client may be read, when ended returns true, or when done is closed. The caller calls Wake
// after a change of what ended returns. Wait is called before something is read from the client. Of a connection
// whose client is not read the end may go unnoticed, but for TCP keepalive and failed writes.
func (f *Flow) Wait(ended func() bool, done <-chan struct{}) {
	if f.Open() || ended() {
		return
	}
	change, paid, limit := f.look(1)
	if change == nil {
		return
	}
	defer f.resume()
	f.note(limit)
	if f.onPause != nil {
		f.onPause()
	}
	for change != nil && !ended() {
		if !sleep(change, paid, done) {
			return
		}
		change, paid, _ = f.look(0)
	}
}

// Hold is Wait for a request that has brought messages and has not been answered. It returns false if its connection
// has ended meanwhile. The timeouts of the http.Server are for requests that are answered at once, so they are lifted
// for the wait. After that, timeout is for the answer.
func (f *Flow) Hold(w http.ResponseWriter, r *http.Request, ended func() bool, timeout time.Duration) bool {
	if f.Open() || ended() {
		return true
	}
	rc := http.NewResponseController(w)
	rc.SetReadDeadline(time.Time{}) // it would end the context, too; where supported
	rc.SetWriteDeadline(time.Time{})
	f.Wait(ended, r.Context().Done())
	rc.SetWriteDeadline(time.Now().Add(timeout))
	return r.Context().Err() == nil
}

// look returns nil if the client may be read, else what is closed when that may have changed, and because of what
// limit. If that is a matter of time, it also returns when. readers are those that begin to wait then.
func (f *Flow) look(readers int) (change chan struct{}, paid time.Time, limit Limit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.rareLocked()
	if !time.Now().Before(p.paid) {
		f.setLocked(inDebt, false)
	}
	state := f.state.Load()
	switch {
	case state&isOver != 0, state&isFull != 0 && len(p.owing) == 0:
		limit = LimitReceiveQueue
	case state&inDebt != 0:
		paid, limit = p.paid, LimitReceiveRate
	case len(p.owing) == 0 && f.account.Paused():
		limit = LimitMemory
	default:
		return nil, time.Time{}, 0
	}
	p.readers += readers
	if p.change == nil {
		p.change = make(chan struct{})
	}
	return p.change, paid, limit
}

// resume is the end of one Wait.
func (f *Flow) resume() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rare.readers--
	f.rare.ended = time.Now()
}

// note counts a pause, and logs the first one. A pause for LimitMemory says nothing of the client: the limit counts
// those that are disconnected.
func (f *Flow) note(limit Limit) {
	m := f.meter
	if m == nil || limit == LimitMemory {
		return
	}
	m.tally.Count(limit)
	f.mu.Lock()
	logged := f.rare.logged
	f.rare.logged = true
	f.mu.Unlock()
	if !logged {
		m.logger.Info("client slowed down", slog.String("limit", limit.String()), slog.Any("address", m.address(f.came.Request())))
	}
}

// sleep returns false if done is closed before a change, or before the time that is paid.
func sleep(change <-chan struct{}, paid time.Time, done <-chan struct{}) bool {
	var due <-chan time.Time
	if !paid.IsZero() {
		timer := time.NewTimer(time.Until(paid))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-change:
	case <-due:
	case <-done:
		return false
	}
	return true
}

// PausedWithin reports whether the client has not been read at some time in the last d. Then it is not to blame for
// what has not come in that time.
func (f *Flow) PausedWithin(d time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.rare
	return p != nil && (p.readers > 0 || time.Since(p.ended) < d)
}

// Expect notes that the client owes answers to a. It returns false if they could not be read, because a queue is at
// twice its limit. If a queue comes to that while an answer is awaited, GiveUp is called. Settle must follow.
func (f *Flow) Expect(a Asker) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over > 0 {
		return false
	}
	p := f.rareLocked()
	p.owing = append(p.owing, a)
	f.changedLocked()
	return true
}

// Settle notes that the client owes nothing more to a.
func (f *Flow) Settle(a Asker) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rare == nil {
		return
	}
	if i := slices.Index(f.rare.owing, a); i >= 0 {
		f.rare.owing = slices.Delete(f.rare.owing, i, i+1)
	}
}

// Relieve gives up the answers that the client owes, if a queue is at twice its limit. It is called with no lock held,
// after something was put into a queue.
func (f *Flow) Relieve() {
	if f.state.Load()&isOver == 0 {
		return
	}
	f.mu.Lock()
	r := f.rareLocked()
	askers := r.owing
	r.owing = nil
	f.mu.Unlock()
	for _, a := range askers {
		a.GiveUp()
	}
}

// Listen has another goroutine read on, if the reader runs a task. It is called when an answer is awaited.
func (f *Flow) Listen() {
	f.mu.Lock()
	reader := f.reader
	f.mu.Unlock()
	if reader != nil {
		reader.Listen()
	}
}

// Start implements serial.Starter for what a message gives rise to: the caller of Receive takes the task. If there is
// one already, the group starts t.
func (f *Flow) Start(t Task) {
	f.mu.Lock()
	free := f.pending == nil
	if free {
		f.pending = t
		f.setLocked(hasTask, true)
	}
	f.mu.Unlock()
	if !free {
		f.group.Start(t)
	}
}

// Take returns the task that a message has given rise to, nil if there is none. The caller runs it on the goroutine
// that reads r.
func (f *Flow) Take(r Listener) Task {
	if f.state.Load()&hasTask == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.pending
	f.pending, f.reader = nil, r
	f.setLocked(hasTask, false)
	return t
}

// Dispatch has the group run the task that a message has given rise to.
func (f *Flow) Dispatch() {
	if t := f.Take(nil); t != nil {
		f.group.Start(t)
	}
}
