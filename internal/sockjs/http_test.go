package sockjs_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGreeting(t *testing.T) {
	h := newHarness(t)
	for _, target := range []string{"", "/"} {
		a := h.get(target)
		assert.Equal(t, 200, a.status)
		assert.Equal(t, "text/plain; charset=UTF-8", a.header.Get("Content-Type"))
		assert.Equal(t, "Welcome to SockJS!\n", a.body)
		assert.Empty(t, a.header["Set-Cookie"])
	}
}

func TestNotFound(t *testing.T) {
	h := newHarness(t)
	for _, target := range []string{"/a", "/a.html", "//", "///", "/a/a", "/a/a/", "/s/i/nothing", "//i/xhr", "/s/i.i/xhr"} {
		for _, method := range []string{"GET", "POST", "OPTIONS", "PUT"} {
			a := h.do(method, target, "")
			assert.Equal(t, 404, a.status, method+" "+target)
			assert.Empty(t, a.header["Access-Control-Allow-Origin"])
		}
	}
}

// Every endpoint with every method.
func TestMethods(t *testing.T) {
	h := newHarness(t)
	for target, allow := range map[string]string{
		"": "GET", "/": "GET", "/info": "OPTIONS, GET", "/iframe.html": "GET", "/websocket": "GET",
		"/s/i/websocket": "GET", "/s/i/xhr": "POST, OPTIONS", "/s/i/xhr_streaming": "POST, OPTIONS", "/s/i/xhr_send": "POST, OPTIONS",
		"/s/i/eventsource": "GET", "/s/i/htmlfile": "GET", "/s/i/jsonp": "GET", "/s/i/jsonp_send": "POST",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
			if strings.Contains(allow, method) {
				continue // and tested elsewhere
			}
			body := ""
			if method == "POST" {
				body = "x"
			}
			a := h.do(method, target, body, "Origin", host)
			assert.Equal(t, 405, a.status, method+" "+target)
			assert.Equal(t, allow, a.header.Get("Allow"), target)
			assert.Empty(t, a.header["Content-Type"], method+" "+target)
			assert.Empty(t, a.body)
			assert.Empty(t, a.header["Access-Control-Allow-Origin"])
		}
	}
	// with upgrade headers, too
	for _, target := range []string{"/websocket", "/s/i/websocket"} {
		a := h.do("POST", target, "", "Connection", "Upgrade", "Upgrade", "websocket")
		assert.Equal(t, 405, a.status)
		assert.Equal(t, "GET", a.header.Get("Allow"))
	}
}

func TestInfo(t *testing.T) {
	h := newHarness(t)
	seen := map[float64]bool{}
	for range 20 {
		a := h.get("/info", "Origin", "http://page.test")
		require.Equal(t, 200, a.status)
		assert.Equal(t, "application/json; charset=UTF-8", a.header.Get("Content-Type"))
		assert.Equal(t, noCache, a.header.Get("Cache-Control"))
		assert.Equal(t, "http://page.test", a.header.Get("Access-Control-Allow-Origin"))
		assert.Empty(t, a.header["Expires"])
		assert.Empty(t, a.header["Last-Modified"])
		var info map[string]any
		require.NoError(t, json.Unmarshal([]byte(a.body), &info))
		entropy := info["entropy"].(float64)
		assert.True(t, entropy >= 0 && entropy < 1<<32 && entropy == float64(uint32(entropy)))
		seen[entropy] = true
		delete(info, "entropy")
		assert.Equal(t, map[string]any{"websocket": true, "origins": []any{"*:*"}, "cookie_needed": false}, info)
	}
	assert.Len(t, seen, 20, "unpredictable")
	high := false
	for entropy := range seen {
		high = high || entropy >= 1<<31
	}
	assert.True(t, high, "32 bits of it")
}

func TestInfoOfWhatIsOff(t *testing.T) {
	h := newHarness(t, func(h *harness) { h.cfg.WebSocket, h.cfg.Cookie = false, true })
	a := h.get("/info", "Cookie", "JSESSIONID=x")
	assert.Contains(t, a.body, `"websocket":false`)
	assert.Contains(t, a.body, `"cookie_needed":true`)
	assert.Empty(t, a.header["Set-Cookie"], "never")
	for _, target := range []string{"/websocket", "/s/i/websocket"} {
		assert.Equal(t, 404, h.get(target).status)
		assert.Equal(t, 404, h.get(target, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13",
			"Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==").status)
		assert.Equal(t, 404, h.do("PUT", target, "").status)
	}
}

