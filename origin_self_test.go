package thinkws_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// C4: a page of the service itself may come with credentials, also where a proxy has changed
// what it was sent to; no other page may.
func TestOwnOrigin(t *testing.T) {
	t.Parallel()
	const (
		cookie = "\nCookie: session=1"
		basic  = "\nAuthorization: Basic dTpw"
		bearer = "\nAuthorization: Bearer x"
		lan    = "10.0.0.1:1"
	)
	for name, tt := range map[string]struct {
		host    string
		headers string
		tls     bool
		cert    bool
		remote  string // the peer; by default a stranger
		own     bool
	}{
		"the same":                                     {"app.test:8080", "Origin: http://app.test:8080" + cookie + basic, false, false, "", true},
		"the same, default port":                       {"app.test", "Origin: http://app.test" + cookie + basic, false, false, "", true},
		"the same by its Referer":                      {"app.test:8080", "Referer: http://app.test:8080/chat" + cookie, false, false, "", true},
		"TLS":                                          {"app.test:8443", "Origin: https://app.test:8443" + cookie + basic, true, false, "", true},
		"TLS and a client certificate":                 {"app.test", "Origin: https://app.test", true, true, "", true},
		"a proxy ends TLS":                             {"app.test", "Origin: https://app.test" + cookie + basic, false, false, "", true},
		"a proxy ends TLS on a port":                   {"app.test:8443", "Origin: https://app.test:8443" + cookie + basic, false, false, "", true},
		"a proxy cuts the port":                        {"app.test", "Origin: http://app.test:8080" + cookie, false, false, "", true},
		"a proxy cuts the port, Referer":               {"app.test", "Referer: http://app.test:8080/" + cookie, false, false, "", true},
		"a proxy cuts the port behind TLS":             {"app.test", "Origin: https://app.test:8443" + cookie, false, false, "", true},
		"a proxy cuts the port of an IPv6 address":     {"[::1]", "Origin: http://[::1]:8080" + cookie, false, false, "", true},
		"a proxy cuts the port, same-origin":           {"app.test", "Origin: http://app.test:8080\nSec-Fetch-Site: same-origin" + cookie + basic, false, false, "", true},
		"a proxy changes Host, same-origin":            {"backend", "Origin: http://app.test:8080\nSec-Fetch-Site: same-origin" + cookie, false, false, "", true},
		"a trusted proxy passes Host on":               {"app.test:8080", "Origin: http://app.test:8080" + cookie, false, false, lan, true},
		"a trusted proxy names the host":               {"backend:9000", "Origin: http://app.test:8080\nX-Forwarded-Host: app.test:8080" + cookie + basic, false, false, lan, true},
		"the nearest of two proxies names the host":    {"backend", "Origin: http://app.test\nX-Forwarded-Host: evil.test, app.test" + cookie, false, false, lan, true},
		"the nearest of two proxies, two lines":        {"backend", "Origin: http://app.test\nX-Forwarded-Host: evil.test\nX-Forwarded-Host: app.test" + cookie, false, false, lan, true},
		"a trusted proxy names a host without port":    {"backend", "Origin: http://app.test:8080\nX-Forwarded-Host: app.test" + cookie, false, false, lan, true},
		"a trusted proxy names https":                  {"app.test", "Origin: https://app.test\nX-Forwarded-Proto: https" + cookie + basic, false, false, lan, true},
		"a trusted proxy names http behind TLS":        {"app.test", "Origin: http://app.test\nX-Forwarded-Proto: http" + cookie, true, false, lan, true},
		"a trusted proxy names wss":                    {"app.test", "Origin: https://app.test\nX-Forwarded-Proto: wss" + cookie, false, false, lan, true},
		"a trusted proxy names an unknown scheme":      {"app.test", "Origin: https://app.test\nX-Forwarded-Proto: gopher" + cookie, false, false, lan, true},
		"a trusted unix proxy names the host":          {"backend", "Origin: http://app.test\nX-Forwarded-Host: app.test" + cookie, false, false, "@", true},
		"http page on an https service":                {"app.test", "Origin: http://app.test" + cookie, true, false, "", false},
		"http page on an https service on a port":      {"app.test", "Origin: http://app.test:8080" + cookie, true, false, "", false},
		"http page on a service behind https":          {"app.test", "Origin: http://app.test\nX-Forwarded-Proto: https" + cookie, false, false, lan, false},
		"http page on a service behind https, port":    {"app.test", "Origin: http://app.test:8080\nX-Forwarded-Proto: https" + cookie, false, false, lan, false},
		"https page on a service behind http":          {"app.test", "Origin: https://app.test\nX-Forwarded-Proto: http" + cookie, false, false, lan, false},
		"localhost:3000 on localhost:8080":             {"localhost:8080", "Origin: http://localhost:3000" + cookie, false, false, "", false},
		"localhost on localhost:8080":                  {"localhost:8080", "Origin: http://localhost" + cookie, false, false, "", false},
		"localhost:3000 on localhost:80":               {"localhost:80", "Origin: http://localhost:3000" + cookie, false, false, "", false},
		"another port of IPv6":                         {"[::1]:8080", "Origin: http://[::1]:3000" + cookie, false, false, "", false},
		"Basic on another port":                        {"app.test", "Origin: http://app.test:8080" + basic, false, false, "", false},
		"Basic and cookies on another port":            {"app.test", "Origin: http://app.test:8080" + cookie + basic, false, false, "", false},
		"Bearer on another port":                       {"app.test", "Origin: http://app.test:8080" + bearer, false, false, "", false},
		"a client certificate on another port":         {"app.test", "Origin: https://app.test:8443", true, true, "", false},
		"another port behind TLS":                      {"app.test", "Origin: https://app.test:8443" + cookie, true, false, "", false},
		"another name where the port was cut":          {"app.test", "Origin: http://evil.test:8080" + cookie, false, false, "", false},
		"a sub-domain where the port was cut":          {"app.test", "Origin: http://x.app.test:8080" + cookie, false, false, "", false},
		"the port was cut, but it is another site":     {"app.test", "Origin: http://app.test:8080\nSec-Fetch-Site: cross-site" + cookie, false, false, "", false},
		"the port was cut, but it is the same site":    {"app.test", "Origin: http://app.test:8080\nSec-Fetch-Site: same-site" + cookie, false, false, "", false},
		"upstream's host":                              {"backend:9000", "Origin: http://app.test:8080" + cookie, false, false, "", false},
		"X-Forwarded-Host of a stranger":               {"backend", "Origin: http://app.test\nX-Forwarded-Host: app.test" + cookie, false, false, "192.0.2.1:1", false},
		"X-Forwarded-Host of this machine, not named":  {"backend", "Origin: http://app.test\nX-Forwarded-Host: app.test" + cookie, false, false, "127.0.0.1:1", false},
		"X-Forwarded-Proto of a stranger":              {"app.test", "Origin: http://app.test\nX-Forwarded-Proto: http" + cookie, true, false, "192.0.2.1:1", false},
		"a page's X-Forwarded-Host before the proxy's": {"backend", "Origin: http://evil.test\nX-Forwarded-Host: evil.test, app.test" + cookie, false, false, lan, false},
		"a trusted proxy names rubbish":                {"app.test", "Origin: http://app.test\nX-Forwarded-Host: app.test/evil" + cookie, false, false, lan, false},
		"an app of the same name":                      {"app.test", "Origin: capacitor://app.test" + cookie, false, false, "", false},
		"null":                                         {"app.test", "Origin: null" + cookie, false, false, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := thinkws.OriginPolicyOf(false, thinkws.WithTrustedProxies(netip.MustParsePrefix("10.0.0.0/8")), thinkws.WithTrustedUnixProxies())
			require.NoError(t, err)
			r := originRequest(tt.headers)
			r.Host, r.RemoteAddr = tt.host, "203.0.113.9:1"
			if tt.remote != "" {
				r.RemoteAddr = tt.remote
			}
			if tt.tls {
				r.TLS = &tls.ConnectionState{}
			}
			if tt.cert {
				r.TLS.PeerCertificates = []*x509.Certificate{{}}
			}
			v := p.Judge(r)
			assert.Equal(t, tt.own, v.Allowed, v.Reason)
			if !tt.own && !strings.Contains(tt.headers, "null") {
				assert.Contains(t, v.Set, "WithAllowOrigin", "the log says what to set")
			}
		})
	}
}

