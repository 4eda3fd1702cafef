package thinkws_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

const serverHost = "api.example.com"

// originPolicy makes a policy of patterns alone.
func originPolicy(t testing.TB, patterns ...string) thinkws.OriginPolicy {
	t.Helper()
	p, err := thinkws.NewOriginPolicy(patterns, nil, false)
	require.NoError(t, err)
	return p
}

// originRequest is a polling request with headers written "Name: value", separated by
// line ends; a name may come several times.
func originRequest(headers string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/socket.io/?EIO=4&transport=polling", nil)
	r.Host = serverHost
	for line := range strings.SplitSeq(headers, "\n") {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			r.Header.Add(name, value)
		}
	}
	return r
}

func requestFrom(origin string) *http.Request {
	r := originRequest("")
	r.Header.Set("Origin", origin)
	return r
}

// TestOriginEvidence is about requests without an Origin header.
func TestOriginEvidence(t *testing.T) {
	t.Parallel()
	const yes, no = true, false
	tests := []struct {
		name    string
		headers string
		// with https://app.example.com listed; the same for what is embedded; with an
		// origin required; without a list; that with an origin required
		listed, embedded, required, open, openRequired bool
	}{
		{"nothing", "", yes, no, no, yes, no},
		{"empty Origin", "Origin: ", yes, no, no, yes, no},
		{"no browser sends cookies", "Cookie: a=b", yes, no, no, yes, no},
		{"Referer listed", "Referer: https://app.example.com/chat?x=1#y", yes, yes, yes, yes, yes},
		{"Referer without path", "Referer: https://app.example.com", yes, yes, yes, yes, yes},
		{"Referer with query only", "Referer: https://app.example.com?next=/", yes, yes, yes, yes, yes},
		{"Referer of others", "Referer: https://evil.org/", no, no, no, yes, yes},
		{"Referer with the listed one inside", "Referer: https://evil.org/https://app.example.com/", no, no, no, yes, yes},
		{"Referer with the listed one as query", "Referer: https://evil.org?https://app.example.com", no, no, no, yes, yes},
		{"Referer with the listed one as user", "Referer: https://app.example.com@evil.org/", no, no, no, yes, yes},
		{"Referer with backslash", "Referer: https://app.example.com\\@evil.org/", no, no, no, yes, yes},
		{"Referer with other scheme", "Referer: http://app.example.com/", no, no, no, yes, yes},
		{"Referer null", "Referer: null", no, no, no, yes, yes},
		{"Referer that is none", "Referer: /chat", no, no, no, yes, yes},
		{"Referer that hides an URL", "Referer: x?https://app.example.com/", no, no, no, yes, yes},
		{"Referer long but fine", "Referer: https://app.example.com/" + strings.Repeat("x", 5000), yes, yes, yes, yes, yes},
		{"Referer unreadable, fetched from the same origin", "Referer: about:blank\nSec-Fetch-Site: same-origin", yes, yes, yes, yes, yes},
		{"Referer listed, fetched across sites", "Referer: https://app.example.com/\nSec-Fetch-Site: cross-site", yes, yes, yes, yes, yes},
		{"Referer of others, fetched from the same origin", "Referer: https://api.example.com/\nSec-Fetch-Site: same-origin", no, no, no, yes, yes},
		{"same-origin", "Sec-Fetch-Site: same-origin", yes, yes, yes, yes, yes},
		{"none", "Sec-Fetch-Site: none", yes, yes, yes, yes, yes},
		{"same-site", "Sec-Fetch-Site: same-site", no, no, no, yes, yes},
		{"cross-site", "Sec-Fetch-Site: cross-site", no, no, no, yes, yes},
		{"a word of the future", "Sec-Fetch-Site: same-planet", no, no, no, yes, yes},
		{"two words", "Sec-Fetch-Site: same-origin\nSec-Fetch-Site: cross-site", no, no, no, yes, yes},
		{"two words in one", "Sec-Fetch-Site: none, cross-site", no, no, no, yes, yes},
	}
	listed := originPolicy(t, "https://app.example.com")
	strict, err := thinkws.NewOriginPolicy([]string{"https://app.example.com"}, nil, true)
	require.NoError(t, err)
	open := originPolicy(t)
	openStrict, err := thinkws.NewOriginPolicy(nil, nil, true)
	require.NoError(t, err)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := originRequest(tt.headers)
			assert.Equal(t, tt.listed, listed.Judge(r).Allowed, "listed")
			assert.Equal(t, tt.embedded, listed.JudgeEmbedded(r).Allowed, "embedded")
			assert.Equal(t, tt.required, strict.Judge(r).Allowed, "required")
			assert.Equal(t, tt.open, open.Judge(r).Allowed, "open")
			assert.Equal(t, tt.openRequired, openStrict.Judge(r).Allowed, "open, but required")
			if v := listed.Judge(r); !v.Allowed {
				assert.NotEmpty(t, v.Reason)
				assert.False(t, v.Malformed)
			}
		})
	}
	assert.Contains(t, strict.Judge(originRequest("")).Reason, "neither Origin, Referer nor Sec-Fetch-Site")
	assert.Equal(t, "https://evil.org", listed.Judge(originRequest("Referer: https://evil.org/secret?token=1")).Origin,
		"the log gets the origin of a Referer, not the page")
}

