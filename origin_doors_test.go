package thinkws_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// at sends a request to another host than localhost.
func at(host, request string) string {
	return strings.Replace(request, "Host: localhost", "Host: "+host, 1)
}

// status sends a request and returns the status. It does not wait for the body, which may be a
// stream.
func (s *site) status(request string) int {
	s.t.Helper()
	conn := s.dial()
	_, err := io.WriteString(conn, request)
	require.NoError(s.t, err)
	require.NoError(s.t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(s.t, err)
	_ = conn.Close()
	return res.StatusCode
}

// sidOf returns the session id in the answer to a handshake.
func sidOf(t *testing.T, answer string) string {
	t.Helper()
	_, rest, ok := strings.Cut(answer, `"sid":"`)
	require.True(t, ok, answer)
	sid, _, _ := strings.Cut(rest, `"`)
	return sid
}

// C4: behind a proxy that changes Host, the polls of the service's own page prove themselves by
// Sec-Fetch-Site, and its upgrade by its session.
func TestUpgradesOfLivingSessionsPass(t *testing.T) {
	const (
		page   = "Origin: http://app.test:8080\r\n"
		fetch  = "Sec-Fetch-Site: same-origin\r\nReferer: http://app.test:8080/page\r\n"
		cookie = "Cookie: session=1\r\n"
		basic  = "Authorization: Basic dTpw\r\n"
	)
	s := newSite(t)
	upgrade := func(io, sid, header string) string {
		got, _ := s.exchange(at("backend:9000", upgradeRequest(io+"websocket&hasty&sid="+sid, header)))
		return got
	}
	for name, io := range map[string]string{"revision 4": io4, "revision 3": io3} {
		for _, credentials := range []string{cookie, basic, cookie + basic} {
			begin := func() string {
				answer, _ := s.exchange(at("backend:9000", get(io+"polling&hasty", lines(fetch+credentials)...)))
				return sidOf(t, answer)
			}
			assert.Equal(t, forbidden, upgrade(io, "AAAAAAAAAAAAAAAAAAAA", page+credentials), "no session")
			assert.Equal(t, forbidden, upgrade(io, begin(), page+credentials+"Cookie: more=1\r\n"), "other cookies")
			assert.Equal(t, forbidden, upgrade(io, begin(), page+strings.ReplaceAll(strings.ReplaceAll(credentials, "1", "2"), "dTpw", "eDp5")), "another user")
			got, _ := s.exchange(at("backend:9000", get(io+"polling&sid="+begin(), lines(page+credentials)...)))
			assert.Equal(t, forbidden, got, "a poll proves itself")
			got, _ = s.exchange(at("backend:9000", upgradeRequest(strings.Replace(io, "/socket.io/", "/ws", 1)+"websocket&sid="+begin(), page+credentials)))
			assert.Equal(t, forbidden, got, "a plain WebSocket has no session to prove itself by")
			got, _ = s.exchange(at("backend:9000", get(io+"websocket&sid="+begin(), lines(page+credentials)...)))
			assert.Equal(t, badRequest, got, "a proxy has dropped the Upgrade header")
			assert.Equal(t, "101", upgrade(io, begin(), page+credentials), name)
		}
	}
	assert.Contains(t, s.log.String(), "WithTrustedProxies", "the log says what to set")
	assert.Contains(t, s.log.String(), "host=backend:9000")

	listed := newSite(t, thinkws.WithAllowOrigin(app))
	answer, _ := listed.exchange(get(io4+"polling&hasty", lines("Origin: "+app+"\r\n"+cookie)...))
	got, _ := listed.exchange(upgradeRequest(io4+"websocket&sid="+sidOf(t, answer), page+cookie))
	assert.Equal(t, forbidden, got, "a session is no reason to let in an origin that is not listed")
}

// C4: a cut port is no reason to refuse the service's own page, on any way in.
func TestAProxyMayCutThePort(t *testing.T) {
	s := newSite(t)
	for door, request := range everyDoor() {
		for _, tt := range []struct {
			name, host, header string
			refused            bool
		}{
			{"a proxy cut the port", "app.test", "Origin: http://app.test:8080\r\nCookie: session=1\r\n", false},
			{"Basic on another port", "app.test", "Origin: http://app.test:8080\r\nAuthorization: Basic dTpw\r\n", true},
			{"localhost:3000 on localhost:8080", "localhost:8080", "Origin: http://localhost:3000\r\nCookie: session=1\r\n", true},
			{"another name", "backend", "Origin: http://app.test:8080\r\nCookie: session=1\r\n", true},
			{"Sec-Fetch-Site contradicts", "app.test", "Origin: http://app.test:8080\r\nCookie: session=1\r\nSec-Fetch-Site: same-site\r\n", true},
		} {
			got := s.status(at(tt.host, request(tt.header)))
			assert.Equal(t, tt.refused, got == http.StatusForbidden, "%s, %s: %d", door, tt.name, got)
		}
	}
}

// C5: without a list, socket.io-client 2 of any page may read answers to requests without
// credentials. It asks with credentials, so browsers do not show it an answer that says "*".
func TestRevision3MayReadAnswers(t *testing.T) {
	const page, evil = "https://page.example", "Origin: https://page.example\r\n"
	for name, options := range map[string][]thinkws.Option{
		"no list":           nil,
		"any origin":        {thinkws.WithAllowOrigin("*")},
		"with a cookie set": {thinkws.WithCookie(http.Cookie{})},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, options...)
			sid := ""
			for _, tt := range []struct {
				name, request, want, origin, credentials string
			}{
				{"revision 3", get(io3+"polling&hasty", lines(evil)...), "200", page, "true"},
				{"revision 3, POST", post(io3+"polling&sid={sid}", "2:40", lines(evil)...), "200", page, "true"},
				{"revision 3, unknown session", get(io3+"polling&sid=x", lines(evil)...), "400", page, "true"},
				{"revision 3, preflight", raw("OPTIONS", io3+"polling", "", lines(evil+"Access-Control-Request-Method: POST\r\n")...), "204", page, "true"},
				{"revision 3, null", get(io3+"polling&hasty", "Origin: null"), "200", "null", "true"},
				{"revision 3, file", get(io3+"polling&hasty", "Origin: file://"), "200", "file://", "true"},
				{"revision 3, no Origin", get(io3 + "polling&hasty"), "200", "*", ""},
				{"revision 3, cookie", get(io3+"polling&hasty", lines(evil+"Cookie: a=b\r\n")...), "403", "", ""},
				{"revision 3, Basic", get(io3+"polling&hasty", lines(evil+"Authorization: Basic dTpw\r\n")...), "403", "", ""},
				{"revision 3, Bearer", get(io3+"polling&hasty", lines(evil+"Authorization: Bearer x\r\n")...), "403", "", ""},
				{"revision 3, own page with a cookie", get(io3+"polling&hasty", "Origin: http://localhost", "Cookie: a=b"), "200", "*", ""},
				{"revision 4", get(io4+"polling&hasty", lines(evil)...), "200", "*", ""},
				{"revision 4, preflight", raw("OPTIONS", io4+"polling", "", lines(evil+"Access-Control-Request-Method: POST\r\n")...), "204", "*", ""},
				{"an action", get("/action?EIO=3", lines(evil)...), "200", "*", ""},
			} {
				got, header := s.exchange(strings.ReplaceAll(tt.request, "{sid}", sid))
				require.Equal(t, tt.want, got[:3], tt.name)
				assert.Equal(t, tt.origin, header.Get("Access-Control-Allow-Origin"), tt.name)
				assert.Equal(t, tt.credentials, header.Get("Access-Control-Allow-Credentials"), tt.name)
				assert.Contains(t, header.Get("Vary"), "Origin", tt.name)
				if tt.credentials == "true" {
					assert.Empty(t, header.Values("Set-Cookie"), tt.name)
				}
				if tt.name == "revision 3" {
					sid = sidOf(t, got)
				}
			}
		})
	}
	t.Run("not where origins are listed", func(t *testing.T) {
		s := newSite(t, thinkws.WithAllowOrigin(app, "*:8443"))
		_, header := s.exchange(get(io3+"polling&hasty", "Origin: https://page.example:8443"))
		assert.Equal(t, "https://page.example:8443", header.Get("Access-Control-Allow-Origin"))
		assert.Empty(t, header.Get("Access-Control-Allow-Credentials"))
		got, _ := s.exchange(get(io3+"polling", lines(evil)...))
		assert.Equal(t, forbidden, got)
	})
}