// C4: the log names the setting that lets the service's own page in.
func TestOwnOriginAdvice(t *testing.T) {
	t.Parallel()
	const forward = "; if the page is the service's own, X-Forwarded-Host and X-Forwarded-Proto in the proxy"
	p, err := thinkws.OriginPolicyOf(false, thinkws.WithTrustedProxies(netip.MustParsePrefix("10.0.0.0/8")))
	require.NoError(t, err)
	for remote, want := range map[string]string{
		"10.0.0.1:1":    "WithAllowOrigin" + forward,
		"192.168.0.1:1": "WithAllowOrigin" + forward + " and WithTrustedProxies",
		"@":             "WithAllowOrigin" + forward + " and WithTrustedUnixProxies",
	} {
		r := originRequest("Origin: http://app.test:8080\nCookie: a=b")
		r.RemoteAddr = remote
		assert.Equal(t, want, p.Judge(r).Set, remote)
	}
	assert.Equal(t, "WithAllowOrigin", p.Judge(originRequest("Origin: app://x\nCookie: a=b")).Set)
	assert.Empty(t, p.Judge(originRequest("Origin: null\nCookie: a=b")).Set)
	assert.Equal(t, "WithAllowOrigin", originPolicy(t, "a.test").Judge(requestFrom("http://b.test")).Set)
	assert.Empty(t, p.Judge(requestFrom("http://b.test")).Set)
}

