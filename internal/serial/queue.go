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
	if q.closed {
		return ErrClosed
	}
	if q.items+1 > q.limit.Items || q.bytes+size > q.limit.Bytes && q.items > 0 {
		return ErrFull
	}
	q.append(size, item)
	return nil
}

// Force appends an item even past the limit: what must go through whatever waits.
func (q *Queue[T]) Force(size int, item T) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	q.append(size, item)
	return nil
}

// Finish appends an item, even past the limit, and lets nothing in behind it.
func (q *Queue[T]) Finish(item T) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	q.append(0, item)
	q.closed = true
	return nil
}

// append takes q.mu as held.
func (q *Queue[T]) append(size int, item T) {
	if q.head > 0 && len(q.waiting) == cap(q.waiting) { // use the room in front again
		n := copy(q.waiting, q.waiting[q.head:])
		clear(q.waiting[n:])
		q.waiting, q.head = q.waiting[:n], 0
	}
	q.waiting = append(q.waiting, entry[T]{item, size})
	q.items++
	q.bytes += size
	if !q.running {
		q.running = true
		q.group.Start(q)
	}
}

// Run implements Task. It is for the group to call.
func (q *Queue[T]) Run() {
	for e, ok := q.take(0, 0); ok; e, ok = q.take(1, e.size) {
		q.work(e.item)
	}
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
