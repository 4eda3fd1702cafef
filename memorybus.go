package thinkws

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// MemoryBus connects handlers of one process: several handlers of a service, or the nodes
// of a test. The zero value is ready. What one node publishes the others have got when
// Publish returns.
type MemoryBus struct {
	mu    sync.RWMutex // protects links
	links []*memoryLink
}

// memoryLink is one node's part.
type memoryLink struct {
	bus                 *MemoryBus
	node                BusNode
	published, received atomic.Uint64
}

var errBusClosed = errors.New("it is closed")

// Open implements Bus.
func (b *MemoryBus) Open(node BusNode) (BusLink, error) {
	l := &memoryLink{bus: b, node: node}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.links = append(slices.Clip(b.links), l) // others may hold the list
	return l, nil
}

// others returns the other nodes; false if l has been closed.
func (l *memoryLink) others() (others []*memoryLink, open bool) {
	l.bus.mu.RLock()
	defer l.bus.mu.RUnlock()
	for _, other := range l.bus.links {
		if other == l {
			open = true
		} else {
			others = append(others, other)
		}
	}
	return others, open
}

// Subscribe implements BusLink. All is delivered to all.
func (l *memoryLink) Subscribe(context.Context, string) error { return nil }

// Unsubscribe implements BusLink.
func (l *memoryLink) Unsubscribe(string) {}

// Publish implements BusLink.
func (l *memoryLink) Publish(e *Envelope) error {
	others, open := l.others()
	if !open {
		return busError(errBusClosed)
	}
	l.published.Add(1)
	for _, other := range others {
		other.deliver(e, nil)
	}
	return nil
}

func (l *memoryLink) deliver(e *Envelope, reply func(*Envelope)) {
	l.received.Add(1)
	l.node.Deliver(e, reply)
}

// Ask implements BusLink.
func (l *memoryLink) Ask(ctx context.Context, e *Envelope, answer func(*Envelope)) error {
	others, open := l.others()
	if !open {
		return &NodesError{Err: busError(errBusClosed)}
	}
	l.published.Add(1)
	t := &tally{nodes: len(others), event: e.Kind == BusEmit, answer: answer, done: make(chan struct{})}
	t.checkLocked()
	for _, other := range others {
		counted := false
		other.deliver(e, func(a *Envelope) { t.take(a, &counted) })
	}
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
		return t.end(ctx.Err())
	}
}

// tally counts the answers to a question.
type tally struct {
	event  bool // that clients have to answer
	answer func(*Envelope)

	mu      sync.Mutex // protects what follows; held while answer runs
	nodes   int        // that have not answered
	clients int        // of those that have, who have not answered
	over    bool
	done    chan struct{}
}

// take takes an answer of a node; counted, which mu protects, is whether that has answered.
func (t *tally) take(a *Envelope, counted *bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	if !*counted {
		*counted = true
		t.nodes--
	}
	if a != nil {
		t.answer(a)
		t.clients += a.Clients
		if t.event && a.Kind == BusAnswer {
			t.clients--
		}
	}
	t.checkLocked()
}

// checkLocked ends the wait when nobody is waited for. t.mu must be held.
func (t *tally) checkLocked() {
	if t.nodes <= 0 && t.clients <= 0 && !t.over {
		t.over = true
		close(t.done)
	}
}

// end says what is missing.
func (t *tally) end(cause error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return nil
	}
	t.over = true
	return &NodesError{Count: max(0, t.nodes), Clients: max(0, t.clients), Err: cause}
}

// Stats implements BusLink.
func (l *memoryLink) Stats() BusStats {
	others, open := l.others()
	s := BusStats{Up: open, Nodes: len(others) + 1, Published: l.published.Load(), Received: l.received.Load()}
	if !open {
		s.Err = busError(errBusClosed)
	}
	return s
}

// Close implements BusLink.
func (l *memoryLink) Close(context.Context) error {
	others, _ := l.others()
	l.bus.mu.Lock()
	defer l.bus.mu.Unlock()
	l.bus.links = others
	return nil
}
