package thinkws_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

const (
	notThere = "404 404 Error: Page not found\n"
	echoOne  = `{"event":"echo","data":1,"cid":1}`
)

// first returns the beginning of an answer that may go on: the status, and the body up to
// its first line.
func (s *site) first(request string) (status, line string, header http.Header) {
	s.t.Helper()
	conn := s.dial()
	_, err := io.WriteString(conn, request)
	require.NoError(s.t, err)
	require.NoError(s.t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: strings.Fields(request)[0]})
	require.NoError(s.t, err)
	line, _ = bufio.NewReader(res.Body).ReadString('\n')
	_ = conn.Close()
	return fmt.Sprint(res.StatusCode), line, res.Header
}

// Row 8: the id of a session is its client's choice, so it alone opens nothing to others.
func TestHostile8SockJSSessionIDs(t *testing.T) {
	s := newSite(t)
	open := func(id string, header ...string) {
		got, _ := s.exchange(post("/sockjs/0/"+id+"/xhr", "", header...))
		require.Equal(t, "200 o\n", got)
	}
	mine := []string{"Origin: " + s.origin, "Authorization: Basic eDp5"}
	open("mine", mine...)
	for name, header := range map[string][]string{
		"another origin":    {"Origin: http://evil.example", "Authorization: Basic eDp5"},
		"no origin at all":  {"Origin: null", "Authorization: Basic eDp5"},
		"another user":      {"Origin: " + s.origin, "Authorization: Basic eDp6"},
		"nobody":            {"Origin: " + s.origin},
		"no headers at all": nil,
	} {
		for path, request := range map[string]string{
			"xhr":        post("/sockjs/0/mine/xhr", "", header...),
			"xhr_send":   post("/sockjs/0/mine/xhr_send", `["{\"event\":\"kick\"}"]`, header...),
			"jsonp_send": post("/sockjs/0/mine/jsonp_send", `["{\"event\":\"kick\"}"]`, header...),
			"another":    post("/sockjs/1/mine/xhr", "", header...),
		} {
			got, _ := s.exchange(request)
			if got != notThere { // credentials from another origin do not even get that far
				assert.Equal(t, forbidden, got, name+" "+path)
			}
		}
	}
	got, _ := s.exchange(post("/sockjs/0/mine/xhr_send", `["{\"event\":\"kick\"}"]`, mine...))
	assert.Equal(t, "204 ", got)
	s.verify(thinkws.ReasonServerDisconnect)
}

// A page of any origin can load an EventSource as an image, under an id that it has chosen and without
// naming itself. No session begins in the name of the visitor, or the page could send events to it.
func TestHostileSockJSSessionsOfVisitors(t *testing.T) {
	for name, options := range map[string][]thinkws.Option{"open": nil, "listed": {thinkws.WithAllowOrigin(ownOrigin())}} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, options...)
			send := post("/sockjs/0/chosen/xhr_send", `["{\"event\":\"kick\"}"]`)
			for _, header := range []string{"Cookie: session=1", "Authorization: Basic dTpw"} {
				conn := s.dial()
				_, err := io.WriteString(conn, get("/sockjs/0/chosen/eventsource", header))
				require.NoError(t, err)
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				require.NoError(t, err)
				assert.Equal(t, http.StatusForbidden, res.StatusCode, header)
				assert.Equal(t, notThere, first(s.exchange(send)), header)
				require.NoError(t, conn.Close())
			}
			for i, header := range []string{
				"Cookie: session=1\r\nOrigin: " + s.origin, "Cookie: session=1\r\nReferer: " + s.origin + "/",
				"Cookie: session=1\r\nSec-Fetch-Site: same-origin", "Authorization: Bearer x", "Accept: text/event-stream",
			} {
				status, _, _ := s.first(get(fmt.Sprintf("/sockjs/0/own%d/eventsource?hasty", i), lines(header)...))
				assert.Equal(t, "200", status, header)
			}
			s.verify()
		})
	}
}

