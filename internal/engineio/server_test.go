package engineio_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/door"
	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

var upgradeHeaders = []string{
	"Connection", "Upgrade", "Upgrade", "websocket",
	"Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==",
}

const (
	transportUnknown = `{"code":0,"message":"Transport unknown"}`
	sidUnknown       = `{"code":1,"message":"Session ID unknown"}`
	badMethod        = `{"code":2,"message":"Bad handshake method"}`
	badRequest       = `{"code":3,"message":"Bad request"}`
	badVersion       = `{"code":5,"message":"Unsupported protocol version"}`
)

func TestRefusals(t *testing.T) {
	h := newHarness(t)
	live, live3 := h.polling(4, ""), h.polling(3, "")
	onWS, _ := h.websocket(4, "")
	for name, c := range map[string]struct {
		method, query string
		headers       []string
		want          string
	}{
		"no transport":           {"GET", "EIO=4", nil, transportUnknown},
		"empty transport":        {"GET", "EIO=4&transport=", nil, transportUnknown},
		"unknown transport":      {"GET", "EIO=4&transport=tcp", nil, transportUnknown},
		"prototype":              {"GET", "EIO=4&transport=__proto__", nil, transportUnknown},
		"constructor, upgrade":   {"GET", "EIO=4&transport=constructor", upgradeHeaders, transportUnknown},
		"two transports":         {"GET", "EIO=4&transport=polling&transport=polling", nil, transportUnknown},
		"webtransport":           {"GET", "EIO=4&transport=webtransport", nil, transportUnknown},
		"transport before sid":   {"GET", "EIO=4&transport=x&sid=y", nil, transportUnknown},
		"unknown sid":            {"GET", "EIO=4&transport=polling&sid=abc", nil, sidUnknown},
		"sid of objects":         {"GET", "EIO=4&transport=polling&sid=__proto__", nil, sidUnknown},
		"unknown sid, POST":      {"POST", "EIO=4&transport=polling&sid=abc", nil, sidUnknown},
		"unknown sid, upgrade":   {"GET", "EIO=4&transport=websocket&sid=abc", upgradeHeaders, sidUnknown},
		"two sids":               {"GET", live.query + "&sid=" + live.ID(), nil, sidUnknown},
		"POST":                   {"POST", "EIO=4&transport=polling", nil, badMethod},
		"PUT":                    {"PUT", "EIO=4&transport=polling", nil, badMethod},
		"OPTIONS":                {"OPTIONS", "EIO=4&transport=polling", nil, badMethod},
		"POST for WebSocket":     {"POST", "EIO=4&transport=websocket", nil, badMethod},
		"no upgrade":             {"GET", "EIO=4&transport=websocket", nil, badRequest},
		"upgrade to h2c":         {"GET", "EIO=4&transport=websocket", []string{"Connection", "Upgrade", "Upgrade", "h2c"}, badRequest},
		"upgrade to polling":     {"GET", "EIO=4&transport=polling", upgradeHeaders, badRequest},
		"EIO 1":                  {"GET", "EIO=1&transport=polling", nil, badVersion},
		"EIO 2, 2":               {"GET", "EIO=2&EIO=2&transport=polling", nil, badVersion},
		"EIO empty, escaped":     {"GET", "EIO=&transport=%70olling", nil, badVersion},
		"EIO empty":              {"GET", "EIO=&transport=polling", nil, badVersion},
		"EIO 9":                  {"GET", "EIO=9&transport=polling", nil, badVersion},
		"EIO 04":                 {"GET", "EIO=04&transport=polling", nil, badVersion},
		"EIO twice":              {"GET", "EIO=4&EIO=4&transport=polling", nil, badVersion},
		"EIO 5, WebSocket":       {"GET", "EIO=5&transport=websocket", upgradeHeaders, badVersion},
		"EIO of another session": {"GET", strings.Replace(live.query, "EIO=4", "EIO=3", 1), nil, badRequest},
		"and the reverse":        {"POST", strings.Replace(live3.query, "EIO=3", "EIO=4", 1), nil, badRequest},
		"EIO missing, with sid":  {"GET", strings.Replace(live.query, "EIO=4", "", 1), nil, badRequest},
		"EIO differs, upgrade":   {"GET", "EIO=3&transport=websocket&sid=" + live.ID(), upgradeHeaders, badRequest},
		"sid, other transport":   {"GET", "EIO=4&transport=websocket&sid=" + live.ID(), nil, badRequest},
		"sid, upgrade, polling":  {"GET", live.query, upgradeHeaders, badRequest},
		"poll on WebSocket":      {"GET", "EIO=4&transport=polling&sid=" + onWS.ID(), nil, badRequest},
		"POST on WebSocket":      {"POST", "EIO=4&transport=polling&sid=" + onWS.ID(), nil, badRequest},
	} {
		a := h.do(request(c.method, c.query, "", c.headers...))
		assert.Equal(t, 400, a.status, name)
		assert.Equal(t, c.want, a.body, name)
		assert.Equal(t, "application/json", a.header.Get("Content-Type"), name)
	}
	assert.Equal(t, 3, h.server.Len(), "a refusal left a session or ended one")
	assert.Positive(t, h.log.count("level=DEBUG msg=\"Engine.IO request refused\" why=\"Transport unknown\""))
}

