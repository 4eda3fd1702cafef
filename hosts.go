package thinkws

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// WithAllowedHosts lists the names by which clients may reach the service: what stands in
// their Host header, such as "app.example.com", "app.example.com:8443" or "[::1]:8360".
// Without a port any port is meant. All other requests are answered 421, before their
// origin is looked at. It may be given several times. The default is any name.
//
// It keeps out pages whose own name leads to the service's address (DNS rebinding), whose
// requests are same-origin to the browser: what they ask for by GET has no Origin then, as if
// it came from no browser. It is for services that are reached without TLS by an address
// that a browser can be made to believe is the page's own, on a desk or in an office; behind
// TLS no such page gets as far. A proxy in front has to pass the Host header on.
func WithAllowedHosts(hosts ...string) Option {
	return serverOption("WithAllowedHosts", func(c *config) error {
		if len(hosts) == 0 {
			return errors.New("thinkws: WithAllowedHosts: no host; leave it out to allow any")
		}
		if c.hosts == nil {
			c.hosts = allowedHosts{}
		}
		for _, host := range hosts {
			name, port := splitHost(host)
			if name == "" || strings.ContainsAny(host, "/*@ ") {
				return fmt.Errorf("thinkws: WithAllowedHosts: %q is not a host like \"example.com\" or \"example.com:8360\"", host)
			}
			c.hosts[net.JoinHostPort(name, port)] = true
		}
		return nil
	})
}

// allowedHosts are names with a port, or with an empty one for any; nil for all names.
type allowedHosts map[string]bool

// refuses answers a request that goes to another name.
func (a allowedHosts) refuses(w http.ResponseWriter, r *http.Request) bool {
	name, port := splitHost(r.Host)
	if a == nil || a[net.JoinHostPort(name, "")] || a[net.JoinHostPort(name, port)] {
		return false
	}
	w.Header().Set("Connection", "close") // frames sent right behind must not be read as a request
	http.Error(w, http.StatusText(http.StatusMisdirectedRequest), http.StatusMisdirectedRequest)
	return true
}

// splitHost returns the name, as names are compared, and the port, "" if there is none.
func splitHost(host string) (name, port string) {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), ""
	}
	return strings.ToLower(name), port
}