// Row 9: of two polls the second one is told so, and the session goes on.
func TestHostile9SockJSPolls(t *testing.T) {
	s := newSite(t)
	p := s.sockjs("/sockjs/0/two", "")
	got := s.exchangeTwice(post("/sockjs/0/two/xhr_send", `["{\"event\":\"echo\",\"data\":1,\"cid\":1}"]`))
	assert.Equal(t, "204 \n204 ", got)
	p.expect(`{"rid":1,"data":1}`, `{"rid":1,"data":1}`)
	polls := make(chan string, 3)
	for range 3 {
		go func() { polls <- p.poll() }()
	}
	const busy = `c[2010,"Another connection still open"]`
	assert.Equal(t, busy, <-polls)
	assert.Equal(t, busy, <-polls)
	assert.Equal(t, "204 ", p.send(`{"event":"echo","data":2,"cid":2}`))
	assert.Equal(t, []string{`{"rid":2,"data":2}`}, messages(<-polls))
	assert.Equal(t, "204 ", p.send(`{"event":"kick"}`))
	s.verify(thinkws.ReasonServerDisconnect)
}

// Row 23: what the script of an answer calls is a name and nothing else.
func TestHostile23SockJSCallbacks(t *testing.T) {
	s := newSite(t, thinkws.WithLimits(thinkws.Limits{Header: 1 << 20}))
	const invalid = `500 invalid "callback" parameter`
	for i, callback := range []string{"alert(1)", "a;b", "a b", "<script>", "x\u2028", "a%00b", "a\r\nX-Evil: 1", "a'", "a/**/", "ü", "a=b", strings.Repeat("a", 33), strings.Repeat("a", 100_000)} {
		for _, transport := range []string{"jsonp", "htmlfile"} {
			got, header := s.exchange(get(fmt.Sprintf("/sockjs/0/cb%d/%s?c=%s", i, transport, url.QueryEscape(callback))))
			assert.Equal(t, invalid, got, "%q", callback)
			assert.Empty(t, header.Get("X-Evil"))
		}
	}
	for _, query := range []string{"", "?c", "?C=x"} {
		got, _ := s.exchange(get("/sockjs/0/cb/jsonp" + query))
		assert.Equal(t, `500 "callback" parameter required`, got)
	}
	s.verify()
	got, header := s.exchange(get("/sockjs/0/cb/jsonp?c=" + strings.Repeat("a", 32)))
	assert.Equal(t, "200 /**/"+strings.Repeat("a", 32)+"(\"o\");\r\n", got)
	assert.Equal(t, "nosniff", header.Get("X-Content-Type-Options"))
	assert.Equal(t, "application/javascript; charset=UTF-8", header.Get("Content-Type"))
	got, _ = s.exchange(post("/sockjs/0/cb/jsonp_send", `["{\"event\":\"echo\",\"data\":\"</script>\u2028\",\"cid\":1}"]`))
	assert.Equal(t, "200 ok", got)
	got, _ = s.exchange(get("/sockjs/0/cb/jsonp?c=f"))
	assert.Equal(t, `200 /**/f("a[\"{\\\"rid\\\":1,\\\"data\\\":\\\"\u003c/script\u003e\\u2028\\\"}\"]");`+"\r\n", got)
	got, _ = s.exchange(post("/sockjs/0/cb/jsonp_send", `["{\"event\":\"kick\"}"]`))
	assert.Equal(t, "200 ok", got)
	s.verify(thinkws.ReasonServerDisconnect)
}

