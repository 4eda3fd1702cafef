package clientip_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/seed-ce09063a/thinkws/internal/clientip"
)

func request(remote string, headers ...string) *http.Request {
	r := &http.Request{ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: remote, Header: http.Header{}}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func TestClient(t *testing.T) {
	t.Parallel()
	nobody := clientip.Proxies{}
	networks := clientip.Proxies{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.1/32")}}
	unix := clientip.Proxies{Unix: true}
	const forwarded = "X-Forwarded-For"
	for name, tt := range map[string]struct {
		trusted clientip.Proxies
		r       *http.Request
		want    string // the address, "" for none, and "+" if it is shared
	}{
		"public":                         {nobody, request("203.0.113.9:1"), "203.0.113.9"},
		"public, marked":                 {nobody, request("203.0.113.9:1", forwarded, "192.0.2.1", "Via", "x"), "203.0.113.9"},
		"public IPv6, marked":            {nobody, request("[2001:db8::1]:1", forwarded, "192.0.2.1"), "2001:db8::1"},
		"carrier-grade NAT, marked":      {nobody, request("100.64.0.1:1", forwarded, "192.0.2.1"), "100.64.0.1"},
		"private":                        {nobody, request("10.0.0.1:1"), "10.0.0.1"},
		"private, cookies":               {nobody, request("10.0.0.1:1", "Cookie", "a=b"), "10.0.0.1"},
		"private, Forwarded":             {nobody, request("10.0.0.1:1", "Forwarded", "for=192.0.2.1"), "10.0.0.1+"},
		"private, X-Forwarded-For":       {nobody, request("172.16.0.1:1", forwarded, "192.0.2.1"), "172.16.0.1+"},
		"private, X-Forwarded-Proto":     {nobody, request("192.168.0.1:1", "X-Forwarded-Proto", "https"), "192.168.0.1+"},
		"private, X-Real-IP":             {nobody, request("[fc00::1]:1", "X-Real-IP", "192.0.2.1"), "fc00::1+"},
		"private, Via":                   {nobody, request("10.0.0.1:1", "Via", "1.1 x"), "10.0.0.1+"},
		"private in IPv6":                {nobody, request("[::ffff:10.0.0.1]:1", "Via", "1.1 x"), "10.0.0.1+"},
		"link-local":                     {nobody, request("169.254.1.1:1"), "169.254.1.1"},
		"link-local, marked":             {nobody, request("[fe80::1%eth0]:1", "Via", "1.1 x"), "fe80::1+"},
		"loopback":                       {nobody, request("127.0.0.1:1"), "127.0.0.1+"},
		"loopback, IPv6":                 {nobody, request("[::1]:1"), "::1+"},
		"unix":                           {nobody, request("@"), "+"},
		"unix, no address":               {nobody, request("", forwarded, "192.0.2.1"), "+"},
		"unix, a path":                   {nobody, request("/run/nginx.sock"), "+"},
		"unix, abstract":                 {nobody, request("@nginx"), "+"},
		"what is no address":             {nobody, request("somebody"), ""},
		"trusted, private":               {networks, request("10.0.0.1:1", forwarded, "192.0.2.1"), "192.0.2.1"},
		"trusted, names a private one":   {networks, request("10.0.0.1:1", forwarded, "192.168.0.9"), "192.168.0.9"},
		"trusted, names nobody":          {networks, request("10.0.0.1:1", "Via", "1.1 x"), "10.0.0.1"},
		"trusted, names rubbish":         {networks, request("10.0.0.1:1", forwarded, "unknown"), "+"},
		"trusted, loopback":              {networks, request("127.0.0.1:1", forwarded, "192.0.2.1"), "192.0.2.1"},
		"trusted, loopback names nobody": {networks, request("127.0.0.1:1"), "127.0.0.1+"},
		"not trusted among trusted":      {networks, request("192.168.0.1:1", forwarded, "192.0.2.1"), "192.168.0.1+"},
		"networks do not trust unix":     {networks, request("@", forwarded, "192.0.2.1"), "+"},
		"trusted unix":                   {unix, request("@", forwarded, "192.0.2.66, 192.0.2.1"), "192.0.2.1"},
		"trusted unix, no address":       {unix, request("", forwarded, "192.0.2.1"), "192.0.2.1"},
		"trusted unix names nobody":      {unix, request("@"), "+"},
		"unix does not trust networks":   {unix, request("10.0.0.1:1", forwarded, "192.0.2.1"), "10.0.0.1+"},
		"rubbish is not trusted unix":    {unix, request("somebody", forwarded, "192.0.2.1"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := tt.trusted.Client(tt.r)
			got := ""
			if c.Addr.IsValid() {
				got = c.Addr.String()
			}
			if c.Shared {
				got += "+"
			}
			assert.Equal(t, tt.want, got)
		})
	}
	old := request("10.0.0.1:1")
	old.ProtoMinor = 0
	assert.True(t, nobody.Client(old).Shared, "HTTP/1.0")
	old.RemoteAddr = "203.0.113.9:1"
	assert.False(t, nobody.Client(old).Shared)
}

func TestTrust(t *testing.T) {
	t.Parallel()
	both := clientip.Proxies{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Unix: true}
	for remote, want := range map[string]bool{
		"10.0.0.1:1": true, "[::ffff:10.0.0.1]:1": true, "11.0.0.1:1": false, "127.0.0.1:1": false, "@": true, "": true, "somebody": false,
	} {
		assert.Equal(t, want, both.Trust(request(remote)), remote)
		assert.False(t, clientip.Proxies{}.Trust(request(remote)), remote)
	}
}

// A client on the internet never passes for a shared peer, whatever it sends.
func FuzzClient(f *testing.F) {
	f.Add("203.0.113.9:1", "1.2.3.4, 10.0.0.2", "for=_x")
	f.Add("100.64.0.1:1", "::1,,", "")
	f.Add("[fe80::1%eth0]:1", "fe80::1%25eth0,,", "")
	trusted := clientip.Proxies{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	f.Fuzz(func(t *testing.T, remote, forwardedFor, forwarded string) {
		r := request(remote, "X-Forwarded-For", forwardedFor, "Forwarded", forwarded)
		c := clientip.Proxies{}.Client(r)
		public := c.Addr.IsValid() && c.Addr.IsGlobalUnicast() && !c.Addr.IsPrivate()
		if public && c.Shared {
			t.Fatalf("%v is shared", c.Addr)
		}
		if c := trusted.Client(r); c.Addr.Zone() != "" || c.Addr.Is4In6() {
			t.Fatalf("%v is not in its plain form", c.Addr)
		}
		if !trusted.Trust(r) && trusted.Client(r).Addr != c.Addr {
			t.Fatal("the header of a stranger counts")
		}
		if strings.HasPrefix(remote, "10.") && trusted.Trust(r) && c.Addr.IsLoopback() {
			t.Fatal("not the peer's address")
		}
	})
}
