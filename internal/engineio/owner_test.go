package engineio_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/door"
	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// opens begins a polling session with the given headers.
func (h *harness) opens(revision int, extra string, headers ...string) *peer {
	h.t.Helper()
	query := "EIO=" + string(rune('0'+revision)) + "&transport=polling" + extra
	a := h.get(query, headers...)
	require.Equal(h.t, 200, a.status, a.body)
	c := <-h.clients
	return &peer{client: c, query: query + "&sid=" + c.ID(), opened: a}
}

// requests that name a session, by kind.
var requestKinds = map[string]func(*harness, *peer, ...string) answer{
	"GET":  func(h *harness, p *peer, headers ...string) answer { return h.get(p.query, headers...) },
	"POST": func(h *harness, p *peer, headers ...string) answer { return h.post(p.query, "6:4spoof", headers...) },
	"other": func(h *harness, p *peer, headers ...string) answer {
		return h.do(request("PUT", p.query, "x", headers...))
	},
	"EIO=4": func(h *harness, p *peer, headers ...string) answer {
		return h.get(strings.Replace(p.query, "EIO=3", "EIO=4", 1), headers...)
	},
	"upgrade": func(h *harness, p *peer, headers ...string) answer {
		return h.get(strings.Replace(p.query, "polling", "websocket", 1), slices.Concat(upgradeHeaders, headers)...)
	},
}

// The id of a revision 3 session is the id of its socket, which a service may tell other clients.
func TestRevision3AnswersOnlyItsOwner(t *testing.T) {
	own := []string{"Authorization", "Bearer me", "Origin", "http://example.test", "Cookie", "user=me; theme=dark"}
	strangers := map[string][]string{
		"nobody":                {},
		"another authorization": {"Authorization", "Bearer you", "Origin", "http://example.test", "Cookie", "user=me; theme=dark"},
		"no authorization":      {"Origin", "http://example.test", "Cookie", "user=me; theme=dark"},
		"another origin":        {"Authorization", "Bearer me", "Origin", "http://other.test", "Cookie", "user=me; theme=dark"},
		"no origin":             {"Authorization", "Bearer me", "Cookie", "user=me; theme=dark"},
		"another user's cookie": {"Authorization", "Bearer me", "Origin", "http://example.test", "Cookie", "user=you; theme=dark"},
		"no cookie":             {"Authorization", "Bearer me", "Origin", "http://example.test"},
	}
	for _, extra := range []string{"", "&j=0"} {
		h := newHarness(t, with(func(c *engineio.Config) { c.SessionCookies = []string{"user"} }))
		for stranger, headers := range strangers {
			for kind, ask := range requestKinds {
				p := h.opens(3, extra, own...)
				a := ask(h, p, headers...)
				assert.Equal(t, 400, a.status, "%s, %s%s", stranger, kind, extra)
				assert.Equal(t, sidUnknown, a.body, "%s, %s%s", stranger, kind, extra)
				assert.Empty(t, p.events, "%s, %s%s", stranger, kind, extra)
				require.NoError(t, p.send("unharmed"))
				assert.Contains(t, h.get(p.query, "Authorization", "Bearer me", "Origin", "http://example.test",
					"Cookie", "theme=light; user=me").body, "9:4unharmed", "the owner, with another theme")
			}
		}
	}
}

// Revision 4 has ids that nobody else learns: what a client sends along may change.
func TestRevision4ChecksNoOwner(t *testing.T) {
	h := newHarness(t, with(func(c *engineio.Config) { c.SessionCookies = []string{"user"} }))
	p := h.opens(4, "", "Authorization", "Bearer a", "Cookie", "user=me")
	require.NoError(t, p.send("x"))
	assert.Equal(t, "4x", h.get(p.query, "Authorization", "Bearer renewed", "Cookie", "user=again").body)
}

func TestStrangersCountAsGuesses(t *testing.T) {
	var tally session.Tally
	h := newHarness(t, with(func(c *engineio.Config) {
		c.Door = door.New(door.Config{Sessions: 10, SessionsPerAddress: 10, Handshakes: 10, HandshakesPerAddress: 10, Tally: &tally, Logger: c.Logger})
	}))
	p := h.opens(3, "", "Authorization", "Bearer me")
	statuses := map[int]int{}
	for range 25 {
		statuses[h.get(p.query).status]++
	}
	assert.Equal(t, map[int]int{400: 20, 429: 5}, statuses)
	require.NoError(t, p.send("unharmed"))
	assert.Contains(t, h.get(p.query, "Authorization", "Bearer me").body, "unharmed", "the owner has the same address")
}

// An upgrade is vouched for by a session whose handshake carried the same cookies and Authorization.
func TestVouches(t *testing.T) {
	h := newHarness(t, with(func(c *engineio.Config) { c.Cookie = &http.Cookie{Name: "io"} }))
	mine := []string{"Cookie", "user=me; theme=dark", "Authorization", "Basic bWU6eA=="}
	upgrade := func(query string, headers ...string) *http.Request {
		return request("GET", strings.Replace(query, "polling", "websocket", 1), "", slices.Concat(upgradeHeaders, headers)...)
	}
	for _, revision := range []int{3, 4} {
		p := h.opens(revision, "", append([]string{"Referer", "http://a.test/page"}, mine...)...)
		assert.True(t, h.server.Vouches(upgrade(p.query, append([]string{"Origin", "http://a.test"}, mine...)...)))
		assert.Equal(t, revision == 4, h.server.Vouches(upgrade(p.query, append([]string{"Origin", "http://other.test"}, mine...)...)), "Origin is for the caller if the id is secret")
		assert.True(t, h.server.Vouches(upgrade(p.query, "Origin", "http://a.test", "Authorization", "Basic bWU6eA==", "Cookie", "user=me; theme=dark; io="+p.ID())), "our own cookie")
		query := strings.Replace(p.query, "polling", "websocket", 1)
		assert.True(t, h.server.Vouches(request("GET", query, "", append([]string{"Origin", "http://a.test"}, mine...)...)), "a proxy has dropped the Upgrade header")
		a := h.get(query, mine...)
		assert.Equal(t, 400, a.status, "and the answer says so")
		for name, r := range map[string]*http.Request{
			"another cookie":   upgrade(p.query, "Authorization", "Basic bWU6eA==", "Cookie", "user=you; theme=dark"),
			"one more cookie":  upgrade(p.query, "Authorization", "Basic bWU6eA==", "Cookie", "user=me; theme=dark; x=y"),
			"no cookie":        upgrade(p.query, "Authorization", "Basic bWU6eA=="),
			"another password": upgrade(p.query, "Authorization", "Basic bWU6eQ==", "Cookie", "user=me; theme=dark"),
			"no authorization": upgrade(p.query, "Cookie", "user=me; theme=dark"),
			"another session":  upgrade(p.query+"x", mine...),
			"no session":       upgrade("EIO=4&transport=polling", mine...),
			"a poll":           request("GET", p.query, "", mine...),
		} {
			assert.False(t, h.server.Vouches(r), name)
		}
		w, resp, err := h.dialWSWith(strings.Replace(p.query, "polling", "websocket", 1), mine...)
		require.NoError(t, err, resp)
		w.write("5", "4x")
		assert.Equal(t, "text x", p.next(t))
		assert.False(t, h.server.Vouches(upgrade(p.query, mine...)), "it has been upgraded")
	}
	onWS, _ := h.websocket(4, "")
	assert.False(t, h.server.Vouches(upgrade("EIO=4&transport=websocket&sid="+onWS.ID())), "it never polled")
}
