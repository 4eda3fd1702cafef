package thinkws_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

func TestOriginPatterns(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		patterns []string
		allow    string // origins, separated by blanks
		refuse   string
	}{
		{
			"scheme, host and default port", []string{"https://app.example.com"},
			"https://app.example.com https://app.example.com:443 HTTPS://App.Example.COM",
			"http://app.example.com https://app.example.com:444 https://app.example.com:80 wss://app.example.com app.example.com",
		},
		{
			"look-alikes", []string{"https://example.com"},
			"https://example.com",
			"https://evilexample.com https://example.com.evil https://example.com.evil.org https://example.co https://xample.com " +
				"https://www.example.com https://example.comm https://example-com https://example.com-evil.org https://example.com_",
		},
		{
			"user name tricks", []string{"https://example.com"},
			"",
			"https://example.com@evil.org https://evil.org@example.com https://a:b@example.com https://@example.com " +
				"https://example.com:443@evil.org https://example.com%40evil.org https://example.com:x@evil.org",
		},
		{
			"what is no origin", []string{"https://example.com"},
			"",
			"https://example.com/ https://example.com/x https://example.com? https://example.com# https://example.com?a=b " +
				"https://example.com\\evil.org https:\\\\example.com https:example.com https:/example.com //example.com example.com " +
				"https:// https://:443 https://.example.com https://example..com https://example.com. https://.example.com. " +
				"https://https://example.com https://[example.com] https://exam%70le.com https://example.com,https://example.com " +
				"null none * *:* https://* https://*.example.com :// ://example.com 1http://example.com ht_tp://example.com",
		},
		{
			"ports", []string{"https://example.com:8443"},
			"https://example.com:8443",
			"https://example.com https://example.com:443 https://example.com:84430 https://example.com:843 https://example.com:08443 " +
				"https://example.com:8443: https://example.com::8443 https://example.com: https://example.com:0 https://example.com:65536 " +
				"https://example.com:+8443 https://example.com:-1 https://example.com:8_443 https://example.com:* https://example.com:0x20fb http://example.com:8443",
		},
		{
			"default port of http written out", []string{"http://example.com:80"},
			"http://example.com http://example.com:80", "https://example.com http://example.com:443 https://example.com:80",
		},
		{
			"bare host", []string{"example.com"},
			"http://example.com https://example.com http://example.com:80 https://example.com:443",
			"http://example.com:8080 https://example.com:80 http://example.com:443 ftp://example.com capacitor://example.com http://www.example.com",
		},
		{
			"host and port", []string{"example.com:80", "dev.example.com:8360"},
			"http://example.com https://example.com:80 http://dev.example.com:8360 https://dev.example.com:8360",
			"https://example.com http://example.com:8360 http://dev.example.com http://dev.example.com:80 app://dev.example.com:8360",
		},
		{
			"any port", []string{"localhost:*", "http://127.0.0.1:*"},
			"http://localhost https://localhost http://localhost:3000 http://127.0.0.1 http://127.0.0.1:65535",
			"http://localhost.evil.org:3000 https://127.0.0.1 http://127.0.0.11 http://127.0.0.1.evil.org capacitor://localhost",
		},
		{
			"any host", []string{"*:8360"},
			"http://a.org:8360 https://b.org:8360 http://[::1]:8360 http://10.0.0.1:8360",
			"http://a.org http://a.org:83600 http://a.org:836 app://x:8360 null",
		},
		{
			"any host on the port of https", []string{"*:443"},
			"https://a.org http://a.org:443", "http://a.org",
		},
		{
			"sub-domains with scheme", []string{"https://*.example.org"},
			"https://a.example.org https://a.b.c.example.org https://xn--bcher-kva.example.org",
			"https://example.org http://a.example.org https://a.example.org:8443 https://aexample.org https://evilexample.org " +
				"https://a.example.org.evil.com https://.example.org https://a..example.org https://*.example.org https://example.org.example",
		},
		{
			"sub-domains with scheme and port", []string{"https://*.example.org:8443"},
			"https://a.example.org:8443", "https://a.example.org https://example.org:8443",
		},
		{
			"sub-domains of either scheme", []string{"*.example.org", "*.dev.test:*", "*.localhost:3000"},
			"http://a.example.org https://a.b.example.org http://x.dev.test https://x.dev.test:9 http://a.localhost:3000",
			"http://example.org http://a.example.org:8080 http://dev.test http://a.localhost http://localhost:3000",
		},
		{
			"several in one string", []string{"https://a.org, b.org:8080\tc.org\n,,d.org:* ", "https://e.org"},
			"https://a.org http://b.org:8080 https://c.org http://d.org:1 https://e.org",
			"http://a.org http://b.org http://c.org:8080 https://a.org,b.org:8080",
		},
		{
			"upper-case patterns", []string{"HTTPS://APP.Example.COM", "*.EXAMPLE.org", "NULL"},
			"https://app.example.com http://a.Example.Org null", "https://app.example.net",
		},
		{
			"punycode", []string{"https://xn--bcher-kva.example"},
			"https://xn--bcher-kva.example https://XN--Bcher-Kva.example", "https://bucher.example https://xn--bcher-kvb.example",
		},
		{
			"IPv6", []string{"http://[::1]:8360", "[2001:DB8:0:0::1]", "https://[fe80::1]"},
			"http://[::1]:8360 http://[0:0:0:0:0:0:0:1]:8360 https://[2001:db8::1] http://[2001:db8::1] https://[FE80::1]",
			"http://[::1] http://[::2]:8360 http://::1:8360 http://[::1]x:8360 http://[::1:8360 http://::1]:8360 " +
				"https://[fe80::1%eth0] https://[fe80::1%25eth0] http://[fe80::1] http://[[::1]]:8360 http://[]:8360 http://1:8360",
		},
		{
			"IPv4 is no IPv6", []string{"127.0.0.1"},
			"http://127.0.0.1", "http://[::ffff:127.0.0.1] http://[127.0.0.1] http://127.0.0.1. http://127.1 http://2130706433 http://0127.0.0.1 http://127.0.0.1.2",
		},
		{
			"other schemes", []string{"capacitor://localhost", "chrome-extension://abcdefghijklmnopabcdefghijklmnop", "app://main:7"},
			"capacitor://localhost CAPACITOR://localhost chrome-extension://abcdefghijklmnopabcdefghijklmnop app://main:7",
			"http://localhost ionic://localhost capacitor://localhost:80 capacitor://localhost. chrome-extension://abcdefghijklmnopabcdefghijklmnoq app://main app://main:70",
		},
		{
			"other schemes, host and none", []string{
				"app://.", "app://-", "qrc://", "ionic://localhost", "tauri://localhost", "capacitor://localhost", "http://tauri.localhost",
				"chrome-extension://abcdefghijklmnopabcdefghijklmnop", "moz-extension://0f2d1f5c-8b3e-4b6a-9a3e-1c2d3e4f5a6b",
				"safari-web-extension://0F2D1F5C-8B3E-4B6A-9A3E-1C2D3E4F5A6B", "vscode-webview://a_b~c%20", "app://*.bundle",
			},
			"app://. app://- qrc:// ionic://localhost tauri://localhost capacitor://localhost http://tauri.localhost " +
				"chrome-extension://abcdefghijklmnopabcdefghijklmnop moz-extension://0f2d1f5c-8b3e-4b6a-9a3e-1c2d3e4f5a6b " +
				"safari-web-extension://0F2D1F5C-8B3E-4B6A-9A3E-1C2D3E4F5A6B vscode-webview://a_b~c%20 app://x.bundle",
			"app:// app://.. app://x app://bundle qrc://x ionic:// ionic://localhost:8100 tauri://localhost. http://localhost null file:// " +
				"app://./ app://.@evil app://*.bundle app://[.] app://.:x app://x,app://. moz-extension://0f2d1f5c-8b3e-4b6a-9a3e-1c2d3e4f5a6c",
		},
		{
			"names with a dot at the end", []string{"http://a.b.c.", "d.e.:*", "https://*.f.g."},
			"http://a.b.c. http://A.B.C.:80 https://d.e.:1 https://x.f.g.",
			"http://a.b.c http://a.b.c.. http://x.a.b.c. http://d.e:1 https://x.f.g http://. http://.. http://127.0.0.1.",
		},
		{
			"null only", []string{"null"},
			"null file:// FILE://", "Null NULL nullx https://null null://null null:// null: file:/// file:///a file://localhost/a file: file:/",
		},
		{
			"files only", []string{"file://"},
			"null file://", "file:/// test",
		},
		{
			"any", []string{"*"},
			"http://a.org https://b.org:1 null capacitor://localhost chrome-extension://abc http://[::1] http://a.org. file:// app://. test a.org a.org:80 *",
			"http://a@b.org http://a.org/ http://a.org:* http://a.org,http://b.org",
		},
		{
			"any, as ThinkJS writes it, somewhere in a list", []string{"a.org *:*"},
			"http://b.org null a.org", "http://b.org/",
		},
		{
			"the open default", nil,
			"http://a.org null capacitor://localhost test a.org Null http://" + serverHost, "http://a.org/",
		},
		// What ThinkJS let in or kept out because it searched the list as a text.
		{
			"ThinkJS substrings of an address", []string{"127.0.0.1:8360"},
			"http://127.0.0.1:8360", "http://1:8360 http://0.0.1:8360 http://0.0.0.1:8360 http://7.0.0.1:8360 http://127.0.0.1",
		},
		{
			"ThinkJS substrings of a name", []string{"example.com:80"},
			"http://example.com", "http://ample.com http://e.com http://com http://m:80 http://example.com:8",
		},
		{
			"ThinkJS refused a scheme without port", []string{"http://example.com"},
			"http://example.com http://example.com:80", "http://example.com:81",
		},
		{
			"ThinkJS list in one string", []string{"http://a.org:80 http://b.org:80"},
			"http://a.org http://b.org", "http://b.org:8 http://g:80",
		},
		// The service's own origin has no privilege: Host and Origin may both be an attacker's.
		{"own origin", []string{"https://partner.example"}, "https://partner.example", "https://" + serverHost + " http://" + serverHost},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := originPolicy(t, tt.patterns...)
			for origin := range strings.FieldsSeq(tt.allow) {
				v := p.Judge(requestFrom(origin))
				assert.True(t, v.Allowed, "%q refused: %s", origin, v.Reason)
				assert.Equal(t, origin, v.Origin)
				assert.Empty(t, v.Reason)
			}
			for origin := range strings.FieldsSeq(tt.refuse) {
				v := p.Judge(requestFrom(origin))
				assert.False(t, v.Allowed, "%q allowed", origin)
				assert.False(t, v.Malformed, "%q malformed", origin)
				assert.Equal(t, http.StatusForbidden, v.Status)
				assert.Equal(t, origin, v.Origin)
				assert.NotEmpty(t, v.Reason)
			}
		})
	}
}