// TestOriginCredentials: the open default may not be used to act in the name of the user.
func TestOriginCredentials(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		patterns string
		headers  string
		tls      bool
		refused  string // a part of the reason; "" if the request may pass
	}{
		{"own origin, plain", "", "Origin: http://api.example.com", false, ""},
		{"own origin behind a proxy that ends TLS", "", "Origin: https://api.example.com", false, ""},
		{"own origin, port written out", "", "Origin: https://api.example.com:443", false, ""},
		{"own origin, upper case", "", "Origin: HTTPS://API.example.com", false, ""},
		{"own origin, TLS", "", "Origin: https://api.example.com", true, ""},
		{"plain page, TLS here", "", "Origin: http://api.example.com", true, `"http://api.example.com"`},
		{"a file", "", "Origin: file://", false, "never trusted"},
		{"own name with a dot at the end", "", "Origin: http://api.example.com.", false, `list "http://api.example.com."`},
		{"foreign", "", "Origin: https://evil.org", false, `list "https://evil.org" with WithAllowOrigin`},
		{"sub-domain", "", "Origin: https://x.api.example.com", false, `"https://x.api.example.com"`},
		{"app of the same host", "", "Origin: capacitor://api.example.com", false, `"capacitor://api.example.com"`},
		{"null", "", "Origin: null", false, "never trusted"},
		{"a word", "", "Origin: test", false, "never trusted"},
		{"own host without a scheme", "", "Origin: api.example.com", false, "never trusted"},
		{"foreign, under *", "*", "Origin: https://evil.org", false, `"https://evil.org"`},
		{"foreign, under *:*", "*:*", "Origin: https://evil.org", false, `"https://evil.org"`},
		{"foreign, under *:443", "*:443", "Origin: https://evil.org", false, `"https://evil.org"`},
		{"own origin, under *:443", "*:443", "Origin: https://api.example.com", false, ""},
		{"listed beside *", "* https://app.example.com", "Origin: https://app.example.com", false, ""},
		{"listed after *:443", "*:443 https://app.example.com", "Origin: https://app.example.com", false, ""},
		{"listed before *:443", "https://app.example.com *:443", "Origin: https://app.example.com", false, ""},
		{"not listed beside *", "* https://app.example.com", "Origin: https://evil.org", false, `"https://evil.org"`},
		{"listed", "https://app.example.com", "Origin: https://app.example.com\nSec-Fetch-Site: cross-site", false, ""},
		{"listed by host", "app.example.com:*", "Origin: https://app.example.com:1", false, ""},
		{"listed by domain", "*.example.com", "Origin: https://app.example.com", false, ""},
		{"null though listed", "null", "Origin: null", false, "never trusted"},
		{"null though listed, beside *", "* null", "Origin: null", false, "never trusted"},
		{"fetched from the same origin", "", "Origin: https://proxied.example\nSec-Fetch-Site: same-origin", false, ""},
		{"form of the same origin without referrer", "", "Origin: null\nSec-Fetch-Site: same-origin", false, ""},
		{"typed by the user", "", "Sec-Fetch-Site: none", false, ""},
		{"same site is another origin", "", "Origin: https://blog.example.com\nSec-Fetch-Site: same-site", false, `"https://blog.example.com"`},
		{"the browser knows better than Host", "", "Origin: http://api.example.com\nSec-Fetch-Site: cross-site", false, `"http://api.example.com"`},
		{"no Origin, same origin", "", "Sec-Fetch-Site: same-origin", false, ""},
		{"no Origin, across sites", "", "Sec-Fetch-Site: cross-site", false, "let the page send Origin or Referer"},
		{"no Origin, own page", "", "Referer: http://api.example.com/chat", false, ""},
		{"no Origin, foreign page", "", "Referer: http://evil.org/chat", false, `"http://evil.org"`},
		{"no Origin, unreadable page", "", "Referer: about:blank", false, "let the page send Origin or Referer"},
		{"no browser", "", "", false, ""},
		{"no browser, under *", "*", "", false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := originPolicy(t)
			if tt.patterns != "" {
				p = originPolicy(t, tt.patterns)
			}
			for _, credential := range []string{"Cookie: session=1", "Authorization: Bearer x"} {
				r := originRequest(tt.headers + "\n" + credential)
				if tt.tls {
					r.TLS = &tls.ConnectionState{}
				}
				v := p.Judge(r)
				assert.Equal(t, tt.refused == "", v.Allowed, "%s: %s", credential, v.Reason)
				assert.Contains(t, v.Reason, tt.refused)
			}
			if tt.refused != "" {
				r := originRequest(tt.headers)
				r.Header["Cookie"] = []string{""}
				assert.True(t, p.Judge(r).Allowed, "without credentials the same page may connect")
			}
		})
	}
}

