package thinkws

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-ce09063a/thinkws/internal/clientip"
)

// isForeign reports whether the page behind a request is of another origin than the service. A
// page counts as foreign unless the request shows that it is not.
func (p *originPolicy) isForeign(r *http.Request, c *originClaim) bool {
	if c.site != "" {
		return c.site != "same-origin" && c.site != "none" // same-site is another origin, too
	}
	return !p.isOwn(r, c.origin)
}

// isOwn reports whether an origin is that of the service: scheme, host and port agree with
// those that the request was sent to.
//
// Security: on a connection without TLS a proxy may have ended TLS in front of us, so the scheme
// is known only if a trusted proxy tells it. Otherwise that of the page counts: a port speaks
// one scheme, and browsers do not let a page of https send requests over http.
//
// There is one exception, for proxies that cut the port (nginx with "Host $host"): if Host has
// no port, any port of the same name is our own. Cookies do not tell ports apart, so another
// port of this host gets them anyway. Authorization and client certificates do, so they may not
// come along. Behind TLS a page of http on the same host may be the work of anybody on the way,
// so there is no exception where TLS is known.
func (p *originPolicy) isOwn(r *http.Request, origin webOrigin) bool {
	if defaultPort(origin.scheme) == "" {
		return false
	}
	scheme, host := p.target(r)
	if scheme != "" && scheme != origin.scheme {
		return false
	}
	self, err := parseOrigin(origin.scheme + "://" + host)
	if err != nil || self.host != origin.host {
		return false
	}
	return self.port == origin.port || scheme != "https" && !hasPort(host) && hasCookiesOnly(r)
}

// target returns the scheme and the host[:port] that a request was sent to by its browser. The
// scheme is "" if it is unknown.
//
// Security: a page can have its browser send X-Forwarded headers to a service that allows them
// in a preflight. They count from a trusted proxy only, and preflights never allow them. Of
// several values the last one is that of the nearest proxy.
func (p *originPolicy) target(r *http.Request) (scheme, host string) {
	host = r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if !p.proxies.Trust(r) {
		return scheme, host
	}
	if forwarded := lastOf(r.Header["X-Forwarded-Host"]); forwarded != "" {
		host = forwarded
	}
	switch strings.ToLower(lastOf(r.Header["X-Forwarded-Proto"])) {
	case "https", "wss":
		scheme = "https"
	case "http", "ws":
		scheme = "http"
	}
	return scheme, host
}

// lastOf returns the last element of a header that is a list.
func lastOf(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	line := lines[len(lines)-1]
	return strings.TrimSpace(line[strings.LastIndexByte(line, ',')+1:])
}

func hasPort(host string) bool { _, port := splitHost(host); return port != "" }

// hasCredentials reports whether a request carries what a browser may add by itself, in the name
// of its user.
func hasCredentials(r *http.Request) bool {
	return isSent(r.Header["Cookie"]) || isSent(r.Header["Authorization"]) || hasCertificate(r)
}

func hasCookiesOnly(r *http.Request) bool {
	return !isSent(r.Header["Authorization"]) && !hasCertificate(r)
}

// hasAmbient is hasCredentials without what only a script can add: an Authorization header whose
// scheme browsers do not know, such as Bearer.
func hasAmbient(r *http.Request) bool {
	return isSent(r.Header["Cookie"]) || hasCertificate(r) || slices.ContainsFunc(r.Header["Authorization"], isAmbient)
}

func isAmbient(authorization string) bool {
	scheme, _, _ := strings.Cut(strings.TrimLeft(authorization, " \t"), " ")
	switch strings.ToLower(scheme) {
	case "basic", "digest", "ntlm", "negotiate":
		return true
	default:
		return false
	}
}

func isSent(lines []string) bool {
	return slices.ContainsFunc(lines, func(line string) bool { return line != "" })
}

func hasCertificate(r *http.Request) bool { return r.TLS != nil && len(r.TLS.PeerCertificates) > 0 }

func credentialsReason(c *originClaim) string {
	const what = "credentials (Cookie, Authorization or a client certificate) in a cross-origin request: "
	switch c.origin {
	case webOrigin{}:
		return what + "list the page's origin with WithAllowOrigin, and let the page send Origin or Referer"
	case opaqueOrigin:
		return what + `origin "null" can be anyone's and is never trusted with them`
	}
	return what + "list " + strconv.Quote(c.origin.String()) + " with WithAllowOrigin if it is to be trusted with them"
}

// credentialsAdvice names the settings for a page that should have been let in: for one of the
// service's own behind a proxy, what the proxy has to send.
func (p *originPolicy) credentialsAdvice(r *http.Request, c *originClaim) string {
	const list, own = "WithAllowOrigin", "; if the page is the service's own, X-Forwarded-Host and X-Forwarded-Proto in the proxy"
	switch {
	case c.origin == opaqueOrigin:
		return ""
	case defaultPort(c.origin.scheme) == "":
		return list
	case p.proxies.Trust(r):
		return list + own
	case clientip.IsUnix(r.RemoteAddr):
		return list + own + " and WithTrustedUnixProxies"
	default:
		return list + own + " and WithTrustedProxies"
	}
}