func TestOriginPatternErrors(t *testing.T) {
	t.Parallel()
	tests := []struct{ pattern, named, reason string }{
		{"", `""`, "empty"},
		{" , ,\t", `" , ,\t"`, "empty"},
		{"https://example.com/", `"https://example.com/"`, "path"},
		{"https://example.com/chat", `"https://example.com/chat"`, "path"},
		{"example.com?x", `"example.com?x"`, "query"},
		{"example.com#x", `"example.com#x"`, "fragment"},
		{"http//x", `"http//x"`, "path"},
		{"http:/x", `"http:/x"`, "path"},
		{`http:\\x`, `"http:\\\\x"`, "path"},
		{"https://user@example.com", `"https://user@example.com"`, "user"},
		{"bücher.example", `"bücher.example"`, "punycode"},
		{"https://例子.测试", `"https://例子.测试"`, "punycode"},
		{"a\x00b.org", `"a\x00b.org"`, "control"},
		{"example.com:http", `"example.com:http"`, "port"},
		{"example.com:", `"example.com:"`, "port"},
		{"example.com:0", `"example.com:0"`, "port"},
		{"example.com:65536", `"example.com:65536"`, "port"},
		{"example.com:080", `"example.com:080"`, "port"},
		{"example.com:8*", `"example.com:8*"`, "port"},
		{"https://", `"https://"`, "host"},
		{"file:///", `"file:///"`, "path"},
		{"app://*", `"app://*"`, "any host"},
		{"app://*.", `"app://*."`, "sub-domains"},
		{"app://a<b", `"app://a<b"`, "host"},
		{"app://x:y", `"app://x:y"`, "port"},
		{"://example.com", `"://example.com"`, "scheme"},
		{"*://example.com", `"*://example.com"`, "scheme"},
		{"1a://example.com", `"1a://example.com"`, "scheme"},
		{"example.com..", `"example.com.."`, "host"},
		{"http://.", `"http://."`, "host"},
		{"http://127.0.0.1.", `"http://127.0.0.1."`, "host"},
		{".example.com", `".example.com"`, "host"},
		{"exa mple..com", `"mple..com"`, "host"},
		{"8360", `"8360"`, "host"},
		{":8360", `":8360"`, "host"},
		{"127.0.0.1.8360", `"127.0.0.1.8360"`, "host"},
		{"256.0.0.1", `"256.0.0.1"`, "host"},
		{"::1", `"::1"`, "brackets"},
		{"[::1", `"[::1"`, "host"},
		{"[::1%eth0]", `"[::1%eth0]"`, "host"},
		{"[1.2.3.4]", `"[1.2.3.4]"`, "host"},
		{"https://*", `"https://*"`, "any host"},
		{"https://*:8443", `"https://*:8443"`, "any host"},
		{"**", `"**"`, "any host"},
		{"*example.com", `"*example.com"`, "any host"},
		{"app.*.example.com", `"app.*.example.com"`, "any host"},
		{"*.*.example.com", `"*.*.example.com"`, "any host"},
		{"*.127.0.0.1", `"*.127.0.0.1"`, "any host"},
		{"*.[::1]", `"*.[::1]"`, "any host"},
		{"*.", `"*."`, "sub-domains"},
		{"https://good.org b@d", `"b@d"`, "user"},
	}
	for _, tt := range tests {
		_, err := thinkws.NewOriginPolicy([]string{"https://fine.example", tt.pattern}, nil, false)
		if assert.Error(t, err, tt.pattern) {
			assert.Contains(t, err.Error(), "origin pattern "+tt.named)
			assert.Contains(t, err.Error(), tt.reason, tt.pattern)
		}
	}
}

