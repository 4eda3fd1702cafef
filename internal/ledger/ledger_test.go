package ledger_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/ledger"
)

func TestWhatIsHeldIsCounted(t *testing.T) {
	run(t, 100*mebi, func(t *testing.T, o *office) {
		a, b := newClient(o), newClient(o)
		a.hold(1000)
		b.hold(2*mebi + 1)
		assert.Zero(t, a.account.Held(), "less than a KiB")
		assert.EqualValues(t, 2*mebi, o.Held())
		a.hold(5 << 10)
		other := (&queue{client: a}).put(make([]byte, 3<<10))
		assert.EqualValues(t, 8<<10, a.account.Held())
		assert.EqualValues(t, 2*mebi+8<<10, o.Held())
		a.hold(5<<10 + 7)
		a.hold(1 << 10)
		assert.EqualValues(t, 2*mebi+4<<10, o.Held())
		b.hold(0)
		other.Shed()
		a.hold(0)
		assert.Zero(t, o.Held())
		assert.Zero(t, a.account.Held())
		synctest.Wait()
		assert.Empty(t, o.evicted())
	})
}

func TestNothingIsCountedWithoutALedger(t *testing.T) {
	c := new(client)
	c.account.Open(nil, c, c)
	c.hold(mebi).hold(0)
	c.account.Strike(c)
	assert.False(t, c.account.Paused())
	assert.Zero(t, (*ledger.Ledger)(nil).Held())
}

func TestWithoutALimitNobodyIsEvicted(t *testing.T) {
	run(t, 0, func(t *testing.T, o *office) {
		c := newClient(o)
		c.hold(1 << 30)
		assert.EqualValues(t, 1<<30, o.Held())
		assert.False(t, c.account.Paused())
		c.account.Strike(c)
		c.hold(0)
		synctest.Wait()
		assert.Empty(t, o.evicted())
	})
}

func TestTheLargestAreEvictedFirst(t *testing.T) {
	run(t, 80*mebi, func(t *testing.T, o *office) {
		var all []*client
		for i := range 12 { // 1 + 2 + ... + 12 = 78
			all = append(all, newClient(o).hold((i+1)*mebi))
		}
		synctest.Wait()
		assert.Empty(t, o.evicted(), "below the limit")
		honest := newClient(o).hold(2 * mebi)
		synctest.Wait()
		assert.Equal(t, []int{all[11].number}, o.evicted(), "one is enough for 7/8")
		assert.EqualValues(t, 68*mebi, o.Held())
		assert.Equal(t, fullError(12*mebi), all[11].cause)

		newClient(o).hold(20 * mebi)
		synctest.Wait()
		assert.Len(t, o.evicted(), 2, "down to 7/8 again")
		assert.False(t, honest.isEvicted())
	})
}

func TestManyAreEvictedAtOnce(t *testing.T) {
	run(t, 80*mebi, func(t *testing.T, o *office) {
		var small, large []*client
		for range 40 {
			small = append(small, newClient(o).hold(mebi/2))
		}
		for range 59 {
			large = append(large, newClient(o).hold(mebi))
		}
		newClient(o).hold(900 << 10)
		newClient(o).hold(200 << 10)
		synctest.Wait()
		assert.Len(t, o.evicted(), 11)
		assert.LessOrEqual(t, o.Held(), int64(70*mebi))
		for _, c := range small {
			assert.False(t, c.isEvicted())
		}
		_ = large
	})
}

// However the limit is reached: by many who hold little, none of whom is remarkable.
func TestNobodyIsTooSmallToCount(t *testing.T) {
	run(t, 64*mebi, func(t *testing.T, o *office) {
		for range 5_000 {
			newClient(o).hold(16 << 10)
		}
		synctest.Wait()
		assert.Less(t, o.Held(), int64(64*mebi))
		assert.NotEmpty(t, o.evicted())
	})
}

