package serial_test

import (
	"context"
	"math"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-ce09063a/thinkws/internal/serial"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var wide = serial.Limit{Items: 1 << 20, Bytes: 1 << 30}

func TestQueueKeepsOrder(t *testing.T) {
	var g serial.Group
	var got []int // only the queue's goroutine writes, Wait is behind it
	q := serial.NewQueue(&g, nil, wide, func(item int) { got = append(got, item) })
	for i := range 1000 {
		require.NoError(t, q.Push(&g, 1, i))
		if i%100 == 0 {
			runtime.Gosched()
		}
	}
	require.NoError(t, g.Wait(t.Context()))
	require.Len(t, got, 1000)
	for i, v := range got {
		require.Equal(t, i, v)
	}
}

func TestQueueManyWriters(t *testing.T) {
	var g serial.Group
	last := map[int]int{}
	q := serial.NewQueue(&g, nil, wide, func(item [2]int) {
		assert.Equal(t, last[item[0]], item[1], "the order of one writer holds")
		last[item[0]]++
	})
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 500 {
				assert.NoError(t, q.Push(&g, 1, [2]int{w, i}))
			}
		})
	}
	writers.Wait()
	require.NoError(t, g.Wait(t.Context()))
	for w := range 8 {
		assert.Equal(t, 500, last[w])
	}
}

// levels is a Gauge that writes down the levels that it is told.
type levels [][2]int

func (l *levels) Holds(int, int) {}

func (l *levels) Filled(before, now int) { *l = append(*l, [2]int{before, now}) }

func (l *levels) take() [][2]int {
	got := *l
	*l = nil
	return got
}

func TestQueueTellsHowFullItIs(t *testing.T) {
	for name, size := range map[string]int{"items": 0, "bytes": 10} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g serial.Group
				var got levels
				limit := serial.Limit{Items: 8, Bytes: 1 << 20}
				if size > 0 {
					limit = serial.Limit{Items: 1 << 20, Bytes: 8 * size}
				}
				next := make(chan struct{})
				q := serial.NewQueue(&g, &got, limit, func(int) { <-next })
				push := func(n int) [][2]int {
					for i := range n {
						require.NoError(t, q.Push(&g, size, i))
					}
					return got.take()
				}
				work := func(n int) [][2]int {
					for range n {
						next <- struct{}{}
					}
					synctest.Wait()
					return got.take()
				}
				free, full, over := serial.Free, serial.Full, serial.Over
				assert.Empty(t, push(7))
				assert.Equal(t, [][2]int{{free, full}}, push(1), "the limit is reached")
				assert.Empty(t, push(7))
				assert.Equal(t, [][2]int{{full, over}}, push(1), "twice the limit is reached")
				assert.Empty(t, push(10), "nothing is refused")
				assert.Empty(t, work(17))
				assert.Equal(t, [][2]int{{over, full}}, work(1), "half of twice the limit")
				assert.Empty(t, work(3))
				assert.Equal(t, [][2]int{{full, free}}, work(1), "half of the limit")
				assert.Empty(t, push(3))
				assert.Equal(t, [][2]int{{free, full}}, push(1))
				assert.Equal(t, [][2]int{{full, free}}, work(8))
				require.NoError(t, g.Wait(t.Context()))
			})
		})
	}
}

// A large item makes a queue full, but no more than that if it is alone, whether it waits or is worked on.
func TestQueueOfOneLargeItem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g serial.Group
		var got levels
		next := make(chan struct{})
		q := serial.NewQueue(&g, &got, serial.Limit{Items: 8, Bytes: 10}, func(int) { <-next })
		require.NoError(t, q.Push(&g, 1000, 0))
		synctest.Wait()
		assert.Equal(t, [][2]int{{serial.Free, serial.Full}}, got.take())
		require.NoError(t, q.Push(&g, 1000, 1))
		assert.Equal(t, [][2]int{{serial.Full, serial.Over}}, got.take())
		next <- struct{}{}
		synctest.Wait()
		assert.Equal(t, [][2]int{{serial.Over, serial.Full}}, got.take())
		next <- struct{}{}
		synctest.Wait()
		assert.Equal(t, [][2]int{{serial.Full, serial.Free}}, got.take())
		require.NoError(t, g.Wait(t.Context()))
	})
}

// scales is a Gauge that writes down the items and bytes that it is told.
type scales [][2]int

func (s *scales) Filled(int, int)        {}
func (s *scales) Holds(items, bytes int) { *s = append(*s, [2]int{items, bytes}) }

func (s *scales) take() [][2]int {
	got := *s
	*s = nil
	return got
}

func TestQueueTellsWhatItHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g serial.Group
		var got scales
		next := make(chan struct{})
		q := serial.NewQueue(&g, &got, serial.Limit{Items: 8, Bytes: 10}, func(int) { <-next })
		push := func(size int) [][2]int {
			require.NoError(t, q.Push(&g, size, size))
			synctest.Wait()
			return got.take()
		}
		work := func() [][2]int {
			next <- struct{}{}
			synctest.Wait()
			return got.take()
		}
		assert.Equal(t, [][2]int{{1, 1024}}, push(1024))
		assert.Equal(t, [][2]int{{0, 0}}, work())
		assert.Equal(t, [][2]int{{1, 100}}, push(100))
		assert.Equal(t, [][2]int{{2, 150}}, push(50))
		assert.Equal(t, [][2]int{{3, 2150}}, push(2000))
		assert.Equal(t, [][2]int{{2, 2050}}, work())
		assert.Equal(t, [][2]int{{1, 2000}}, work())
		assert.Equal(t, [][2]int{{0, 0}}, work())
		require.NoError(t, g.Wait(t.Context()))
	})
}

func TestQueueDropsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g serial.Group
		var got scales
		var worked []int
		next := make(chan struct{})
		q := serial.NewQueue(&g, &got, serial.Limit{Items: 8, Bytes: 10}, func(item int) {
			<-next
			worked = append(worked, item)
		})
		for i := range 10 {
			require.NoError(t, q.Push(&g, 100, i))
		}
		synctest.Wait()
		next <- struct{}{}
		synctest.Wait() // 1 is worked on
		got.take()
		q.Drop(func(item int) bool { return item%4 != 0 })
		assert.Equal(t, [][2]int{{3, 300}}, got.take())
		require.NoError(t, q.Push(&g, 100, 10))
		close(next)
		require.NoError(t, g.Wait(t.Context()))
		assert.Equal(t, []int{0, 1, 4, 8, 10}, worked)
		assert.Equal(t, [][2]int{{4, 400}, {3, 300}, {2, 200}, {1, 100}, {0, 0}}, got.take())

		q.Drop(func(int) bool { return true })
		require.NoError(t, q.Push(&g, 100, 11))
		require.NoError(t, g.Wait(t.Context()))
		assert.Equal(t, 11, worked[len(worked)-1])
	})
}

// No sum of a limit and a size is too large for an int.
func TestQueueWithoutALimit(t *testing.T) {
	var g serial.Group
	var got levels
	q := serial.NewQueue(&g, &got, serial.Limit{Items: math.MaxInt, Bytes: math.MaxInt}, func(int) {})
	for i := range 10 {
		require.NoError(t, q.Push(&g, 1000, i))
		assert.True(t, q.Fits(1000))
	}
	require.NoError(t, g.Wait(t.Context()))
	assert.Empty(t, got)
}

func TestQueueFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g serial.Group
		release := make(chan struct{})
		q := serial.NewQueue(&g, nil, serial.Limit{Items: 3, Bytes: 10}, func(string) { <-release })
		assert.True(t, q.Fits(100), "alone")
		require.NoError(t, q.Push(&g, 4, "working"))
		synctest.Wait()
		require.NoError(t, q.Push(&g, 4, "waiting"))
		assert.False(t, q.Fits(3), "too many bytes")
		assert.True(t, q.Fits(2))
		require.NoError(t, q.Push(&g, 0, "waiting"))
		assert.False(t, q.Fits(0), "too many")
		close(release)
		require.NoError(t, g.Wait(t.Context()))
		assert.True(t, q.Fits(100))
	})
}

// starter keeps tasks.
type starter []serial.Task

func (s *starter) Start(t serial.Task) { *s = append(*s, t) }

// The caller of Push decides where the work is done. Nothing is worked on before it begins.
func TestQueueHandsItsWorkToAStarter(t *testing.T) {
	var g serial.Group
	var mine starter
	var got []int
	q := serial.NewQueue(&g, nil, wide, func(item int) { got = append(got, item) })
	for i := range 3 {
		require.NoError(t, q.Push(&mine, 1, i))
	}
	require.NoError(t, g.Wait(t.Context()))
	require.Len(t, mine, 1)
	assert.Empty(t, got)
	mine[0].Run()
	assert.Equal(t, []int{0, 1, 2}, got)
}

func TestQueueFinish(t *testing.T) {
	var g serial.Group
	var got []string
	q := serial.NewQueue(&g, nil, wide, func(item string) { got = append(got, item) })
	require.NoError(t, q.Push(&g, 1, "a"))
	require.NoError(t, q.Finish("last"))
	assert.ErrorIs(t, q.Push(&g, 1, "b"), serial.ErrClosed)
	assert.ErrorIs(t, q.Finish("b"), serial.ErrClosed)
	require.NoError(t, g.Wait(t.Context()))
	assert.Equal(t, []string{"a", "last"}, got)
}

// Goroutines wait a moment for more work, then they end.
func TestGroupKeepsGoroutinesForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g serial.Group
		busy := func(n int) {
			release := make(chan struct{})
			for range n {
				g.Go(func() { <-release })
			}
			synctest.Wait()
			close(release)
			synctest.Wait()
		}
		busy(300)
		assert.Equal(t, 128, g.Idle(), "not all of them wait")
		busy(10)
		assert.Equal(t, 128, g.Idle())
		time.Sleep(60 * time.Millisecond)
		busy(10)
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		assert.Equal(t, 10, g.Idle(), "those that were needed stay")
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, 0, g.Idle())
		busy(10)
		assert.Equal(t, 10, g.Idle())
		require.NoError(t, g.Wait(t.Context()))
		assert.Equal(t, 0, g.Idle(), "nor does Wait leave any")
	})
}

// What runs after Wait leaves no goroutine that rests: the bubble would not end.
func TestGroupDoesNotRestAfterWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g serial.Group
		require.NoError(t, g.Wait(t.Context()))
		ran := make(chan struct{})
		g.Go(func() { close(ran) })
		<-ran
	})
}

func TestGroupWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g serial.Group
		require.NoError(t, g.Wait(t.Context()), "nothing runs")
		release := make(chan struct{})
		for range 3 {
			g.Go(func() { <-release })
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.ErrorIs(t, g.Wait(ctx), context.DeadlineExceeded)
		var waiters sync.WaitGroup
		for range 3 {
			waiters.Go(func() { assert.NoError(t, g.Wait(t.Context())) })
		}
		synctest.Wait()
		close(release)
		waiters.Wait()
	})
}

func BenchmarkQueuePush(b *testing.B) {
	var g serial.Group
	q := serial.NewQueue(&g, nil, wide, func(int) {})
	b.ReportAllocs()
	for i := range b.N {
		_ = q.Push(&g, 1, i)
	}
	_ = g.Wait(b.Context())
}
