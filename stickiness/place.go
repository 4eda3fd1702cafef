package stickiness

import (
	"context"
	"hash/maphash"
	"io"
	"net/http"
	"net/http/httputil"
	"slices"
	"sync"
	"time"
)

// places remembers on which nodes sessions of SockJS live, whose ids do not say it. It is
// safe for concurrent use.
type places struct {
	seed maphash.Seed
	max  int

	mu sync.Mutex // protects at
	at map[uint64]string
}

func newPlaces(bound int) places {
	return places{seed: maphash.MakeSeed(), max: bound, at: make(map[uint64]string)}
}

func (p *places) get(session string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at[maphash.String(p.seed, session)]
}

// set forgets any other place if there are too many: that costs a question.
func (p *places) set(session, node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.at) >= p.max {
		for key := range p.at {
			delete(p.at, key)
			break
		}
	}
	p.at[maphash.String(p.seed, session)] = node
}

func (p *places) drop(session string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.at, maphash.String(p.seed, session))
}

// askTimeout is how long a node may take to say whether a session is there.
const askTimeout = 2 * time.Second

// seek finds the node of a session that is not here: where it was seen last, else on one of
// the nodes that its id prefers, else where it should begin. It returns nil if that is here.
func (f *Forwarder) seek(r *http.Request, session string) *peer {
	nodes := f.registry.Nodes()
	if node, ok := find(nodes, f.places.get(session)); ok {
		if to := f.reach(node); to != nil {
			return to
		}
	}
	f.peers.forget(nodes)
	homes := rank(session, f.takers(), f.cfg.Candidates)
	if found := f.ask(r, f.candidates(session, nodes, homes), homes); found != nil {
		f.places.set(session, found.node.ID)
		return found
	}
	for _, node := range homes {
		if node.ID == f.cfg.Node || f.cfg.StickyFront && !f.draining.Load() {
			return nil
		}
		if to := f.reach(node); to != nil && !to.breaker.doubtful(time.Now()) {
			f.places.set(session, node.ID)
			return to
		}
	}
	return nil
}

// takers are the nodes that take new sessions; all of them if none does.
func (f *Forwarder) takers() []Node {
	nodes := f.registry.Nodes()
	takers := slices.DeleteFunc(slices.Clone(nodes), func(n Node) bool { return n.Draining })
	if len(takers) == 0 {
		return nodes
	}
	return takers
}

// candidates are the nodes that a session may live on, the likeliest first.
func (f *Forwarder) candidates(session string, nodes, homes []Node) []Node {
	n := f.cfg.Candidates
	if f.cfg.StickyFront {
		n = len(nodes)
	}
	found := rank(session, nodes, n)
	for _, home := range homes {
		if !slices.ContainsFunc(found, func(n Node) bool { return n.ID == home.ID }) {
			found = append(found, home)
		}
	}
	return slices.DeleteFunc(found, func(n Node) bool { return n.ID == f.cfg.Node })
}

// ask asks candidates in turn. One that is the only one, and the session's home as well,
// need not be asked.
func (f *Forwarder) ask(r *http.Request, candidates, homes []Node) *peer {
	if len(candidates) == 1 && !f.cfg.StickyFront && len(homes) > 0 && candidates[0].ID == homes[0].ID {
		return nil
	}
	for _, node := range candidates {
		if to := f.reach(node); to != nil && f.holds(r, to) {
			return to
		}
	}
	return nil
}

// holds asks a node whether it has the session of a request. No is also the answer of one
// that gives none.
func (f *Forwarder) holds(r *http.Request, to *peer) bool {
	f.counters.asked.Add(1)
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	status, err := f.send(ctx, to, r, http.MethodGet, hopAsk)
	if err != nil {
		if r.Context().Err() == nil {
			f.peers.fail(to, err)
		}
		return false
	}
	to.breaker.succeed()
	return status == http.StatusNoContent
}

// send sends a word about a request to a node, and returns the status of the answer.
func (f *Forwarder) send(ctx context.Context, to *peer, about *http.Request, method string, why purpose) (status int, err error) {
	word, err := http.NewRequestWithContext(ctx, method, to.scheme+"://node", http.NoBody) //nolint:gosec // the node is within Options.Networks, whatever the client sends
	if err != nil {                                                                        // the URL is ours: this cannot be
		return 0, err
	}
	word.Host = about.Host
	for _, name := range []string{"Origin", "Authorization", "Referer", "Sec-Fetch-Site", "Cookie"} { // what tells whose session it is
		if values, ok := about.Header[name]; ok {
			word.Header[name] = values
		}
	}
	f.rewrite(to.node.ID, why)(&httputil.ProxyRequest{In: about, Out: word})
	answer, err := to.transport.RoundTrip(word)
	if err != nil {
		return 0, err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<10)) // so that the connection can be used again
	_ = answer.Body.Close()
	return answer.StatusCode, nil
}
