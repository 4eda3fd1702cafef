package redisbus

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/seed-ce09063a/thinkws"
)

const (
	lookEvery = 250 * time.Millisecond // whether nodes that are waited for are still there
	muteFor   = 500 * time.Millisecond // nodes without a name may be of a kind that does not answer
)

var errGone = errors.New("redisbus: the node has gone")

// question is a request that waits for the answers of other nodes. Those of this library
// say in an answer who they are; those of Node's adapters do not, but from version 7.1
// on the channels that they listen to tell that they are there.
type question struct {
	kind   thinkws.EnvelopeKind
	space  string
	answer func(*thinkws.Envelope)

	mu       sync.Mutex          // protects what follows; held while answer runs
	asked    map[string]struct{} // nodes that have a name
	live     map[string]struct{} // of these, who is still there
	unnamed  int                 // nodes without that are there
	total    int                 // nodes that were asked
	heard    map[string]int      // nodes that have answered, by their names, and how many of their clients have not
	nameless int                 // and how many have not said theirs
	clients  int                 // still to answer, of all nodes
	left     int                 // that will not, for their node has gone or their answer is too large
	refused  []string            // servers whose answer is too large
	refusal  error               // says so; nil if none is
	last     time.Time           // of the last answer
	over     bool
	done     chan struct{}
}

// Ask implements thinkws.BusLink.
func (l *link) Ask(ctx context.Context, e *thinkws.Envelope, answer func(*thinkws.Envelope)) error {
	if err := l.state.cannotAsk(); err != nil {
		return &thinkws.NodesError{Err: err}
	}
	// The answers come on channels of the namespace, which may have nobody in it here.
	defer l.Unsubscribe(e.Namespace)
	if err := l.Subscribe(ctx, e.Namespace); err != nil {
		return &thinkws.NodesError{Err: err}
	}
	c := l.cfg.channels(e.Namespace)
	q := &question{kind: e.Kind, space: e.Namespace, answer: answer, heard: map[string]int{}, done: make(chan struct{}), last: time.Now()}
	if err := l.look(ctx, c, q); err != nil {
		return &thinkws.NodesError{Err: busError(err)}
	}
	if q.settled() {
		return nil // there is nobody else
	}
	id := rand.Text()
	data, err := l.cfg.encodeRequest(l.uid, id, e)
	if err != nil {
		return &thinkws.NodesError{Err: busError(err)}
	}
	l.mu.Lock()
	l.asked[id] = q
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.asked, id)
	}()
	if err := l.push(item{channel: c.request, payload: data, counts: true}); err != nil {
		return &thinkws.NodesError{Err: busError(err)}
	}
	return l.wait(ctx, c, q)
}

// wait returns when all have answered who will.
func (l *link) wait(ctx context.Context, c channels, q *question) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	timeout := time.NewTimer(l.cfg.timeout)
	defer timeout.Stop()
	for {
		select {
		case <-q.done:
			return q.end(nil)
		case <-ctx.Done():
			return q.end(ctx.Err())
		case <-timeout.C:
			if q.waitsForNodes() {
				return q.end(context.DeadlineExceeded)
			}
		case <-look.C:
			if err := l.look(ctx, c, q); err != nil && ctx.Err() == nil {
				return q.end(busError(err))
			}
			if q.mute() {
				return q.end(context.DeadlineExceeded)
			}
		}
	}
}

// look finds out which nodes are there.
func (l *link) look(ctx context.Context, c channels, q *question) error {
	ctx, cancel := context.WithTimeout(ctx, execTimeout)
	defer cancel()
	named, unnamed, err := l.servers(ctx, c)
	if err != nil {
		return err
	}
	q.looked(named, unnamed)
	return nil
}

// looked takes which nodes there are. Nodes that joined after the question was asked are ignored.
func (q *question) looked(live map[string]struct{}, unnamed int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.asked == nil {
		q.asked, q.unnamed = live, max(0, unnamed)
		q.live, q.total = maps.Clone(live), len(live)+q.unnamed
		return
	}
	for uid := range q.live {
		if _, ok := live[uid]; !ok {
			q.goneLocked(uid)
		}
	}
	q.unnamed = min(q.unnamed, max(0, unnamed))
	q.checkLocked()
}

// goneLocked gives up a node and its clients. q.mu must be held.
func (q *question) goneLocked(uid string) {
	delete(q.live, uid)
	if clients := q.heard[uid]; clients > 0 {
		q.expectLocked(uid, -clients)
		q.left += clients
	}
}

// expectLocked adds clients, which may be negative, to the number of answers expected from a node. q.mu must be held.
func (q *question) expectLocked(uid string, clients int) {
	q.clients += clients
	if uid != "" {
		q.heard[uid] += clients
	}
}

