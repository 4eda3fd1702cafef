// Package alarm wakes many things at their times for the price of a list entry each,
// in place of a timer and a closure.
//
// What waits in a server waits for one of a few durations: the interval between two
// pings, the time for the answer. Of those that wait for the same duration, who began
// first is due first, so each duration has a list that is in order by itself, and one
// timer for its head. To set, to put off and to stop an alarm takes the same short
// time, however many there are, and nobody is woken late for being in company.
//
// An alarm takes 56 bytes. A timer of time.AfterFunc with its closure, and the time at which it is due, take 179. An
// idle client has one, so timers would make it cost 1.7 % more: .45 of Node.js's, and the goal is .44
// (bench/README.md).
package alarm

import (
	"sync"
	"time"
)

// Sleeper is who an alarm wakes.
type Sleeper interface {
	// Ring is called without locks, by a goroutine that has others to wake: it must
	// not wait. As whoever sets and stops the alarm may be about to do so, it asks
	// Clock.Rang first.
	Ring()
}

// Alarm is a place in a list, to be part of who it wakes. The zero value is not set. It
// must not be copied after its first use.
type Alarm struct {
	// All of it is protected by the clock's mu.
	list       *list
	prev, next *Alarm
	due        time.Duration // on the clock
	sleeper    Sleeper       // nil once it is stopped
}

// Clock keeps alarms. The zero value is ready; it is safe for concurrent use, and so
// are all of its alarms.
type Clock struct {
	// Crashed is called when a Sleeper has panicked, with the result of recover: others are woken
	// all the same. It must not wait. If it is nil, the process ends. Set it before the first use.
	Crashed func(s, p any)

	mu    sync.Mutex // protects what follows, and every alarm
	began time.Time  // of the first alarm
	lists map[time.Duration]*list
}

// list has the alarms of one duration, in the order they are due.
type list struct {
	clock      *Clock
	duration   time.Duration
	head, tail *Alarm
	timer      *time.Timer
	ticking    bool // timer is set, for the head or for what was the head
}

// Set lets a ring after d, in place of what it was set to before.
func (c *Clock) Set(a *Alarm, d time.Duration, s Sleeper) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a.unlink()
	l := c.list(d)
	a.due, a.sleeper = c.now()+d, s
	l.append(a)
}

// Stop turns a off. A Ring that is under way already may still come.
func (c *Clock) Stop(a *Alarm) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a.unlink()
	a.sleeper = nil
}

// Rang reports whether a has rung, and was neither stopped nor set since.
func (c *Clock) Rang(a *Alarm) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return a.list == nil && a.sleeper != nil
}

// list returns the list for d. There are as many as durations were ever used.
func (c *Clock) list(d time.Duration) *list {
	l := c.lists[d]
	if l == nil {
		if c.lists == nil {
			c.lists, c.began = make(map[time.Duration]*list), time.Now()
		}
		l = &list{clock: c, duration: d}
		c.lists[d] = l
	}
	return l
}

// now is the time since the clock's first alarm.
func (c *Clock) now() time.Duration { return time.Since(c.began) }

// append puts a at the end: nobody before it is due later.
func (l *list) append(a *Alarm) {
	a.list, a.prev = l, l.tail
	if l.tail == nil {
		l.head = a
	} else {
		l.tail.next = a
	}
	l.tail = a
	if !l.ticking {
		l.tick()
	}
}

// unlink takes a out of its list. The timer stays: it finds out for itself.
func (a *Alarm) unlink() {
	l := a.list
	if l == nil {
		return
	}
	if a.prev == nil {
		l.head = a.next
	} else {
		a.prev.next = a.next
	}
	if a.next == nil {
		l.tail = a.prev
	} else {
		a.next.prev = a.prev
	}
	a.list, a.prev, a.next = nil, nil, nil
}

// tick sets the timer for the head.
func (l *list) tick() {
	if l.ticking = l.head != nil; !l.ticking {
		return
	}
	d := l.head.due - l.clock.now()
	if l.timer == nil {
		l.timer = time.AfterFunc(d, l.ring)
	} else {
		l.timer.Reset(d)
	}
}

// ring wakes who is due. Only the timer calls it.
func (l *list) ring() {
	for s := l.take(); s != nil; s = l.take() {
		l.clock.wake(s)
	}
}

func (c *Clock) wake(s Sleeper) {
	if c.Crashed != nil {
		defer func() {
			if p := recover(); p != nil {
				c.Crashed(s, p)
			}
		}()
	}
	s.Ring()
}

// take returns the next who is due, or sets the timer and returns nil.
func (l *list) take() Sleeper {
	l.clock.mu.Lock()
	defer l.clock.mu.Unlock()
	a := l.head
	if a == nil || a.due > l.clock.now() {
		l.tick()
		return nil
	}
	a.unlink()
	return a.sleeper
}