// Row 24: a form with very many fields is read for the one that counts.
func TestHostile24SockJSForms(t *testing.T) {
	const form = "Content-Type: application/x-www-form-urlencoded"
	s := newSite(t)
	p := s.sockjs("/sockjs/0/form", "")
	payload := "d=" + url.QueryEscape(`["{\"event\":\"echo\",\"data\":1,\"cid\":1}"]`)
	for _, tt := range []struct{ name, body, want string }{
		{"in front", strings.Repeat("a=b&", 100_000) + payload, "200 ok"},
		{"behind", payload + strings.Repeat("&a=b", 100_000), "200 ok"},
		{"of the same name", payload + strings.Repeat("&d=x", 100_000), "200 ok"},
		{"without a name", strings.Repeat("&", 500_000) + payload, "200 ok"},
		{"none that counts", strings.Repeat("a=b&", 100_000), "500 Payload expected."},
		{"too many", strings.Repeat("a=b&", 250_001) + payload, "413 "},
		{"broken escapes", "d=%", "500 Broken JSON encoding."},
	} {
		start := time.Now()
		got, _ := s.exchange(post("/sockjs/0/form/jsonp_send", tt.body, form))
		assert.Equal(t, tt.want, got, tt.name)
		assert.Less(t, time.Since(start), 5*time.Second)
		if tt.want == "200 ok" {
			p.expect(`{"rid":1,"data":1}`)
		}
	}
	assert.Equal(t, "204 ", p.send(`{"event":"kick"}`))
	s.verify(thinkws.ReasonServerDisconnect)
}

// Rows 33 and 34: what SockJS's protocol has beside the gate. A page that may connect is
// named in the answers and may send its cookies, which is safe because those that come with
// them are refused unless they are listed.
func TestHostileSockJSOrigins(t *testing.T) {
	for _, tt := range []struct {
		row, name           string
		option              thinkws.Option
		header              string
		origin, credentials string
	}{
		{"33", "null where it is listed", thinkws.WithAllowOrigin("null"), "Origin: null\r\n", "null", "true"},
		{"33", "null where anybody may", thinkws.WithAllowOrigin("*"), "Origin: null\r\n", "null", "true"},
		{"34", "other case and the usual port", thinkws.WithAllowOrigin(app), "Origin: HTTPS://App.Example.COM:443\r\n", "HTTPS://App.Example.COM:443", "true"},
		{"35", "any origin", thinkws.WithAllowOrigin("*"), "Origin: https://evil.net\r\n", "https://evil.net", "true"},
		{"35", "listed, with a cookie", thinkws.WithAllowOrigin("*", app), "Origin: " + app + "\r\nCookie: a=b\r\n", app, "true"},
		{"36", "no origin", thinkws.WithAllowOrigin(app), "", "*", ""},
	} {
		t.Run(tt.row+" "+tt.name, func(t *testing.T) {
			s := newSite(t, tt.option)
			for _, door := range []string{"SockJS info", "SockJS xhr_send", "SockJS preflight"} {
				got, header := s.exchange(sockjsDoors[door](tt.header))
				assert.NotContains(t, got, "Forbidden", door)
				assert.Equal(t, []string{"Origin"}, header["Vary"], door)
				assert.Equal(t, tt.origin, header.Get("Access-Control-Allow-Origin"), door)
				assert.Equal(t, tt.credentials, header.Get("Access-Control-Allow-Credentials"), door)
			}
			s.verify()
		})
	}
}