func TestOriginCredentialsHost(t *testing.T) {
	t.Parallel()
	tests := []struct {
		origin, host string
		same         bool
	}{
		{"http://localhost:8360", "localhost:8360", true},
		{"http://localhost:8360", "LOCALHOST:8360", true},
		{"http://localhost:8360", "localhost", true}, // a proxy has cut the port
		{"http://localhost:3000", "localhost:8080", false},
		{"http://localhost", "localhost:8080", false},
		{"http://localhost", "localhost:80", true},
		{"https://localhost", "localhost:80", false},
		{"http://[::1]:8360", "[0:0::1]:8360", true},
		{"http://[::1]:8360", "[::1]", true},
		{"http://127.0.0.1:8360", "localhost:8360", false},
		{"http://a.org", "", false},
		{"http://a.org", "a.org/", false},
		{"http://a.org", "a.org\x00", false},
		{"http://a.org", "a.org.", false},
		{"http://a.org.", "a.org.", true},
		{"http://a.org:8080", "a.org.", false},
		{"http://a.org:8080", "b.org", false},
	}
	for _, tt := range tests {
		r := originRequest("Cookie: a=b")
		r.Header.Set("Origin", tt.origin)
		r.Host = tt.host
		assert.Equal(t, tt.same, originPolicy(t).Judge(r).Allowed, "%s at %s", tt.origin, tt.host)
	}
}

func TestOriginClientCertificate(t *testing.T) {
	t.Parallel()
	r := requestFrom("https://evil.org")
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}}
	v := originPolicy(t).Judge(r)
	assert.False(t, v.Allowed)
	assert.Contains(t, v.Reason, "client certificate")
	assert.True(t, originPolicy(t, "https://evil.org").Judge(r).Allowed, "listed is trusted")
}

// TestOriginEmbedded: a script or frame of an old browser names no origin at all.
func TestOriginEmbedded(t *testing.T) {
	t.Parallel()
	open := originPolicy(t)
	assert.True(t, open.JudgeEmbedded(originRequest("")).Allowed)
	v := open.JudgeEmbedded(originRequest("Cookie: session=1"))
	assert.False(t, v.Allowed)
	assert.Contains(t, v.Reason, "let the page send Origin or Referer")
	assert.True(t, open.JudgeEmbedded(originRequest("Cookie: session=1\nReferer: http://api.example.com/")).Allowed)
	assert.False(t, open.JudgeEmbedded(originRequest("Cookie: session=1\nReferer: http://evil.org/")).Allowed)
	assert.True(t, originPolicy(t, "http://evil.org").JudgeEmbedded(originRequest("Cookie: session=1\nReferer: http://evil.org/")).Allowed)
}

