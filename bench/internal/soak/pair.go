package soak

import "time"

// pair is the two connections of a client that polls, as a browser has them: one that waits,
// and one that sends.
type pair struct{ poll, post *httpConn }

func (p pair) close() {
	p.poll.close()
	p.post.close()
}

func (p pair) reset() {
	p.poll.reset()
	p.post.reset()
}

func (p pair) limit(at time.Time) {
	p.poll.limit(at)
	p.post.limit(at)
}
