package stickiness_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/stickiness"
)

const pageOrigin = "https://app.example.com"

// usual is the middleware that services have: request ids, security headers, a cookie, CORS and compression.
func usual() []func(http.Handler) http.Handler {
	var ids atomic.Int64
	requestID := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Request-Id") == "" {
				r.Header.Set("X-Request-Id", fmt.Sprint("id-", ids.Add(1)))
			}
			w.Header().Set("X-Request-Id", r.Header.Get("X-Request-Id"))
			next.ServeHTTP(w, r)
		})
	}
	security := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("X-Frame-Options", "DENY")
			h.Set("Content-Security-Policy", "default-src 'self'")
			h.Set("Cache-Control", "private")
			http.SetCookie(w, &http.Cookie{Name: "csrf", Value: fmt.Sprint(ids.Add(1))})
			http.SetCookie(w, &http.Cookie{Name: "JSESSIONID", Value: "ours"})
			next.ServeHTTP(w, r)
		})
	}
	cors := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Add("Vary", "Accept-Language")
			h.Add("Vary", "Origin")
			h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
			h.Set("Access-Control-Allow-Credentials", "true")
			h.Set("Access-Control-Expose-Headers", "X-Request-Id")
			next.ServeHTTP(w, r)
		})
	}
	return []func(http.Handler) http.Handler{requestID, security, middleware.Compress(5), cors}
}

// eachOnce checks that an answer has each header once, and the headers of the usual middleware.
func eachOnce(t *testing.T, h http.Header, about string) {
	t.Helper()
	for name, lines := range h {
		if name != "Set-Cookie" && name != "Vary" {
			assert.Len(t, lines, 1, "%s: %s: %q", about, name, lines)
		}
	}
	namesOnce(t, h, "Vary")
	cookies := map[string]bool{}
	for _, line := range h["Set-Cookie"] {
		name, _, _ := strings.Cut(line, "=")
		assert.False(t, cookies[name], "%s: %q", about, h["Set-Cookie"])
		cookies[name] = true
	}
	assert.Equal(t, []string{pageOrigin}, h["Access-Control-Allow-Origin"], about)
	for _, name := range []string{"Access-Control-Allow-Credentials", "X-Request-Id", "X-Frame-Options", "X-Content-Type-Options", "Content-Security-Policy"} {
		assert.Len(t, h[name], 1, "%s: %s", about, name)
	}
	assert.Contains(t, strings.ToLower(strings.Join(h["Vary"], ",")), "origin", about)
	assert.True(t, cookies["csrf"], "%s: %q", about, h["Set-Cookie"])
}

// transports are requests of each kind, in an order that a client may send them in; %s is a session of Socket.IO.
var transports = []struct {
	method, target, body, want string
	stream                     bool // the answer goes on
}{
	{http.MethodGet, io4, "", `200 0{"sid"`, false},
	{http.MethodPost, io4 + "&sid=%s", `421["echo",1]`, "200 ok", false},
	{http.MethodGet, io4 + "&sid=%s", "", "200 431[", false},
	{http.MethodOptions, io4 + "&sid=%s", "", "204 ", false},
	{http.MethodGet, io4 + "&sid=n1aB" + otherSID, "", `400 {"code":1`, false},
	{http.MethodGet, io4 + "&sid=n7aB" + otherSID, "", `400 {"code":1`, false},
	{http.MethodGet, "/sockjs/info", "", `200 {"websocket"`, false},
	{http.MethodGet, "/sockjs/iframe.html", "", "404 ", false}, // the test has no URL of the client
	{http.MethodPost, "/sockjs/000/xhr%s/xhr", "", "200 o\n", false},
	{http.MethodPost, "/sockjs/000/xhr%s/xhr_send", `["{\"event\":\"echo\",\"data\":1,\"cid\":1}"]`, "204 ", false},
	{http.MethodPost, "/sockjs/000/xhr%s/xhr", "", `200 a["{\"rid\":1`, false},
	{http.MethodOptions, "/sockjs/000/xhr%s/xhr", "", "204 ", false},
	{http.MethodPost, "/sockjs/000/nobody%s/xhr_send", `["x"]`, "404 ", false},
	{http.MethodPost, "/sockjs/000/streaming%s/xhr_streaming", "", "200 hhhh", true},
	{http.MethodGet, "/sockjs/000/eventsource%s/eventsource", "", "200 \r\n", true},
	{http.MethodGet, "/sockjs/000/htmlfile%s/htmlfile?c=call", "", "200 <!doctype html>", true},
	{http.MethodGet, "/sockjs/000/jsonp%s/jsonp?c=call", "", `200 /**/call("o");`, false},
	{http.MethodPost, "/sockjs/000/jsonp%s/jsonp_send", `["{\"event\":\"echo\",\"data\":1,\"cid\":1}"]`, "200 ok", false},
	{http.MethodGet, "/sockjs/000/jsonp%s/jsonp?c=call", "", `200 /**/call("a[`, false},
}

