// Package credentials compares what two requests carry to identify a user. A session that several
// requests share keeps a digest of what the first one carried, never the header texts.
package credentials

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Digest stands for header values: the first half of a SHA-256. Two requests with the same digest
// carried the same values.
type Digest [16]byte

// Equal reports whether d and e are the same. It takes the same time for all digests.
func (d Digest) Equal(e Digest) bool { return subtle.ConstantTimeCompare(d[:], e[:]) == 1 }

// Sent returns the digest of the Authorization header and of all cookies except the one of the given
// name.
func Sent(r *http.Request, except string) Digest {
	b := appendAuthorization(nil, r)
	for _, line := range r.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			pair = strings.TrimSpace(pair)
			if name, _, _ := strings.Cut(pair, "="); pair != "" && (except == "" || name != except) {
				b = appendText(b, pair)
			}
		}
	}
	return digest(b)
}

// Rules decide whether a request comes from the user that began a session.
type Rules struct {
	Cookies       []string // names of the cookies that identify a user
	OriginMayMiss bool     // a request needs no Origin, though the first one had it
}

// Owner is the user that began a session. The zero value is nobody.
type Owner struct {
	secrets Digest // of Authorization and the cookies of Rules
	origin  Digest // of Origin; the zero Digest until a request names one
	first   bool   // the first request named it
	referer Digest // the origin of the first request's Referer; the zero Digest if it had none
}

// NewOwner returns the user that sent r, the first request of a session.
func NewOwner(r *http.Request, rules Rules) Owner {
	o := Owner{secrets: rules.secrets(r)}
	o.origin, o.first = originOf(r)
	if page, err := url.Parse(r.Header.Get("Referer")); err == nil && page.Host != "" {
		o.referer = digest(appendList(nil, []string{strings.ToLower(page.Scheme + "://" + page.Host)}))
	}
	return o
}

// Knows reports whether r names the origin of the page that began the session: by what Owns has seen,
// or by the Referer of the first request. It is stricter than Owns, and remembers nothing.
func (o *Owner) Knows(r *http.Request) bool {
	origin, named := originOf(r)
	return named && (o.origin.Equal(origin) || o.referer.Equal(origin))
}

// Owns reports whether o sent r: whether Authorization, Origin and the cookies of rules are those of
// the first request. Other cookies do not count, since a service may renew them at any time. Nor does
// Authorization of the schemes Digest, NTLM and Negotiate, which differs in each request or comes with
// some requests only.
//
// Browsers send no Origin with a GET of the page's own origin. So if the first request had none, the
// first one that comes later holds. Owns remembers it: callers must not run it concurrently.
func (o *Owner) Owns(r *http.Request, rules Rules) bool {
	if !o.secrets.Equal(rules.secrets(r)) {
		return false
	}
	origin, named := originOf(r)
	switch {
	case !named:
		return !o.first || rules.OriginMayMiss
	case o.origin == Digest{}:
		o.origin = origin
		return true
	default:
		return o.origin.Equal(origin)
	}
}

func (rules Rules) secrets(r *http.Request) Digest {
	b := appendAuthorization(nil, r)
	for _, name := range rules.Cookies {
		b = appendList(b, cookiesNamed(r, name))
	}
	return digest(b)
}

// cookiesNamed returns the values of the cookies of this name as the client has written them.
//
// Security: net/http drops cookies with quotes or other letters in their values, such as JSON. The user would then
// be one without a cookie.
func cookiesNamed(r *http.Request, name string) (values []string) {
	for _, line := range r.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			if key, value, ok := strings.Cut(pair, "="); ok && strings.TrimSpace(key) == name {
				values = append(values, strings.TrimSpace(value))
			}
		}
	}
	return values
}

// originOf treats file:// as null: the same page may send one with a WebSocket and the other with
// polls.
func originOf(r *http.Request) (d Digest, named bool) {
	origin := r.Header["Origin"]
	switch {
	case len(origin) == 0 || len(origin) == 1 && origin[0] == "":
		return Digest{}, false
	case len(origin) == 1 && strings.EqualFold(origin[0], "file://"):
		origin = []string{"null"}
	}
	return digest(appendList(nil, origin)), true
}

// appendAuthorization leaves out values that change from request to request.
func appendAuthorization(b []byte, r *http.Request) []byte {
	values := r.Header["Authorization"]
	if slices.ContainsFunc(values, changes) {
		values = slices.DeleteFunc(slices.Clone(values), changes)
	}
	return appendList(b, values)
}

// changes reports whether the scheme of an Authorization header proves each request, or each
// connection, in another way.
func changes(authorization string) bool {
	scheme, _, _ := strings.Cut(strings.TrimLeft(authorization, " \t"), " ")
	switch strings.ToLower(scheme) {
	case "digest", "ntlm", "negotiate":
		return true
	default:
		return false
	}
}

func digest(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest(sum[:])
}

// appendList and appendText write lengths first, so that no two inputs give the same bytes.
func appendList(b []byte, texts []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(texts)))
	for _, s := range texts {
		b = appendText(b, s)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
