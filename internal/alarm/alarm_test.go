package alarm_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/seed-ce09063a/thinkws/internal/alarm"
)

// sleeper notes when it is woken.
type sleeper struct {
	alarm alarm.Alarm
	clock *alarm.Clock
	again time.Duration // set anew from within Ring

	mu    sync.Mutex // protects what follows
	began time.Time
	rings []time.Duration
}

func newSleeper(c *alarm.Clock) *sleeper { return &sleeper{clock: c, began: time.Now()} }

func (s *sleeper) Ring() {
	if !s.clock.Rang(&s.alarm) {
		return
	}
	s.mu.Lock()
	s.rings = append(s.rings, time.Since(s.began))
	s.mu.Unlock()
	if s.again > 0 {
		s.set(s.again)
	}
}

func (s *sleeper) set(d time.Duration) { s.clock.Set(&s.alarm, d, s) }

func (s *sleeper) woken() []time.Duration {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rings
}

func TestEveryoneIsWokenInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock alarm.Clock
		var all []*sleeper
		for i := range 100 {
			s := newSleeper(&clock)
			s.set(time.Duration(1+i%3) * time.Second)
			all = append(all, s)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Minute)
		for i, s := range all {
			assert.Equal(t, []time.Duration{time.Duration(1+i%3) * time.Second}, s.woken(), i)
		}
	})
}

func TestPutOffAndStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock alarm.Clock
		first, middle, last := newSleeper(&clock), newSleeper(&clock), newSleeper(&clock)
		for _, s := range []*sleeper{first, middle, last} {
			s.set(10 * time.Second)
		}
		time.Sleep(5 * time.Second)
		first.set(10 * time.Second)
		clock.Stop(&middle.alarm)
		clock.Stop(&middle.alarm)
		time.Sleep(time.Minute)
		assert.Equal(t, []time.Duration{15 * time.Second}, first.woken())
		assert.Empty(t, middle.woken())
		assert.Equal(t, []time.Duration{10 * time.Second}, last.woken())
		middle.set(time.Second)
		time.Sleep(time.Minute)
		assert.Equal(t, []time.Duration{66 * time.Second}, middle.woken(), "the list has come to rest before")
	})
}

func TestOtherDurationThanBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock alarm.Clock
		s := newSleeper(&clock)
		s.set(time.Second)
		s.set(time.Minute)
		time.Sleep(time.Hour)
		assert.Equal(t, []time.Duration{time.Minute}, s.woken())
	})
}

func TestSetFromWithinRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock alarm.Clock
		s := newSleeper(&clock)
		s.again = 3 * time.Second
		s.set(time.Second)
		time.Sleep(8 * time.Second)
		assert.Equal(t, []time.Duration{time.Second, 4 * time.Second, 7 * time.Second}, s.woken())
		clock.Stop(&s.alarm)
	})
}

func TestRang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock alarm.Clock
		s := newSleeper(&clock)
		assert.False(t, clock.Rang(&s.alarm), "never set")
		s.set(time.Second)
		assert.False(t, clock.Rang(&s.alarm), "not due")
		time.Sleep(time.Second)
		synctest.Wait()
		assert.True(t, clock.Rang(&s.alarm))
		clock.Stop(&s.alarm)
		assert.False(t, clock.Rang(&s.alarm), "stopped")
	})
}

// An alarm that is set and stopped by one goroutine while others do the same with theirs,
// and while all of them ring.
func TestClockRaces(t *testing.T) {
	var clock alarm.Clock
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			s := newSleeper(&clock)
			for i := range 2000 {
				s.set(time.Duration(i%3) * time.Microsecond)
				if i%5 == 0 {
					clock.Stop(&s.alarm)
				}
			}
			clock.Stop(&s.alarm)
		})
	}
	done.Wait()
}

func BenchmarkPutOff(b *testing.B) {
	var clock alarm.Clock
	all := make([]*sleeper, 10_000)
	for i := range all {
		all[i] = newSleeper(&clock)
		all[i].set(time.Hour)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		all[i%len(all)].set(time.Hour)
	}
	for _, s := range all {
		clock.Stop(&s.alarm)
	}
}

// clumsy is a sleeper that panics.
type clumsy struct{ alarm alarm.Alarm }

func (*clumsy) Ring() { panic("oops") }

// The panic of a sleeper is reported, and wakes the others no later.
func TestPanicsOfSleepers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var crashed []any
		clock := alarm.Clock{Crashed: func(s, p any) { crashed = append(crashed, s, p) }}
		bad, good := &clumsy{}, newSleeper(&clock)
		clock.Set(&bad.alarm, time.Second, bad)
		good.set(time.Second)
		time.Sleep(time.Minute)
		assert.Equal(t, []time.Duration{time.Second}, good.woken())
		assert.Equal(t, []any{bad, "oops"}, crashed)
	})
}
