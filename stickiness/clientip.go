package stickiness

import (
	"net/http"
	"net/netip"

	"github.com/seed-ce09063a/thinkws/internal/clientip"
)

// ClientIP returns the address that a request comes from: the remote address or, as far
// as that and what X-Forwarded-For says behind it are trusted proxies, the rightmost address
// there that is not one. It is the zero Addr if the remote address is none, as over a unix
// socket, and where a trusted proxy has said something that is no address.
//
// Security: a client writes into X-Forwarded-For whatever it likes, in front of what proxies
// add. Trust only networks from which nobody but proxies of yours can connect.
func ClientIP(r *http.Request, trusted []netip.Prefix) netip.Addr { return clientip.Of(r, trusted) }