func TestOriginFunc(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		patterns []string
		require  bool
		headers  string
		answer   bool
		err      error
		asked    []string // the origins that the function sees
		allowed  bool
		cors     string // Access-Control-Allow-Origin, and "+" with credentials
	}{
		{"says yes", nil, false, "Origin: https://a.org", true, nil, []string{"https://a.org"}, true, "https://a.org+"},
		{"says no", nil, false, "Origin: https://a.org", false, nil, []string{"https://a.org"}, false, ""},
		{"fails", nil, false, "Origin: https://a.org", true, errors.New("db: secret"), []string{"https://a.org"}, false, ""},
		{"canonical", nil, false, "Origin: HTTPS://A.org:443", true, nil, []string{"https://a.org"}, true, "HTTPS://A.org:443+"},
		{"other port", nil, false, "Origin: http://[0::1]:443", true, nil, []string{"http://[::1]:443"}, true, "http://[0::1]:443+"},
		{"not asked about rubbish", nil, false, "Origin: https://a.org/", true, nil, nil, false, ""},
		{"not asked about what is listed", []string{"https://a.org"}, false, "Origin: https://a.org", false, nil, nil, true, "https://a.org+"},
		{"asked about the rest", []string{"https://a.org"}, false, "Origin: https://b.org", true, nil, []string{"https://b.org"}, true, "https://b.org+"},
		{"cookies of whom it trusts", nil, false, "Origin: https://a.org\nCookie: a=b", true, nil, []string{"https://a.org"}, true, "https://a.org+"},
		{"beside * yes", []string{"*"}, false, "Origin: https://a.org\nCookie: a=b", true, nil, []string{"https://a.org"}, true, "https://a.org+"},
		{"beside * no", []string{"*"}, false, "Origin: https://a.org", false, nil, []string{"https://a.org"}, true, "*"},
		{"beside * no, with cookies", []string{"*"}, false, "Origin: https://a.org\nCookie: a=b", false, nil, []string{"https://a.org"}, false, ""},
		{"beside * fails", []string{"*"}, false, "Origin: https://a.org", false, errors.New("db: secret"), []string{"https://a.org"}, false, ""},
		{"null yes", nil, false, "Origin: null", true, nil, []string{"null"}, true, "null"},
		{"null yes, with cookies", nil, false, "Origin: null\nCookie: a=b", true, nil, []string{"null"}, false, ""},
		{"null no", nil, false, "Origin: null", false, nil, []string{"null"}, false, ""},
		{"Referer", nil, false, "Referer: https://a.org/x", true, nil, []string{"https://a.org"}, true, ""},
		{"no browser", nil, false, "", false, nil, nil, true, ""},
		{"same origin", nil, false, "Sec-Fetch-Site: same-origin", false, nil, nil, true, ""},
		{"another site, yes", nil, false, "Sec-Fetch-Site: cross-site", true, nil, []string{""}, true, ""},
		{"another site, no", nil, false, "Sec-Fetch-Site: cross-site", false, nil, []string{""}, false, ""},
		{"no browser but required, yes", nil, true, "", true, nil, []string{""}, true, ""},
		{"no browser but required, no", nil, true, "", false, nil, []string{""}, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var asked []string
			r := originRequest(tt.headers)
			p, err := thinkws.NewOriginPolicy(tt.patterns, func(got *http.Request, origin string) (bool, error) {
				assert.Same(t, r, got)
				asked = append(asked, origin)
				return tt.answer, tt.err
			}, tt.require)
			require.NoError(t, err)
			v := p.Judge(r)
			assert.Equal(t, tt.allowed, v.Allowed, v.Reason)
			assert.Equal(t, tt.asked, asked)
			assert.Equal(t, tt.cors, corsOf(p, r, v))
			if tt.err != nil {
				assert.Contains(t, v.Reason, tt.err.Error(), "the log says why")
			}
		})
	}
}