func TestOddMethodsOnASession(t *testing.T) {
	h := newHarness(t)
	p := h.polling(4, "")
	for _, method := range []string{"PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "BREW"} {
		a := h.do(request(method, p.query, ""))
		assert.Equal(t, 405, a.status, method)
		assert.Equal(t, "GET, POST", a.header.Get("Allow"), method)
		assert.Empty(t, a.body, method)
	}
	assert.Equal(t, "ok", h.post(p.query, "4still").body)
	assert.Equal(t, "text still", p.next(t))
}

func TestPaths(t *testing.T) {
	h := newHarness(t)
	for target, want := range map[string]int{
		"/socket.io/": 200, "/": 200, "/socket.io/foo": 200, "/a.b/..c/": 200,
		"/socket.io/../": 404, "/socket.io/%2e%2e/": 404, "/%2e/socket.io/": 404, "//socket.io/": 404, "/socket.io//": 404, "/a/%2f/b": 404,
	} {
		w := httptest.NewRecorder()
		h.server.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target+"?EIO=4&transport=polling", nil))
		assert.Equal(t, want, w.Code, target)
	}
}

func TestTransportsThatAreOff(t *testing.T) {
	noPolling := newHarness(t, with(func(c *engineio.Config) { c.Polling = false }))
	assert.Equal(t, transportUnknown, noPolling.get("EIO=4&transport=polling").body)
	_, w := noPolling.websocket(4, "")
	w.write("2") // the session works: it is closed over this
	assert.Equal(t, session.CloseProtocol, w.closed())

	noWebSocket := newHarness(t, with(func(c *engineio.Config) { c.WebSocket = false }))
	assert.Equal(t, transportUnknown, noWebSocket.get("EIO=4&transport=websocket", upgradeHeaders...).body)
	assert.Contains(t, noWebSocket.polling(4, "").opened.body, `"upgrades":[]`)

	noEIO3 := newHarness(t, with(func(c *engineio.Config) { c.EIO3 = false }))
	assert.Equal(t, badVersion, noEIO3.get("EIO=3&transport=polling").body)
	assert.Equal(t, badVersion, noEIO3.get("EIO=3&transport=websocket", upgradeHeaders...).body)
}