// TestHeadersOfUsualMiddlewareAppearOnce: each transport, by way of each server, with and without compression.
func TestHeadersOfUsualMiddlewareAppearOnce(t *testing.T) {
	for _, encoding := range []string{"identity", "gzip"} {
		t.Run(encoding, func(t *testing.T) {
			g := newGroupBehind(t, 3, usual())
			url := startDispatcher(t, g, stickiness.DispatcherOptions{Cookie: &http.Cookie{Name: "csrf"}})
			ways := []string{g.members[0].url(), g.members[1].url(), g.members[2].url(), url}
			header := http.Header{"Origin": {pageOrigin}, "Accept-Encoding": {encoding}, "Access-Control-Request-Headers": {"content-type"}}
			for way, url := range ways {
				p := &poller{http: freshClient(t, ""), pick: fixed(g.members[0].url()), extra: http.Header{"Origin": {pageOrigin}}}
				require.NoError(t, p.open())
				for _, tt := range transports {
					about := fmt.Sprintf("%s %s by way of %d", tt.method, tt.target, way)
					target := strings.Replace(tt.target, "%s", p.sid, 1)
					res, body := begin(t, tt.method, url+target, tt.body, header)
					if encoding == "identity" {
						assert.True(t, strings.HasPrefix(fmt.Sprint(res.StatusCode, " ", body), tt.want), "%s: %d %s", about, res.StatusCode, body)
					}
					eachOnce(t, res.Header, about)
					if encoding == "identity" { // chi's compressor adds a line
						assert.Len(t, res.Header["Vary"], 1, about)
					}
				}
				for _, target := range []string{"/socket.io/?EIO=4&transport=websocket", "/socket.io/?EIO=4&transport=websocket&sid=" + p.sid, "/sockjs/000/ws/websocket", "/sockjs/websocket"} {
					conn, res, err := websocket.Dial(t.Context(), url+target, &websocket.DialOptions{HTTPHeader: header.Clone()})
					require.NoError(t, err, target)
					eachOnce(t, res.Header, fmt.Sprintf("%s by way of %d", target, way))
					require.NoError(t, conn.CloseNow())
				}
			}
			stats := g.stats()
			assert.NotZero(t, stats.Forwarded)
			assert.Zero(t, stats.Forged)
		})
	}
}

// begin sends a request and returns the beginning of its answer. It breaks off an answer that goes on.
func begin(t *testing.T, method, url, body string, header http.Header) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header = header.Clone()
	if method == http.MethodOptions {
		req.Header.Set("Access-Control-Request-Method", "POST")
	}
	if strings.HasSuffix(url, "/jsonp_send") {
		req.Header.Set("Content-Type", "text/plain")
	}
	res, err := freshClient(t, "").Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	first := make([]byte, 64)
	n, _ := res.Body.Read(first)
	return res, string(bytes.TrimRight(first[:n], "\x00"))
}

// TestRefusalsKeepTheHeadersOfMiddleware: what Forward answers itself can be read by the page.
func TestRefusalsKeepTheHeadersOfMiddleware(t *testing.T) {
	header := http.Header{"Origin": {pageOrigin}}
	t.Run("503 of too many requests", func(t *testing.T) {
		g := newGroupBehind(t, 2, usual(), func(o *stickiness.Options) { o.MaxActive = 1 })
		p := &poller{http: freshClient(t, ""), pick: fixed(g.members[0].url()), extra: header}
		require.NoError(t, p.open())
		q := &poller{http: p.http, pick: fixed(g.members[1].url()), sid: p.sid, extra: header}
		waiting := make(chan error, 1)
		go func() {
			_, err := (&poller{http: p.http, pick: q.pick, sid: p.sid, extra: header}).request(http.MethodGet, p.target(), "")
			waiting <- err
		}()
		require.Eventually(t, func() bool { return g.stats().Forwarded == 1 }, time.Minute, time.Millisecond)
		require.Eventually(t, func() bool {
			answer, err := q.request(http.MethodPost, q.target(), `42["nothing"]`)
			return err == nil && answer == "503 Service Unavailable\n"
		}, time.Minute, time.Millisecond)
		eachOnce(t, q.header, "503")
		require.NoError(t, p.post(`421["echo",1]`))
		require.NoError(t, <-waiting)
	})
	t.Run("400 of an upgrade that is not forwarded", func(t *testing.T) {
		g := newGroupBehind(t, 2, usual(), func(o *stickiness.Options) { o.NoUpgrade = true })
		p := &poller{http: freshClient(t, ""), pick: fixed(g.members[0].url()), extra: header}
		require.NoError(t, p.open())
		_, res, err := websocket.Dial(t.Context(), g.members[1].url()+"/socket.io/?EIO=4&transport=websocket&sid="+p.sid, &websocket.DialOptions{HTTPHeader: header.Clone()})
		require.Error(t, err)
		assert.Equal(t, http.StatusBadRequest, res.StatusCode)
		eachOnce(t, res.Header, "400")
	})
	t.Run("an owner that is dead", func(t *testing.T) {
		g := newGroupBehind(t, 2, usual())
		p := &poller{http: freshClient(t, ""), pick: fixed(g.members[0].url()), extra: header}
		require.NoError(t, p.open())
		s := newSock(p.http, p.pick, sockHome(t, g, 0))
		s.extra = header
		require.NoError(t, s.open())
		g.members[0].kill()
		p.pick, s.pick = fixed(g.members[1].url()), fixed(g.members[1].url())
		answer, err := s.request(http.MethodPost, s.path+"/xhr", "")
		require.NoError(t, err)
		assert.Equal(t, "503 Service Unavailable\n", answer)
		eachOnce(t, s.header, "503")
		answer, err = p.request(http.MethodGet, p.target(), "")
		require.NoError(t, err)
		assert.Equal(t, sidUnknown, answer)
		eachOnce(t, p.header, "400")
	})
}

