package thinkws

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/seed-ce09063a/thinkws/internal/clientip"
	"github.com/seed-ce09063a/thinkws/internal/excerpt"
)

// WithAllowOrigin lists the origins whose pages may connect. It holds for every
// protocol, method and transport, WebSocket upgrades included; all others are
// answered 403, and the log says which origin, why, and what to set. It may be given several
// times, and a pattern may be several, separated by blanks or commas:
//
//	https://app.example.com         scheme, host and port; the port is the scheme's
//	https://app.example.com:8443    own unless given, and * for any
//	app.example.com                 http or https, on the default port of the scheme
//	app.example.com:8360            http or https, on this port
//	app.example.com:*               http or https, on any port
//	https://*.example.com           all sub-domains, of any depth, but not example.com
//	*.example.com                   the same, http or https, on the default port
//	*:8360                          http or https, any host on this port
//	capacitor://localhost  app://.  apps, WebViews and extensions, as they write it
//	null                            pages without an origin: sandboxed frames, files
//	file://                         the same, as WebViews write it
//	*  or  *:*                      any origin
//
// Letters may be of either case, IPv6 addresses stand in brackets, international
// names are written in punycode (xn--…). Whole origins are compared, never parts of
// a text. Schemes other than http and https match only a pattern that names them, or *. A name
// with a dot at its end is another one. A pattern that cannot be read makes [New] fail.
// An Origin that is a word or a host without a scheme, as only programs send it, counts as null
// under * and fits nothing else.
//
// A request without an Origin header is judged by its Referer; without one by
// Sec-Fetch-Site, which must be same-origin or none. A client that sends none of
// them is no browser, and passes unless [WithRequireOrigin] is given. The service's
// own origin has no privilege: where origins are listed, list it too.
//
// Security: without this option, or for an origin that only *, *:port or null lets
// in, anyone may connect, but a cross-origin request of a browser is refused if it
// carries cookies, Authorization or a TLS client certificate. Otherwise every page
// on the web could speak to the service in the name of the user who looks at it. Only
// an origin that a pattern names by its host, or that [WithAllowOriginFunc] accepts,
// may do so. *.example.com trusts whoever can put a page on any host below example.com.
//
// A page is the service's own if Sec-Fetch-Site is same-origin or, in its absence, if scheme,
// host and port of its origin are those that the request was sent to. A proxy must therefore
// pass the Host header on, or send X-Forwarded-Host and be named by [WithTrustedProxies]. A Host
// without a port, on a connection without TLS, also stands for other ports of the same name
// (nginx cuts it for "Host $host") if the request carries cookies alone. An upgrade to WebSocket
// needs no such proof if it carries the cookies and the Authorization of its session.
//
// Answers name the origin with Access-Control-Allow-Credentials if it is trusted with them.
// Others get "*", apart from clients of Socket.IO 2 and SockJS, which ask with credentials wherever they
// are: requests of theirs that carry none have their origin echoed. Behind a proxy that
// authenticates users and does not pass their credentials on, this shows other pages what a
// user sees: list origins there. A page that is not trusted with credentials never gets a cookie.
//
// The check keeps out other people's pages, not other people: a program that is no
// browser sends any Origin it likes. It does not replace authentication.
func WithAllowOrigin(patterns ...string) Option {
	return serverOption("WithAllowOrigin", func(c *config) error {
		if len(patterns) == 0 {
			return errors.New("thinkws: WithAllowOrigin: no pattern; leave it out to let any origin connect")
		}
		c.origins = append(c.origins, patterns...)
		return nil
	})
}

