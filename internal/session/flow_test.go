package session_test

import (
	"bytes"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Levels of a queue, as package serial has them.
const (
	free = iota
	full
	over
)

// river is a Flow with what it counts and logs.
type river struct {
	session.Flow
	tally session.Tally
	log   bytes.Buffer
	over  atomic.Bool // the connection has ended
}

func newRiver(rate session.Rate) *river {
	r := new(river)
	m := session.NewMeter(rate, &r.tally, slog.New(slog.NewTextHandler(&r.log, nil)), func(r *http.Request) netip.Addr {
		return netip.MustParseAddrPort(r.RemoteAddr).Addr()
	})
	r.Init(nil, m, session.Keep(&http.Request{RemoteAddr: "192.0.2.1:5"}))
	return r
}

// unlimited is a rate that nobody exceeds.
var unlimited = session.Rate{Messages: math.MaxInt32, Bytes: math.MaxInt32}

// read has a reader wait, and returns what is closed when it goes on.
func (r *river) read(done <-chan struct{}) <-chan struct{} {
	reads := make(chan struct{})
	go func() {
		defer close(reads)
		r.Wait(r.over.Load, done)
	}()
	synctest.Wait()
	return reads
}

// waits reports whether a reader still waits.
func waits(reads <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-reads:
		return false
	default:
		return true
	}
}

func TestRateDelaysReading(t *testing.T) {
	for _, tt := range []struct {
		name   string
		rate   session.Rate
		size   int
		atOnce int           // packets that cause no delay after a silence
		each   time.Duration // the delay for each packet beyond
	}{
		{"packets", session.Rate{Messages: 10, Bytes: 1 << 20}, 1, 20, 100 * time.Millisecond},
		{"empty packets", session.Rate{Messages: 10, Bytes: 1}, 0, 20, 100 * time.Millisecond},
		{"bytes", session.Rate{Messages: 1000, Bytes: 100}, 50, 4, 500 * time.Millisecond},
		{"large packets", session.Rate{Messages: 1000, Bytes: 100}, 200, 1, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRiver(tt.rate)
				began := time.Now()
				send := func(n int) {
					for range n {
						r.Wait(r.over.Load, nil)
						r.Charge(tt.size)
					}
					r.Wait(r.over.Load, nil)
				}
				send(tt.atOnce)
				assert.Zero(t, time.Since(began))
				assert.Zero(t, r.tally.Counts()["receive_rate"])
				send(30)
				assert.InDelta(t, 30*tt.each, time.Since(began), float64(time.Millisecond), "all of them are taken, at the rate")
				assert.EqualValues(t, 30, r.tally.Counts()["receive_rate"])
				assert.Equal(t, 1, strings.Count(r.log.String(), `level=INFO msg="client slowed down" limit=receive_rate address=192.0.2.1`))
				time.Sleep(time.Hour)
				began = time.Now()
				send(tt.atOnce)
				assert.Zero(t, time.Since(began), "after a silence there is as much again")
			})
		})
	}
}

// A client at a high rate does not cost a timer for each message.
func TestPausesForARateAreNotShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRiver(session.Rate{Messages: 10_000, Bytes: math.MaxInt32})
		began := time.Now()
		for range 120_000 {
			r.Wait(r.over.Load, nil)
			r.Charge(1)
		}
		assert.InDelta(t, 10*time.Second, time.Since(began), float64(100*time.Millisecond))
		assert.InDelta(t, 1000, r.tally.Counts()["receive_rate"], 20)
	})
}

func TestFlowWithoutAMeterLimitsNoRate(t *testing.T) {
	var f session.Flow
	for range 100 {
		f.Charge(1 << 30)
	}
	assert.True(t, f.Open())
}

func TestFullQueuesStopReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRiver(unlimited)
		assert.False(t, waits(r.read(nil)))
		r.Filled(free, full)
		r.Filled(free, full) // of another socket on the connection
		reads := r.read(nil)
		assert.True(t, waits(reads))
		r.Filled(full, free)
		assert.True(t, waits(reads), "one queue is full")
		r.Filled(full, over)
		r.Filled(over, full)
		assert.True(t, waits(reads))
		r.Filled(full, free)
		assert.False(t, waits(reads))
		assert.EqualValues(t, 1, r.tally.Counts()["receive_queue"])
		r.Filled(free, full)
		reads = r.read(nil)
		r.Filled(full, free)
		assert.False(t, waits(reads))
		assert.EqualValues(t, 2, r.tally.Counts()["receive_queue"])
		assert.Equal(t, 1, strings.Count(r.log.String(), `level=INFO msg="client slowed down" limit=receive_queue address=192.0.2.1`))
	})
}

func TestWaitEndsWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRiver(session.Rate{Messages: 1, Bytes: 1})
		r.Filled(free, over)
		r.Charge(1_000_000)
		done := make(chan struct{})
		request, reader := r.read(done), r.read(nil)
		r.Wake() // of another connection with this Flow
		assert.True(t, waits(request))
		assert.True(t, waits(reader))
		close(done)
		assert.False(t, waits(request), "its own connection has ended")
		assert.True(t, waits(reader))
		r.over.Store(true)
		r.Wake()
		assert.False(t, waits(reader))
		assert.False(t, waits(r.read(nil)), "nobody waits any more")
		assert.EqualValues(t, 2, r.tally.Counts()["receive_queue"])
	})
}

// asker waits for answers.
type asker struct{ givenUp int }

func (a *asker) GiveUp() { a.givenUp++ }

func TestReadingGoesOnForAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRiver(unlimited)
		var a, b asker
		r.Filled(free, full)
		reads := r.read(nil)
		assert.True(t, waits(reads))
		assert.True(t, r.Expect(&a))
		assert.False(t, waits(reads), "the answer may come")
		assert.True(t, r.Expect(&b))
		r.Settle(&a)
		assert.False(t, waits(r.read(nil)), "another socket waits for one")
		r.Relieve()
		assert.Zero(t, b.givenUp, "there is room")

		r.Filled(full, over)
		r.Relieve()
		r.Relieve()
		assert.Zero(t, a.givenUp)
		assert.Equal(t, 1, b.givenUp)
		r.Settle(&b) // which changes nothing any more
		assert.True(t, waits(r.read(nil)) && !r.Expect(&a), "no answer is read any more")
		r.Filled(over, full)
		assert.True(t, r.Expect(&a))
		assert.False(t, waits(r.read(nil)))
		r.Settle(&a)
		last := r.read(nil)
		assert.True(t, waits(last))
		r.Filled(full, free)
		assert.False(t, waits(last))
	})
}

func TestPausedWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRiver(unlimited)
		assert.False(t, r.PausedWithin(time.Hour))
		r.Filled(free, full)
		assert.False(t, r.PausedWithin(time.Hour), "nobody has wanted to read")
		reads := r.read(nil)
		time.Sleep(time.Hour)
		assert.True(t, r.PausedWithin(time.Second))
		r.Filled(full, free)
		assert.False(t, waits(reads))
		time.Sleep(time.Minute)
		assert.True(t, r.PausedWithin(time.Minute+time.Second))
		assert.False(t, r.PausedWithin(time.Minute-time.Second))
	})
}

func TestOnPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRiver(unlimited)
		var pauses int
		r.OnPause(func() { pauses++; r.PausedWithin(time.Second) }) // no lock is held
		r.Wait(r.over.Load, nil)
		assert.Zero(t, pauses)
		r.Filled(free, full)
		reads := r.read(nil)
		assert.Equal(t, 1, pauses)
		r.Filled(full, free)
		assert.False(t, waits(reads))
	})
}

// job is a task; jobs is a group that keeps them.
type job struct{ name string }

func (*job) Run() {}

type jobs struct{ started []session.Task }

func (j *jobs) Start(t session.Task) { j.started = append(j.started, t) }

// listener is a connection.
type listener struct{ listens int }

func (l *listener) Listen() { l.listens++ }

func TestFlowKeepsATaskForItsReader(t *testing.T) {
	var f session.Flow
	var group jobs
	var conn listener
	f.Init(&group, nil, nil)
	f.Listen() // nobody runs a task
	assert.Nil(t, f.Take(&conn))
	first, second := &job{"first"}, &job{"second"}
	f.Start(first)
	f.Start(second)
	assert.Equal(t, []session.Task{second}, group.started, "one is kept")
	assert.Same(t, first, f.Take(&conn))
	assert.Nil(t, f.Take(&conn))
	f.Listen()
	assert.Equal(t, 1, conn.listens)
	f.Dispatch()
	assert.Len(t, group.started, 1)
	f.Start(first)
	f.Dispatch()
	assert.Equal(t, []session.Task{second, first}, group.started)
	f.Listen()
	assert.Equal(t, 1, conn.listens, "no reader runs it")
}
