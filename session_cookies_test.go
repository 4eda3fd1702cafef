package thinkws_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

var upgradeHeaders = []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="}

func first(answer string, _ http.Header) string { return answer }

// A client of Socket.IO 2.x is known to others by the id of its session. A stranger who has heard
// that id sends every kind of request with it, and is told that there is no such session.
func TestStrangersCannotUseTheIDOfASocketIO2Client(t *testing.T) {
	s := newSite(t, thinkws.WithSessionCookies("user"), thinkws.WithSessionCookies("tenant"))
	mine := []string{"Cookie: tenant=t; user=me; theme=dark", "Sec-Fetch-Site: same-origin"}
	answer, _ := s.exchange(get(io3+"polling", mine...))
	_, payload, _ := strings.Cut(answer, ":0")
	var open struct{ SID string }
	require.NoError(t, json.NewDecoder(strings.NewReader(payload)).Decode(&open))
	polls, upgrades := io3+"polling&sid="+open.SID, io3+"websocket&sid="+open.SID
	for name, headers := range map[string][]string{
		"no cookie":       {},
		"another user":    {"Cookie: tenant=t; user=you", "Sec-Fetch-Site: same-origin"},
		"another tenant":  {"Cookie: tenant=u; user=me", "Sec-Fetch-Site: same-origin"},
		"an extra header": append([]string{"Authorization: Bearer x"}, mine...),
	} {
		assert.Equal(t, sidUnknown, first(s.exchange(get(polls, headers...))), name)
		assert.Equal(t, sidUnknown, first(s.exchange(get(polls+"&j=0", headers...))), name)
		assert.Equal(t, sidUnknown, first(s.exchange(post(polls, frame3(`42["echo"]`), headers...))), name)
		assert.Equal(t, sidUnknown, first(s.exchange(get(upgrades, slices.Concat(upgradeHeaders, headers)...))), name)
	}
	renewed := []string{"Cookie: theme=light; user=me; tenant=t", "Sec-Fetch-Site: same-origin"}
	assert.Equal(t, "200 ok", first(s.exchange(post(polls, frame3(`421["echo","me"]`), renewed...))))
	var heard string
	for !strings.Contains(heard, "431") {
		heard += first(s.exchange(get(polls, renewed...)))
	}
	assert.Contains(t, heard, `431["me"]`)
	assert.Equal(t, "200 ok", first(s.exchange(post(polls, frame3("1"), renewed...))))
	s.verify(thinkws.ReasonTransportClose)
}

// A page of another origin in the browser of the same user sends the user's cookies. Knowing the id
// does not let it take the session over by an upgrade, also before the client has named its origin.
func TestForeignPagesCannotUpgradeSessionsOfSocketIO2(t *testing.T) {
	s := newSite(t, thinkws.WithSessionCookies("user"))
	const mine = "Cookie: user=me\r\nSec-Fetch-Site: same-origin\r\n"
	for name, referer := range map[string]string{"Referer": "Referer: http://app.test/page\r\n", "no Referer": ""} {
		answer, _ := s.exchange(get(io3+"polling&hasty", lines(mine+referer)...))
		upgrades := io3 + "websocket&sid=" + sidOf(t, answer)
		assert.Equal(t, forbidden, first(s.exchange(upgradeRequest(upgrades, "Origin: http://evil.test\r\nCookie: user=me\r\n"))), name)
		got := first(s.exchange(upgradeRequest(upgrades, "Origin: http://app.test\r\nCookie: user=me\r\n")))
		if referer != "" {
			assert.Equal(t, "101", got, "behind a proxy that passes another Host on")
		} else {
			assert.Equal(t, forbidden, got, "the client goes on polling")
			got = first(s.exchange(upgradeRequest(upgrades, "Origin: http://localhost\r\nCookie: user=me\r\n")))
			assert.Equal(t, "101", got, "a page that is our own needs nobody to vouch for it")
		}
	}
}
