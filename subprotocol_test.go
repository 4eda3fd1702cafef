package thinkws_test

import (
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// webSocketTargets are the endpoints that take a WebSocket: for Socket.IO, direct and as the upgrade of a session that
// polls, for plain WebSocket, and for SockJS with its framing and without.
func (s *site) webSocketTargets() map[string]func() string {
	fixed := func(target string) func() string { return func() string { return target } }
	return map[string]func() string{
		"Socket.IO 4":         fixed(io4 + "websocket&hasty"),
		"Socket.IO 2":         fixed(io3 + "websocket&hasty"),
		"Socket.IO 4 upgrade": func() string { return s.open(4, "&hasty").upgradeTarget() },
		"Socket.IO 2 upgrade": func() string { return s.open(3, "&hasty").upgradeTarget() },
		"plain":               fixed("/ws?hasty"),
		"SockJS":              fixed("/sockjs/0/subprotocol/websocket?hasty"),
		"SockJS unframed":     fixed("/sockjs/websocket?hasty"),
	}
}

// Browsers drop a connection whose answer names none of the subprotocols that the page offers.
func TestServerPicksTheFirstSubprotocolOffered(t *testing.T) {
	s := newSite(t)
	for name, target := range s.webSocketTargets() {
		t.Run(name, func(t *testing.T) {
			s := s.within(t)
			for _, offered := range [][]string{nil, {"v1"}, {"token.abc", "v1"}, {"V2", "v2", "v1"}} {
				ws, resp, err := websocket.Dial(t.Context(), "ws://localhost"+target(), &websocket.DialOptions{HTTPClient: s.http, Subprotocols: offered})
				require.NoError(t, err)
				want := append(offered, "")[0]
				assert.Equal(t, want, ws.Subprotocol(), "%q", offered)
				assert.Equal(t, want, resp.Header.Get("Sec-WebSocket-Protocol"))
				assert.LessOrEqual(t, len(resp.Header.Values("Sec-WebSocket-Protocol")), 1)
				require.NoError(t, ws.CloseNow())
			}
		})
	}
}

func TestHostileSubprotocols(t *testing.T) {
	s := newSite(t)
	spaces := strings.Repeat(" ", 10_000)
	for header, want := range map[string]string{
		"":                                    "",
		",":                                   "",
		", ,v1":                               "v1",
		"v1" + spaces + ",v2":                 "v1",
		spaces + "v1":                         "v1",
		"a" + spaces + "b":                    "", // CVE-2021-32640
		"a" + spaces + "b, v2":                "v2",
		"v1\t, v2":                            "v1",
		"a/b, v2":                             "v2",
		"a=b":                                 "",
		"\"v1\"":                              "",
		"v\u00fc":                             "",
		"v1;q=1, v2":                          "v2",
		strings.Repeat("x,", 5_000) + "y":     "x",
		strings.Repeat(",", 10_000) + "v1":    "v1",
		"v1\r\nSec-WebSocket-Protocol: v2":    "v1",
		"(\r\nSec-WebSocket-Protocol: v2, v3": "v2",
	} {
		for name, target := range s.webSocketTargets() {
			got, answer := s.exchange(upgradeRequest(target(), "Sec-WebSocket-Protocol: "+header+"\r\n"))
			assert.Equal(t, "101", got, "%s, %.40q", name, header)
			assert.Equal(t, want, answer.Get("Sec-WebSocket-Protocol"), "%s, %.40q", name, header)
			assert.LessOrEqual(t, len(answer.Values("Sec-WebSocket-Protocol")), 1)
		}
	}
	for _, h := range s.honest {
		h.echo(t)
	}
}

// A handshake that is refused names no subprotocol, and one of another version names the version that is served
// (RFC 6455, section 4.4).
func TestWebSocketOfAnotherVersionIsToldTheRightOne(t *testing.T) {
	s := newSite(t)
	for name, target := range s.webSocketTargets() {
		for _, line := range []string{"Sec-WebSocket-Version: 8\r\n", "Sec-WebSocket-Version: 13, 8\r\n", "Sec-WebSocket-Version: \r\n", ""} {
			request := upgradeRequest(target(), "Sec-WebSocket-Protocol: v1\r\n")
			got, header := s.exchange(strings.Replace(request, "Sec-WebSocket-Version: 13\r\n", line, 1))
			assert.Regexp(t, "^400 ", got, "%s, %q", name, line)
			assert.Equal(t, []string{"13"}, header.Values("Sec-WebSocket-Version"), "%s, %q", name, line)
			assert.Empty(t, header.Values("Sec-WebSocket-Protocol"), "%s, %q", name, line)
		}
	}
	for _, h := range s.honest {
		h.echo(t)
	}
}
