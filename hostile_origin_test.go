package thinkws_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/seed-ce09063a/thinkws"
)

const app = "https://app.example.com"

// doors are the ways in: a request for each transport and protocol.
var doors = map[string]func(header string) string{
	"polling":             func(header string) string { return get(io4+"polling", lines(header)...) },
	"polling, revision 3": func(header string) string { return get(io3+"polling", lines(header)...) },
	"POST":                func(header string) string { return post(io4+"polling&sid=x", "40", lines(header)...) },
	"WebSocket":           func(header string) string { return upgradeRequest(io4+"websocket", header) },
	"plain":               func(header string) string { return upgradeRequest("/ws/nobody", header) },
	"preflight": func(header string) string {
		return raw("OPTIONS", io4+"polling", "", lines(header+"Access-Control-Request-Method: POST\r\n")...)
	},
}

// sockjsDoors are those of SockJS, which has rules of its own for who may read the answers. Each
// has a session of its own: a second poll in one would wait.
var sockjsDoors = map[string]func(header string) string{
	"SockJS":        func(header string) string { return get("/sockjs/", lines(header)...) },
	"SockJS info":   func(header string) string { return get("/sockjs/info", lines(header)...) },
	"SockJS iframe": func(header string) string { return get("/sockjs/iframe-1.6.1.html", lines(header)...) },
	"SockJS xhr":    func(header string) string { return post("/sockjs/0/door-xhr/xhr", "", lines(header)...) },
	"SockJS xhr_streaming": func(header string) string {
		return post("/sockjs/0/door-xhr_streaming/xhr_streaming", "", lines(header)...)
	},
	"SockJS xhr_send":    func(header string) string { return post("/sockjs/0/door-xhr_send/xhr_send", "[]", lines(header)...) },
	"SockJS eventsource": func(header string) string { return get("/sockjs/0/door-eventsource/eventsource", lines(header)...) },
	"SockJS htmlfile":    func(header string) string { return get("/sockjs/0/door-htmlfile/htmlfile?c=x", lines(header)...) },
	"SockJS jsonp":       func(header string) string { return get("/sockjs/0/door-jsonp/jsonp?c=x", lines(header)...) },
	"SockJS jsonp_send": func(header string) string {
		return post("/sockjs/0/door-jsonp_send/jsonp_send", "[]", lines(header)...)
	},
	"SockJS WebSocket":       func(header string) string { return upgradeRequest("/sockjs/0/door-websocket/websocket", header) },
	"SockJS WebSocket, bare": func(header string) string { return upgradeRequest("/sockjs/websocket", header) },
	"SockJS preflight": func(header string) string {
		return raw("OPTIONS", "/sockjs/0/door/xhr", "", lines(header+"Access-Control-Request-Method: POST\r\n")...)
	},
}

// everyDoor are the doors of all protocols.
func everyDoor() map[string]func(header string) string {
	all := maps.Clone(doors)
	maps.Copy(all, sockjsDoors)
	return all
}

// lines takes header lines apart.
func lines(header string) []string {
	if header == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(header, "\r\n"), "\r\n")
}

// Rows 32 to 36: who may not come in is told so at every door, before an upgrade.
func TestHostileOrigin(t *testing.T) {
	listed := thinkws.WithAllowOrigin(app)
	for _, tt := range []struct {
		row, name string
		option    thinkws.Option
		header    string
	}{
		{"32", "another site", listed, "Origin: https://evil.example.net\r\n"},
		{"32", "another site by its Referer", listed, "Referer: https://evil.example.net/page\r\n"},
		{"32", "a site that hides its name", listed, "Sec-Fetch-Site: cross-site\r\n"},
		{"32", "the server's own origin, not listed", listed, "Origin: " + ownOrigin() + "\r\n"},
		{"33", "null", listed, "Origin: null\r\n"},
		{"33", "null with credentials", thinkws.WithAllowOrigin("null"), "Origin: null\r\nCookie: session=1\r\n"},
		{"34", "longer name", listed, "Origin: https://evilapp.example.com\r\n"},
		{"34", "name with a tail", listed, "Origin: https://app.example.com.evil.net\r\n"},
		{"34", "user", listed, "Origin: https://app.example.com@evil.net\r\n"},
		{"34", "user and password", listed, "Origin: https://app.example.com:443@evil.net\r\n"},
		{"34", "another port", listed, "Origin: https://app.example.com:8443\r\n"},
		{"34", "another scheme", listed, "Origin: http://app.example.com\r\n"},
		{"34", "path", listed, "Origin: https://app.example.com/\r\n"},
		{"34", "dot at the end", listed, "Origin: https://app.example.com.\r\n"},
		{"34", "punycode", listed, "Origin: https://xn--pp-xja.example.com\r\n"},
		{"34", "two origins", listed, "Origin: https://app.example.com\r\nOrigin: https://evil.net\r\n"},
		{"34", "two origins in one", listed, "Origin: https://app.example.com https://evil.net\r\n"},
		{"34", "sub-domain", thinkws.WithAllowOrigin("https://*.example.com"), "Origin: https://a.example.com.evil.net\r\n"},
		{"35", "any origin, but a cookie", thinkws.WithAllowOrigin("*"), "Origin: https://evil.net\r\nCookie: session=1\r\n"},
		{"35", "any origin, but a password", thinkws.WithAllowOrigin("*"), "Origin: https://evil.net\r\nAuthorization: Basic eDp5\r\n"},
		{"CVE-2020-28481", "nothing configured, but a cookie", thinkws.WithEIO3(true), "Origin: https://evil.net\r\nCookie: session=1\r\n"},
		{"36", "no origin where one is required", thinkws.WithRequireOrigin(), ""},
	} {
		t.Run(tt.row+" "+tt.name, func(t *testing.T) {
			s := newSite(t, tt.option)
			for door, request := range everyDoor() {
				if strings.HasSuffix(door, "preflight") && !strings.HasPrefix(tt.header, "Origin") {
					continue
				}
				got, header := s.exchange(request(tt.header))
				assert.Equal(t, forbidden, got, door)
				assert.Contains(t, header.Get("Vary"), "Origin", door)
				assert.Empty(t, header.Get("Access-Control-Allow-Origin"), door)
				assert.Empty(t, header.Get("Access-Control-Allow-Credentials"), door)
			}
			assert.Contains(t, s.log.String(), "level=WARN msg=\"origin refused\"")
			s.verify()
		})
	}
}

