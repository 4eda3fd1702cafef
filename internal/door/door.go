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
)

// Config tells whom a Door lets in. All limits have to be set.
type Config struct {
	Sessions             int            // at a time
	SessionsPerAddress   int            // of these, from one address
	Handshakes           int            // per second, and twice as many at once after a silence
	HandshakesPerAddress int            // of these, from one address
	Trusted              []netip.Prefix // proxies whose X-Forwarded-For counts
	TrustUnix            bool           // that of peers on unix sockets counts, too
	Tally                *session.Tally // counts who is refused
	Report               session.Report // tells of them
	Logger               *slog.Logger
}

// Door counts who comes in and who is in. It is safe for concurrent use. A nil Door lets
// everybody in.
type Door struct {
	cfg     Config
	proxies clientip.Proxies
	began   time.Time
	guesses guesses

	warnMarked sync.Once // a shared peer that is certainly a proxy
	noteShared sync.Once // one that may be

	mu      sync.Mutex // protects what follows, and what stands in a Source
	in      int
	rate    bucket.Bucket
	sources map[netip.Prefix]*Source
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
	proxies := clientip.Proxies{Networks: cfg.Trusted, Unix: cfg.TrustUnix}
	return &Door{cfg: cfg, proxies: proxies, began: time.Now(), sweepAt: minSweep, sources: map[netip.Prefix]*Source{}}
}

// Enter lets one more session in that a request wants to begin; Leave has to follow. If it is
// false the request has been answered: 429 if too many are from the same address, 503 if they
// are too many in all, both with Retry-After.
func (d *Door) Enter(w http.ResponseWriter, r *http.Request) (*Source, bool) {
	if d == nil {
		return nil, true
	}
	c := d.client(r)
	source, limit, ok := d.admit(c)
	if !ok {
		d.refuse(w, r, limit, c.Addr)
	}
	if c.Shared {
		d.noteUnlimited(r, c)
	}
	return source, ok
}

// noteUnlimited counts a client to which the limits per address do not apply, and tells the
// operator once which option gives clients their own addresses.
func (d *Door) noteUnlimited(r *http.Request, c clientip.Client) {
	d.cfg.Tally.Count(session.LimitSharedAddress)
	option := "WithTrustedProxies"
	if c.Unix {
		option = "WithTrustedUnixProxies"
	}
	once, level := &d.noteShared, slog.LevelInfo // without a proxy in between, nothing needs to be set
	if c.Unix || clientip.IsMarked(r) {
		once, level = &d.warnMarked, slog.LevelWarn
	}
	once.Do(func() {
		d.cfg.Logger.Log(r.Context(), level, "limits per address do not apply", "peer", r.RemoteAddr, "set", option)
	})
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

// Address returns the address of a request's client, the zero Addr if it is unknown. Limits,
// guards and logs all go by it.
func (d *Door) Address(r *http.Request) netip.Addr { return d.client(r).Addr }

// Network returns the network that limits per address count a request's client by: its IPv4 address or
// its IPv6 /64 network. It is the zero Prefix if the address is unknown or may be that of many clients,
// to which such limits do not apply.
func (d *Door) Network(r *http.Request) netip.Prefix {
	c := d.client(r)
	if c.Shared {
		return netip.Prefix{}
	}
	return network(c.Addr)
}

func (d *Door) client(r *http.Request) clientip.Client {
	if d == nil {
		return clientip.Proxies{}.Client(r)
	}
	return d.proxies.Client(r)
}

// admit checks the limits per address first, so that one address does not use up the limits of
// all. They need an address that is the client's own.
func (d *Door) admit(c clientip.Client) (s *Source, limit session.Limit, ok bool) {
	own := c.Addr.IsValid() && !c.Shared
	now := int64(time.Since(d.began)) + 1
	d.mu.Lock()
	defer d.mu.Unlock()
	s, known := d.source(c.Addr)
	switch {
	case own && s.in >= d.cfg.SessionsPerAddress:
		return nil, session.LimitSessionsPerAddress, false
	case own && !s.rate.Take(now, d.cfg.HandshakesPerAddress, 1):
		return nil, session.LimitHandshakesPerAddress, false
	case d.in >= d.cfg.Sessions:
		return nil, session.LimitSessions, false
	case !d.rate.Take(now, d.cfg.Handshakes, 1):
		return nil, session.LimitHandshakes, false
	}
	if !known {
		d.keepLocked(network(c.Addr), s, now)
	}
	d.in++
	s.in++
	return s, 0, true
}

// source returns the source of an address, and whether it is known. d.mu must be held. Clients
// without an address share one source, which has no limits of its own.
func (d *Door) source(address netip.Addr) (*Source, bool) {
	if s := d.sources[network(address)]; s != nil {
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

// keepLocked enters a source. Whenever there are twice as many as after the last sweep, it forgets those that have no
// session and have not been heard of for a while. d.mu must be held.
func (d *Door) keepLocked(n netip.Prefix, s *Source, now int64) {
	if len(d.sources) >= d.sweepAt {
		for n, s := range d.sources {
			if s.in == 0 && s.rate.Full(now, d.cfg.HandshakesPerAddress) {
				delete(d.sources, n)
			}
		}
		d.sweepAt = max(minSweep, 2*len(d.sources))
	}
	d.sources[n] = s
}

// refuse writes the error response, with a random Retry-After so that clients do not all return
// at once.
func (d *Door) refuse(w http.ResponseWriter, r *http.Request, limit session.Limit, address netip.Addr) {
	d.cfg.Tally.Count(limit)
	status, text, set := answer(limit)
	d.cfg.Logger.Warn("client refused", "limit", limit.String(), "address", address, "url", r.URL.Path, "set", set)
	h := w.Header()
	h.Set("Retry-After", strconv.Itoa(1+rand.IntN(4))) //nolint:gosec // no secret: it spreads clients over time
	if r.Header.Get("Upgrade") != "" {
		h.Set("Connection", "close") // frames sent right behind must not be read as a request
	}
	http.Error(w, text, status)
	d.cfg.Report.Request(session.Beyond(limit, errors.New("thinkws: "+text)), r)
}

// answer returns how a limit is answered, and the option to change if that is wrong.
func answer(limit session.Limit) (status int, text, set string) {
	const mayBeProxy = "WithTrustedProxies if this is the address of a proxy, else WithLimits"
	switch limit {
	case session.LimitSessionsPerAddress:
		return http.StatusTooManyRequests, "too many clients from your address", mayBeProxy
	case session.LimitHandshakesPerAddress:
		return http.StatusTooManyRequests, "too many clients at once from your address", mayBeProxy
	case session.LimitHandshakes:
		return http.StatusServiceUnavailable, "too many clients at once", "WithLimits"
	default:
		return http.StatusServiceUnavailable, "too many clients", "WithLimits"
	}
}
