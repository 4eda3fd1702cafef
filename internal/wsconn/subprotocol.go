package wsconn

import (
	"net/http"
	"slices"
	"strings"

	"github.com/seed-ce09063a/thinkws/internal/headers"
)

const subprotocol = "Sec-Websocket-Protocol"

// nameSubprotocol writes the subprotocol of a connection into the header of the answer, unless middleware has done so.
// Browsers drop a connection whose answer names none of those that they offer.
func nameSubprotocol(answer http.Header, r *http.Request, choose func(*http.Request, []string) string) {
	offered := offeredSubprotocols(r)
	if answer.Get(subprotocol) != "" || len(offered) == 0 {
		return
	}
	name := offered[0]
	if choose != nil {
		name = choose(r, offered)
	}
	if slices.Contains(offered, name) { // RFC 6455, section 4.2.2: the server may only pick what the client offers
		answer.Set(subprotocol, name)
	}
}

// offeredSubprotocols returns the subprotocols that a client offers, in its order.
//
// Security: text that is not a token (RFC 9110, section 5.6.2) is left out, so the answer echoes nothing that could be
// read as more than a name. Each byte of the header is looked at once, whatever is in it (CVE-2021-32640).
func offeredSubprotocols(r *http.Request) (names []string) {
	for name := range headers.Elements(r.Header[subprotocol]) {
		if isToken(name) {
			names = append(names, name)
		}
	}
	return names
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