func TestOriginMalformed(t *testing.T) {
	t.Parallel()
	for _, origin := range []string{
		"https://a.org\r\nSet-Cookie: x=1", "https://a.org\r", "https://a.org\n", "https://a.org\x00", "\x7f", "https://\x1ba.org",
		"https://a.org\t", "https://bücher.example", "https://a.org\xff", "null\x00", "\u2028", strings.Repeat("\x01", 4096),
	} {
		for _, patterns := range [][]string{nil, {"*"}, {"https://a.org"}} {
			p := originPolicy(t, patterns...)
			r := requestFrom(origin)
			v := p.Judge(r)
			assert.False(t, v.Allowed, "%q", origin)
			assert.True(t, v.Malformed, "%q", origin)
			assert.Equal(t, http.StatusBadRequest, v.Status)
			assert.Contains(t, v.Reason, "bytes")
			h := http.Header{}
			p.SetCORS(h, r, v)
			assert.Equal(t, http.Header{"Vary": {"Origin"}}, h)
		}
	}
}

func TestOriginSeveralHeaders(t *testing.T) {
	t.Parallel()
	for _, headers := range []string{
		"Origin: https://a.org\nOrigin: https://a.org",
		"Origin: https://a.org\nOrigin: https://evil.org",
		"Origin: null\nOrigin: https://a.org",
		"Origin: https://evil.org\nOrigin: https://a.org\nReferer: https://a.org/\nSec-Fetch-Site: same-origin",
	} {
		for _, patterns := range [][]string{nil, {"https://a.org null"}} {
			v := originPolicy(t, patterns...).Judge(originRequest(headers))
			assert.False(t, v.Allowed, headers)
			assert.False(t, v.Malformed, headers)
			assert.Equal(t, "several Origin headers", v.Reason)
		}
	}
	r := originRequest("Origin: https://a.org")
	r.Header.Add("Origin", "https://a.org\x01")
	assert.True(t, originPolicy(t).Judge(r).Malformed)

	r = originRequest("")
	r.Header["Origin"] = []string{"", "https://a.org"}
	assert.False(t, originPolicy(t, "https://a.org").Judge(r).Allowed)
}

