package session

// Flusher is a connection that has something to write.
type Flusher interface {
	// Flush writes what waits, as far as the network takes it at once.
	Flush()
}

// batchSize is how many connections are flushed at a time.
const batchSize = 64

// Batch is a list of connections that have to be flushed, and a link of a list of batches.
type Batch struct {
	Next  *Batch
	n     int
	conns [batchSize]Flusher
}

// Flush flushes all of them. The batch must not be used afterwards.
func (b *Batch) Flush() {
	for _, conn := range b.conns[:b.n] {
		conn.Flush()
	}
}

// Round collects the connections that have queued a message for many in place of writing
// it. Whoever sends that message has them flushed afterwards: what has come in the meantime
// goes out in the same write. A Round belongs to one goroutine, and ends with End.
type Round struct {
	first, last *Batch
	over        bool
}

// Add lets f be flushed; false if it is too late for that.
func (r *Round) Add(f Flusher) bool {
	if r.over {
		return false
	}
	switch {
	case r.last == nil:
		r.first = new(Batch)
		r.last = r.first
	case r.last.n == batchSize:
		r.last.Next = new(Batch)
		r.last = r.last.Next
	}
	r.last.conns[r.last.n] = f
	r.last.n++
	return true
}

// End returns what has to be flushed, as a list from first to last; nil if nothing has.
func (r *Round) End() (first, last *Batch) {
	first, last = r.first, r.last
	r.first, r.last, r.over = nil, nil, true
	return first, last
}
