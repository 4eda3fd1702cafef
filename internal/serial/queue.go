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
// that ends when the queue is empty.
type Queue[T any] struct {
	group *Group
	limit Limit
	batch int // most items per call of work; 0 means all that wait
	work  func(items []T)

	mu      sync.Mutex // protects what follows
	waiting []entry[T]
	items   int // waiting or being worked on
	bytes   int
	running bool
	closed  bool
}

type entry[T any] struct {
	item T
	size int
}

// NewQueue returns an empty queue. Each call of work gets at most batch items, or
// all that wait if batch is 0; it may keep them but not the slice.
func NewQueue[T any](group *Group, limit Limit, batch int, work func(items []T)) Queue[T] {
	return Queue[T]{group: group, limit: limit, batch: batch, work: work}
}

// Push appends items, all or none, that count size bytes together.
func (q *Queue[T]) Push(size int, items ...T) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	if q.items+len(items) > q.limit.Items || q.bytes+size > q.limit.Bytes && q.items > 0 {
		return ErrFull
	}
	q.append(size, items)
	return nil
}

// Force appends items even past the limit: what must go through whatever waits.
func (q *Queue[T]) Force(size int, items ...T) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	q.append(size, items)
	return nil
}

// Finish appends items, even past the limit, and lets nothing in behind them.
func (q *Queue[T]) Finish(items ...T) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	q.append(0, items)
	q.closed = true
	return nil
}

// Discard drops what waits and lets nothing in any more.
func (q *Queue[T]) Discard() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.waiting {
		q.items--
		q.bytes -= e.size
	}
	q.waiting = nil
	q.closed = true
}

// Idle says whether nothing waits and nothing is being worked on.
func (q *Queue[T]) Idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.running
}

// append takes q.mu as held.
func (q *Queue[T]) append(size int, items []T) {
	for _, item := range items {
		q.waiting = append(q.waiting, entry[T]{item, size})
		size = 0 // the first item bears the size of all
	}
	q.items += len(items)
	q.bytes += sizeOf(q.waiting[len(q.waiting)-len(items):])
	if !q.running && len(q.waiting) > 0 {
		q.running = true
		q.group.Go(q.run)
	}
}

func (q *Queue[T]) run() {
	var items []T
	for {
		var size int
		items, size = q.take(items[:0])
		if len(items) == 0 {
			return
		}
		q.work(items)
		q.done(len(items), size)
		clear(items)
	}
}

// take moves the next batch into items. An empty batch means that the goroutine has to end.
func (q *Queue[T]) take(items []T) (_ []T, size int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.waiting)
	if q.batch > 0 {
		n = min(n, q.batch)
	}
	for _, e := range q.waiting[:n] {
		items = append(items, e.item)
		size += e.size
	}
	clear(q.waiting[:n])
	q.waiting = q.waiting[n:]
	if n == 0 {
		q.running = false
		if cap(q.waiting) > keepCapacity {
			q.waiting = nil
		}
	}
	return items, size
}

func (q *Queue[T]) done(items, size int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items -= items
	q.bytes -= size
}

func sizeOf[T any](entries []entry[T]) (size int) {
	for _, e := range entries {
		size += e.size
	}
	return size
}