const page = `<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="/client.js"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>`

func TestIframe(t *testing.T) {
	h := newHarness(t, func(h *harness) { h.cfg.Cookie = true })
	var etag string
	for _, target := range []string{"/iframe.html", "/iframe-a.html", "/iframe-.html", "/iframe-0.1.2abc-dirty.2144.html", "/iframe.html/"} {
		a := h.get(target)
		require.Equal(t, 200, a.status, target)
		assert.Equal(t, page, a.body)
		assert.Equal(t, "text/html; charset=UTF-8", a.header.Get("Content-Type"))
		assert.Equal(t, "public, max-age=31536000", a.header.Get("Cache-Control"))
		expires, err := http.ParseTime(a.header.Get("Expires"))
		require.NoError(t, err)
		assert.InDelta(t, 365*24, time.Until(expires).Hours(), 0.1)
		assert.Empty(t, a.header["Last-Modified"])
		assert.Empty(t, a.header["Set-Cookie"])
		assert.Regexp(t, `^"[0-9a-f]{32}"$`, a.header.Get("ETag"))
		assert.True(t, etag == "" || etag == a.header.Get("ETag"), "the same page")
		etag = a.header.Get("ETag")
	}
	for _, condition := range []string{etag, "W/" + etag, `"x", ` + etag, "*"} {
		a := h.get("/iframe.html", "If-None-Match", condition)
		assert.Equal(t, 304, a.status, condition)
		assert.Empty(t, a.header["Content-Type"])
		assert.Empty(t, a.body)
	}
	for _, condition := range []string{`"x"`, "", strings.Trim(etag, `"`)} {
		assert.Equal(t, 200, h.get("/iframe.html", "If-None-Match", condition).status, condition)
	}
	other := newHarness(t, func(h *harness) { h.cfg.ClientURL = "https://cdn.test/sockjs-1.6.1.min.js" })
	a := other.get("/iframe.html")
	assert.Contains(t, a.body, `<script src="https://cdn.test/sockjs-1.6.1.min.js"></script>`)
	assert.NotEqual(t, etag, a.header.Get("ETag"), "a hash of the body")
	without := newHarness(t, func(h *harness) { h.cfg.ClientURL = "" })
	assert.Equal(t, 404, without.get("/iframe.html").status)
}

// What scripts of other origins may read.
func TestCORS(t *testing.T) {
	h := newHarness(t)
	for _, tt := range []struct {
		method, target string
		cors           bool
	}{
		{"GET", "/info", true}, {"POST", "/s/{id}/xhr", true}, {"POST", "/s/none/xhr_send", true}, {"OPTIONS", "/info", true},
		{"OPTIONS", "/s/i/xhr", true}, {"OPTIONS", "/s/i/xhr_send", true}, {"OPTIONS", "/s/i/xhr_streaming", true},
		{"GET", "", false}, {"GET", "/iframe.html", false}, {"GET", "/s/{id}/jsonp?c=x", false}, {"POST", "/s/none/jsonp_send", false},
	} {
		for _, origin := range []string{"", "test", "null", "http://a.test:81"} {
			target := strings.Replace(tt.target, "/s/{id}", h.id(), 1)
			headers := []string{"Access-Control-Request-Headers", "a, b, c"}
			if origin != "" {
				headers = append(headers, "Origin", origin)
			}
			a := h.do(tt.method, target, "", headers...)
			name := tt.method + " " + target + " from " + origin
			want, credentials, allow := origin, "true", "a, b, c"
			if origin == "" {
				want, credentials = "*", ""
			}
			if !tt.cors {
				want, credentials, allow = "", "", ""
			}
			assert.Equal(t, want, a.header.Get("Access-Control-Allow-Origin"), name)
			assert.Equal(t, credentials, a.header.Get("Access-Control-Allow-Credentials"), name)
			assert.Equal(t, allow, a.header.Get("Access-Control-Allow-Headers"), name)
			if tt.cors {
				assert.Equal(t, []string{"Origin"}, a.header["Vary"], name)
			}
		}
	}
	for _, names := range []string{"", "\x80", strings.Repeat("x", 1025)} {
		a := h.do("OPTIONS", "/info", "", "Origin", "http://a.test", "Access-Control-Request-Headers", names)
		assert.Empty(t, a.header["Access-Control-Allow-Headers"])
	}
}

