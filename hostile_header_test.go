package thinkws_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// everywhere are requests that reach a protocol: the request line up to its target, and the rest.
// The session id of a client that polls comes behind "sid=".
func everywhere(sid string) map[string][2]string {
	websocket := strings.TrimPrefix(upgradeRequest("", ""), "GET ")
	_, websocket, _ = strings.Cut(websocket, "\r\n")
	plain := "Host: localhost\r\n\r\n"
	body := "Host: localhost\r\nContent-Length: 1\r\n\r\n6"
	preflight := "Host: localhost\r\nOrigin: " + ownOrigin() + "\r\nAccess-Control-Request-Method: POST\r\n\r\n"
	all := map[string][2]string{
		"handshake":            {"GET " + io4 + "polling", plain},
		"handshake of 2.x":     {"GET " + io3 + "polling", plain},
		"handshake with JSONP": {"GET " + io3 + "polling&j=0", plain},
		"handshake WebSocket":  {"GET " + io4 + "websocket", websocket},
		"handshake preflight":  {"OPTIONS " + io4 + "polling", preflight},
		"poll":                 {"GET " + io4 + "polling&sid=" + sid, plain},
		"POST":                 {"POST " + io4 + "polling&sid=" + sid, body},
		"upgrade":              {"GET " + io4 + "websocket&sid=" + sid, websocket},
		"unknown session":      {"GET " + io4 + "polling&sid=nobody", plain},
		"WebSocket":            {"GET /ws/?a=b", websocket},
		"WebSocket namespace":  {"GET /ws/chat?a=b", websocket},
		"action":               {"GET /action?a=b", plain},
		"action POST":          {"POST /action?a=b", body},
		"action preflight":     {"OPTIONS /action?a=b", preflight},
		"SockJS preflight":     {"OPTIONS /sockjs/0/asked/xhr?a=b", preflight},
		"SockJS WebSocket":     {"GET /sockjs/0/upgraded/websocket?a=b", websocket},
		"SockJS raw WebSocket": {"GET /sockjs/websocket?a=b", websocket},
	}
	for _, path := range []string{"", "/", "/info", "/iframe.html", "/0/one/eventsource", "/0/two/htmlfile", "/0/three/jsonp"} {
		all["SockJS "+path] = [2]string{"GET /sockjs" + path + "?c=f", plain}
	}
	for _, path := range []string{"xhr", "xhr_streaming", "xhr_send", "jsonp_send"} {
		all["SockJS "+path] = [2]string{"POST /sockjs/0/" + path + "/" + path + "?a=b", body}
	}
	return all
}

// Row B3: the server refuses a request whose line and headers are too large, and keeps nothing of it.
func TestHostileB3Headers(t *testing.T) {
	const large = 20_000
	rs := &reports{}
	s := newSite(t, rs.options()...)
	p := s.open(4, "")
	before := s.handler.Hub().Stats()
	sent := 0
	for name, request := range everywhere(p.sid()) {
		for kind, text := range map[string]string{
			"query":   request[0] + "&q=" + strings.Repeat("q", large) + " HTTP/1.1\r\n" + request[1],
			"header":  request[0] + " HTTP/1.1\r\nX-Large: " + strings.Repeat("h", large) + "\r\n" + request[1],
			"cookie":  request[0] + " HTTP/1.1\r\nCookie: a=" + strings.Repeat("c", large) + "\r\n" + request[1],
			"name":    request[0] + " HTTP/1.1\r\n" + strings.Repeat("n", large) + ": 1\r\n" + request[1],
			"many":    request[0] + " HTTP/1.1\r\n" + strings.Repeat("a: b\r\n", large/34) + request[1],
			"trailer": request[0] + " HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: " + strings.Repeat("t", large) + "\r\n" + request[1],
			"host":    request[0] + " HTTP/1.1\r\n" + strings.Replace(request[1], "localhost", strings.Repeat("h", large), 1),
		} {
			got, header := s.exchange(text)
			require.Equal(t, "431 Request Header Fields Too Large\n", got, "%s: %s", name, kind)
			assert.Equal(t, "close", header.Get("Connection"), "%s: %s", name, kind)
			sent++
		}
	}
	after := s.handler.Hub().Stats()
	assert.EqualValues(t, sent, after.Limits["header"])
	assert.Equal(t, before.Sessions, after.Sessions)
	assert.Len(t, rs.all, sent)
	for _, r := range rs.all {
		assert.ErrorIs(t, r.err, thinkws.ErrTooMany)
		assert.Empty(t, r.id)
	}
	assert.Equal(t, 10, strings.Count(s.log.String(), `msg="headers too large"`))
	assert.Less(t, len(s.log.String()), 50_000)
	p.alive()
}

// A request of the size that is allowed passes everywhere.
func TestHeadersUpToTheirLimit(t *testing.T) {
	s := newSite(t, thinkws.WithLimits(thinkws.Limits{Header: 1000}))
	for name, request := range everywhere("nobody") {
		text := request[0] + " HTTP/1.1\r\nX-Fill: %s\r\n" + request[1]
		lines := strings.Split(strings.TrimSuffix(text[:strings.Index(text, "\r\n\r\n")], "%s"), "\r\n")
		size := len(lines[0]) - 2 // for its two blanks
		for _, line := range lines[1:] {
			size += len(strings.TrimSuffix(line, "%s")) - len(": ") + 32
		}
		fits := fmt.Sprintf(text, strings.Repeat("x", 1000-size))
		status, _, _ := s.first(fits)
		assert.NotEqual(t, "431", status, name)
		got, _ := s.exchange(strings.Replace(fits, "X-Fill: ", "X-Fill: x", 1))
		assert.Equal(t, "431 Request Header Fields Too Large\n", got, name)
	}
}