// WithAllowOriginFunc lets fn allow what no pattern of [WithAllowOrigin] names by its
// host; if there are no patterns, fn alone decides. The origin is in lower case and
// without the scheme's default port, as browsers write it: "https://app.example.com",
// or "null". It comes from Origin, or else from Referer. It is "" if the request names
// none and would be refused for that; fn may let it in all the same. A request that
// passes without an origin (see [WithAllowOrigin]) is not shown to fn; together with
// [WithRequireOrigin], a client that is no browser is.
//
// An error refuses the request. Its text goes to the log, never to the client.
//
// Security: an origin that fn accepts is trusted with the user's cookies, so compare
// whole origins, and do not accept what fn does not know. Only "null" never is. fn is
// called for each request that needs it, preflights included, and from several
// goroutines at once; it must not change r. It may be given only once.
func WithAllowOriginFunc(fn func(r *http.Request, origin string) (bool, error)) Option {
	return serverOption("WithAllowOriginFunc", func(c *config) error {
		switch {
		case fn == nil:
			return errors.New("thinkws: WithAllowOriginFunc: nil function")
		case c.originFunc != nil:
			return errors.New("thinkws: WithAllowOriginFunc: given twice")
		}
		c.originFunc = fn
		return nil
	})
}

// WithRequireOrigin refuses requests that carry no Origin, no Referer and no
// Sec-Fetch-Site: those of clients that are no browsers, and of old browsers that
// were told to send no Referer. By default they pass, since a program that wants to
// get in can send any Origin; require one where such old browsers must be kept out.
func WithRequireOrigin() Option {
	return serverOption("WithRequireOrigin", func(c *config) error { c.requireOrigin = true; return nil })
}

// originPolicy decides who may connect. It is immutable after newOriginPolicy, and
// so safe for concurrent use.
type originPolicy struct {
	any      bool // any origin may connect, though without credentials
	null     bool // so may pages that have none
	patterns []originPattern
	check    func(r *http.Request, origin string) (bool, error) // may be nil
	require  bool
	proxies  clientip.Proxies // whose X-Forwarded-Host and X-Forwarded-Proto count
}

// grant is how far an origin is trusted.
type grant uint8

const (
	grantNone grant = iota // refused
	grantBare              // may connect, but not with the credentials of a user
	grantFull              // may connect, credentials and all
)

// originVerdict is the answer to one request.
type originVerdict struct {
	allowed   bool
	malformed bool   // Origin has bytes that no origin has: 400, not 403
	origin    string // for the log: what the client claims
	reason    string // for the log only: why it is refused
	set       string // for the log only: what to set if that is wrong

	grant   grant
	echo    bool        // the origin is echoed with credentials, though it is not trusted with them
	unknown bool        // refused for its credentials alone: the origin may yet prove to be our own
	claim   originClaim // what the request says about its page
}

// status is the code that answers a refused request.
func (v *originVerdict) status() int {
	if v.malformed {
		return http.StatusBadRequest
	}
	return http.StatusForbidden
}