// What a page can embed needs a proof once origins are listed, and no cache keeps it for
// pages that have none.
func TestHostileSockJSEmbedded(t *testing.T) {
	listed := []thinkws.Option{thinkws.WithAllowOrigin(app), thinkws.WithSockJS(thinkws.SockJSOptions{ClientURL: "/sockjs.js"})}
	for header, allowed := range map[string]bool{
		"":                                   false,
		"Referer: https://evil.net/page":     false,
		"Referer: " + app + ".evil.net/":     false,
		"Sec-Fetch-Site: cross-site":         false,
		"Origin: https://evil.net":           false,
		"Referer: " + app + "/page?x=1":      true,
		"Origin: " + app:                     true,
		"Sec-Fetch-Site: same-origin":        true,
		"Referer: https://evil.net/" + app:   false,
		"Referer: https://" + app[8:] + ":1": false,
	} {
		s := newSite(t, listed...)
		var lines []string
		if header != "" {
			lines = []string{header}
		}
		for name, request := range map[string]string{
			"iframe":            get("/sockjs/iframe-1.6.1.html", lines...),
			"iframe, unchanged": get("/sockjs/iframe.html", append(lines, "If-None-Match: *")...),
			"jsonp":             get("/sockjs/0/embedded/jsonp?c=x&hasty", lines...),
			"htmlfile":          get("/sockjs/0/page/htmlfile?c=x&hasty", lines...),
			"jsonp_send":        post("/sockjs/0/none/jsonp_send", "[]", lines...),
		} {
			status, _, answer := s.first(request)
			assert.Equal(t, !allowed, status == "403", "%s with %q: %s", name, header, status)
			assert.Equal(t, []string{"Origin, Referer, Sec-Fetch-Site"}, answer.Values("Vary"), name)
		}
		if !allowed {
			s.verify()
		}
	}
	open := newSite(t, thinkws.WithSockJS(thinkws.SockJSOptions{ClientURL: "/sockjs.js"}))
	got, _ := open.exchange(get("/sockjs/iframe.html", "Referer: https://anybody.example/"))
	assert.Contains(t, got, `<script src="/sockjs.js"></script>`)
	got, _ = open.exchange(get("/sockjs/0/x/jsonp?c=x", "Referer: https://anybody.example/", "Cookie: a=b"))
	assert.Equal(t, forbidden, got, "credentials need a listed origin, here too")
}

// Row 74: what is no array of strings. It is judged before anybody asks whose it is, and
// ends a WebSocket.
func TestHostile74SockJSFrames(t *testing.T) {
	const broken, expected = "500 Broken JSON encoding.", "500 Payload expected."
	for body, want := range map[string]string{
		"": expected, "{}": expected, `"x"`: expected, "1": expected, "null": expected, `[1]`: expected, `["a",{}]`: expected, `[["a"]]`: expected,
		`["a"`: broken, `[a]`: broken, `["a",]`: broken, "[\"\xff\"]": broken, "[\"\x00\"]": broken,
		strings.Repeat("[", 100_000):                                broken,
		strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000): broken,
		"[" + strings.Repeat("1", 900_000) + "]":                    broken,
		strings.Repeat(" ", 900_000):                                expected,
	} {
		s := newSite(t)
		p := s.sockjs("/sockjs/0/frames", "")
		name := body[:min(len(body), 20)]
		for _, path := range []string{"/sockjs/0/frames/xhr_send", "/sockjs/0/nobody/xhr_send", "/sockjs/0/frames/jsonp_send", "/sockjs/0/nobody/jsonp_send"} {
			got, _ := s.exchange(post(path, body))
			assert.Equal(t, want, got, "%s: %q", path, name)
		}
		assert.Equal(t, "204 ", p.send(echoOne), "the session is none the worse")
		p.expect(`{"rid":1,"data":1}`)
		assert.Equal(t, "204 ", p.send(`{"event":"kick"}`))
		s.verify(thinkws.ReasonServerDisconnect)
		if strings.TrimSpace(body) == "" || body == `"x"` {
			continue // a WebSocket takes that
		}
		ws := upgrade(t, s.dial(), "/sockjs/0/frames/websocket")
		ws.expect("o")
		ws.send(array(echoOne)) // from then on the client is in
		ws.expect(`a["{\"rid\":1`)
		ws.send(body)
		frame := ws.read()
		if strings.Contains(body, "\xff") {
			assert.Equal(t, "close 1007", frame)
		} else {
			assert.Equal(t, "close 3000", frame, "%q", name)
		}
		require.NoError(t, ws.conn.Close())
		s.verify(thinkws.ReasonParseError)
	}
	block := make(chan struct{})
	s := newSite(t, thinkws.On("slow", func(*thinkws.Context) error { <-block; return nil }))
	p := s.sockjs("/sockjs/0/floods", "")
	assert.Equal(t, "204 ", p.send(echoOne))
	p.expect(`{"rid":1,"data":1}`)
	assert.Equal(t, "204 ", p.post("/xhr_send", `["`+strings.Repeat(`","`, 300_000)+`"]`), "each of them is malformed")
	s.verify(thinkws.ReasonParseError)
	p = s.sockjs("/sockjs/0/overruns", "")
	assert.Equal(t, "204 ", p.send(echoOne))
	p.expect(`{"rid":1,"data":1}`)
	sent := make(chan string)
	go func() {
		status, body, _ := p.request("/xhr_send", `["`+strings.Repeat(`{\"event\":\"slow\"}","`, 3_000)+`{}"]`)
		sent <- fmt.Sprint(status, " ", body)
	}()
	s.paused()
	close(block)
	assert.Equal(t, "204 ", <-sent, "it waits for the handlers")
	assert.Equal(t, "204 ", p.send(`{"event":"kick"}`))
	s.verify(thinkws.ReasonServerDisconnect)
}

