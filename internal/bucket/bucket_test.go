package bucket_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/seed-ce09063a/thinkws/internal/bucket"
)

func TestBucket(t *testing.T) {
	const rate = 10
	var b bucket.Bucket
	now := int64(1)
	take := func(cost int) (n int) {
		for b.Take(now, rate, cost) {
			n++
		}
		return n
	}
	assert.True(t, b.Full(now, rate))
	assert.Equal(t, 20, take(1), "two seconds' worth at once")
	assert.False(t, b.Full(now, rate))
	now += int64(time.Second)
	assert.Equal(t, 10, take(1))
	now += int64(150 * time.Millisecond)
	assert.Equal(t, 1, take(1))
	now += int64(time.Hour)
	assert.True(t, b.Full(now, rate))
	assert.Equal(t, 1, take(1000), "more than there is, once")
	now += int64(time.Second)
	assert.Zero(t, take(1), "which takes its time to be made up for")
	now += int64(98 * time.Second)
	assert.Equal(t, 10, take(1))
}

func TestSlowBucket(t *testing.T) {
	var b bucket.Bucket
	taken := 0
	for i := range 100 { // a tenth of a second each
		if b.Take(1+int64(i)*int64(100*time.Millisecond), 1, 1) {
			taken++
		}
	}
	assert.Equal(t, 2+9, taken)
}

func TestBucketOfAnyRate(t *testing.T) {
	for _, rate := range []int{math.MaxInt / 4, math.MaxInt/2 + 1, math.MaxInt} {
		var b bucket.Bucket
		assert.True(t, b.Full(1, rate))
		for now := range int64(3) {
			assert.True(t, b.Take(1+now, rate, 1<<20), "%d per second", rate)
		}
	}
}

func TestSpendingGoesIntoDebt(t *testing.T) {
	var b bucket.Bucket
	now := int64(time.Second)
	assert.Zero(t, b.Spend(now, 10, 20), "the bucket is full at first")
	assert.Equal(t, time.Second/10, b.Spend(now, 10, 1))
	assert.Equal(t, 2*time.Second+time.Second/10, b.Spend(now, 10, 20))
	now += int64(time.Second)
	assert.Equal(t, time.Second+time.Second/5, b.Spend(now, 10, 1))
	now += int64(time.Hour)
	assert.Zero(t, b.Spend(now, 10, 20), "it holds no more than it can")
	assert.NotZero(t, b.Spend(now, 10, 1))
}
