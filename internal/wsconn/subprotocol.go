package wsconn

import (
	"iter"
	"net/http"
	"slices"
	"strings"
)

const subprotocol = "Sec-WebSocket-Protocol"

// nameSubprotocol writes the subprotocol of a connection into the header of the answer, unless middleware has done so.
// Browsers drop a connection whose answer names none of those that they offer.
func nameSubprotocol(answer http.Header, r *http.Request, choose func(*http.Request, []string) string) {
	if answer.Get(subprotocol) != "" {
		return
	}
	for first := range offeredSubprotocols(r) {
		if choose != nil {
			offered := slices.Collect(offeredSubprotocols(r))
			if first = choose(r, offered); !slices.Contains(offered, first) {
				return // RFC 6455, section 4.2.2: the server may only pick what the client offers
			}
		}
		answer.Set(subprotocol, first)
		return
	}
}

// offeredSubprotocols yields the subprotocols that a client offers, in its order.
//
// Security: text that is not a token (RFC 9110, section 5.6.2) is left out, so the answer echoes nothing that could be read as more
// than a name. Each byte of the header is looked at once, whatever is in it (CVE-2021-32640).
func offeredSubprotocols(r *http.Request) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range r.Header[http.CanonicalHeaderKey(subprotocol)] {
			for name := range strings.SplitSeq(line, ",") {
				if name = strings.Trim(name, " \t"); isToken(name) && !yield(name) {
					return
				}
			}
		}
	}
}

func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c > '~' || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0 {
			return false
		}
	}
	return s != ""
}