// corsOf is Access-Control-Allow-Origin, and "+" if credentials are allowed.
func corsOf(p thinkws.OriginPolicy, r *http.Request, v thinkws.OriginVerdict) string {
	h := http.Header{}
	p.SetCORS(h, r, v)
	origin := h.Get("Access-Control-Allow-Origin")
	if h.Get("Access-Control-Allow-Credentials") == "true" {
		origin += "+"
	}
	return origin
}

func TestOriginCORS(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, patterns, headers, want string
	}{
		{"open", "", "Origin: https://a.org", "*"},
		{"open, no Origin", "", "", "*"},
		{"open, null", "", "Origin: null", "*"},
		{"open, own origin with cookies", "", "Origin: https://api.example.com\nCookie: a=b", "*"},
		{"open, refused for cookies", "", "Origin: https://a.org\nCookie: a=b", ""},
		{"*", "*", "Origin: https://a.org", "*"},
		{"*:*", "*:*", "Origin: https://a.org", "*"},
		{"listed", "https://a.org", "Origin: https://a.org", "https://a.org+"},
		{"listed, as it was written", "https://a.org", "Origin: HTTPS://A.ORG:443", "HTTPS://A.ORG:443+"},
		{"listed by host", "a.org", "Origin: https://a.org", "https://a.org+"},
		{"listed by host, any port", "a.org:*", "Origin: https://a.org:5", "https://a.org:5+"},
		{"listed by domain", "*.a.org", "Origin: https://b.a.org", "https://b.a.org+"},
		{"listed beside *", "* https://a.org", "Origin: https://a.org", "https://a.org+"},
		{"not listed beside *", "* https://a.org", "Origin: https://b.org", "*"},
		{"listed by port alone", "*:443", "Origin: https://a.org", "https://a.org"},
		{"null listed", "null", "Origin: null", "null"},
		{"null listed beside *", "null *", "Origin: null", "*"},
		{"a file where null is listed", "null", "Origin: file://", "file://"},
		{"other scheme", "capacitor://localhost", "Origin: capacitor://localhost", "capacitor://localhost+"},
		{"listed, no Origin", "https://a.org", "Referer: https://a.org/", ""},
		{"listed, no browser", "https://a.org", "", ""},
		{"refused", "https://a.org", "Origin: https://b.org", ""},
		{"null refused", "https://a.org", "Origin: null", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := originPolicy(t)
			if tt.patterns != "" {
				p = originPolicy(t, tt.patterns)
			}
			r := originRequest(tt.headers)
			v := p.Judge(r)
			assert.Equal(t, tt.want, corsOf(p, r, v))

			h := http.Header{
				"Vary":                             {"Accept-Encoding, origin"},
				"Access-Control-Allow-Origin":      {"https://outer.example"},
				"Access-Control-Allow-Credentials": {"true"},
			}
			p.SetCORS(h, r, v)
			assert.Equal(t, []string{"Accept-Encoding, origin"}, h.Values("Vary"), "Origin is there")
			assert.NotContains(t, h.Values("Access-Control-Allow-Origin"), "https://outer.example")
			assert.Equal(t, strings.HasSuffix(tt.want, "+"), h.Get("Access-Control-Allow-Credentials") == "true")

			h = http.Header{"Vary": {"Accept-Encoding"}}
			p.SetCORS(h, r, v)
			assert.Equal(t, []string{"Accept-Encoding, Origin"}, h.Values("Vary"))
		})
	}
}

func TestIsPreflight(t *testing.T) {
	t.Parallel()
	tests := []struct {
		method, headers string
		want            bool
	}{
		{http.MethodOptions, "Origin: https://a.org\nAccess-Control-Request-Method: POST", true},
		{http.MethodOptions, "Origin: https://a.org", false},
		{http.MethodOptions, "Access-Control-Request-Method: POST", false},
		{http.MethodPost, "Origin: https://a.org\nAccess-Control-Request-Method: POST", false},
		{http.MethodOptions, "", false},
	}
	for _, tt := range tests {
		r := originRequest(tt.headers)
		r.Method = tt.method
		assert.Equal(t, tt.want, thinkws.IsPreflight(r), "%s %s", tt.method, tt.headers)
	}
}