// newOriginPolicy reads the patterns. With neither patterns nor check, any origin
// may connect.
func newOriginPolicy(patterns []string, check func(r *http.Request, origin string) (bool, error), require bool) (*originPolicy, error) {
	p := &originPolicy{any: len(patterns) == 0 && check == nil, check: check, require: require}
	for _, list := range patterns {
		fields := strings.FieldsFunc(list, func(c rune) bool { return c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r' })
		if len(fields) == 0 {
			return nil, fmt.Errorf("origin pattern %q: empty", list)
		}
		for _, f := range fields {
			if err := p.add(f); err != nil {
				return nil, fmt.Errorf("origin pattern %q: %w", f, err)
			}
		}
	}
	return p, nil
}

func (p *originPolicy) add(pattern string) error {
	switch strings.ToLower(pattern) {
	case "*", "*:*":
		p.any = true
		return nil
	case "null", "file://":
		p.null = true
		return nil
	}
	parsed, err := parseOriginPattern(pattern)
	if err != nil {
		return err
	}
	p.patterns = append(p.patterns, parsed)
	return nil
}

// evidence is what a request has to show if nothing in it comes from a browser.
type evidence uint8

const (
	// A client that is not a browser shows nothing, and passes.
	evidenceNone evidence = iota
	// JSONP, htmlfile and iframes: a page loads them without CORS and without an Origin. They are for
	// browsers alone. So where origins are listed a request has to name its own, and credentials
	// never pass without one.
	evidenceEmbedded
	// GET and HEAD of an Action, and EventSource of SockJS: a page of any origin can send them with
	// Referrer-Policy no-referrer, and an old browser, or one without TLS, then says nothing about
	// the page. So credentials that a browser adds by itself do not pass. Otherwise a page could
	// begin a session of SockJS in the name of its visitor under an id that it has chosen, and
	// anybody could send events to it.
	evidenceAmbient
)

// decide decides whether a request may go on, and sets v, which is zero.
func (p *originPolicy) decide(r *http.Request, want evidence, v *originVerdict) {
	c := &v.claim
	err := c.read(r)
	if p.any && errors.Is(err, errNoScheme) {
		// Programs send a word or a host here (sockjs-protocol: "test"). As browsers do not, it is
		// nobody's origin: where anyone may connect it may, too, without credentials.
		c.origin, err = opaqueOrigin, nil
	}
	v.origin = excerpt.Text(c.text)
	if err != nil {
		v.malformed = errors.Is(err, errOriginBytes)
		v.reason = err.Error()
		return
	}
	p.weigh(r, want, v)
	if p.check != nil && v.grant != grantFull {
		p.ask(r, v)
	}
	if v.grant == grantBare && hasCredentials(r) && p.isForeign(r, c) {
		v.grant, v.unknown = grantNone, true
		v.reason, v.set = credentialsReason(c), p.credentialsAdvice(r, c)
	}
	if v.grant != grantNone {
		v.allow()
	}
}

func (v *originVerdict) allow() { v.allowed, v.reason, v.set = true, "", "" }

// vouch lets a request in that was refused for its credentials alone, if the service knows the
// page behind it.
func (v *originVerdict) vouch() {
	v.grant, v.unknown = grantBare, false
	v.allow()
}

// weigh sets how far a claim is trusted by the patterns, and why it might not be.
func (p *originPolicy) weigh(r *http.Request, want evidence, v *originVerdict) {
	switch c := v.claim; {
	case c.origin != webOrigin{}:
		v.grant, v.reason, v.set = p.match(c.origin), "origin is not listed", "WithAllowOrigin"
	case c.site == "same-origin" || c.site == "none":
		v.grant = grantFull
	case c.site != "":
		v.grant, v.reason = p.open(), "sent by another site that does not name its origin"
	case p.require || want == evidenceEmbedded && !p.any:
		v.reason = "neither Origin, Referer nor Sec-Fetch-Site, and one is required"
	case want == evidenceEmbedded:
		v.grant = grantBare
	case want == evidenceAmbient && hasAmbient(r):
		v.reason = "credentials that browsers add by themselves, and neither Origin, Referer nor Sec-Fetch-Site"
	default:
		v.grant = grantFull // no browser, so nobody's credentials are abused
	}
}

// ask lets the service's own function raise what the patterns grant.
func (p *originPolicy) ask(r *http.Request, v *originVerdict) {
	ok, err := p.check(r, v.claim.origin.String())
	switch {
	case err != nil:
		v.grant, v.reason, v.set = grantNone, "origin function: "+err.Error(), ""
	case ok && v.claim.origin == opaqueOrigin:
		v.grant = grantBare // anyone can have it
	case ok:
		v.grant = grantFull
	}
}

func (p *originPolicy) match(o webOrigin) grant {
	best := p.open()
	if o == opaqueOrigin {
		if p.null {
			best = grantBare
		}
		return best
	}
	for _, pattern := range p.patterns {
		if pattern.matches(o) {
			best = max(best, pattern.grant())
		}
	}
	return best
}

// open is what an origin gets that no pattern names.
func (p *originPolicy) open() grant {
	if p.any {
		return grantBare
	}
	return grantNone
}