func TestOriginLong(t *testing.T) {
	t.Parallel()
	p := originPolicy(t, "*.a.org", "*")
	fits := "https://" + strings.Repeat("a.", 500) + "a.org"
	assert.True(t, p.Judge(requestFrom(fits)).Allowed)

	v := p.Judge(requestFrom("https://" + strings.Repeat("a.", 510) + "a.org"))
	assert.False(t, v.Allowed)
	assert.False(t, v.Malformed)
	assert.Contains(t, v.Reason, "longer than 1024 bytes")
	assert.LessOrEqual(t, len(v.Origin), 256, "the log is not flooded")
	assert.True(t, strings.HasPrefix(v.Origin, "https://a.a."))
}

func TestOriginOptions(t *testing.T) {
	t.Parallel()
	yes := func(*http.Request, string) (bool, error) { return true, nil }
	p, err := thinkws.OriginPolicyOf(false,
		thinkws.WithAllowOrigin("https://a.org", "https://b.org"), thinkws.WithAllowOrigin("c.org"), thinkws.WithRequireOrigin())
	require.NoError(t, err)
	for _, origin := range []string{"https://a.org", "https://b.org", "http://c.org"} {
		assert.True(t, p.Judge(requestFrom(origin)).Allowed, origin)
	}
	assert.False(t, p.Judge(requestFrom("https://d.org")).Allowed)
	assert.False(t, p.Judge(originRequest("")).Allowed)

	p, err = thinkws.OriginPolicyOf(false, thinkws.WithAllowOriginFunc(yes))
	require.NoError(t, err)
	assert.True(t, p.Judge(requestFrom("https://d.org")).Allowed)

	bad := map[string][]thinkws.Option{
		"http//x":           {thinkws.WithAllowOrigin("http//x")},
		"no pattern":        {thinkws.WithAllowOrigin()},
		"nil function":      {thinkws.WithAllowOriginFunc(nil)},
		"given twice":       {thinkws.WithAllowOriginFunc(yes), thinkws.WithAllowOriginFunc(yes)},
		"origin pattern \"": {thinkws.WithAllowOrigin("")},
	}
	for text, options := range bad {
		_, err := thinkws.OriginPolicyOf(false, options...)
		assert.ErrorContains(t, err, text)
	}
	nested := map[string]thinkws.Option{
		"WithAllowOrigin":     thinkws.WithAllowOrigin("*"),
		"WithAllowOriginFunc": thinkws.WithAllowOriginFunc(yes),
		"WithRequireOrigin":   thinkws.WithRequireOrigin(),
	}
	for name, option := range nested {
		_, err := thinkws.OriginPolicyOf(true, option)
		assert.ErrorContains(t, err, name)
	}
}