// C5: a page that is not trusted with credentials gets no cookie, or its next request would be
// refused for it. Other clients get it.
func TestCookiesAreForPagesThatMayHaveThem(t *testing.T) {
	for name, tt := range map[string]struct {
		options []thinkws.Option
		header  string
		set     bool
	}{
		"another page":              {nil, "Origin: https://page.example", false},
		"another page by Referer":   {nil, "Referer: https://page.example/", false},
		"another page, nameless":    {nil, "Sec-Fetch-Site: cross-site", false},
		"the own page by Referer":   {nil, "Referer: http://localhost/", true},
		"another page by Fetch":     {nil, "Origin: https://page.example\r\nSec-Fetch-Site: same-site", false},
		"null":                      {nil, "Origin: null", false},
		"the own page":              {nil, "Origin: http://localhost", true},
		"the own page behind nginx": {nil, "Origin: http://app.test\r\nSec-Fetch-Site: same-origin", true},
		"no browser":                {nil, "Accept: */*", true},
		"a listed page":             {[]thinkws.Option{thinkws.WithAllowOrigin("https://page.example")}, "Origin: https://page.example", true},
		"any page":                  {[]thinkws.Option{thinkws.WithAllowOrigin("*")}, "Origin: https://page.example", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, append(tt.options, thinkws.WithCookie(http.Cookie{}), thinkws.WithSockJS(thinkws.SockJSOptions{Cookie: true}))...)
			for door, request := range map[string]string{
				"revision 4": get(io4+"polling&hasty", lines(tt.header)...), "revision 3": get(io3+"polling&hasty", lines(tt.header)...),
				"SockJS": post("/sockjs/0/cookie/xhr?hasty", "", lines(tt.header)...),
				"JSONP":  get(io4+"polling&hasty&j=0", lines(tt.header)...), "SockJS JSONP": get("/sockjs/0/cookie-jsonp/jsonp?c=x&hasty", lines(tt.header)...),
			} {
				got, header := s.exchange(request)
				require.Equal(t, "200", got[:3], door)
				assert.Equal(t, tt.set, header.Get("Set-Cookie") != "", door)
			}
		})
	}
}