func TestHandshake(t *testing.T) {
	h := newHarness(t, with(func(c *engineio.Config) {
		c.Cookie = &http.Cookie{Name: "io", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	}))
	const rest = `","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":10000}`
	for extra, c := range map[string]struct {
		revision             int
		before, after, ctype string
	}{
		"":           {4, `0{"sid":"`, rest, "text/plain; charset=UTF-8"},
		"&b64=1":     {4, `0{"sid":"`, rest, "text/plain; charset=UTF-8"},
		"&t=abc":     {3, `116:0{"sid":"`, rest, "text/plain; charset=UTF-8"},
		"&b64=1&t=0": {3, `116:0{"sid":"`, rest, "text/plain; charset=UTF-8"},
		"&j=0":       {4, `/**/___eio[0]("0{\"sid\":\"`, strings.ReplaceAll(rest, `"`, `\"`) + `");`, "text/javascript; charset=UTF-8"},
		"&j=1;x":     {3, `/**/___eio[1]("116:0{\"sid\":\"`, strings.ReplaceAll(rest, `"`, `\"`) + `");`, "text/javascript; charset=UTF-8"},
	} {
		p := h.polling(c.revision, extra)
		assert.Equal(t, c.before+p.ID()+c.after, p.opened.body, extra)
		assert.Equal(t, c.ctype, p.opened.header.Get("Content-Type"), extra)
		assert.Equal(t, "no-store", p.opened.header.Get("Cache-Control"), extra)
		assert.Equal(t, "io="+p.ID()+"; Path=/; HttpOnly; SameSite=Lax", p.opened.header.Get("Set-Cookie"), extra)
		assert.Regexp(t, `^[A-Za-z0-9_-]{20}$`, p.ID())
		assert.Equal(t, c.revision, p.Revision(), extra)
		assert.Equal(t, "polling", p.Transport(), extra)
		assert.Equal(t, extra != "" && extra != "&t=abc", p.Variant().Base64, extra)
		require.NoError(t, p.send("x"))
		a := h.get(p.query)
		assert.Empty(t, a.header.Get("Set-Cookie"), extra)
		assert.Equal(t, p.opened.header.Get("X-Content-Type-Options"), a.header.Get("X-Content-Type-Options"), extra)
	}
	w, resp, err := h.dialWS("EIO=4&transport=websocket")
	require.NoError(t, err)
	assert.Empty(t, resp.Header.Get("Set-Cookie"))
	c := <-h.clients
	assert.Equal(t, `0{"sid":"`+c.ID()+`","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":10000}`, w.read())
	assert.Equal(t, "websocket", c.Transport())
}

func TestHeadersForOldBrowsers(t *testing.T) {
	h := newHarness(t)
	for agent, want := range map[string]string{
		"Mozilla/4.0 (compatible;MSIE 9.0)": "0", "Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0)": "0", "Mozilla/5.0 Firefox/140": "",
	} {
		a := h.get("EIO=4&transport=polling", "User-Agent", agent)
		assert.Equal(t, want, a.header.Get("X-Xss-Protection"), agent)
		c := <-h.clients
		a = h.post("EIO=4&transport=polling&sid="+c.ID(), "4x", "User-Agent", agent)
		assert.Equal(t, want, a.header.Get("X-Xss-Protection"), agent)
	}
}

// What the layer above sends at once goes out with the open packet.
func TestHandshakeCarriesPackets(t *testing.T) {
	h := newHarness(t, onOpen(func(c *client) { c.send("first", "second€") }))
	assert.Regexp(t, "^0{.*}\x1e4first\x1e4second€$", h.polling(4, "").opened.body)
	assert.Regexp(t, `^116:0{.*}6:4first8:4second€$`, h.polling(3, "").opened.body)
	_, w := h.websocket(4, "")
	assert.Equal(t, "4first", w.read())
	assert.Equal(t, "4second€", w.read())
}

func TestCloseInOpen(t *testing.T) {
	h := newHarness(t, onOpen(func(c *client) {
		c.send("bye")
		c.Close(session.ReasonServerDisconnect)
	}))
	p := h.polling(4, "")
	assert.Regexp(t, "^0{.*}\x1e4bye$", p.opened.body)
	assert.Equal(t, "6\x1e1", h.get(p.query).body)
	assert.Equal(t, "closed "+session.ReasonServerDisconnect, p.next(t))
	h.gone(p)
	c, w := h.websocket(4, "")
	assert.Equal(t, "4bye", w.read())
	assert.Equal(t, 1005, w.closed())
	assert.Equal(t, "closed "+session.ReasonServerDisconnect, c.next(t))
	assert.Zero(t, h.server.Len())
}

func TestRequestOutlivesItsHandler(t *testing.T) {
	type key struct{}
	h := newHarness(t)
	inner := h.http.Handler
	h.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(w, r.WithContext(contextWith(r, key{}, "user")))
	})
	h.get("EIO=4&transport=polling", "Authorization", "Bearer x")
	c := <-h.clients
	assert.Equal(t, "Bearer x", c.Handshake().Request().Header.Get("Authorization"))
	assert.Equal(t, "user", c.Handshake().Request().Context().Value(key{}))
	assert.NoError(t, c.Handshake().Request().Context().Err())
}

func TestServerClose(t *testing.T) {
	h := newHarness(t)
	waiting, idle, probing := h.polling(4, ""), h.polling(3, ""), h.polling(4, "")
	onWS, w := h.websocket(4, "")
	probe := h.upgrading(probing)
	require.Equal(t, 4, h.server.Len())
	answer := h.pending(waiting)
	require.NoError(t, onWS.send("last"))
	require.NoError(t, idle.send("last"))

	h.server.Shut(session.ReasonServerShutdown)
	h.server.Shut("again")
	assert.Equal(t, "1", (<-answer).body)
	assert.Equal(t, "5:4last", h.get(idle.query).body)
	assert.Equal(t, "1:61:1", h.get(idle.query).body)
	assert.Equal(t, "4last", w.read())
	assert.Equal(t, session.CloseGoingAway, w.closed())
	assert.Equal(t, 1005, probe.closed())
	for _, c := range []*client{waiting.client, idle.client, probing.client, onWS} {
		assert.Equal(t, "closed "+session.ReasonServerShutdown, c.next(t))
		assert.ErrorIs(t, c.send("x"), session.ErrClosed)
	}
	assert.Zero(t, h.server.Len())
	a := h.get("EIO=4&transport=polling")
	assert.Equal(t, 503, a.status)
	assert.NotEmpty(t, a.header.Get("Retry-After"))
	assert.Equal(t, 503, h.get("EIO=4&transport=websocket", upgradeHeaders...).status)
}