// An origin with credentials passes for our own only if it names the host that the request was
// sent to, or that a trusted proxy names.
func FuzzOwnOrigin(f *testing.F) {
	f.Add("http://app.test:8080", "app.test", "", "", false)
	f.Add("http://app.test", "backend:9000", "evil.test, app.test", "https", true)
	f.Add("https://[::1]:1", "[::1]", "[::1]:1", "https", false)
	f.Add("http://a.b.", "a.b.", ",", ",http", true)
	behind, err := thinkws.OriginPolicyOf(false, thinkws.WithTrustedProxies(netip.MustParsePrefix("10.0.0.0/8")))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, origin, host, forwardedHost, proto string, secure bool) {
		r := originRequest("Cookie: a=b")
		r.Host = host
		r.Header = http.Header{"Cookie": {"a=b"}, "Origin": {origin}, "X-Forwarded-Host": {forwardedHost}, "X-Forwarded-Proto": {proto}}
		if secure {
			r.TLS = &tls.ConnectionState{}
		}
		for remote, hosts := range map[string][]string{"10.0.0.1:1": {host, forwardedHost}, "192.0.2.1:1": {host}} {
			r.RemoteAddr = remote
			if !behind.Judge(r).Allowed || origin == "" {
				continue
			}
			_, name, _ := hostPort(t, origin)
			named := false
			for _, h := range hosts {
				named = named || strings.Contains(strings.ToLower(h), name) || strings.Contains(name, ":") // IPv6 has many spellings
			}
			assert.True(t, named, "%s at %v", origin, hosts)
			if secure && remote != "10.0.0.1:1" {
				assert.True(t, strings.HasPrefix(strings.ToLower(origin), "https:"), origin)
			}
		}
	})
}
