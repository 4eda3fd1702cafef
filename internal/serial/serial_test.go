package serial_test

import (
	"context"
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
	q := serial.NewQueue(&g, wide, func(item int) { got = append(got, item) })
	for i := range 1000 {
		require.NoError(t, q.Push(1, i))
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
	q := serial.NewQueue(&g, wide, func(item [2]int) {
		assert.Equal(t, last[item[0]], item[1], "the order of one writer holds")
		last[item[0]]++
	})
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 500 {
				assert.NoError(t, q.Push(1, [2]int{w, i}))
			}
		})
	}
	writers.Wait()
	require.NoError(t, g.Wait(t.Context()))
	for w := range 8 {
		assert.Equal(t, 500, last[w])
	}
}

func TestQueueLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g serial.Group
		release := make(chan struct{})
		q := serial.NewQueue(&g, serial.Limit{Items: 3, Bytes: 10}, func(string) { <-release })
		require.NoError(t, q.Push(4, "working"))
		synctest.Wait()
		require.NoError(t, q.Push(4, "waiting"))
		assert.ErrorIs(t, q.Push(3, "too many bytes"), serial.ErrFull)
		require.NoError(t, q.Push(0, "fits"))
		assert.ErrorIs(t, q.Push(0, "too many"), serial.ErrFull)
		require.NoError(t, q.Force(100, "whatever"))
		close(release)
		require.NoError(t, g.Wait(t.Context()))
		require.NoError(t, q.Push(100, "larger than the limit, but alone"))
		require.NoError(t, g.Wait(t.Context()))
	})
}

func TestQueueFinish(t *testing.T) {
	var g serial.Group
	var got []string
	q := serial.NewQueue(&g, wide, func(item string) { got = append(got, item) })
	require.NoError(t, q.Push(1, "a"))
	require.NoError(t, q.Finish("last"))
	assert.ErrorIs(t, q.Push(1, "b"), serial.ErrClosed)
	assert.ErrorIs(t, q.Force(1, "b"), serial.ErrClosed)
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
	q := serial.NewQueue(&g, wide, func(int) {})
	b.ReportAllocs()
	for i := range b.N {
		_ = q.Push(1, i)
	}
	_ = g.Wait(b.Context())
}
