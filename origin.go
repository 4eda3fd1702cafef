package thinkws

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	maxOriginLog    = 256  // bytes of a client's origin that go to the log
	maxAllowHeaders = 1024 // bytes of Access-Control-Allow-Headers
	preflightMaxAge = 7200 // seconds a browser may remember a preflight; the most that Chromium does
)

// WithAllowOrigin lists the origins whose pages may connect. It holds for every
// protocol, method and transport, WebSocket upgrades included; all others are
// answered 403, and the log says which origin and why. It may be given several
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
//	null                            pages without an origin: sandboxed frames, files
//	*  or  *:*                      any origin
//
// Letters may be of either case, IPv6 addresses stand in brackets, international
// names are written in punycode (xn--…). Whole origins are compared, never parts of
// a text. Schemes other than http and https (capacitor://localhost) match only a
// pattern that names them, or *. A pattern that cannot be read makes [New] fail.
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
// may do so, and only such an origin gets Access-Control-Allow-Credentials.
// *.example.com trusts whoever can put a page on any host below example.com.
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
	origin    string // for the log: what the client claims, cut to a sane length
	reason    string // for the log only: why it is refused

	grant  grant
	header string // Origin as it came, to be echoed; "" if there is none
}

// status is the code that answers a refused request.
func (v originVerdict) status() int {
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
	case "null":
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

// judge decides whether a request may go on.
func (p *originPolicy) judge(r *http.Request) originVerdict { return p.decide(r, false) }

// judgeEmbedded is judge for what a page can load without a word from CORS, and
// without an Origin: JSONP, htmlfile, iframes. Where origins are listed, it insists
// on a proof; and credentials never pass without one.
func (p *originPolicy) judgeEmbedded(r *http.Request) originVerdict { return p.decide(r, true) }

func (p *originPolicy) decide(r *http.Request, embedded bool) originVerdict {
	c, err := readClaim(r)
	v := originVerdict{origin: c.text}
	if len(v.origin) > maxOriginLog {
		v.origin = v.origin[:maxOriginLog] + "…"
	}
	if err != nil {
		v.malformed = errors.Is(err, errOriginBytes)
		v.reason = err.Error()
		return v
	}
	v.header = c.header
	v.grant, v.reason = p.weigh(c, embedded)
	if p.check != nil && v.grant != grantFull {
		v = p.ask(r, c, v)
	}
	if v.grant == grantBare && hasCredentials(r) && crossOrigin(r, c) {
		v.grant, v.reason = grantNone, credentialsReason(c)
	}
	if v.allowed = v.grant != grantNone; v.allowed {
		v.reason = ""
	}
	return v
}

// weigh says how far a claim is trusted by the patterns, and why it might not be.
func (p *originPolicy) weigh(c originClaim, embedded bool) (grant, string) {
	switch {
	case c.origin != webOrigin{}:
		return p.match(c.origin), "origin is not listed"
	case c.site == "same-origin" || c.site == "none":
		return grantFull, ""
	case c.site != "":
		return p.open(), "sent by another site that does not name its origin"
	case p.require || embedded && !p.any:
		return grantNone, "neither Origin, Referer nor Sec-Fetch-Site, and one is required"
	case embedded:
		return grantBare, ""
	}
	return grantFull, "" // no browser, so nobody's credentials are abused
}

// ask lets the service's own function raise what the patterns grant.
func (p *originPolicy) ask(r *http.Request, c originClaim, v originVerdict) originVerdict {
	ok, err := p.check(r, c.origin.String())
	switch {
	case err != nil:
		v.grant, v.reason = grantNone, "origin function: "+err.Error()
	case ok && c.origin == opaqueOrigin:
		v.grant = grantBare // anyone can have it
	case ok:
		v.grant = grantFull
	}
	return v
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

// originClaim is what a request says about the page behind it.
type originClaim struct {
	origin webOrigin // zero if it names none
	text   string    // the same as the client wrote it
	header string    // the Origin header
	site   string    // Sec-Fetch-Site; scripts cannot set it
}

// readClaim fails if there is an Origin header that is none. A Referer that cannot
// be read only shows that some page is behind the request.
func readClaim(r *http.Request) (originClaim, error) {
	headers := r.Header.Values("Origin")
	c := originClaim{
		header: strings.Join(headers, ", "),
		site:   strings.Join(r.Header.Values("Sec-Fetch-Site"), ", "),
	}
	var err error
	if c.header != "" {
		c.text = c.header
		if c.origin, err = parseOrigin(c.header); err != nil && len(headers) > 1 && !errors.Is(err, errOriginBytes) {
			err = errors.New("several Origin headers")
		}
		return c, err
	}
	if c.text = r.Header.Get("Referer"); c.text == "" {
		return c, nil
	}
	if c.origin, err = refererOrigin(c.text); err == nil {
		c.text = c.origin.String()
	} else if c.site == "" {
		c.site = "cross-site"
	}
	return c, nil
}

// crossOrigin tells whether the page behind the request is of another origin than
// the request's target. What cannot be told counts as such.
func crossOrigin(r *http.Request, c originClaim) bool {
	if c.site != "" {
		return c.site != "same-origin" && c.site != "none" // same-site is another origin, too
	}
	scheme := c.origin.scheme
	if defaultPort(scheme) == "" {
		return true
	}
	if r.TLS != nil {
		scheme = "https" // without TLS a proxy in front may have ended it: trust the page's scheme
	}
	self, err := parseOrigin(scheme + "://" + r.Host)
	return err != nil || self != c.origin
}

// hasCredentials tells whether the request carries what a browser may add on its
// own, in the name of its user.
func hasCredentials(r *http.Request) bool {
	sent := func(v string) bool { return v != "" }
	return slices.ContainsFunc(r.Header.Values("Cookie"), sent) ||
		slices.ContainsFunc(r.Header.Values("Authorization"), sent) ||
		r.TLS != nil && len(r.TLS.PeerCertificates) > 0
}

func credentialsReason(c originClaim) string {
	const what = "credentials (Cookie, Authorization or a client certificate) in a cross-origin request: "
	switch c.origin {
	case webOrigin{}:
		return what + "list the page's origin with WithAllowOrigin, and let the page send Origin or Referer"
	case opaqueOrigin:
		return what + `origin "null" can be anyone's and is never trusted with them`
	}
	return what + "list " + strconv.Quote(c.origin.String()) + " with WithAllowOrigin if it is to be trusted with them"
}

// isPreflight tells whether a browser asks if it may send a cross-origin request.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" &&
		r.Header.Get("Access-Control-Request-Method") != ""
}

// setCORS tells the browser whether the page may read the answer. It replaces what a
// CORS middleware in front has set, so that the two cannot add up to more than either.
//
// Security: an origin is echoed with credentials only if it was named; what the open
// policy lets in gets "*", with which browsers send and show nothing personal.
func (p *originPolicy) setCORS(h http.Header, _ *http.Request, v originVerdict) {
	const allowOrigin, allowCredentials = "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials"
	addVary(h, "Origin")
	h.Del(allowOrigin)
	h.Del(allowCredentials)
	switch {
	case !v.allowed:
	case v.header != "" && v.grant == grantFull:
		h.Set(allowOrigin, v.header)
		h.Set(allowCredentials, "true")
	case p.any:
		h.Set(allowOrigin, "*")
	case v.header != "":
		h.Set(allowOrigin, v.header)
	}
}

// preflight answers a CORS preflight and keeps nothing of it.
func (p *originPolicy) preflight(w http.ResponseWriter, r *http.Request, v originVerdict) {
	h := w.Header()
	p.setCORS(h, r, v)
	h.Set("Content-Length", "0")
	if !v.allowed {
		w.WriteHeader(v.status())
		return
	}
	addVary(h, "Access-Control-Request-Headers")
	h.Set("Access-Control-Allow-Methods", "GET,POST,OPTIONS")
	if names := requestedHeaders(r); names != "" {
		h.Set("Access-Control-Allow-Headers", names)
	}
	h.Set("Access-Control-Max-Age", strconv.Itoa(preflightMaxAge))
	w.WriteHeader(http.StatusNoContent)
}

// requestedHeaders are the headers that a preflight asks for. What is no header name
// is left out, and so is what exceeds the limit.
func requestedHeaders(r *http.Request) string {
	var names []byte
	for _, list := range r.Header.Values("Access-Control-Request-Headers") {
		for name := range strings.SplitSeq(list, ",") {
			name = strings.Trim(name, " \t")
			if !isHeaderName(name) {
				continue
			}
			if len(names)+1+len(name) > maxAllowHeaders {
				return string(names)
			}
			if len(names) > 0 {
				names = append(names, ',')
			}
			names = append(names, name...)
		}
	}
	return string(names)
}

// isHeaderName tells whether s is a token (RFC 9110, section 5.6.2), but not the "*"
// that stands for all headers.
func isHeaderName(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && strings.IndexByte("!#$%&'*+-.^_`|~", s[i]) < 0 {
			return false
		}
	}
	return s != "" && s != "*"
}

// addVary adds a header name to Vary, unless it is there.
func addVary(h http.Header, name string) {
	for _, list := range h.Values("Vary") {
		for field := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.Trim(field, " \t"), name) {
				return
			}
		}
	}
	h.Add("Vary", name)
}