// Rows 33 to 36: who may come in gets no more than is due.
func TestHostileOriginBesides(t *testing.T) {
	for _, tt := range []struct {
		row, name           string
		option              thinkws.Option
		header              string
		origin, credentials string // what the browser may read
	}{
		{"33", "null where it is listed", thinkws.WithAllowOrigin("null"), "Origin: null\r\n", "null", ""},
		{"34", "other case and the usual port", thinkws.WithAllowOrigin(app), "Origin: HTTPS://App.Example.COM:443\r\n", "HTTPS://App.Example.COM:443", "true"},
		{"35", "any origin", thinkws.WithAllowOrigin("*"), "Origin: https://evil.net\r\n", "*", ""},
		{"35", "any origin, one trusted", thinkws.WithAllowOrigin("*", app), "Origin: " + app + "\r\nCookie: a=b\r\n", app, "true"},
		{"36", "no origin", thinkws.WithAllowOrigin(app), "", "", ""},
	} {
		t.Run(tt.row+" "+tt.name, func(t *testing.T) {
			s := newSite(t, tt.option)
			for door, request := range doors {
				if door == "polling, revision 3" {
					continue // such a client is in at once and stays for a while
				}
				got, header := s.exchange(request(tt.header))
				assert.NotContains(t, got, "Forbidden", door)
				assert.Contains(t, header.Get("Vary"), "Origin", door)
				assert.Equal(t, tt.origin, header.Get("Access-Control-Allow-Origin"), door)
				assert.Equal(t, tt.credentials, header.Get("Access-Control-Allow-Credentials"), door)
			}
			s.verify()
		})
	}
}

// Row 28: bytes that no origin has are refused and do not come back.
func TestHostile28OriginBytes(t *testing.T) {
	const byServer = "400 400 Bad Request" // net/http lets nobody see it
	for origin, want := range map[string]string{
		"https://a\x00b":         byServer,
		"https://a\x7fb":         byServer,
		"https://a\rX-Evil: 1":   byServer,
		"https://a\nX Evil":      byServer,
		"https://\xff\xfe":       badRequest,
		"https://bücher.example": badRequest,
		"https://a\tb":           badRequest,
		"https://a\r\n b":        forbidden, // a line that goes on is joined by a blank
	} {
		s := newSite(t)
		for door, request := range everyDoor() {
			got, header := s.exchange(request("Origin: " + origin + "\r\n"))
			assert.Equal(t, want, got, "%s, %q", door, origin)
			assert.Empty(t, header.Get("Access-Control-Allow-Origin"))
			assert.Empty(t, header.Get("X-Evil"))
			assert.NotContains(t, got, origin)
		}
		s.verify()
	}
}

// Row 27: preflights cost nothing and are remembered by the browser.
func TestHostile27PreflightFlood(t *testing.T) {
	s := newSite(t, thinkws.WithAllowOrigin(app))
	before := s.handler.Hub().Stats()
	junk := strings.Repeat("x-y,", 100) + "a b,*,\x01,ok"
	for range 200 {
		got, header := s.exchange(raw("OPTIONS", io4+"polling", "", "Origin: "+app, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: "+strings.ReplaceAll(junk, "\x01", "é")))
		assert.Equal(t, "204 ", got)
		assert.Equal(t, "7200", header.Get("Access-Control-Max-Age"))
		assert.Equal(t, "GET,POST,OPTIONS", header.Get("Access-Control-Allow-Methods"))
		assert.NotContains(t, header.Get("Access-Control-Allow-Headers"), "*")
		assert.Empty(t, header.Get("Set-Cookie"))
	}
	assert.Equal(t, before, s.handler.Hub().Stats())
	s.verify()
}