func TestAClientThatHoldsNextToNothingStays(t *testing.T) {
	run(t, mebi, func(t *testing.T, o *office) {
		for range 2_000 {
			newClient(o).hold(1000)
		}
		greedy := newClient(o).hold(mebi)
		time.Sleep(time.Minute)
		assert.Equal(t, []int{greedy.number}, o.evicted())
		assert.Zero(t, o.Held())
	})
}

func TestAllHoldersOfAnAccountAreOne(t *testing.T) {
	run(t, 10*mebi, func(t *testing.T, o *office) {
		single := newClient(o).hold(3 * mebi)
		many := newClient(o)
		var queues []*queue
		for range 6 {
			queues = append(queues, (&queue{client: many}).put(make([]byte, mebi)))
		}
		newClient(o).hold(mebi)
		synctest.Wait()
		assert.Equal(t, []int{many.number}, o.evicted(), "with 6 MiB in all")
		assert.False(t, single.isEvicted())
		for _, q := range queues {
			assert.Empty(t, q.frames)
		}
	})
}

func TestStruckHoldersAreForgotten(t *testing.T) {
	run(t, 10*mebi, func(t *testing.T, o *office) {
		gone := newClient(o).hold(8 * mebi)
		gone.account.Strike(gone)
		other := newClient(o).hold(3 * mebi)
		synctest.Wait()
		assert.False(t, gone.isEvicted())
		assert.True(t, other.isEvicted())
		gone.hold(0)
	})
}

// What is shared has to be worth looking for: that needs memory itself.
func TestShortFramesCountForEach(t *testing.T) {
	run(t, mebi, func(t *testing.T, o *office) {
		frame, long := make([]byte, 1000), make([]byte, 1<<10)
		for range 10 {
			(&queue{client: newClient(o)}).put(slices.Repeat([][]byte{long}, 100)...)
		}
		synctest.Wait()
		assert.Empty(t, o.evicted(), "10 x 100 KiB, in memory once")
		for range 20 {
			(&queue{client: newClient(o)}).put(slices.Repeat([][]byte{frame}, 100)...)
		}
		synctest.Wait()
		assert.NotEmpty(t, o.evicted())
	})
}

// A frame that many clients wait for is in memory once.
func TestSharedFramesAreHeldOnce(t *testing.T) {
	run(t, 10*mebi, func(t *testing.T, o *office) {
		frame := make([]byte, mebi)
		var queues []*queue
		for i := range 100 {
			queues = append(queues, (&queue{client: newClient(o)}).put(frame[i:])) // some of it may be written
		}
		time.Sleep(time.Second)
		assert.Empty(t, o.evicted())
		assert.Greater(t, o.Held(), int64(99*mebi), "each is counted for its client")

		greedy := newClient(o).hold(9*mebi + mebi/2)
		time.Sleep(time.Second)
		assert.Equal(t, []int{greedy.number}, o.evicted())
		for _, q := range queues {
			q.Shed()
		}
		assert.Zero(t, o.Held())
	})
}

// What was evicted needs a moment to end. Nobody else is evicted for it, unless it takes longer.
func TestTheEvictedHaveAMoment(t *testing.T) {
	run(t, 10*mebi, func(t *testing.T, o *office) {
		slow := newClient(o)
		slow.stuck = true
		slow.hold(6 * mebi)
		next := newClient(o).hold(4 * mebi)
		synctest.Wait()
		assert.Equal(t, []int{slow.number}, o.evicted())
		time.Sleep(100 * time.Millisecond)
		next.hold(4*mebi + 1)
		synctest.Wait()
		assert.False(t, next.isEvicted())
		time.Sleep(time.Second)
		assert.True(t, next.isEvicted(), "it is still there: the limit is for what is held")
		assert.EqualValues(t, 6*mebi, o.Held())
		slow.hold(0)
	})
}