// hostPort is what net/url thinks of an origin, as a second opinion.
func hostPort(t *testing.T, origin string) (scheme, host, port string) {
	t.Helper()
	u, err := url.Parse(origin)
	require.NoError(t, err, "%q was read as an origin", origin)
	require.Nil(t, u.User)
	require.Empty(t, u.Path+u.RawQuery+u.Fragment)
	port = u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme, strings.ToLower(u.Hostname()), port
}

func FuzzOrigin(f *testing.F) {
	for _, seed := range []string{
		"https://app.example.com:8443", "HTTPS://APP.EXAMPLE.COM:8443", "https://app.example.com", "https://app.example.com:8443.evil.org",
		"https://app.example.com@evil.org:8443", "null", "", "https://[::1]:8443", "https://app.example.com.:8443", "https://a\r\nb",
		"https://a.sub.example.org", "https://sub.example.org", "https://xsub.example.org", "capacitor://localhost", "http://1:8360",
	} {
		f.Add(seed, "https://app.example.com/", "cross-site")
	}
	f.Add("", "https://app.example.com:8443/x?y#z", "")
	f.Add("", "https://app.example.com:8443@evil.org/", "")
	concrete := originPolicy(f, "https://app.example.com:8443")
	domain := originPolicy(f, "https://*.sub.example.org")
	open := originPolicy(f)
	f.Fuzz(func(t *testing.T, origin, referer, site string) {
		r := originRequest("Cookie: a=b")
		r.Header["Origin"], r.Header["Referer"], r.Header["Sec-Fetch-Site"] = []string{origin}, []string{referer}, []string{site}
		verdicts := []thinkws.OriginVerdict{concrete.Judge(r), domain.Judge(r), open.Judge(r), open.JudgeEmbedded(r)}
		for i, p := range []thinkws.OriginPolicy{concrete, domain, open, open} {
			v := verdicts[i]
			assert.Equal(t, v.Allowed, v.Reason == "")
			assert.False(t, v.Allowed && v.Malformed)
			if echo := corsOf(p, r, v); echo != "" && echo != "*" {
				assert.Equal(t, origin, strings.TrimSuffix(echo, "+"))
			}
		}
		if origin == "" {
			return
		}
		if concrete.Judge(r).Allowed {
			scheme, host, port := hostPort(t, origin)
			assert.Equal(t, []string{"https", "app.example.com", "8443"}, []string{scheme, host, port}, origin)
		}
		if domain.Judge(r).Allowed {
			scheme, host, port := hostPort(t, origin)
			assert.Equal(t, []string{"https", "443"}, []string{scheme, port}, origin)
			assert.True(t, strings.HasSuffix(host, ".sub.example.org"), origin)
		}
		if canonical := thinkws.CanonicalOrigin(origin); canonical != "" {
			assert.Equal(t, canonical, thinkws.CanonicalOrigin(canonical), "reading what was written")
		}
	})
}