// sockHome returns the id of a session of SockJS that begins on the server with the index.
func sockHome(t *testing.T, g *group, index int) string {
	t.Helper()
	for i := range 1000 {
		id := fmt.Sprint("home", i)
		if home, _ := stickiness.Rendezvous(id, g.registry.Nodes()); home.ID == g.members[index].id {
			return id
		}
	}
	t.Fatal("no id")
	return ""
}

// TestRequestHeadersReachTheOwnerOnce: request ids, addresses and Via, also if middleware in front sets them.
func TestRequestHeadersReachTheOwnerOnce(t *testing.T) {
	got := make(chan http.Header, 1)
	inFront(t, usual()[0], func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Clone()
		w.WriteHeader(http.StatusNoContent)
	}, func(t *testing.T, front fronted) {
		res, _, _ := ask(t, http.MethodGet, front.url+ownedTarget, http.Header{
			"Via": {"1.0 one, 1.1 two", "1.1 three"}, "X-Forwarded-For": {"192.0.2.1", "192.0.2.2"},
			"X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"app.example.com"}, "Forwarded": {"for=192.0.2.1"},
		})
		h := <-got
		assert.Len(t, h["X-Request-Id"], 1)
		assert.Equal(t, h["X-Request-Id"], res.Header["X-Request-Id"])
		if front.stats != nil {
			assert.Equal(t, []string{"1.0 one, 1.1 two, 1.1 three, 1.1 thinkws-n0aB"}, h["Via"])
			assert.Equal(t, []string{"192.0.2.1", "192.0.2.2"}, h["X-Forwarded-For"], "as the client has sent them")
			assert.Equal(t, []string{"https"}, h["X-Forwarded-Proto"])
			assert.Equal(t, []string{"app.example.com"}, h["X-Forwarded-Host"])
			assert.Equal(t, []string{"for=192.0.2.1"}, h["Forwarded"])
			return
		}
		assert.Equal(t, []string{"127.0.0.1"}, h["X-Forwarded-For"])
		assert.Len(t, h["X-Forwarded-Proto"], 1)
		assert.Len(t, h["X-Forwarded-Host"], 1)
	})
}

// TestCirclesEndBehindProxiesThatJoinVia: a proxy between servers makes one line of several.
func TestCirclesEndBehindProxiesThatJoinVia(t *testing.T) {
	g := newGroup(t, 1)
	require.NoError(t, g.registry.Register(t.Context(), stickiness.Node{ID: "n7aB", URL: g.members[0].url()}))
	p := &poller{http: freshClient(t, ""), pick: fixed(g.members[0].url()), extra: http.Header{"Via": {"1.1 proxy, 1.1 thinkws-n0aB , 1.1 other"}}}
	answer, err := p.request(http.MethodGet, io4+"&sid=n7aB"+otherSID, "")
	require.NoError(t, err)
	assert.Equal(t, sidUnknown, answer)
	assert.Zero(t, g.stats().Forwarded)
}

// TestCookieOfTheNodeReplacesThatOfMiddleware: NodeCookie on the servers, and the Dispatcher's Cookie.
func TestCookieOfTheNodeReplacesThatOfMiddleware(t *testing.T) {
	named, err := stickiness.NodeCookie("n0aB", http.Cookie{})
	require.NoError(t, err)
	g := newGroupBehind(t, 1, []func(http.Handler) http.Handler{named, named})
	url := startDispatcher(t, g, stickiness.DispatcherOptions{Cookie: new(http.Cookie), Trusted: []netip.Prefix{loopback}})
	for _, url := range []string{g.members[0].url(), url} {
		p := &poller{http: freshClient(t, ""), pick: fixed(url)}
		_, err := p.request(http.MethodGet, io4, "")
		require.NoError(t, err)
		assert.Equal(t, []string{"sio_node=n0aB; Path=/; HttpOnly; SameSite=Lax"}, p.header["Set-Cookie"])
	}
}
