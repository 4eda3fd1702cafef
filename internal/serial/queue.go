// Package serial runs work in order on goroutines that live only while there is
// work: a client that neither sends nor receives owns none.
package serial

import (
	"errors"
	"sync"
)

// Errors of Queue.Push.
var (
	ErrFull   = errors.New("serial: queue full")
	ErrClosed = errors.New("serial: queue closed")
)

// Limit bounds a queue. What is being worked on counts until it is done.
type Limit struct {
	Items int
	Bytes int
}

// keepCapacity is the largest buffer an idle queue keeps, in items.
const keepCapacity = 4

// Queue hands what is pushed to a function, in order. It is safe for concurrent
// use; the function has one caller at a time and runs on a goroutine of the group
// that leaves when the queue is empty.
type Queue[T any] struct {
	group *Group
	limit Limit
	work  func(item T)

	mu      sync.Mutex // protects what follows
	waiting []entry[T] // from head on
	head    int
	items   int // waiting or being worked on
	bytes   int
	running bool
	closed  bool
}

type entry[T any] struct {
	item T
	size int
}

// NewQueue returns an empty queue.
func NewQueue[T any](group *Group, limit Limit, work func(item T)) Queue[T] {
	return Queue[T]{group: group, limit: limit, work: work}
}

// Push appends an item that counts size bytes.
func (q *Queue[T]) Push(size int, item T) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.admit(size); err != nil {
		return err
	}
	q.start(size, item)
	return nil
}

// Offer is Push that leaves it to the caller where the work is done: if it returns a task,
// that has to be run, and nothing is worked on before it is.
func (q *Queue[T]) Offer(size int, item T) (Task, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.admit(size); err != nil {
		return nil, err
	}
	if q.append(size, item) {
		return q, nil
	}
	return nil, nil
}

// Force appends an item even past the limit: what must go through whatever waits.
func (q *Queue[T]) Force(size int, item T) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	q.start(size, item)
	return nil
}

// Finish appends an item, even past the limit, and lets nothing in behind it.
func (q *Queue[T]) Finish(item T) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	q.start(0, item)
	q.closed = true
	return nil
}

// admit reports whether an item may be appended. It takes q.mu as held, as all below.
func (q *Queue[T]) admit(size int) error {
	switch {
	case q.closed:
		return ErrClosed
	case q.items+1 > q.limit.Items || q.bytes+size > q.limit.Bytes && q.items > 0:
		return ErrFull
	}
	return nil
}

// start appends an item, and lets a goroutine of the group work if none does.
func (q *Queue[T]) start(size int, item T) {
	if q.append(size, item) {
		q.group.Start(q)
	}
}

// append reports whether somebody has to begin to work.
func (q *Queue[T]) append(size int, item T) bool {
	if q.head > 0 && len(q.waiting) == cap(q.waiting) { // use the room in front again
		n := copy(q.waiting, q.waiting[q.head:])
		clear(q.waiting[n:])
		q.waiting, q.head = q.waiting[:n], 0
	}
	q.waiting = append(q.waiting, entry[T]{item, size})
	q.items++
	q.bytes += size
	idle := !q.running
	q.running = true
	return idle
}

// Run implements Task. It is for the group to call, and for the caller of Offer.
func (q *Queue[T]) Run() {
	var e entry[T]
	working := false
	defer func() {
		if working { // the function has panicked or called runtime.Goexit
			q.handOver(e.size)
		}
	}()
	var ok bool
	for e, ok = q.take(0, 0); ok; e, ok = q.take(1, e.size) {
		working = true
		q.work(e.item)
		working = false
	}
}

// handOver counts an item as done whose goroutine is lost. Another goroutine works on.
func (q *Queue[T]) handOver(size int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items--
	q.bytes -= size
	q.group.Start(q)
}

// take notes what has been done and returns the next item; if there is none, the
// goroutine has to leave.
func (q *Queue[T]) take(done, size int) (e entry[T], ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items -= done
	q.bytes -= size
	if q.head == len(q.waiting) {
		q.running = false
		return e, false
	}
	e, q.waiting[q.head] = q.waiting[q.head], entry[T]{}
	if q.head++; q.head == len(q.waiting) {
		q.waiting, q.head = q.waiting[:0], 0
		if cap(q.waiting) > keepCapacity {
			q.waiting = nil
		}
	}
	return e, true
}
