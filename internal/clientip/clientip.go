// Package clientip determines the address of a client, also behind proxies.
package clientip

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Of returns the address that a request comes from: the remote address or, if that is a trusted
// proxy, the rightmost address of X-Forwarded-For that is not one. It is the zero Addr if the
// remote address is not an IP address, as over a unix socket, and if a trusted proxy has sent
// something else.
//
// Security: a client writes into X-Forwarded-For whatever it likes, in front of what proxies
// add. Trust only networks from which nobody but proxies of yours can connect.
func Of(r *http.Request, trusted []netip.Prefix) netip.Addr {
	return Proxies{Networks: trusted}.Client(r).Addr
}

// Proxies are the peers whose X-Forwarded headers count. The zero Proxies trusts nobody.
type Proxies struct {
	Networks []netip.Prefix // from which only proxies can connect
	Unix     bool           // peers on unix sockets are proxies
}

// Trust reports whether the peer of a request, which is the other end of its connection, is a
// proxy whose X-Forwarded headers count.
func (p Proxies) Trust(r *http.Request) bool { return p.trust(newPeer(r)) }

func (p Proxies) trust(peer Client) bool {
	if peer.Unix {
		return p.Unix
	}
	return Contains(p.Networks, peer.Addr)
}

// Client is the other end of a connection, or the client that proxies name.
type Client struct {
	Addr   netip.Addr // zero if unknown
	Unix   bool       // it is on a unix socket
	Shared bool       // it may be a proxy in front of many clients, and names none of them
}

func newPeer(r *http.Request) Client {
	addr, _ := Parse(r.RemoteAddr)
	return Client{Addr: addr, Unix: IsUnix(r.RemoteAddr)}
}

// IsUnix reports whether an address of net/http is that of a unix socket: "@" or "" if the
// client has not bound a name, else a path or an abstract name.
func IsUnix(remote string) bool { return remote == "" || remote[0] == '@' || remote[0] == '/' }

// Client returns where a request comes from: what limits, guards and logs go by.
func (p Proxies) Client(r *http.Request) Client {
	c := newPeer(r)
	if !p.trust(c) {
		c.Shared = c.isShared(r)
		return c
	}
	for _, text := range slices.Backward(forwardedFor(r)) {
		hop, ok := Parse(text)
		if c = (Client{Addr: hop, Shared: !ok}); !ok || !Contains(p.Networks, hop) {
			return c
		}
	}
	c.Shared = c.isLocal() // a trusted proxy that names nobody
	return c
}

// isShared reports whether a peer that is not a trusted proxy is probably a proxy all the same.
// Its address is then that of all clients behind it.
//
// Security: a peer that is shared escapes the limits per address, so nobody on the internet may
// pass for one. Nothing but this machine connects over a unix socket or from a loopback address.
// Other peers need an address that the internet does not route, and a header that proxies add;
// such a client is on the service's own network. Carrier-grade NAT (100.64.0.0/10) is ordinary:
// there, clients of the internet connect.
func (c Client) isShared(r *http.Request) bool {
	return c.isLocal() || (c.Addr.IsPrivate() || c.Addr.IsLinkLocalUnicast()) && IsMarked(r)
}

func (c Client) isLocal() bool { return c.Unix || c.Addr.IsLoopback() }

// IsMarked reports whether a request carries the mark of a proxy: a header that proxies add, or
// HTTP/1.0, which nginx speaks by default and clients no longer do.
func IsMarked(r *http.Request) bool {
	if r.ProtoMajor == 1 && r.ProtoMinor == 0 {
		return true
	}
	for name := range r.Header {
		switch {
		case name == "Forwarded", name == "Via", name == "X-Real-Ip", strings.HasPrefix(name, "X-Forwarded-"):
			return true
		}
	}
	return false
}

// maxHops bounds how many addresses of the header are read, from the right.
const maxHops = 32

// forwardedFor returns the last addresses of all X-Forwarded-For headers, in their order.
func forwardedFor(r *http.Request) (hops []string) {
	text := strings.Join(r.Header["X-Forwarded-For"], ",")
	for range maxHops {
		comma := strings.LastIndexByte(text, ',')
		if hop := strings.TrimSpace(text[comma+1:]); hop != "" {
			hops = append([]string{hop}, hops...)
		}
		if comma < 0 {
			break
		}
		text = text[:comma]
	}
	return hops
}

// Parse reads an address with or without a port.
func Parse(text string) (netip.Addr, bool) {
	if port, err := netip.ParseAddrPort(text); err == nil {
		return port.Addr().Unmap().WithZone(""), true
	}
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return addr.Unmap().WithZone(""), err == nil
}

// Contains reports whether addr is in one of prefixes.
func Contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, prefix := range prefixes {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}
