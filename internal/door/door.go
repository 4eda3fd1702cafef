// Package door lets clients in, as long as there are not too many: in all, from one address,
// and in one second. One Door stands in front of all protocols.
package door

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/bucket"
	"github.com/seed-ce09063a/thinkws/internal/clientip"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/slim"
)

// Config tells whom a Door lets in. All limits have to be set.
type Config struct {
	Sessions             int            // at a time
	SessionsPerAddress   int            // of these, from one address
	Handshakes           int            // per second, and twice as many at once after a silence
	HandshakesPerAddress int            // of these, from one address
	Trusted              []netip.Prefix // proxies, whose word counts for where a client is
	Tally                *session.Tally // counts who is refused
	Report               session.Report // tells of them
	Logger               *slog.Logger
}

// Door counts who comes in and who is in. It is safe for concurrent use. A nil Door lets
// everybody in.
type Door struct {
	cfg     Config
	began   time.Time
	guesses guesses

	mu      sync.Mutex // protects what follows, and what stands in a Source
	in      int
	rate    bucket.Bucket
	sources slim.Map[netip.Prefix, *Source]
	sweepAt int // sources, at which those are looked for that can be forgotten
}

// Source is where clients come from: an address of IPv4, or a network of IPv6 that one
// customer has. It is shared by all sessions from there.
type Source struct {
	in   int
	rate bucket.Bucket
}

const (
	minSweep    = 1024
	sessionsIn6 = 64 // bits of an IPv6 address that are its customer's
)

// New returns a door where nobody has come in yet.
func New(cfg Config) *Door {
	return &Door{cfg: cfg, began: time.Now(), sweepAt: minSweep}
}

// Enter lets one more session in that a request wants to begin; Leave has to follow. If it is
// false the request has been answered: 429 if too many are from the same address, 503 if they
// are too many in all, both with Retry-After.
func (d *Door) Enter(w http.ResponseWriter, r *http.Request) (*Source, bool) {
	if d == nil {
		return nil, true
	}
	address := d.Address(r)
	source, limit, ok := d.admit(address)
	if !ok {
		d.refuse(w, r, limit, address)
	}
	return source, ok
}

// Leave notes the end of a session that Enter has let in.
func (d *Door) Leave(s *Source) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.in--
	s.in--
}

// Len returns how many are in.
func (d *Door) Len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.in
}

// Address returns who a request comes from, the zero Addr if that cannot be known.
func (d *Door) Address(r *http.Request) netip.Addr {
	if d == nil {
		return clientip.Of(r, nil)
	}
	return clientip.Of(r, d.cfg.Trusted)
}

// admit asks about the address first: what one address sends is not to use up what there is
// for all.
func (d *Door) admit(address netip.Addr) (s *Source, limit session.Limit, ok bool) {
	now := int64(time.Since(d.began)) + 1
	d.mu.Lock()
	defer d.mu.Unlock()
	s, known := d.source(address)
	switch {
	case address.IsValid() && s.in >= d.cfg.SessionsPerAddress:
		return nil, session.LimitSessionsPerAddress, false
	case address.IsValid() && !s.rate.Take(now, d.cfg.HandshakesPerAddress, 1):
		return nil, session.LimitHandshakesPerAddress, false
	case d.in >= d.cfg.Sessions:
		return nil, session.LimitSessions, false
	case !d.rate.Take(now, d.cfg.Handshakes, 1):
		return nil, session.LimitHandshakes, false
	}
	if !known {
		d.keep(network(address), s, now)
	}
	d.in++
	s.in++
	return s, 0, true
}

// source also says whether the source is known. It takes d.mu as held. Clients whose address is not known have one source, too, that
// has no limits of its own.
func (d *Door) source(address netip.Addr) (*Source, bool) {
	if s := d.sources.Get(network(address)); s != nil {
		return s, true
	}
	return &Source{}, false
}

func network(address netip.Addr) netip.Prefix {
	bits := address.BitLen()
	if address.Is6() {
		bits = sessionsIn6
	}
	prefix, _ := address.Prefix(bits) // the zero one for the zero address
	return prefix
}

// keep takes d.mu as held. Sources are forgotten that nobody is in from, and that have not been
// heard of for a while, whenever there are twice as many as after the last time.
func (d *Door) keep(n netip.Prefix, s *Source, now int64) {
	if d.sources.Len() >= d.sweepAt {
		for n, s := range d.sources.All() {
			if s.in == 0 && s.rate.Full(now, d.cfg.HandshakesPerAddress) {
				d.sources.Delete(n)
			}
		}
		d.sweepAt = max(minSweep, 2*d.sources.Len())
	}
	d.sources.Set(n, s)
}

// refuse answers. Who is told when to come again comes at different times.
func (d *Door) refuse(w http.ResponseWriter, r *http.Request, limit session.Limit, address netip.Addr) {
	d.cfg.Tally.Count(limit)
	d.cfg.Logger.Warn("client refused", "limit", limit.String(), "address", address, "url", r.URL.Path)
	h := w.Header()
	h.Set("Retry-After", strconv.Itoa(1+rand.IntN(4))) //nolint:gosec // no secret: it spreads clients over time
	if r.Header.Get("Upgrade") != "" {
		h.Set("Connection", "close") // frames sent right behind must not be read as a request
	}
	status, text := answer(limit)
	http.Error(w, text, status)
	d.cfg.Report.Request(session.Beyond(limit, errors.New("thinkws: "+text)), r)
}

func answer(limit session.Limit) (status int, text string) {
	switch limit {
	case session.LimitSessionsPerAddress:
		return http.StatusTooManyRequests, "too many clients from your address"
	case session.LimitHandshakesPerAddress:
		return http.StatusTooManyRequests, "too many clients at once from your address"
	case session.LimitHandshakes:
		return http.StatusServiceUnavailable, "too many clients at once"
	default:
		return http.StatusServiceUnavailable, "too many clients"
	}
}
