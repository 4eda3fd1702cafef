package ledger_test

import (
	"math/rand/v2"
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
		b.hold(2 * mebi)
		other := &queue{client: a}
		other.put(make([]byte, 500))
		assert.EqualValues(t, 1500, a.account.Held())
		assert.EqualValues(t, 1500+2*mebi, o.Held())
		a.hold(7)
		a.hold(7)
		assert.EqualValues(t, 507+2*mebi, o.Held())
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
	var none *ledger.Account
	var share ledger.Share
	none.Settle(&share, nil, 5)
	none.Strike(nil)
	none.Resume()
	assert.False(t, none.Pause(nil))
	c := new(client)
	c.account.Open(nil, c)
	c.hold(mebi).hold(0)
	c.account.Strike(c)
	assert.False(t, c.pauses())
	assert.Zero(t, (*ledger.Ledger)(nil).Held())
}

func TestWithoutALimitNobodyIsEvicted(t *testing.T) {
	run(t, 0, func(t *testing.T, o *office) {
		c := newClient(o)
		c.hold(1 << 30)
		assert.EqualValues(t, 1<<30, o.Held())
		assert.False(t, c.pauses())
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
		assert.ErrorIs(t, all[11].cause, errFull)
		assert.EqualValues(t, 12*mebi, o.logged[0].held)

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
		for range 10_000 {
			newClient(o).hold(16 << 10)
		}
		synctest.Wait()
		assert.Less(t, o.Held(), int64(64*mebi))
		assert.NotEmpty(t, o.evicted())
	})
}

func TestWhoHoldsNextToNothingStays(t *testing.T) {
	run(t, mebi, func(t *testing.T, o *office) {
		var idle []*client
		for range 2_000 {
			idle = append(idle, newClient(o).hold(1000))
		}
		greedy := newClient(o).hold(mebi / 2)
		time.Sleep(time.Minute)
		assert.True(t, greedy.isEvicted())
		assert.Len(t, o.evicted(), 1)
		for _, c := range idle {
			c.hold(0)
		}
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

// A client that has left may hold memory still: its events wait for a handler.
func TestWhatClientsLeaveBehindIsShed(t *testing.T) {
	run(t, 10*mebi, func(t *testing.T, o *office) {
		gone := newClient(o)
		gone.ended = true
		left := (&queue{client: gone}).put(make([]byte, 8*mebi))
		newClient(o).hold(2 * mebi)
		synctest.Wait()
		assert.Empty(t, left.frames)
		assert.Empty(t, o.evicted(), "nobody has been disconnected")
		assert.EqualValues(t, 2*mebi, o.Held())
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

// A frame that many clients wait for is in memory once.
func TestSharedFramesAreHeldOnce(t *testing.T) {
	run(t, 10*mebi, func(t *testing.T, o *office) {
		frame := make([]byte, mebi)
		var queues []*queue
		for i := range 100 {
			queues = append(queues, (&queue{client: newClient(o)}).put(frame[i:])) // some of it may be written
		}
		time.Sleep(time.Minute)
		assert.Empty(t, o.evicted())
		assert.Greater(t, o.Held(), int64(99*mebi), "each is counted for its client")

		greedy := newClient(o).hold(9 * mebi)
		time.Sleep(time.Minute)
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
		large, small := newClient(o).hold(mebi), newClient(o).hold(60<<10)
		rest := newClient(o).hold(58 * mebi)
		assert.False(t, large.pauses(), "far from it")
		rest.hold(59 * mebi)
		assert.True(t, large.pauses())
		assert.False(t, small.pauses(), "it holds little")

		rest.hold(51 * mebi)
		synctest.Wait()
		assert.Zero(t, large.resumes(), "not at once")
		rest.hold(48 * mebi)
		synctest.Wait()
		assert.Equal(t, 1, large.resumes())
		assert.False(t, large.pauses())
		rest.hold(0)
		large.hold(0)
		small.hold(0)
		synctest.Wait()
		assert.Equal(t, 1, large.resumes())
	})
}

func TestAClientThatHoldsLittleAgainGoesOn(t *testing.T) {
	run(t, 80*mebi, func(t *testing.T, o *office) {
		rest := newClient(o).hold(70 * mebi)
		large, other := newClient(o).hold(mebi), newClient(o).hold(mebi)
		require.True(t, large.pauses())
		require.True(t, other.pauses())
		large.hold(60 << 10)
		synctest.Wait()
		assert.Equal(t, 1, large.resumes())
		assert.Zero(t, other.resumes())
		other.account.Resume()
		rest.hold(0)
		synctest.Wait()
		assert.Zero(t, other.resumes(), "it has ended the pause itself")
	})
}

// If there are many, those that hold more than their part pause.
func TestTheBarGoesDownWithTheCrowd(t *testing.T) {
	run(t, 64*mebi, func(t *testing.T, o *office) {
		for range 5_000 {
			newClient(o).hold(11 << 10)
		}
		assert.True(t, newClient(o).hold(8<<10).pauses())
		assert.False(t, newClient(o).hold(4<<10).pauses())
	})
}

func TestEveryPauseEnds(t *testing.T) {
	o := newOffice(16 * mebi)
	var wg sync.WaitGroup
	for i := range 8 {
		random := rand.New(rand.NewPCG(1, uint64(i)))
		wg.Go(func() {
			c := newClient(o)
			for range 2_000 {
				c.hold(random.IntN(2 * mebi))
				resumed := make(chan struct{})
				if c.account.Pause(func() { close(resumed) }) {
					if random.IntN(2) == 0 {
						c.hold(0)
						<-resumed
						continue
					}
					c.account.Resume()
				}
			}
			c.hold(0)
			c.account.Strike(c)
		})
	}
	wg.Wait()
	require.NoError(t, o.group.Wait(t.Context()))
	assert.Zero(t, o.Held())
}