func TestCORSOfStreams(t *testing.T) {
	h := newHarness(t)
	for _, tt := range []struct{ method, target string }{{"POST", "xhr_streaming"}, {"GET", "eventsource"}} {
		s := h.stream(tt.method, h.id()+"/"+tt.target, "Origin: null")
		assert.Equal(t, "null", s.header.Get("Access-Control-Allow-Origin"))
		assert.Equal(t, "true", s.header.Get("Access-Control-Allow-Credentials"))
	}
	s := h.stream("GET", h.id()+"/htmlfile?c=x", "Origin: null")
	assert.Empty(t, s.header["Access-Control-Allow-Origin"])
}

func TestPreflight(t *testing.T) {
	h := newHarness(t)
	for target, methods := range map[string]string{
		"/info": "OPTIONS, GET", "/s/i/xhr": "OPTIONS, POST", "/s/i/xhr_streaming": "OPTIONS, POST", "/s/i/xhr_send": "OPTIONS, POST",
	} {
		a := h.do("OPTIONS", target, "", "Origin", "test")
		assert.Equal(t, 204, a.status)
		assert.Empty(t, a.body)
		assert.Equal(t, methods, a.header.Get("Access-Control-Allow-Methods"))
		assert.Equal(t, "31536000", a.header.Get("Access-Control-Max-Age"))
		assert.Equal(t, "public, max-age=31536000", a.header.Get("Cache-Control"))
		expires, err := http.ParseTime(a.header.Get("Expires"))
		require.NoError(t, err)
		assert.InDelta(t, 365*24, time.Until(expires).Hours(), 0.1)
	}
	sessions, _ := h.server.Len()
	assert.Zero(t, sessions, "a preflight leaves nothing behind")
}

// What an answer of each transport says of itself.
func TestContentTypes(t *testing.T) {
	h := newHarness(t)
	check := func(name string, header map[string][]string, want string) {
		t.Helper()
		assert.Equal(t, []string{want}, header["Content-Type"], name)
		assert.Equal(t, []string{noCache}, header["Cache-Control"], name)
		assert.Empty(t, header["Expires"], name)
		assert.Empty(t, header["Last-Modified"], name)
		assert.Empty(t, header["Set-Cookie"], name)
	}
	const script = "application/javascript; charset=UTF-8"
	check("xhr", h.post(h.id()+"/xhr", "").header, script)
	a := h.get(h.id() + "/jsonp?c=x")
	check("jsonp", a.header, script)
	assert.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
	check("xhr_streaming", h.stream("POST", h.id()+"/xhr_streaming").header, script)
	check("eventsource", h.stream("GET", h.id()+"/eventsource").header, "text/event-stream")
	check("htmlfile", h.stream("GET", h.id()+"/htmlfile?c=x").header, "text/html; charset=UTF-8")
	target, _ := h.open()
	a = h.post(target+"/xhr_send", `[]`)
	check("xhr_send", a.header, "text/plain; charset=UTF-8")
	assert.Equal(t, 204, a.status)
	assert.Empty(t, a.body)
	a = h.post(target+"/jsonp_send", `[]`)
	check("jsonp_send", a.header, "text/plain; charset=UTF-8")
	assert.Equal(t, 200, a.status)
	assert.Equal(t, "ok", a.body)
}

