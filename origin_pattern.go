package thinkws

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// maxOrigin is the longest Origin that is read, in bytes. A host name has up to 253.
const maxOrigin = 1024

// Errors of parseOrigin and parseOriginPattern.
var (
	errOriginBytes = errors.New("origin has control or non-ASCII bytes")
	errOriginLong  = fmt.Errorf("origin longer than %d bytes", maxOrigin)
	errNoScheme    = errors.New("no scheme://host")
	errScheme      = errors.New("bad scheme")
	errPath        = errors.New("an origin has no path, query or fragment")
	errUser        = errors.New("an origin has no user name")
	errPort        = errors.New("bad port")
	errHost        = errors.New("bad host")
	errBrackets    = errors.New("an IPv6 address stands in brackets")
	errPunycode    = errors.New("control or non-ASCII bytes: use punycode (xn--…) for international names")
	errWildcard    = errors.New("* stands for any host (*:port), any port (host:*) or sub-domains (*.example.org)")
)

// webOrigin is a parsed origin. Two of them are equal if, and only if, a browser
// takes them for the same.
type webOrigin struct {
	scheme string // lower case
	host   string // lower case; IPv6 in brackets and its canonical form
	port   string // filled in for http and https; for others "" if there is none
}

// opaqueOrigin is "null", the origin of sandboxed frames, files and redirects. It is
// nobody's in particular, so two pages that have it are strangers. No scheme has a colon.
var opaqueOrigin = webOrigin{scheme: "null:"}

// parseOrigin reads what browsers write: scheme://host[:port] or null. WebViews write file:// for
// the origin of any file, so that is opaque, too.
func parseOrigin(s string) (webOrigin, error) {
	switch {
	case !isPrintable(s):
		return webOrigin{}, errOriginBytes
	case len(s) > maxOrigin:
		return webOrigin{}, errOriginLong
	case s == "null" || strings.EqualFold(s, "file://"):
		return opaqueOrigin, nil
	}
	scheme, rest, ok := strings.Cut(strings.ToLower(s), "://")
	if !ok {
		return webOrigin{}, errNoScheme
	}
	host, port, err := splitAuthority(rest)
	switch {
	case !isScheme(scheme):
		return webOrigin{}, errScheme
	case err != nil:
		return webOrigin{}, err
	case port == "*":
		return webOrigin{}, errPort
	case port == "":
		port = defaultPort(scheme)
	}
	if host, err = parseHost(scheme, host); err != nil {
		return webOrigin{}, err
	}
	return webOrigin{scheme, host, port}, nil
}

// refererOrigin reads the origin of the page that a Referer names.
func refererOrigin(referer string) (webOrigin, error) {
	scheme, rest, _ := strings.Cut(referer, "://")
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	return parseOrigin(scheme + "://" + rest)
}

// String is the origin as browsers write it, "" for none.
func (o webOrigin) String() string {
	switch {
	case o == webOrigin{}:
		return ""
	case o == opaqueOrigin:
		return "null"
	case o.port == defaultPort(o.scheme):
		return o.scheme + "://" + o.host
	}
	return o.scheme + "://" + o.host + ":" + o.port
}

// originPattern matches origins.
type originPattern struct {
	scheme     string // "" is http and https
	anyHost    bool
	host       string
	subdomains bool   // those of host, not host itself
	port       string // "" is the default of the origin's scheme, "*" any
}

func parseOriginPattern(s string) (originPattern, error) {
	if !isPrintable(s) {
		return originPattern{}, errPunycode
	}
	scheme, rest, absolute := strings.Cut(strings.ToLower(s), "://")
	if !absolute {
		scheme, rest = "", scheme
	} else if !isScheme(scheme) {
		return originPattern{}, errScheme
	}
	host, port, err := splitAuthority(rest)
	if err != nil {
		return originPattern{}, err
	}
	p := originPattern{scheme: scheme, port: port}
	if host == "*" {
		if absolute || port == "" {
			return originPattern{}, errWildcard
		}
		p.anyHost = true
		return p, nil
	}
	host, p.subdomains = strings.CutPrefix(host, "*.")
	if strings.Contains(host, "*") || p.subdomains && host == "" {
		return originPattern{}, errWildcard
	}
	if p.host, err = parseHost(scheme, host); err != nil {
		return originPattern{}, err
	}
	if _, notIP := netip.ParseAddr(strings.Trim(p.host, "[]")); p.subdomains && notIP == nil {
		return originPattern{}, errWildcard
	}
	return p, nil
}

