package thinkws_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

func noop(*thinkws.Context) error { return nil }

func TestBadOptions(t *testing.T) {
	match := func(string, *http.Request) bool { return true }
	for _, tt := range []struct {
		name   string
		option thinkws.Option
		want   []string // in the error: the option and the value
	}{
		{"path", thinkws.WithPath("socket.io"), []string{"WithPath", `"socket.io"`}},
		{"path with query", thinkws.WithPath("/a?b"), []string{"WithPath", `"/a?b"`}},
		{"root path", thinkws.WithPath("/"), []string{"WithPath"}},
		{"ws path", thinkws.WithWebSocketPath(""), []string{"WithWebSocketPath", `""`}},
		{"SockJS path", thinkws.WithSockJS(thinkws.SockJSOptions{Path: "sockjs"}), []string{"WithSockJS", `"sockjs"`}},
		{"SockJS root path", thinkws.WithSockJS(thinkws.SockJSOptions{Path: "/"}), []string{"WithSockJS", `"/"`}},
		{"SockJS limit", thinkws.WithSockJS(thinkws.SockJSOptions{ResponseLimit: -1}), []string{"WithSockJS", "ResponseLimit", "-1"}},
		{"sessions", thinkws.WithLimits(thinkws.Limits{Sessions: -2}), []string{"WithLimits", "Sessions", "-2"}},
		{"handshakes", thinkws.WithLimits(thinkws.Limits{HandshakesPerAddress: -3}), []string{"HandshakesPerAddress", "-3"}},
		{"depth", thinkws.WithLimits(thinkws.Limits{Depth: 10_001}), []string{"WithLimits", "Depth", "10001"}},
		{"name", thinkws.WithLimits(thinkws.Limits{Name: -1}), []string{"WithLimits", "Name", "-1"}},
		{"limits inside", thinkws.Namespace("/a", thinkws.WithLimits(thinkws.Limits{})), []string{"WithLimits", "Namespace"}},
		{"proxies", thinkws.WithTrustedProxies(netip.Prefix{}), []string{"WithTrustedProxies", "invalid"}},
		{"SockJS delay", thinkws.WithSockJS(thinkws.SockJSOptions{DisconnectDelay: 5}), []string{"DisconnectDelay", "5ns"}},
		{"SockJS heartbeat", thinkws.WithSockJS(thinkws.SockJSOptions{HeartbeatDelay: -1}), []string{"HeartbeatDelay", "-1ns"}},
		{"SockJS client", thinkws.WithSockJS(thinkws.SockJSOptions{ClientURL: "sockjs.js"}), []string{"ClientURL", `"sockjs.js"`}},
		{"SockJS client with markup", thinkws.WithSockJS(thinkws.SockJSOptions{ClientURL: `/"><script>`}), []string{"ClientURL"}},
		{"SockJS inside", thinkws.Namespace("/a", thinkws.WithSockJS(thinkws.SockJSOptions{})), []string{"WithSockJS", "Namespace"}},
		{"transport", thinkws.WithTransports("polling", "pigeon"), []string{"WithTransports", `"pigeon"`}},
		{"no transport", thinkws.WithTransports(), []string{"WithTransports"}},
		{"interval", thinkws.WithPingInterval(0), []string{"WithPingInterval", "0s"}},
		{"timeout", thinkws.WithPingTimeout(-1), []string{"WithPingTimeout", "-1ns"}},
		{"connect", thinkws.WithConnectTimeout(5), []string{"WithConnectTimeout", "5ns"}},
		{"upgrade", thinkws.WithUpgradeTimeout(0), []string{"WithUpgradeTimeout"}},
		{"write", thinkws.WithWriteTimeout(0), []string{"WithWriteTimeout"}},
		{"read", thinkws.WithReadTimeout(0), []string{"WithReadTimeout", "0s"}},
		{"message time", thinkws.WithMessageTimeout(-1), []string{"WithMessageTimeout", "-1ns"}},
		{"message", thinkws.WithMaxMessage(0), []string{"WithMaxMessage", "0"}},
		{"compression", thinkws.WithCompression(0), []string{"WithCompression", "0"}},
		{"negative compression", thinkws.WithCompression(-1024), []string{"WithCompression", "-1024"}},
		{"compression inside", thinkws.Namespace("/a", thinkws.WithCompression(1024)), []string{"WithCompression", "Namespace"}},
		{"rooms", thinkws.WithMaxRooms(-3), []string{"WithMaxRooms", "-3"}},
		{"send queue", thinkws.WithSendQueue(0), []string{"WithSendQueue", "0"}},
		{"receive queue", thinkws.WithReceiveQueue(7, -1), []string{"WithReceiveQueue", "-1"}},
		{"node", thinkws.WithNode("n1"), []string{"WithNode", `"n1"`}},
		{"node of other characters", thinkws.WithNode("n1.a"), []string{"WithNode", `"n1.a"`}},
		{"node inside", thinkws.Namespace("/a", thinkws.WithNode("n1aB")), []string{"WithNode", "Namespace"}},
		{"cookie", thinkws.WithCookie(http.Cookie{Name: "a b"}), []string{"WithCookie"}},
		{"session cookie", thinkws.WithSessionCookies("a", "b c"), []string{"WithSessionCookies", `"b c"`}},
		{"empty session cookie", thinkws.WithSessionCookies(""), []string{"WithSessionCookies", `""`}},
		{"session cookies inside", thinkws.Namespace("/a", thinkws.WithSessionCookies("a")), []string{"WithSessionCookies", "Namespace"}},
		{"cookie path", thinkws.WithCookie(http.Cookie{Path: "/;x"}), []string{"WithCookie"}},
		{"client", thinkws.WithClient(nil), []string{"WithClient"}},
		{"empty client", thinkws.WithClient(fstest.MapFS{}), []string{"WithClient", "socket.io.js"}},
		{"logger", thinkws.WithLogger(nil), []string{"WithLogger"}},
		{"origin", thinkws.WithAllowOrigin("http//x"), []string{"WithAllowOrigin", "http//x"}},
		{"no host", thinkws.WithAllowedHosts(), []string{"WithAllowedHosts"}},
		{"host that is a URL", thinkws.WithAllowedHosts("a.example", "https://b.example"), []string{"WithAllowedHosts", `"https://b.example"`}},
		{"any host", thinkws.WithAllowedHosts("*"), []string{"WithAllowedHosts", `"*"`}},
		{"host that is a port", thinkws.WithAllowedHosts(":8360"), []string{"WithAllowedHosts"}},
		{"reserved", thinkws.On("connect", noop), []string{"On", `"connect"`}},
		{"empty event", thinkws.On("", noop), []string{"On", `""`}},
		{"no action", thinkws.On("e", nil), []string{"On", `"e"`}},
		{"messages", thinkws.WithMessages(thinkws.Messages{"disconnect": noop}), []string{`"disconnect"`}},
		{"twice", thinkws.Namespace("/", thinkws.On("e", noop), thinkws.On("e", noop)), []string{"On", `"e"`}},
		{"any", thinkws.OnAny(nil), []string{"OnAny"}},
		{"authorize", thinkws.Authorize(nil), []string{"Authorize"}},
		{"nested", thinkws.Namespace("/a", thinkws.Namespace("/b")), []string{"Namespace"}},
		{"nested in main", thinkws.Namespace("/", thinkws.Namespace("/b")), []string{"Namespace"}},
		{"option inside", thinkws.Namespace("/a", thinkws.WithEIO3(false)), []string{"WithEIO3", "Namespace"}},
		{"option inside main", thinkws.Namespace("/", thinkws.WithEIO3(false)), []string{"WithEIO3", "Namespace"}},
		{"origin inside", thinkws.Namespace("/a", thinkws.WithRequireOrigin()), []string{"WithRequireOrigin"}},
		{"long namespace", thinkws.Namespace(strings.Repeat("n", 256)), []string{"Namespace", "256 bytes"}},
		{"comma", thinkws.Namespace("/a,b"), []string{"Namespace", `"/a,b"`}},
		{"separator", thinkws.Namespace("/a#b"), []string{"Namespace", `"/a#b"`}},
		{"separator in a pattern", thinkws.Namespace("room-*#"), []string{"Namespace", `"/room-*#"`}},
		{"pattern", thinkws.Namespace("/[*"), []string{"Namespace", `"/[*"`}},
		{"match", thinkws.NamespaceFunc(nil), []string{"NamespaceFunc"}},
		{"match holds bad", thinkws.NamespaceFunc(match, thinkws.On("connect", noop)), []string{`"connect"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, err := thinkws.New(tt.option, thinkws.On("fine", noop))
			require.Error(t, err)
			assert.Nil(t, h)
			assert.ErrorContains(t, err, "thinkws: ")
			for _, want := range tt.want {
				assert.ErrorContains(t, err, want)
			}
		})
	}
	_, err := thinkws.New(thinkws.Namespace("/a"), thinkws.Namespace("a"), thinkws.WithPath("x"))
	assert.ErrorContains(t, err, `"/a" is described twice`)
	assert.ErrorContains(t, err, "WithPath", "all that is wrong is named at once")
}
