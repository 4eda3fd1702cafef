// Package clientip tells who a request comes from, where proxies stand in between.
package clientip

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Of returns the address that a request comes from: the remote address or, as far
// as that and what X-Forwarded-For says behind it are trusted proxies, the rightmost address
// there that is not one. It is the zero Addr if the remote address is none, as over a unix
// socket, and where a trusted proxy has said something that is no address.
//
// Security: a client writes into X-Forwarded-For whatever it likes, in front of what proxies
// add. Trust only networks from which nobody but proxies of yours can connect.
func Of(r *http.Request, trusted []netip.Prefix) netip.Addr {
	remote, ok := Parse(r.RemoteAddr)
	if !ok || !Contains(trusted, remote) {
		return remote
	}
	hops := forwardedFor(r)
	for _, text := range slices.Backward(hops) {
		hop, ok := Parse(text)
		if !ok {
			return netip.Addr{}
		}
		remote = hop
		if !Contains(trusted, hop) {
			break
		}
	}
	return remote
}

// maxHops bounds how many addresses of the header are looked at, from the right.
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

// Contains says whether addr is in one of prefixes.
func Contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, prefix := range prefixes {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}