func preflightOf(p thinkws.OriginPolicy, r *http.Request) *httptest.ResponseRecorder {
	r.Method = http.MethodOptions
	r.Header.Set("Access-Control-Request-Method", "POST")
	w := httptest.NewRecorder()
	p.Preflight(w, r, p.Judge(r))
	return w
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, patterns, headers string
		status                  int
		want                    http.Header // besides Vary and Content-Length
	}{
		{
			"open", "", "Origin: https://a.org\nAccess-Control-Request-Headers: content-type", http.StatusNoContent,
			http.Header{"Access-Control-Allow-Origin": {"*"}, "Access-Control-Allow-Headers": {"content-type"}},
		},
		{
			"listed", "https://a.org", "Origin: https://a.org\nAccess-Control-Request-Headers: x-a, X-B ,x_c", http.StatusNoContent,
			http.Header{
				"Access-Control-Allow-Origin": {"https://a.org"}, "Access-Control-Allow-Credentials": {"true"},
				"Access-Control-Allow-Headers": {"x-a,X-B,x_c"},
			},
		},
		{
			"no headers asked for", "*", "Origin: https://a.org", http.StatusNoContent,
			http.Header{"Access-Control-Allow-Origin": {"*"}},
		},
		{
			"null listed", "null", "Origin: null", http.StatusNoContent,
			http.Header{"Access-Control-Allow-Origin": {"null"}},
		},
		{"refused", "https://a.org", "Origin: https://b.org\nAccess-Control-Request-Headers: x-a", http.StatusForbidden, http.Header{}},
		{"null refused", "https://a.org", "Origin: null", http.StatusForbidden, http.Header{}},
		{"malformed", "", "Origin: https://a.org\x01", http.StatusBadRequest, http.Header{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := originPolicy(t)
			if tt.patterns != "" {
				p = originPolicy(t, tt.patterns)
			}
			w := preflightOf(p, originRequest(tt.headers))
			tt.want["Vary"] = []string{"Origin"}
			tt.want["Content-Length"] = []string{"0"}
			if tt.status == http.StatusNoContent {
				tt.want["Vary"] = []string{"Origin, Access-Control-Request-Headers"}
				tt.want["Access-Control-Allow-Methods"] = []string{"GET,POST,OPTIONS"}
				tt.want["Access-Control-Max-Age"] = []string{"7200"}
			}
			assert.Equal(t, tt.status, w.Code)
			assert.Equal(t, tt.want, w.Header())
			assert.Empty(t, w.Body.String())
		})
	}
}

func TestPreflightHeaderNames(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, asked, want string }{
		{"none", "", ""},
		{"blanks", " , ,\t,", ""},
		{"no names", "a b, c:d, \"e\", f(g), <script>, ü, h/i, @", ""},
		{"control bytes", "a\r\nSet-Cookie: x=1, b\x00, c", "c"},
		{"not the wildcard", "*, x-a", "x-a"},
		{"all of a token's bytes", "!#$%&'*+-.^_`|~09azAZ", "!#$%&'*+-.^_`|~09azAZ"},
		{"authorization", "authorization,content-type", "authorization,content-type"},
		{"not those of proxies", "X-Forwarded-Host, x-forwarded-proto, X-FORWARDED-FOR, Forwarded, X-Real-IP, x-forwarded", "x-forwarded"},
		{"one too long", strings.Repeat("a", 1025) + ",b", ""},
		{"just fits", strings.Repeat("a", 1023), strings.Repeat("a", 1023)},
		{"many", strings.Repeat("abcdefg,", 100_000), strings.TrimSuffix(strings.Repeat("abcdefg,", 128), ",")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := originRequest("Origin: https://a.org")
			r.Header.Set("Access-Control-Request-Headers", tt.asked)
			got := preflightOf(originPolicy(t), r).Header().Get("Access-Control-Allow-Headers")
			assert.Equal(t, tt.want, got)
			assert.LessOrEqual(t, len(got), 1024)
		})
	}
	r := originRequest("Origin: https://a.org\nAccess-Control-Request-Headers: x-a\nAccess-Control-Request-Headers: x-b")
	assert.Equal(t, "x-a,x-b", preflightOf(originPolicy(t), r).Header().Get("Access-Control-Allow-Headers"))
}