func (p originPattern) matches(o webOrigin) bool {
	return p.matchesScheme(o) && p.matchesHost(o.host) && p.matchesPort(o)
}

func (p originPattern) matchesScheme(o webOrigin) bool {
	if p.scheme == "" {
		return defaultPort(o.scheme) != ""
	}
	return p.scheme == o.scheme
}

func (p originPattern) matchesHost(host string) bool {
	switch {
	case p.anyHost:
		return true
	case p.subdomains:
		return strings.HasSuffix(host, "."+p.host)
	}
	return host == p.host
}

func (p originPattern) matchesPort(o webOrigin) bool {
	switch p.port {
	case "*":
		return true
	case "":
		return o.port == defaultPort(o.scheme)
	}
	return o.port == p.port
}

// grant is how far a matching origin is trusted: *:443 is all of the web.
func (p originPattern) grant() grant {
	if p.anyHost {
		return grantBare
	}
	return grantFull
}

// splitAuthority cuts host[:port] in two and checks the port, which may be "*".
func splitAuthority(s string) (host, port string, err error) {
	switch {
	case strings.ContainsAny(s, `/\?#`):
		return "", "", errPath
	case strings.Contains(s, "@"):
		return "", "", errUser
	}
	colon := strings.LastIndexByte(s, ':')
	if colon < strings.LastIndexByte(s, ']') || colon < 0 {
		return s, "", nil
	}
	host, port = s[:colon], s[colon+1:]
	switch {
	case strings.Contains(host, ":") && !strings.HasPrefix(host, "["):
		return "", "", errBrackets
	case port != "*" && !isPort(port):
		return "", "", errPort
	}
	return host, port, nil
}

// parseHost checks a lower-case host. A scheme other than http and https may have any text there,
// also none: apps choose their own (app://., qrc://).
func parseHost(scheme, s string) (string, error) {
	switch inner, bracket := strings.CutPrefix(s, "["); {
	case bracket:
		return parseIPv6(inner)
	case strings.ContainsAny(s, `:[]*"<>, `):
		return "", errHost
	case scheme != "" && defaultPort(scheme) == "":
		return s, nil
	default:
		return s, checkName(s)
	}
}

func parseIPv6(s string) (string, error) {
	inner, ok := strings.CutSuffix(s, "]")
	addr, err := netip.ParseAddr(inner)
	if !ok || err != nil || !addr.Is6() || addr.Zone() != "" {
		return "", errHost
	}
	return "[" + addr.String() + "]", nil
}

// checkName checks a host name or an IPv4 address of http or https. A name that ends with a dot is
// another one to browsers. One that ends in a number is an address, which they have written in
// its usual form.
func checkName(s string) error {
	name, _ := strings.CutSuffix(s, ".")
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if !isLabel(label) {
			return errHost
		}
		last = label
	}
	if strings.Trim(last, "0123456789") != "" {
		return nil
	}
	if addr, err := netip.ParseAddr(s); err != nil || !addr.Is4() {
		return errHost
	}
	return nil
}

func isLabel(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && s[i] != '-' && s[i] != '_' {
			return false
		}
	}
	return s != ""
}

func isScheme(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && strings.IndexByte("+-.", s[i]) < 0 {
			return false
		}
	}
	return s != "" && 'a' <= s[0] && s[0] <= 'z'
}

// isPort takes decimal numbers without leading zeros.
func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && s[0] != '0'
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// isPrintable reports whether s is printable ASCII, blanks included.
func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// defaultPort is that of the scheme; "" if it is not one of web pages.
func defaultPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}