// C6: apps and WebViews have origins of their own kind. They are let in at every door where any
// origin is, never with a user's credentials, and they can be listed.
func TestOriginsOfApps(t *testing.T) {
	open, listed := newSite(t), newSite(t, thinkws.WithAllowOrigin("file://", "app://.", "http://a.b.c.", "qrc://", "tauri://localhost"))
	for _, origin := range []string{"file://", "app://.", "http://a.b.c.", "qrc://", "tauri://localhost"} {
		for door, request := range everyDoor() {
			for name, s := range map[string]*site{"open": open, "listed": listed} {
				assert.NotEqual(t, 403, s.status(request("Origin: "+origin+"\r\n")), "%s, %s, %s", name, door, origin)
			}
			assert.Equal(t, 403, open.status(request("Origin: "+origin+"\r\nCookie: a=b\r\n")), "%s, %s", door, origin)
			assert.Equal(t, 403, listed.status(request("Origin: "+origin+"x\r\n")), "%s, %s", door, origin)
		}
	}
}

// B10: a page of any origin can send GET and HEAD without naming itself.
func TestActionsByGetNeedAProofWithCredentials(t *testing.T) {
	for name, options := range map[string][]thinkws.Option{"open": nil, "listed": {thinkws.WithAllowOrigin("http://localhost")}} {
		s := newSite(t, options...)
		for _, credentials := range []string{
			"Cookie: session=1", "Authorization: Basic dTpw", "Authorization: basic dTpw", "Authorization: Digest x", "Authorization: NTLM x",
			"Authorization: Negotiate x", "Authorization: negotiate", "Authorization: Bearer x\r\nCookie: session=1", "Authorization: Bearer x\r\nAuthorization: Basic dTpw",
		} {
			for _, method := range []string{"GET", "HEAD"} {
				got, header := s.exchange(raw(method, "/action", "", lines(credentials)...))
				assert.Equal(t, "403", got[:3], "%s, %s %s", name, method, credentials)
				assert.Equal(t, []string{"Origin, Referer, Sec-Fetch-Site"}, header.Values("Vary"))
				for _, proof := range []string{"Origin: http://localhost", "Referer: http://localhost/page", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: none"} {
					got, _ := s.exchange(raw(method, "/action", "", append(lines(credentials), proof)...))
					assert.Equal(t, "200", got[:3], "%s, %s %s", name, method, proof)
				}
				got, _ = s.exchange(raw(method, "/action", "", append(lines(credentials), "Sec-Fetch-Site: cross-site")...))
				assert.Equal(t, "403", got[:3])
			}
			got, _ := s.exchange(raw("POST", "/action", "1", lines(credentials)...))
			assert.Equal(t, "200", got[:3], "%s: %s, browsers send Origin with POST", name, credentials)
		}
		for _, harmless := range []string{"", "Authorization: Bearer x", "Authorization: Basically x", "Cookie: ", "Authorization: "} {
			got, _ := s.exchange(raw("GET", "/action", "", lines(harmless)...))
			assert.Equal(t, "200", got[:3], "%s: %q", name, harmless)
		}
		assert.Contains(t, s.log.String(), "credentials that browsers add by themselves")
	}
}

// C4: no page may send the headers of proxies, which a trusted proxy might hand on.
func TestPreflightsDoNotAllowHeadersOfProxies(t *testing.T) {
	s := newSite(t)
	for _, target := range []string{io4 + "polling", io3 + "polling", "/action", "/sockjs/0/door/xhr", "/sockjs/info"} {
		for _, name := range []string{"X-Forwarded-Host", "x-forwarded-proto", "X-FORWARDED-FOR", "Forwarded", "X-Real-IP"} {
			got, header := s.exchange(raw("OPTIONS", target, "", "Origin: https://evil.test", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: "+name))
			assert.Equal(t, "204 ", got, target)
			assert.Empty(t, header.Get("Access-Control-Allow-Headers"), "%s: %s", target, name)
		}
		_, header := s.exchange(raw("OPTIONS", target, "", "Origin: https://a.test", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type"))
		assert.Equal(t, "content-type", header.Get("Access-Control-Allow-Headers"), target)
	}
}
