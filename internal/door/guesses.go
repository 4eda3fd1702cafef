package door

import (
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

const (
	guessWindow   = time.Minute
	guessesPerSrc = 20   // unknown session ids that one source may name in a window
	guessSources  = 4096 // sources counted at a time
)

var errGuesses = session.Beyond(session.LimitGuesses, errors.New("thinkws: too many unknown session ids"))

// guesses counts requests with unknown session ids per source, in windows of a minute. It is
// safe for concurrent use.
type guesses struct {
	mu     sync.Mutex // protects what follows
	since  time.Time
	counts map[netip.Prefix]int
}

// Guessed counts a request that names a session which does not exist, and reports whether its
// source has named too many. The caller then answers 429; w has the Retry-After header.
//
// Security: an id is the only secret of a session over HTTP. Twenty guesses a minute find none
// of the 2^40 ids of sockjs-client. A client that has lost its session asks once or twice.
func (d *Door) Guessed(w http.ResponseWriter, r *http.Request) bool {
	if d == nil {
		return false
	}
	address := d.Address(r)
	n := d.guesses.count(network(address))
	if n <= guessesPerSrc {
		return false
	}
	if n == guessesPerSrc+1 {
		d.cfg.Logger.Warn("many requests with unknown session ids", slog.Any("address", address), slog.String("url", r.URL.Path))
	}
	d.cfg.Tally.Note(errGuesses)
	d.cfg.Report.Request(errGuesses, r)
	w.Header().Set("Retry-After", strconv.Itoa(int(guessWindow/time.Second)))
	return true
}

// count counts one more guess and returns how many its source has made in this window. All
// sources beyond guessSources are counted as one, so a crowd of them neither takes memory nor
// escapes.
func (g *guesses) count(source netip.Prefix) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := time.Now(); now.Sub(g.since) >= guessWindow {
		g.since, g.counts = now, make(map[netip.Prefix]int)
	}
	if _, known := g.counts[source]; !known && len(g.counts) >= guessSources {
		source = netip.Prefix{}
	}
	g.counts[source]++
	return g.counts[source]
}