func FuzzOriginPattern(f *testing.F) {
	for _, seed := range []string{
		"*", "*:*", "null", "example.com", "example.com:80", "example.com:*", "*:8360", "https://example.com", "https://*.example.org:1",
		"[::1]", "http://[::1]:8360", "a, b c", "", "http//x", "bücher.example", "*.", "app://x", "HTTP://X", ":::", "*.*", "[", "]:1",
	} {
		f.Add(seed, "https://example.com")
		f.Add(seed, "http://[::1]:8360")
	}
	f.Fuzz(func(t *testing.T, pattern, origin string) {
		p, err := thinkws.NewOriginPolicy([]string{pattern}, nil, false)
		if err != nil {
			assert.Contains(t, err.Error(), "origin pattern ")
			return
		}
		v := p.Judge(requestFrom(origin))
		if !v.Allowed || origin == "" || strings.Contains(pattern, "*") || strings.ContainsAny(pattern, ", \t\r\n") {
			return
		}
		if strings.EqualFold(pattern, "null") {
			assert.Equal(t, "null", origin)
			return
		}
		// A single pattern without a wildcard: it names just this host, port and scheme.
		scheme, host, port := hostPort(t, origin)
		if !strings.Contains(pattern, "://") {
			assert.Contains(t, []string{"http", "https"}, scheme)
			pattern = scheme + "://" + pattern
		}
		wantScheme, wantHost, wantPort := hostPort(t, pattern)
		assert.Equal(t, []string{wantScheme, canonicalHost(wantHost), wantPort}, []string{scheme, canonicalHost(host), port})
	})
}

// canonicalHost lets two spellings of an IPv6 address be compared.
func canonicalHost(host string) string {
	if !strings.Contains(host, ":") {
		return host
	}
	return thinkws.CanonicalOrigin("http://[" + host + "]")
}