// The cookie is for load balancers. One that a client has already may carry attributes that no request shows, so it is
// never set again, and the service's own survives.
func TestCookieIsSetOnlyForClientsWithoutOne(t *testing.T) {
	h := newHarness(t, func(h *harness) { h.cfg.Cookie = true })
	target, _ := h.open()
	for _, tt := range []struct {
		method, target, body string
		set                  bool
	}{
		{"POST", "new/xhr", "", true}, {"GET", "new/jsonp?c=x", "", true}, {"POST", target + "/xhr_send", "[]", true},
		{"POST", target + "/jsonp_send", "[]", true}, {"POST", "/s/none/xhr_send", "[]", true},
		{"OPTIONS", target + "/xhr", "", false}, {"OPTIONS", "/info", "", false}, // browsers send no cookie with these
		{"GET", "/info", "", false}, {"GET", "", "", false}, {"GET", "/iframe.html", "", false}, {"GET", "/a", "", false},
	} {
		for sent, has := range map[string]bool{
			"": false, "jsessionid=x": false, "XJSESSIONID=x; a=JSESSIONID": false, "a=JSESSIONID=x": false,
			"JSESSIONID=abcdef": true, "a=b; JSESSIONID=x.y; c=d": true, "JSESSIONID=": true, "JSESSIONID": true,
			"a=b;JSESSIONID=x": true, "JSESSIONID=\"a b\\\"": true,
		} {
			path := tt.target
			if name, fresh := strings.CutPrefix(path, "new"); fresh {
				path = h.id() + name
			}
			a := h.do(tt.method, path, tt.body, "Cookie", sent)
			if !tt.set || has {
				assert.Empty(t, a.header["Set-Cookie"], "%s %s with %q", tt.method, path, sent)
				continue
			}
			assert.Equal(t, []string{"JSESSIONID=dummy; Path=/; HttpOnly"}, a.header["Set-Cookie"], "%s with %q", path, sent)
		}
	}
	for _, tt := range []struct{ method, target string }{{"POST", "xhr_streaming"}, {"GET", "eventsource"}, {"GET", "htmlfile?c=x"}} {
		s := h.stream(tt.method, h.id()+"/"+tt.target)
		assert.Equal(t, "JSESSIONID=dummy; Path=/; HttpOnly", s.header.Get("Set-Cookie"))
		s = h.stream(tt.method, h.id()+"/"+tt.target, "Cookie: JSESSIONID=y")
		assert.Empty(t, s.header["Set-Cookie"])
	}
}

func TestCookieIsSecureUnderTLS(t *testing.T) {
	h := newHarness(t, func(h *harness) { h.cfg.Cookie = true })
	for _, tt := range []struct{ method, target string }{{"POST", "/xhr"}, {"GET", "/jsonp?c=x"}, {"POST", "/xhr_send"}, {"POST", "/jsonp_send"}} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(tt.method, "https://example.test"+base+h.id()+tt.target, strings.NewReader("[]"))
		h.http.Handler.ServeHTTP(w, r)
		assert.Equal(t, "JSESSIONID=dummy; Path=/; HttpOnly; Secure", w.Header().Get("Set-Cookie"), tt.target)
	}
}

func TestCallbacks(t *testing.T) {
	h := newHarness(t)
	const missing, invalid = `"callback" parameter required`, `invalid "callback" parameter`
	for query, want := range map[string]string{
		"":                                missing,
		"?c=":                             missing,
		"?d=x":                            missing,
		"?c=a%28b":                        invalid,
		"?c=alert(1)":                     invalid,
		"?c=%3C/script%3E":                invalid,
		"?c=a%0Db":                        invalid,
		"?c=a%11b":                        invalid,
		"?c=a%5Bb":                        invalid,
		"?c=a%40b":                        invalid,
		"?c=a%0Ab":                        invalid,
		"?c=%C3%BC":                       invalid,
		"?c=" + strings.Repeat("a", 33):   invalid,
		"?c=" + strings.Repeat("a", 32):   "",
		"?c=%63allback":                   "",
		"?callback=x":                     "",
		"?c=a.b-C_0&callback=%28":         "",
		"?t=1&c=x":                        "",
		"?callback=%28":                   invalid,
		"?c=" + strings.Repeat("a", 4096): invalid,
	} {
		for _, transport := range []string{"/jsonp", "/htmlfile"} {
			target := h.id() + transport
			if want != "" {
				a := h.get(target + query)
				assert.Equal(t, 500, a.status, query)
				assert.Equal(t, want, a.body, query)
				assert.Equal(t, noCache, a.header.Get("Cache-Control"))
				continue
			}
			assert.Equal(t, "HTTP/1.1 200 OK", h.stream("GET", target+query).status, query)
		}
	}
	assert.Equal(t, "/**/a.b-C_0(\"o\");\r\n", h.get(h.id()+"/jsonp?c=a%2Eb-C_0").body)
	assert.Equal(t, "/**/callback(\"o\");\r\n", h.get(h.id()+"/jsonp?callback=%63allback").body)
}
