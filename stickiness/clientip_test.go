package stickiness_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/seed-ce09063a/thinkws/stickiness"
)

// TestHostile82ForwardedFor: "82 X-Forwarded-For spoof": only what trusted proxies say counts.
func TestHostile82ForwardedFor(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tt := range []struct {
		name, remote string
		headers      []string
		want         string // "" for none
	}{
		{"nobody in between", "203.0.113.9:1234", nil, "203.0.113.9"},
		{"client lies", "203.0.113.9:1234", []string{"1.2.3.4"}, "203.0.113.9"},
		{"client says it is a proxy", "203.0.113.9:1234", []string{"10.0.0.1"}, "203.0.113.9"},
		{"behind a proxy", "10.0.0.1:1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"client lies to the proxy", "10.0.0.1:1", []string{"1.2.3.4, 203.0.113.9"}, "203.0.113.9"},
		{"client lies in a header of its own", "10.0.0.1:1", []string{"1.2.3.4", "203.0.113.9"}, "203.0.113.9"},
		{"client names proxies", "10.0.0.1:1", []string{"10.9.9.9, 203.0.113.9"}, "203.0.113.9"},
		{"two proxies", "10.0.0.1:1", []string{"1.2.3.4, 203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
		{"nothing but proxies", "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"proxy without the header", "10.0.0.1:1", nil, "10.0.0.1"},
		{"empty parts", "10.0.0.1:1", []string{" , 203.0.113.9 ,, "}, "203.0.113.9"},
		{"with a port", "10.0.0.1:1", []string{"203.0.113.9:555"}, "203.0.113.9"},
		{"IPv6", "[fd00::1]:1", []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv6 in brackets", "[fd00::1]:1", []string{"[2001:db8::1]:80"}, "2001:db8::1"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:1", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{"no address", "10.0.0.1:1", []string{"203.0.113.9, unknown"}, ""},
		{"junk further left", "10.0.0.1:1", []string{"junk, 203.0.113.9"}, "203.0.113.9"},
		{"long", "10.0.0.1:1", []string{strings.Repeat("1.2.3.4,", 100_000) + "203.0.113.9"}, "203.0.113.9"},
		{"unix socket", "@", []string{"203.0.113.9"}, ""},
	} {
		t.Run("82 "+tt.name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: tt.remote, Header: http.Header{"X-Forwarded-For": tt.headers}}
			got := stickiness.ClientIP(r, trusted)
			if tt.want == "" {
				assert.False(t, got.IsValid(), got)
				return
			}
			assert.Equal(t, tt.want, got.String())
			bare := stickiness.ClientIP(r, nil)
			assert.Contains(t, tt.remote, bare.String(), "nobody is trusted")
		})
	}
}

func FuzzClientIP(f *testing.F) {
	f.Add("10.0.0.1:1", "1.2.3.4, 10.0.0.2")
	f.Add("[::1%eth0]:1", "fe80::1%25eth0,,")
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, remote, header string) {
		r := &http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": {header}}}
		if addr := stickiness.ClientIP(r, trusted); addr.Zone() != "" || addr.Is4In6() {
			t.Fatalf("%v is not in its plain form", addr)
		}
	})
}