// Rows 3 and 7: the ids of sockjs-client have 40 bits. Guessing them ends after twenty a minute, for a whole network of
// IPv6.
func TestHostile7SockJSGuesses(t *testing.T) {
	s := newSite(t)
	for name, from := range map[string]func(i int) string{
		"IPv4": func(int) string { return "192.0.2.7:1" },
		"IPv6": func(i int) string { return fmt.Sprintf("[2001:db8:0:7::%x]:1", i) },
	} {
		answers := map[int]int{}
		for i := range 200 {
			path := []string{"xhr_send", "jsonp_send"}[i%2]
			r := httptest.NewRequest(http.MethodPost, fmt.Sprintf("/sockjs/0/%08x/%s", i, path), strings.NewReader(`["x"]`))
			answers[s.knock(r, from(i)).Code]++
		}
		assert.Equal(t, map[int]int{404: 20, 429: 180}, answers, name)
	}
	s.verify()
}

func TestSockJSSessionsKnowTheCookiesThatTheServiceNames(t *testing.T) {
	s := newSite(t, thinkws.WithSessionCookies("login"))
	const opens = "Sec-Fetch-Site: same-origin"
	got, _ := s.exchange(post("/sockjs/0/cookies/xhr", "", opens, "Cookie: login=me; theme=dark"))
	require.Equal(t, "200 o\n", got)
	got, _ = s.exchange(post("/sockjs/0/cookies/xhr_send", `["{\"event\":\"kick\"}"]`, opens, "Cookie: login=you; theme=dark"))
	assert.Equal(t, notThere, got)
	got, _ = s.exchange(post("/sockjs/0/cookies/xhr", "", opens, "Cookie: theme=dark"))
	assert.Equal(t, notThere, got)
	got, _ = s.exchange(post("/sockjs/0/cookies/xhr_send", `["{\"event\":\"kick\"}"]`, opens, "Cookie: login=me; theme=light"))
	assert.Equal(t, "204 ", got)
	s.verify(thinkws.ReasonServerDisconnect)
}

// The proxy that ends TLS tells so. A client cannot: it would only hurt itself, and learns nothing.
func TestSockJSCookieIsSecureBehindATrustedProxy(t *testing.T) {
	s := newSite(t, thinkws.WithSockJS(thinkws.SockJSOptions{Cookie: true}), thinkws.WithTrustedProxies(netip.MustParsePrefix("192.0.2.0/24")))
	for i, tt := range []struct {
		from, proto string
		secure      bool
	}{
		{"192.0.2.1:1", "https", true}, {"192.0.2.1:1", "http, https", true}, {"192.0.2.1:1", "https, http", false},
		{"192.0.2.1:1", "", false}, {"198.51.100.1:1", "https", false},
	} {
		r := httptest.NewRequest(http.MethodPost, fmt.Sprintf("/sockjs/0/secure%d/xhr", i), nil)
		r.Header.Set("X-Forwarded-Proto", tt.proto)
		want := "JSESSIONID=dummy; Path=/; HttpOnly"
		if tt.secure {
			want += "; Secure"
		}
		assert.Equal(t, want, s.knock(r, tt.from).Header().Get("Set-Cookie"), "%+v", tt)
	}
}
