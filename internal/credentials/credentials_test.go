package credentials_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/seed-ce09063a/thinkws/internal/credentials"
)

// request has the given headers: name, value, name, value.
func request(headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func TestAnOwnerIsKnownByAuthorizationOriginAndNamedCookies(t *testing.T) {
	rules := credentials.Rules{Cookies: []string{"sid", "tenant"}}
	first := []string{"Authorization", "Bearer a", "Origin", "https://a.test", "Cookie", "sid=1; theme=dark", "Cookie", "tenant=x"}
	for name, tt := range map[string]struct {
		headers []string
		owns    bool
	}{
		"the same":                    {first, true},
		"other cookies":               {[]string{"Authorization", "Bearer a", "Origin", "https://a.test", "Cookie", "csrf=9; sid=1; tenant=x"}, true},
		"another authorization":       {[]string{"Authorization", "Bearer b", "Origin", "https://a.test", "Cookie", "sid=1; tenant=x"}, false},
		"no authorization":            {[]string{"Origin", "https://a.test", "Cookie", "sid=1; tenant=x"}, false},
		"two authorizations":          {append([]string{"Authorization", "Bearer a"}, first...), false},
		"another origin":              {[]string{"Authorization", "Bearer a", "Origin", "https://b.test", "Cookie", "sid=1; tenant=x"}, false},
		"origin null":                 {[]string{"Authorization", "Bearer a", "Origin", "null", "Cookie", "sid=1; tenant=x"}, false},
		"no origin":                   {[]string{"Authorization", "Bearer a", "Cookie", "sid=1; tenant=x"}, false},
		"another value of a cookie":   {[]string{"Authorization", "Bearer a", "Origin", "https://a.test", "Cookie", "sid=2; tenant=x"}, false},
		"a named cookie is missing":   {[]string{"Authorization", "Bearer a", "Origin", "https://a.test", "Cookie", "sid=1"}, false},
		"a named cookie comes twice":  {[]string{"Authorization", "Bearer a", "Origin", "https://a.test", "Cookie", "sid=1; sid=3; tenant=x"}, false},
		"the values change places":    {[]string{"Authorization", "Bearer a", "Origin", "https://a.test", "Cookie", "sid=x; tenant=1"}, false},
		"a value moves to the next":   {[]string{"Authorization", "Bearer a", "Origin", "https://a.test", "Cookie", "sid=1x; tenant="}, false},
		"the name in another case":    {[]string{"Authorization", "Bearer a", "Origin", "https://a.test", "Cookie", "SID=1; tenant=x"}, false},
		"nothing at all":              {nil, false},
		"an authorization and origin": {[]string{"Authorization", "Bearer a", "Origin", "https://a.test"}, false},
	} {
		o := credentials.NewOwner(request(first...), rules)
		assert.Equal(t, tt.owns, o.Owns(request(tt.headers...), rules), name)
	}
}

// net/http drops such values.
func TestCookiesCountWhateverTheirValues(t *testing.T) {
	rules := credentials.Rules{Cookies: []string{"user"}}
	for _, value := range []string{`{"id":1}`, `a\b`, "Jörg"} {
		o := credentials.NewOwner(request("Cookie", "a=b; user="+value), rules)
		assert.True(t, o.Owns(request("Cookie", "user="+value+" ; theme=dark"), rules), value)
		assert.False(t, o.Owns(request("Cookie", "user="+value+`"`), rules), value)
		assert.False(t, o.Owns(request("Cookie", "a=b"), rules), value)
		assert.False(t, o.Owns(request(), rules), value)
	}
}

// Digest has another text in each request. NTLM and Negotiate prove a connection: its later requests
// have none, and those of another connection have another one.
func TestAuthorizationThatChangesDoesNotCount(t *testing.T) {
	var rules credentials.Rules
	for _, scheme := range []string{"Digest", "NTLM", "Negotiate", "negotiate"} {
		first := request("Authorization", scheme+" 1")
		for _, later := range []*http.Request{request("Authorization", scheme+" 2"), request()} {
			o := credentials.NewOwner(first, rules)
			assert.True(t, o.Owns(later, rules), scheme)
			o = credentials.NewOwner(later, rules)
			assert.True(t, o.Owns(first, rules), scheme)
			assert.True(t, credentials.Sent(first, "").Equal(credentials.Sent(later, "")), scheme)
		}
		o := credentials.NewOwner(request("Authorization", "Bearer a"), rules)
		assert.False(t, o.Owns(first, rules), scheme)
		o = credentials.NewOwner(first, rules)
		assert.False(t, o.Owns(request("Authorization", "Bearer a"), rules), scheme)
	}
}

// A WebView names a page in a file one way for WebSocket, and another way for polls.
func TestPagesInFilesHaveOneOrigin(t *testing.T) {
	var rules credentials.Rules
	o := credentials.NewOwner(request("Origin", "null"), rules)
	assert.True(t, o.Owns(request("Origin", "file://"), rules))
	o = credentials.NewOwner(request("Origin", "file://"), rules)
	assert.True(t, o.Owns(request("Origin", "null"), rules))
	assert.False(t, o.Owns(request("Origin", "https://a.test"), rules))
	assert.False(t, o.Owns(request("Origin", "null", "Origin", "file://"), rules))
}

func TestKnownPages(t *testing.T) {
	var rules credentials.Rules
	from := func(headers ...string) *credentials.Owner {
		o := credentials.NewOwner(request(headers...), rules)
		return &o
	}
	page, evil := request("Origin", "https://a.test:8443"), request("Origin", "https://evil.test")
	for name, o := range map[string]*credentials.Owner{
		"Origin": from("Origin", "https://a.test:8443"), "Referer": from("Referer", "https://A.test:8443/page?x=1"),
	} {
		assert.True(t, o.Knows(page), name)
		assert.False(t, o.Knows(evil), name)
		assert.False(t, o.Knows(request()), name)
	}
	o := from("Referer", "about:blank")
	assert.False(t, o.Knows(page))
	assert.False(t, o.Knows(request()))
	assert.True(t, o.Owns(page, rules))
	assert.True(t, o.Knows(page), "Owns has seen it")
	assert.False(t, o.Knows(evil))
}

func TestAnOriginThatMayMiss(t *testing.T) {
	rules := credentials.Rules{OriginMayMiss: true}
	o := credentials.NewOwner(request("Origin", "https://a.test"), rules)
	assert.True(t, o.Owns(request(), rules))
	assert.True(t, o.Owns(request("Origin", ""), rules))
	assert.False(t, o.Owns(request("Origin", "https://b.test"), rules))
}

// Browsers name the origin in POSTs and upgrades of a session that began with a GET without it.
func TestTheFirstOriginThatComesHolds(t *testing.T) {
	var rules credentials.Rules
	o := credentials.NewOwner(request(), rules)
	assert.True(t, o.Owns(request(), rules))
	assert.True(t, o.Owns(request("Origin", "https://a.test"), rules))
	assert.True(t, o.Owns(request(), rules))
	assert.True(t, o.Owns(request("Origin", "https://a.test"), rules))
	assert.False(t, o.Owns(request("Origin", "https://b.test"), rules))
}

func TestWhatWasSent(t *testing.T) {
	first := credentials.Sent(request("Authorization", "Bearer a", "Cookie", "a=1; b=2"), "io")
	for name, tt := range map[string]struct {
		headers []string
		equal   bool
	}{
		"the same":               {[]string{"Authorization", "Bearer a", "Cookie", "a=1; b=2"}, true},
		"with our cookie":        {[]string{"Authorization", "Bearer a", "Cookie", "a=1; io=xyz; b=2"}, true},
		"with our cookie alone":  {[]string{"Authorization", "Bearer a", "Cookie", "a=1; b=2", "Cookie", "io=xyz"}, true},
		"one more cookie":        {[]string{"Authorization", "Bearer a", "Cookie", "a=1; b=2; c=3"}, false},
		"one cookie less":        {[]string{"Authorization", "Bearer a", "Cookie", "a=1"}, false},
		"another value":          {[]string{"Authorization", "Bearer a", "Cookie", "a=1; b=3"}, false},
		"another authorization":  {[]string{"Authorization", "Bearer b", "Cookie", "a=1; b=2"}, false},
		"no authorization":       {[]string{"Cookie", "a=1; b=2"}, false},
		"it says so as a cookie": {[]string{"Cookie", "Bearer a; a=1; b=2"}, false},
	} {
		assert.Equal(t, tt.equal, first.Equal(credentials.Sent(request(tt.headers...), "io")), name)
	}
	assert.False(t, credentials.Sent(request("Cookie", "=x"), "").Equal(credentials.Sent(request(), "")), "a cookie without a name counts")
}

func BenchmarkOwns(b *testing.B) {
	rules := credentials.Rules{Cookies: []string{"sid"}}
	r := request("Authorization", "Bearer abcdefghijklmnopqrstuvwxyz", "Origin", "https://app.example.com", "Cookie", "theme=dark; sid=0123456789abcdef0123456789abcdef")
	o := credentials.NewOwner(r, rules)
	b.ReportAllocs()
	for b.Loop() {
		if !o.Owns(r, rules) {
			b.Fatal("not the owner")
		}
	}
}
