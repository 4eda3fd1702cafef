package door

import (
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/clientip"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

const (
	guessWindow    = time.Minute
	guessesPerKey  = 20    // unknown session ids per window from one source, or with one prefix
	sharedGuesses  = 1_000 // the same through all shared peers
	guessKeys      = 4096  // sources counted at a time
	maxGuessPrefix = 8     // bytes
)

var errGuesses = session.Beyond(session.LimitGuesses, errors.New("thinkws: too many unknown session ids"))

// guesses counts requests with unknown session ids, in windows of a minute. It is safe for
// concurrent use.
type guesses struct {
	mu       sync.Mutex // protects what follows
	since    time.Time
	sources  map[netip.Prefix]int
	prefixes map[string]int // of ids that came through shared peers
	shared   int            // all of these
}

// Guessed counts a request that names a session which does not exist, and reports whether there
// were too many. The caller then answers 429; w has the Retry-After header.
//
// Security: an id is the only secret of a session over HTTP. The ids of Engine.IO have 96 random
// bits or more. Those of sockjs-client have 40, and a receiver with an unknown id begins a session:
// such guesses have no limit but that on handshakes, and WithSessionCookies is the protection.
//
// Behind a proxy that is not named, all clients have one address. There the guard counts ids that
// begin alike, which finds searches in a part of the ids, and all unknown ids together. It refuses
// unknown ids only, so a client whose session lives is never turned away. A client that has lost its
// session begins anew after 429 as after 400 or 404.
func (d *Door) Guessed(w http.ResponseWriter, r *http.Request, id string) bool {
	if d == nil {
		return false
	}
	refused, first := d.guesses.count(r, d.client(r), id)
	if !refused {
		return false
	}
	if first {
		d.cfg.Logger.Warn("many requests with unknown session ids", "address", d.Address(r), "url", r.URL.Path)
	}
	d.cfg.Tally.Note(errGuesses)
	d.cfg.Report.Request(errGuesses, r)
	w.Header().Set("Retry-After", strconv.Itoa(int(guessWindow/time.Second)))
	return true
}

// count counts one more guess. It reports whether it is one too many, and whether it is the
// first such one in this window.
func (g *guesses) count(r *http.Request, c clientip.Client, id string) (refused, first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := time.Now(); now.Sub(g.since) >= guessWindow {
		g.since, g.shared = now, 0
		g.sources, g.prefixes = make(map[netip.Prefix]int), make(map[string]int)
	}
	if !c.Shared || c.Addr.IsLoopback() && !clientip.IsMarked(r) { // this host itself has an address to go by
		n := increment(g.sources, network(c.Addr))
		return n > guessesPerKey, n == guessesPerKey+1
	}
	if g.shared++; g.shared > sharedGuesses {
		return true, g.shared == sharedGuesses+1
	}
	n := increment(g.prefixes, strings.Clone(id[:min(len(id)/2, maxGuessPrefix)]))
	return n > guessesPerKey, n == guessesPerKey+1
}

// increment counts all keys beyond guessKeys as one, so a crowd of sources neither takes memory
// nor escapes.
func increment[K comparable](counts map[K]int, k K) int {
	if _, known := counts[k]; !known && len(counts) >= guessKeys {
		k = *new(K)
	}
	counts[k]++
	return counts[k]
}
