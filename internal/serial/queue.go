// Package serial runs work in order on goroutines that live only while there is
// work: a client that neither sends nor receives owns none.
package serial

import (
	"errors"
	"slices"
	"sync"
)

// ErrClosed is returned by a Queue that takes nothing more.
var ErrClosed = errors.New("serial: queue closed")

// Limit bounds a queue. An item counts until the work on it is done.
type Limit struct {
	Items int
	Bytes int
}

// Starter runs tasks on other goroutines, or has them run. A Group is one.
type Starter interface {
	// Start must not block. It may be called with a lock held.
	Start(t Task)
}

// Levels of a queue, as a Gauge is told of them. A level ends at half of what began it, so that a reader that pauses
// has something to do when it goes on.
const (
	Free = iota
	Full // the limit is reached
	Over // twice the limit is reached
)

// Gauge is told how full a queue is. A queue refuses nothing: the gauge stops those that fill it. The queue is locked,
// so the methods must neither block nor use it.
type Gauge interface {
	// Filled is called when the level of a queue changes.
	Filled(before, now int)
	// Holds is called when what a queue holds has changed, with the items that wait or are worked on.
	Holds(items, bytes int)
}

// keepCapacity is the largest buffer an idle queue keeps, in items.
const keepCapacity = 4

// Queue hands what is pushed to a function, in order. It is safe for concurrent
// use; the function has one caller at a time and runs on a goroutine of the group
// that leaves when the queue is empty.
//
// A queue has no end: Push always admits. Its limit is for its Gauge, and for callers that ask Fits.
type Queue[T any] struct {
	group *Group
	gauge Gauge // nil for none
	limit Limit
	work  func(item T)

	mu      sync.Mutex // protects what follows
	waiting []entry[T] // from head on
	head    int
	items   int // waiting or being worked on
	bytes   int
	level   uint8 // as the gauge knows it
	running bool
	closed  bool
}

type entry[T any] struct {
	item T
	size int
}

// NewQueue returns an empty queue. It tells gauge of its level, unless that is nil.
func NewQueue[T any](group *Group, gauge Gauge, limit Limit, work func(item T)) Queue[T] {
	return Queue[T]{group: group, gauge: gauge, limit: limit, work: work}
}

// Push appends an item that counts size bytes. If nobody works on the queue, it hands that task to starter. It returns
// ErrClosed after Finish.
func (q *Queue[T]) Push(starter Starter, size int, item T) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	q.appendLocked(starter, size, item)
	return nil
}

// Finish appends a last item. It returns ErrClosed if that has been done.
func (q *Queue[T]) Finish(item T) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	q.appendLocked(q.group, 0, item)
	q.closed = true
	return nil
}

// Fits reports whether an item of that size keeps the queue within its limit. An item alone always does.
func (q *Queue[T]) Fits(size int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.items < q.limit.Items && (q.items == 0 || q.bytes+size <= q.limit.Bytes)
}

func (q *Queue[T]) appendLocked(starter Starter, size int, item T) {
	if q.head > 0 && len(q.waiting) == cap(q.waiting) { // use the room in front again
		n := copy(q.waiting, q.waiting[q.head:])
		clear(q.waiting[n:])
		q.waiting, q.head = q.waiting[:n], 0
	}
	q.waiting = append(q.waiting, entry[T]{item, size})
	q.countLocked(1, size)
	if !q.running {
		q.running = true
		starter.Start(q)
	}
}

// countLocked counts what has come, or has been done, and tells the gauge if that changes the level.
func (q *Queue[T]) countLocked(items, bytes int) {
	q.items += items
	q.bytes += bytes
	if q.gauge == nil {
		return
	}
	if before, now := q.level, q.newLevelLocked(); before != now {
		q.level = now
		q.gauge.Filled(int(before), int(now))
	}
	q.gauge.Holds(q.items, q.bytes)
}

// Drop removes the items that wait and that drop wants to be removed.
func (q *Queue[T]) Drop(drop func(item T) bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	items, bytes := 0, 0
	waiting := slices.DeleteFunc(q.waiting[q.head:], func(e entry[T]) bool {
		if !drop(e.item) {
			return false
		}
		items++
		bytes += e.size
		return true
	})
	q.waiting = q.waiting[:q.head+len(waiting)]
	q.countLocked(-items, -bytes)
}

// newLevelLocked returns the level after a change. An item alone may be of any size: it makes the queue full, not more.
func (q *Queue[T]) newLevelLocked() uint8 {
	most := q.limit
	switch {
	case q.items > 1 && (q.items-most.Items >= most.Items || q.bytes-most.Bytes >= most.Bytes),
		q.items > 1 && q.level == Over && (q.items > most.Items || q.bytes > most.Bytes):
		return Over
	case q.items >= most.Items || q.bytes >= most.Bytes,
		q.level != Free && (q.items > most.Items/2 || q.bytes > most.Bytes/2):
		return Full
	default:
		return Free
	}
}

// Run implements Task. It is for the group to call, and for the Starter given to Push.
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
	q.countLocked(-1, -size)
	q.group.Start(q)
}

// take notes what has been done and returns the next item; if there is none, the
// goroutine has to leave.
func (q *Queue[T]) take(done, size int) (e entry[T], ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if done > 0 {
		q.countLocked(-done, -size)
	}
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
