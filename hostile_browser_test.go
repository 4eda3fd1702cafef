package thinkws_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// What a browser can be made to send: names of hosts and cookies.

// Row 37: a page whose name has come to lead to us is same-origin for the browser, and not
// for us; by GET it has no Origin, and only the list of hosts keeps it out.
func TestHostile37Rebinding(t *testing.T) {
	const evil = "rebound.example.net"
	rebound := func(request string) string {
		return strings.Replace(request, "Host: localhost", "Host: "+evil, 1)
	}
	t.Run("37 Host and Origin are the same", func(t *testing.T) {
		s := newSite(t, thinkws.WithAllowOrigin(app))
		for door, request := range everyDoor() {
			got, _ := s.exchange(rebound(request("Origin: http://" + evil + "\r\n")))
			assert.Equal(t, forbidden, got, door)
		}
		s.verify()
	})
	const misdirected = "421 Misdirected Request\n"
	for _, option := range []thinkws.Option{thinkws.WithAllowOrigin("http://"+evil, app), thinkws.WithAllowOriginFunc(func(*http.Request, string) (bool, error) { return true, nil })} {
		t.Run("37 Host is not ours", func(t *testing.T) {
			s := newSite(t, option, thinkws.WithAllowedHosts("localhost", "app.example.com"))
			for door, request := range everyDoor() {
				for _, header := range []string{"", "Origin: http://" + evil + "\r\n", "Origin: " + app + "\r\n"} {
					got, answer := s.exchange(rebound(request(header)))
					assert.Equal(t, misdirected, got, door)
					assert.Empty(t, answer.Get("Access-Control-Allow-Origin"), door)
					assert.Equal(t, "close", answer.Get("Connection"), door)
				}
			}
			assert.Contains(t, s.log.String(), "host="+evil)
			s.verify()
		})
	}
	s := newSite(t, thinkws.WithAllowedHosts("localhost", "App.Example.com"), thinkws.WithAllowedHosts("exact.example.com:8443", "[::1]:80"))
	for host, allowed := range map[string]bool{
		"localhost": true, "LocalHost:8360": true, "app.example.com:1": true, "exact.example.com:8443": true, "[::1]:80": true,
		"exact.example.com": false, "exact.example.com:443": false, "[::1]": false, "[::1]:81": false, "app.example.com.": false,
		"localhost.example.net": false, "xlocalhost": false, "127.0.0.1": false, "localhost:80:80": false,
	} {
		got, _ := s.exchange(strings.Replace(get("/socket.io/?EIO=9&transport=polling"), "Host: localhost", "Host: "+host, 1))
		assert.Equal(t, map[bool]string{true: badVersion, false: misdirected}[allowed], got, host)
	}
	s.verify()
}

// Row 38: who has the cookie has nothing, and scripts do not get it.
func TestHostile38Cookie(t *testing.T) {
	for _, tt := range []struct {
		name   string
		cookie http.Cookie
		want   string // behind the value; "" if it is refused
	}{
		{"as it comes", http.Cookie{}, "; Path=/; HttpOnly; SameSite=Lax"},
		{"for scripts", http.Cookie{HttpOnly: false, SameSite: http.SameSiteStrictMode}, "; Path=/; HttpOnly; SameSite=Strict"},
		{"in frames of others", http.Cookie{SameSite: http.SameSiteNoneMode, Secure: true}, "; Path=/; HttpOnly; Secure; SameSite=None"},
		{"in frames of others, without TLS", http.Cookie{SameSite: http.SameSiteNoneMode}, ""},
	} {
		t.Run("38 "+tt.name, func(t *testing.T) {
			if tt.want == "" {
				_, err := thinkws.New(thinkws.WithCookie(tt.cookie))
				assert.ErrorContains(t, err, "WithCookie: SameSite None without Secure")
				return
			}
			s := newSite(t, thinkws.WithCookie(tt.cookie))
			got, header := s.exchange(get(io4 + "polling"))
			sid := got[len(`200 0{"sid":"`):][:20]
			assert.Equal(t, []string{"io=" + sid + tt.want}, header["Set-Cookie"])
		})
	}
	s := newSite(t, thinkws.WithCookie(http.Cookie{}))
	p := s.open(4, "")
	_, sid, _ := strings.Cut(p.target, "&sid=")
	cookie := "Cookie: io=" + sid
	for name, tt := range map[string]struct{ request, want string }{
		"message": {post(io4+"polling", "40", cookie), badMethod},
		"upgrade": {get(io4+"websocket", cookie), badRequest},
		"another": {get(io4+"polling&sid=AAAAAAAAAAAAAAAAAAAA", cookie), sidUnknown},
	} {
		got, _ := s.exchange(tt.request)
		assert.Equal(t, tt.want, got, name)
	}
	got, _ := s.exchange(get(io4+"polling", cookie))
	assert.NotContains(t, got, sid, "a session of its own")
	ws := &rawWS{t: t, conn: s.dial()}
	ws.write([]byte(upgradeRequest(io4+"websocket&hasty", cookie+"\r\n")))
	require.NoError(t, ws.conn.Close())
	p.alive()
}

// Row 39: a cookie of junk is a hint at most, and does not come back.
func TestHostile39CookieJunk(t *testing.T) {
	s := newSite(t, thinkws.WithLimits(thinkws.Limits{Header: 1 << 20}), thinkws.WithCookie(http.Cookie{}))
	for _, junk := range []string{"io=a;b\tc=\"", "io=\"x; HttpOnly; Path=/evil\"", "=;=;=", "io=\xff\xfe", "io=x,io=y;io=z", "io={\"a\":1}", "__proto__=1; constructor=2", strings.Repeat("io=x; ", 10_000)} {
		for _, door := range []string{"polling", "POST", "preflight"} {
			origin := "Origin: " + s.origin + "\r\n"
			got, answer := s.exchange(doors[door](origin + "Cookie: " + junk + "\r\n"))
			want, _ := s.exchange(doors[door](origin))
			assert.Equal(t, want[:4], got[:4], "%s: %.20q", door, junk)
			for _, set := range answer["Set-Cookie"] {
				assert.Regexp(t, `^io=[A-Za-z0-9_-]{20}; Path=/; HttpOnly; SameSite=Lax$`, set)
			}
		}
		got, header := s.exchange(get("/sockjs/info", "Cookie: "+junk))
		assert.Regexp(t, `^200 \{"websocket":true,"origins":`, got)
		assert.Empty(t, header["Set-Cookie"])
	}
	s.verify()
}