func TestAMistakeEndsNoKeeper(t *testing.T) {
	run(t, 10*mebi, func(t *testing.T, o *office) {
		o.group.Logger = quietLogger()
		bad := newClient(o)
		bad.evict = func(error) { panic("boom") }
		good := newClient(o).hold(5 * mebi)
		bad.hold(6 * mebi)
		synctest.Wait()
		assert.Zero(t, bad.account.Held())
		third := newClient(o).hold(5 * mebi)
		synctest.Wait()
		assert.True(t, good.isEvicted() || third.isEvicted())
	})
}

func TestNearTheLimitTheLargestPause(t *testing.T) {
	run(t, 80*mebi, func(t *testing.T, o *office) {
		large, small, rest := newClient(o).hold(mebi), newClient(o), newClient(o).hold(58*mebi)
		large.hold(mebi + 1<<10)
		assert.False(t, large.account.Paused(), "far from it")
		rest.hold(60 * mebi)
		assert.True(t, rest.account.Paused())
		assert.False(t, large.account.Paused(), "it holds no more than before")
		large.hold(mebi + 2<<10)
		small.hold(60 << 10)
		assert.True(t, large.account.Paused())
		assert.False(t, small.account.Paused(), "it holds little")

		rest.hold(51 * mebi)
		synctest.Wait()
		assert.Zero(t, large.resumes(), "not at once")
		rest.hold(48 * mebi)
		synctest.Wait()
		assert.Equal(t, 1, large.resumes())
		assert.False(t, large.account.Paused())
		large.hold(2 * mebi)
		assert.False(t, large.account.Paused(), "far from it again")
		large.hold(0)
		rest.hold(0)
		synctest.Wait()
		assert.Equal(t, 1, large.resumes())
	})
}

func TestAClientThatHoldsLittleAgainGoesOn(t *testing.T) {
	run(t, 80*mebi, func(t *testing.T, o *office) {
		newClient(o).hold(70 * mebi)
		large, other := newClient(o).hold(mebi), newClient(o).hold(mebi)
		assert.True(t, large.account.Paused())
		assert.True(t, other.account.Paused())
		large.hold(60 << 10)
		synctest.Wait()
		assert.Equal(t, 1, large.resumes())
		assert.False(t, large.account.Paused())
		assert.Zero(t, other.resumes())
	})
}

// Whoever has sent a half of something holds it until the other half comes.
func TestWhatIsHalfSentIsNoReasonToPause(t *testing.T) {
	run(t, 80*mebi, func(t *testing.T, o *office) {
		newClient(o).hold(70 * mebi)
		half := newClient(o)
		half.share.Partial = true
		half.hold(mebi)
		assert.False(t, half.account.Paused())
		q := (&queue{client: half}).put(make([]byte, mebi))
		assert.True(t, half.account.Paused())
		q.Shed()
		synctest.Wait()
		assert.False(t, half.account.Paused())
		assert.EqualValues(t, mebi, half.account.Held())
	})
}

// If there are many, those that hold more than their part pause.
func TestTheBarGoesDownWithTheCrowd(t *testing.T) {
	run(t, 64*mebi, func(t *testing.T, o *office) {
		for range 5_000 {
			newClient(o).hold(11 << 10)
		}
		assert.True(t, newClient(o).hold(8<<10).account.Paused())
		assert.False(t, newClient(o).hold(4<<10).account.Paused())
	})
}

// Reading goes on after every pause: nothing is missed between a look at an account and the change of another.
func TestEveryPauseEnds(t *testing.T) {
	o := newOffice(16 * mebi)
	var wg sync.WaitGroup
	for i := range 8 {
		random := rand.New(rand.NewPCG(1, uint64(i)))
		wg.Go(func() {
			c := newClient(o)
			for range 2_000 {
				c.hold(random.IntN(2 * mebi))
				if random.IntN(2) == 0 {
					c.hold(0)
				}
			}
			c.hold(0)
			c.account.Strike(c)
			assert.Eventually(t, func() bool { return !c.account.Paused() }, time.Minute, time.Millisecond)
		})
	}
	wg.Wait()
	require.NoError(t, o.group.Wait(t.Context()))
	assert.Zero(t, o.Held())
}