// The server is closed while a session is being opened.
func TestServerCloseInOpen(t *testing.T) {
	var h *harness
	h = newHarness(t, onOpen(func(*client) { h.server.Shut(session.ReasonServerShutdown) }))
	p := h.polling(4, "")
	assert.Regexp(t, "^0{.*}$", p.opened.body)
	assert.Equal(t, "6\x1e1", h.get(p.query).body)
	assert.Equal(t, "closed "+session.ReasonServerShutdown, p.next(t))
	h.gone(p)
}

func TestGuessingSessionIDs(t *testing.T) {
	h := newHarness(t, func(h *harness, cfg *engineio.Config) {
		cfg.Door = door.New(door.Config{Sessions: 10, SessionsPerAddress: 10, Handshakes: 10, HandshakesPerAddress: 10, Logger: cfg.Logger})
	})
	honest := h.polling(4, "")
	for i := range 25 {
		a := h.get("EIO=4&transport=polling&sid=guess")
		assert.Equal(t, sidUnknown, a.body)
		if i < 20 {
			assert.Equal(t, 400, a.status)
		} else {
			assert.Equal(t, 429, a.status)
			assert.Equal(t, "60", a.header.Get("Retry-After"))
		}
	}
	assert.Equal(t, 1, h.log.count("level=WARN msg=\"many requests with unknown session ids\""))
	assert.Equal(t, "ok", h.post(honest.query, "4x").body)
	h.polling(4, "")
}

func TestWarnsOfServersWithoutTimeouts(t *testing.T) {
	const warning = "the http.Server has no ReadHeaderTimeout"
	h := newHarness(t)
	h.polling(4, "")
	assert.Zero(t, h.log.count(warning))

	h = newHarness(t, func(h *harness, _ *engineio.Config) { h.http.ReadHeaderTimeout = 0 })
	h.polling(4, "")
	h.polling(4, "")
	assert.Equal(t, 1, h.log.count(warning))
}

func TestHTTP2(t *testing.T) {
	h := newHarness(t)
	for range 2 {
		r := httptest.NewRequest(http.MethodGet, "/?EIO=4&transport=websocket", nil)
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
		w := httptest.NewRecorder()
		h.server.ServeHTTP(w, r)
		assert.Equal(t, 400, w.Code)
		assert.Equal(t, `{"code":3,"message":"WebSocket needs HTTP/1.1"}`, w.Body.String())
	}
	assert.Equal(t, 1, h.log.count("over HTTP/2"))
}

func TestWriteError(t *testing.T) {
	for code, want := range map[engineio.Code]string{
		engineio.UnknownTransport: transportUnknown, engineio.UnknownSID: sidUnknown, engineio.BadMethod: badMethod,
		engineio.BadRequest: badRequest, engineio.UnsupportedVersion: badVersion, engineio.Forbidden: `{"code":4,"message":"Forbidden"}`,
	} {
		w := httptest.NewRecorder()
		engineio.WriteError(w, httptest.NewRequest(http.MethodGet, "/", nil), code, "")
		assert.Equal(t, want, w.Body.String())
		assert.Equal(t, map[bool]int{true: 403, false: 400}[code == engineio.Forbidden], w.Code)
		assert.Empty(t, w.Header().Get("Connection"))
	}
	w := httptest.NewRecorder()
	engineio.WriteError(w, request("GET", "", "", upgradeHeaders...), engineio.Forbidden, "origin not allowed")
	assert.Equal(t, `{"code":4,"message":"origin not allowed"}`, w.Body.String())
	assert.Equal(t, "close", w.Header().Get("Connection"))
}

// Clients that name no revision, or 2, speak revision 3.
func TestRevision3IsUnderstoodWithoutItsNumber(t *testing.T) {
	h := newHarness(t)
	for _, query := range []string{"transport=polling", "EIO=2&transport=polling", "EIO=3&transport=polling", "transport=%70olling", "transport=polling&j=0"} {
		a := h.get(query)
		require.Equal(t, 200, a.status, query)
		c := <-h.clients
		assert.Equal(t, 3, c.Revision(), query)
		require.NoError(t, c.send("x"))
		assert.Contains(t, h.get(query+"&sid="+c.ID()).body, "2:4x", query)
	}
	w := h.ws("transport=websocket")
	c := <-h.clients
	assert.Equal(t, 3, c.Revision())
	w.read()
	w.write("2")
	assert.Equal(t, "3", w.read(), "the client pings")
	noEIO3 := newHarness(t, with(func(c *engineio.Config) { c.EIO3 = false }))
	assert.Equal(t, badVersion, noEIO3.get("transport=polling").body)
}
