// Package bucket bounds how often something happens.
package bucket

import "time"

// Burst is for how many seconds a bucket holds: as much may happen at once after a silence.
const Burst = 2

// Bucket is a token bucket. The zero Bucket is full. It is not safe for concurrent use.
type Bucket struct {
	at   int64 // when it was filled last; 0 if never
	left float64
}

// Take takes cost tokens, and is false if there is none left. So what costs more than there is
// may happen, once. The bucket fills by perSecond; now is a time in nanoseconds, from any
// beginning, but not 0.
func (b *Bucket) Take(now int64, perSecond, cost int) bool {
	b.fill(now, perSecond)
	if b.left < 1 {
		return false
	}
	b.left -= float64(cost)
	return true
}

// Spend takes cost tokens, also those that are not there, and returns how long it takes until that debt is paid.
func (b *Bucket) Spend(now int64, perSecond, cost int) (debt time.Duration) {
	b.fill(now, perSecond)
	if b.left -= float64(cost); b.left >= 0 {
		return 0
	}
	return time.Duration(-b.left / float64(perSecond) * float64(time.Second))
}

// Full reports whether nothing has been taken that has not been filled up since.
func (b *Bucket) Full(now int64, perSecond int) bool {
	b.fill(now, perSecond)
	return b.left >= Burst*float64(perSecond)
}

func (b *Bucket) fill(now int64, perSecond int) {
	most := Burst * float64(perSecond)
	if b.at == 0 {
		b.left = most
	} else {
		b.left = min(b.left+float64(now-b.at)/float64(time.Second)*float64(perSecond), most)
	}
	b.at = now
}