// missingLocked returns how many nodes have to answer yet, those without a name among them. q.mu must be held.
func (q *question) missingLocked() int {
	n := q.unnamed - q.nameless
	for uid := range q.live {
		if _, ok := q.heard[uid]; !ok {
			n++
		}
	}
	return n
}

// checkLocked ends the wait when nobody is left to wait for. q.mu must be held.
func (q *question) checkLocked() {
	if !q.over && q.missingLocked() <= 0 && q.clients <= 0 {
		q.over = true
		close(q.done)
	}
}

func (q *question) settled() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.missingLocked() <= 0
}

func (q *question) waitsForNodes() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.missingLocked() > 0
}

// mute reports whether only nodes without a name are missing, and have been for a while.
func (q *question) mute() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.missingLocked()
	return n > 0 && n <= q.unnamed && q.clients <= 0 && time.Since(q.last) > muteFor
}

// answered takes an answer. Each node is heard once.
func (q *question) answered(a *response) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.over {
		return
	}
	e := q.read(a)
	if e == nil && !a.None {
		return
	}
	q.last = time.Now()
	switch {
	case q.ofClients(a):
		n := min(max(1, -a.Clients), q.awaitedLocked(a.UID))
		if n <= 0 {
			return
		}
		q.expectLocked(a.UID, -n)
		if a.TooLarge > 0 {
			q.left += n
		}
	case !q.hear(a):
		return
	case a.TooLarge > 0:
		q.refused = append(q.refused, a.UID)
	}
	switch {
	case a.TooLarge > 0:
		q.refusal = fmt.Errorf("%w: an answer has more than %d bytes", thinkws.ErrTooLarge, a.TooLarge)
	case e != nil:
		q.answer(e)
	}
	q.checkLocked()
}

// ofClients reports whether an answer is one of clients, or that they will give none.
func (q *question) ofClients(a *response) bool {
	return q.kind == thinkws.BusEmit && (a.Type == typeClientAck || a.Type == typeClientsGone)
}

// awaitedLocked returns how many clients of a node, or of all if it has no name, have to answer
// yet. q.mu must be held.
func (q *question) awaitedLocked(uid string) int {
	if uid == "" {
		return q.clients
	}
	return q.heard[uid]
}

// hear counts the node of an answer; false if it has answered before.
func (q *question) hear(a *response) bool {
	if a.UID == "" {
		if q.nameless >= len(q.asked)+q.unnamed {
			return false
		}
		q.nameless++
	} else {
		if _, twice := q.heard[a.UID]; twice {
			return false
		}
		q.heard[a.UID] = 0
	}
	if q.kind == thinkws.BusEmit && !a.None {
		q.expectLocked(a.UID, max(0, a.Clients))
	}
	return true
}

// read converts an answer to an Envelope. It returns nil for answers to other kinds of questions.
func (q *question) read(a *response) *thinkws.Envelope {
	e := &thinkws.Envelope{Kind: thinkws.BusAnswer, Namespace: q.space}
	switch {
	case a.None:
		return nil
	case q.kind == thinkws.BusEmit && a.Type == typeClientAck:
		e.Args = a.args
	case q.kind == thinkws.BusEmit && (a.Type == typeClientCount || a.Type == typeClientsGone):
		e.Kind, e.Clients = thinkws.BusClients, a.Clients
	case q.kind == thinkws.BusSockets && a.sockets != nil:
		e.Members = membersOf(q.space, a.sockets)
	case q.kind == thinkws.BusRooms && a.Rooms != nil:
		e.Names = names(a.Rooms)
	case q.kind == thinkws.BusServerEmit && a.Type == typeServerEmit:
		if a.data != nil {
			e.Args = thinkws.Payload{Text: a.data, Count: 1}
		}
	default:
		return nil
	}
	return e
}

// end closes the question. It returns a NodesError if answers are missing.
func (q *question) end(cause error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.over = true
	e := &thinkws.NodesError{Clients: q.left + max(0, q.clients), Err: cause}
	e.Count = max(0, q.total-len(q.heard)-q.nameless) + len(q.refused)
	if e.Count == 0 && e.Clients == 0 {
		return nil
	}
	for _, uid := range slices.Sorted(maps.Keys(q.asked)) {
		if _, ok := q.heard[uid]; e.Count > 0 && (!ok || slices.Contains(q.refused, uid)) {
			e.Missing = append(e.Missing, uid)
		}
	}
	switch {
	case cause != nil && q.refusal != nil:
		e.Err = errors.Join(cause, q.refusal)
	case cause == nil:
		e.Err = cmp.Or(q.refusal, errGone)
	}
	return e
}
