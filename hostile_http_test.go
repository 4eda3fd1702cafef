package thinkws_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// httpCase is a request of Engine.IO and what answers it.
type httpCase struct {
	row, name string
	options   []thinkws.Option
	eio       int    // revision of the session it is sent to, whose id replaces {sid}; 0 for none
	query     string // of the session's handshake, beside the usual
	send      string // as it stands on the wire
	twice     bool   // sent on two connections, the second one while the first waits
	want      string // status and body; of two, both, in the order of the alphabet
	has       []string
	ends      thinkws.Reason // of the session; "" if it goes on
}

func (tt httpCase) run(t *testing.T) {
	s := newSite(t, tt.options...)
	p := &poller{s: s}
	if tt.eio != 0 {
		p = s.open(tt.eio, tt.query)
	}
	_, sid, _ := strings.Cut(p.target, "&sid=")
	request := strings.ReplaceAll(tt.send, "{sid}", sid)
	var got string
	var header http.Header
	if tt.twice {
		got = s.exchangeTwice(request)
	} else {
		got, header = s.exchange(request)
	}
	assert.Equal(t, tt.want, got)
	var lines strings.Builder
	_ = header.Write(&lines)
	for _, want := range tt.has {
		assert.Contains(t, lines.String(), want+"\r\n")
	}
	switch {
	case tt.eio == 0:
		s.verify()
	case tt.ends == "":
		p.alive()
	default:
		p.dead(tt.ends)
	}
}

func (s *site) exchangeTwice(request string) string {
	s.t.Helper()
	answers := make(chan string, 2)
	for range 2 {
		conn := s.dial()
		_, err := io.WriteString(conn, request)
		require.NoError(s.t, err)
		go func() {
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				answers <- err.Error()
				return
			}
			body, err := io.ReadAll(res.Body)
			answers <- fmt.Sprint(res.StatusCode, " ", string(body), err)
		}()
	}
	both := []string{<-answers, <-answers}
	slices.Sort(both)
	return strings.ReplaceAll(strings.Join(both, "\n"), "<nil>", "")
}

func runHTTP(t *testing.T, cases []httpCase) {
	for _, tt := range cases {
		t.Run(tt.row+" "+tt.name, tt.run)
	}
}

func TestHostileHandshake(t *testing.T) {
	handshake := func(row, name, request, want string, has ...string) httpCase {
		return httpCase{row: row, name: name, send: request, want: want, has: has}
	}
	cases := []httpCase{
		handshake("1", "no transport", get("/socket.io/?EIO=4"), transportUnknown),
		handshake("1", "twice the same transport", get(io4+"polling&transport=polling"), transportUnknown),
		handshake("1", "two transports", get(io4+"polling&transport=websocket"), transportUnknown),
		handshake("1", "a transport that is off", get("/socket.io/?EIO=4&transport=webtransport"), transportUnknown),
		handshake("2", "twice the revision", get(io4+"polling&EIO=4"), badVersion),
		handshake("2", "both revisions", get(io4+"polling&EIO=3"), badVersion),
		handshake("2", "twice revision 2", get("/socket.io/?transport=polling&EIO=2&EIO=2"), badVersion),
		handshake("3", "sid of nobody", get(io4+"polling&sid=AAAAAAAAAAAAAAAAAAAA"), sidUnknown),
		handshake("own", "sid __proto__", get(io4+"polling&sid=__proto__"), sidUnknown),
		handshake("3", "two sids", get(io4+"polling&sid=a&sid=b"), sidUnknown),
		handshake("3", "sid of nobody, WebSocket", upgradeRequest(io4+"websocket&sid=nobody", ""), sidUnknown, "Connection: close"),
		handshake("5", "WebSocket without Upgrade", get(io4+"websocket"), badRequest),
		handshake("5", "WebSocket without Connection", get(io4+"websocket", "Upgrade: websocket"), badRequest),
		handshake("5", "polling with Upgrade", upgradeRequest(io4+"polling", ""), badRequest, "Connection: close"),
		handshake("8", "sid brought along, POST", post(io4+"polling&sid=mine", "40"), sidUnknown),
		handshake("13", "Content-Length twice", raw("POST", io4+"polling", "", "Content-Length: 1", "Content-Length: 2"), "400 400 Bad Request"),
		handshake("13", "Content-Length negative", raw("POST", io4+"polling", "", "Content-Length: -1"), "400 400 Bad Request"),
		handshake("13", "unknown Transfer-Encoding", raw("POST", io4+"polling", "", "Transfer-Encoding: xchunked"), "501 Unsupported transfer encoding"),
		handshake("29", "giant header", get(io4+"polling", "X: "+strings.Repeat("x", 2<<20)), "431 431 Request Header Fields Too Large"),
		handshake("29", "giant query", get(io4+"polling&x="+strings.Repeat("x", 2<<20)), "431 431 Request Header Fields Too Large"),
		handshake("CVE-2024-37890", "2 MB of headers on an upgrade", upgradeRequest(io4+"websocket", strings.Repeat("X: y\r\n", 400_000)), "431 431 Request Header Fields Too Large"),
		handshake("CVE-2022-41940", "upgrade to h2c", get(io4+"websocket&sid=x", "Connection: Upgrade", "Upgrade: h2c"), sidUnknown),
		handshake("31", "HTTP/1.0", strings.Replace(upgradeRequest(io4+"websocket", ""), "HTTP/1.1", "HTTP/1.0", 1), "400 WebSocket protocol violation: handshake request must be at least HTTP/1.1: \"HTTP/1.0\"\n"),
	}
	for _, name := range []string{"unknown", "", "__proto__", "constructor", "toString", "polling%00", "Polling"} {
		cases = append(cases,
			handshake("1", "transport "+name, get(io4+name), transportUnknown),
			handshake("CVE-2023-31125", "upgrade to transport "+name, upgradeRequest(io4+name, ""), transportUnknown, "Connection: close"))
	}
	for _, revision := range []string{"9", "", "1", "02", "04", "4.0", "-3", "__proto__", "3,4"} {
		cases = append(cases,
			handshake("2", "polling of revision "+revision, get("/socket.io/?transport=polling&EIO="+revision), badVersion),
			handshake("2", "WebSocket of revision "+revision, upgradeRequest("/socket.io/?transport=websocket&EIO="+revision, ""), badVersion))
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		cases = append(cases, handshake("4", "handshake by "+method, raw(method, io4+"polling", ""), badMethod))
	}
	for _, path := range []string{"/socket.io/../", "/socket.io/./", "/socket.io/%2e%2e/", "/socket.io/%2E/", "/socket.io//", "/socket.io/x/../../ws", "//socket.io/"} {
		cases = append(cases, handshake("30", path, get(path+"?EIO=4&transport=polling"), "404 404 page not found\n"))
	}
	runHTTP(t, cases)
}

func TestHostileRequest(t *testing.T) {
	to := func(row, name string, eio int, request, want string, ends thinkws.Reason, has ...string) httpCase {
		return httpCase{row: row, name: name, eio: eio, send: request, want: want, ends: ends, has: has}
	}
	const p4, p3 = io4 + "polling&sid={sid}", io3 + "polling&sid={sid}"
	const binary, chunked, partial = "Content-Type: application/octet-stream", "Transfer-Encoding: chunked", "Content-Length: 10"
	big := strings.Repeat("x", 1_000_001)
	cases := []httpCase{
		to("6", "WebSocket without upgrade", 4, get(io4+"websocket&sid={sid}"), badRequest, ""),
		to("6", "polling with upgrade", 4, upgradeRequest(p4, ""), badRequest, ""),
		to("6", "POST for WebSocket", 4, post(io4+"websocket&sid={sid}", "40"), "405 ", "", "Allow: GET, POST"),
		to("6.6.10", "GET of revision 3", 4, get(p3), badRequest, ""),
		to("6.6.10", "GET of revision 4", 3, get(p4), badRequest, ""),
		to("6.6.10", "GET of no revision", 4, get("/socket.io/?transport=polling&sid={sid}"), badRequest, ""),
		to("6.6.10", "POST of revision 3", 4, post(p3, "1:4"), badRequest, ""),
		to("6.6.10", "POST of revision 4", 3, post(p4, "4"), badRequest, ""),
		to("6.6.10", "upgrade of revision 3", 4, upgradeRequest(io3+"websocket&sid={sid}", ""), badRequest, ""),
		to("6.6.10", "upgrade of revision 4", 3, upgradeRequest(io4+"websocket&sid={sid}", ""), badRequest, ""),
		to("5", "upgrade without key", 4, get(io4+"websocket&sid={sid}", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
			"400 WebSocket protocol violation: missing Sec-WebSocket-Key\n", ""),
		to("11", "declared too large", 4, raw("POST", p4, "", "Content-Length: 1000001"), "413 ", "", "Connection: close"),
		to("CVE-2020-36048", "declared by far too large", 3, raw("POST", p3, "", "Content-Length: 104857600"), "413 ", "", "Connection: close"),
		to("11", "streamed too large", 4, raw("POST", p4, "f4241\r\n"+big+"\r\n", chunked), "413 ", thinkws.ReasonTransportError, "Connection: close"),
		to("13", "bad chunk", 4, raw("POST", p4, "zz\r\n40\r\n", chunked), "400 ", thinkws.ReasonTransportError, "Connection: close"),
		to("13", "chunk of negative size", 4, raw("POST", p4, "-1\r\n40\r\n", chunked), "400 ", thinkws.ReasonTransportError, "Connection: close"),
		to("13", "chunk without end", 4, raw("POST", p4, "2\r\n40xx\r\n0\r\n\r\n", chunked), "400 ", thinkws.ReasonTransportError, "Connection: close"),
		to("13", "both lengths", 4, raw("POST", p4, "1\r\n6\r\n0\r\n\r\n", "Content-Length: 900000", chunked), "200 ok", ""), /* chunks count, as RFC 9112 has it */
		to("16", "binary", 4, post(p4, "40", binary), "400 ", thinkws.ReasonTransportError, "Connection: close"),
		to("CVE-2026-59725", "binary that does not come", 4, raw("POST", p4, "", "Content-Length: 9", binary), "400 ", thinkws.ReasonTransportError, "Connection: close"),
		to("16", "binary with parameters", 4, post(p4, "40", "content-type: Application/Octet-Stream ; x=y"), "400 ", thinkws.ReasonTransportError),
		to("17", "gzip", 4, post(p4, "\x1f\x8b\x08", "Content-Encoding: gzip"), "415 ", "", "Connection: close"),
		to("17", "deflate", 3, post(p3, "xx", "Content-Encoding: deflate"), "415 ", ""),
		to("18", "a million separators", 4, post(p4, strings.Repeat("\x1e", 1_000_000)), "400 ", thinkws.ReasonParseError),
		to("18", "20,001 packets", 4, post(p4, "6"+strings.Repeat("\x1e6", 20_000)), "400 ", thinkws.ReasonParseError),
		to("18", "9,000 packets", 4, post(p4, "6"+strings.Repeat("\x1e6", 8_999)), "200 ok", ""),
		to("18", "20,001 packets", 3, post(p3, strings.Repeat("1:6", 20_001)), "400 ", thinkws.ReasonParseError),
		to("18", "no packet", 4, raw("POST", p4, "", "Content-Length: 0"), "400 ", thinkws.ReasonParseError),
		to("18", "no packet", 3, raw("POST", p3, "", "Content-Length: 0"), "400 ", thinkws.ReasonParseError),
		to("20", "emoji counted in code units", 3, post(p3, frame3(`42["x","😀"]`)), "200 ok", ""),
		to("20", "emoji counted as one", 3, post(p3, `11:42["x","😀"]`), "400 ", thinkws.ReasonParseError),
		to("20", "split pair", 3, post(p3, `9:42["x","😀"]`), "400 ", thinkws.ReasonParseError),
		to("20", "not UTF-8", 3, post(p3, "3:4\xff\xfe"), "400 ", thinkws.ReasonParseError),
		to("41", "not UTF-8", 4, post(p4, "42[\"\xff\"]"), "400 ", thinkws.ReasonParseError),
		to("22", "not base64", 4, post(p4, "b!!!!"), "400 ", thinkws.ReasonParseError),
		to("22", "base64 cut off", 4, post(p4, "bAAA"), "400 ", thinkws.ReasonParseError),
		to("22", "base64 of no type", 3, post(p3, "1:b"), "400 ", thinkws.ReasonParseError),
		to("22", "base64 of a wrong type", 3, post(p3, "6:b9AAAA"), "400 ", thinkws.ReasonParseError),
		to("54", "ping from the client", 4, post(p4, "2"), "400 ", thinkws.ReasonTransportError),
		to("54", "pong from the client", 3, post(p3, "1:3"), "400 ", thinkws.ReasonTransportError),
		to("54", "huge ping", 3, post(p3, frame3("2"+strings.Repeat("x", 126))), "400 ", thinkws.ReasonParseError),
		to("54", "huge pong", 4, post(p4, "3"+strings.Repeat("x", 126)), "400 ", thinkws.ReasonParseError),
		to("55", "packet of no type", 4, post(p4, "7"), "400 ", thinkws.ReasonParseError),
		{row: "9", name: "two polls", eio: 4, send: get(p4), twice: true, want: "200 1\n400 ", ends: thinkws.ReasonTransportError},
		{row: "9", name: "two polls", eio: 3, send: get(p3), twice: true, want: "200 1:1\n400 ", ends: thinkws.ReasonTransportError},
		{row: "10", name: "two POSTs", eio: 4, send: raw("POST", p4, "4", partial), twice: true, want: "400 \n400 ", ends: thinkws.ReasonTransportError},
		{row: "10", name: "two POSTs", eio: 3, send: raw("POST", p3, "4", partial), twice: true, want: "400 \n400 ", ends: thinkws.ReasonTransportError},
	}
	for _, method := range []string{"PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"} {
		cases = append(cases, to("4", method+" to a session", 4, raw(method, p4, ""), "405 ", "", "Allow: GET, POST"))
	}
	for _, payload := range []string{"999999999:4x", "-1:4", "000000001:4", "01:4", "0:", "9999999999999999:4x", "1e3:4", "4", ":4", "1:", "+1:4", "1 :4", "0x1:4", "2:4", "1:41:", strings.Repeat("1", 900_000)} {
		cases = append(cases, to("19", fmt.Sprintf("length %.20s", payload), 3, post(p3, payload), "400 ", thinkws.ReasonParseError))
	}
	for _, payload := range []string{"\x00" + strings.Repeat("\x01", 900_000), "\x00\x01", "\x00\x00\xff4", "\x00\xff4", "\x00\x09\xff4", "\x02\x01\xff4", "\x00\x0b\xff4", "\x00" + strings.Repeat("\x09", 311) + "\xff4", "\x01\x01\xff\x09", "\x00\x01\xff\xfe"} {
		cases = append(cases, to("21", fmt.Sprintf("binary length %.10q", payload), 3, post(p3, payload, binary), "400 ", thinkws.ReasonParseError))
	}
	runHTTP(t, cases)
}

func TestHostileJSONP(t *testing.T) {
	const p3 = io3 + "polling&sid={sid}"
	const form = "Content-Type: application/x-www-form-urlencoded"
	flood := strings.Repeat("x=1&", 100_000) + "d=1%3A6&d=1%3Ax" // what follows the first d is not looked at
	listed := []thinkws.Option{thinkws.WithAllowOrigin("https://app.example.com", "http://localhost")}
	runHTTP(t, []httpCase{
		{row: "24", name: "form of 100,000 fields", eio: 3, query: "&j=0", send: post(p3, flood, form), want: "200 ok"},
		{row: "24", name: "form that is too large", eio: 3, query: "&j=0", send: post(p3, "d=4"+strings.Repeat("x", 1_000_000), form), want: "413 "},
		{row: "24", name: "bad escape", eio: 3, query: "&j=0", send: post(p3, "d=%zz", form), want: "400 ", ends: thinkws.ReasonParseError},
		{row: "23", name: "bad callback of a poll", eio: 4, query: "&j=0", send: post(io4+"polling&sid={sid}&j=);alert(1)//", "d=6", form), want: "200 ok"},
		{row: "32", name: "script of a page that does not say which", options: listed, send: get(io4 + "polling&j=0"), want: forbidden, has: []string{"Vary: Origin, Referer, Sec-Fetch-Site"}},
		{row: "32", name: "script of another page", options: listed, send: get(io4+"polling&j=0", "Referer: https://evil.example.net/"), want: forbidden},
	})
	for _, callback := range []string{"alert(1)", ");alert(1)//", "1", "<1>", "__proto__1", "1%0a"} {
		t.Run("23 callback "+callback, func(t *testing.T) {
			s := newSite(t)
			got, header := s.exchange(get(io4 + "polling&j=" + callback))
			assert.Regexp(t, `^200 /\*\*/___eio\[1?\]\("0\{\\"sid\\":[^<>]*\}"\);$`, got)
			assert.Equal(t, "text/javascript; charset=UTF-8", header.Get("Content-Type"))
			assert.Equal(t, "nosniff", header.Get("X-Content-Type-Options"))
			s.verify()
		})
	}
	t.Run("23 payload that is script", func(t *testing.T) {
		s := newSite(t)
		p := s.open(4, "&j=0")
		require.Equal(t, "200 ok", p.post("421[\"echo\",\"</script>\u2028\u2029\"]"))
		assert.Equal(t, `200 /**/___eio[0]("431[\"\u003c/script\u003e\u2028\u2029\"]");`, p.do("GET", ""))
		p.alive()
	})
}

// Rows 3 and 7: who guesses session ids is told so, and is found in the log.
func TestHostile3And7Guesses(t *testing.T) {
	s := newSite(t)
	for i := range 25 {
		got, header := s.exchange(get(fmt.Sprintf("%spolling&sid=AAAAAAAAAAAAAAAAAA%02d", io4, i)))
		if i < 20 {
			require.Equal(t, sidUnknown, got)
			continue
		}
		require.Equal(t, `429 {"code":1,"message":"Session ID unknown"}`, got)
		assert.Equal(t, "60", header.Get("Retry-After"))
	}
	assert.Equal(t, 1, strings.Count(s.log.String(), "level=WARN msg=\"many requests with unknown session ids\""))
	s.verify()
}

// Rows 7 and 8 and CVE-2017-16031: ids come from the server and cannot be foreseen.
func TestHostile7And8SessionIDs(t *testing.T) {
	s := newSite(t, thinkws.WithCookie(http.Cookie{}))
	form := regexp.MustCompile(`^200 0\{"sid":"([A-Za-z0-9_-]{20})"`) // 120 bits
	seen := map[string]bool{}
	var at [20]map[byte]bool
	for range 200 {
		got, header := s.exchange(get(io4+"polling", "Cookie: io=AAAAAAAAAAAAAAAAAAAA"))
		require.Regexp(t, form, got)
		sid := form.FindStringSubmatch(got)[1]
		require.Contains(t, header.Get("Set-Cookie"), "io="+sid)
		require.False(t, seen[sid], "given twice")
		seen[sid] = true
		for i := range at {
			if at[i] == nil {
				at[i] = map[byte]bool{}
			}
			at[i][sid[i]] = true
		}
	}
	for i, chars := range at {
		assert.Greater(t, len(chars), 20, "position %d hardly changes", i)
	}
	s.verify()
}

// Row 15: only the server can bound slow headers, so one that does not is named, once.
func TestHostile15SlowHeadersAreWarnedOf(t *testing.T) {
	s := newSite(t)
	s.verify()
	assert.Equal(t, 1, strings.Count(s.log.String(), "no ReadHeaderTimeout"))
	s = newMemorySite(t)
	s.verify()
	assert.NotContains(t, s.log.String(), "no ReadHeaderTimeout")
}

// Row 25: a poll that the client gives up ends the session.
func TestHostile25AbortedPoll(t *testing.T) {
	for _, eio := range []int{4, 3} {
		s := newSite(t)
		p := s.open(eio, "")
		conn := s.dial()
		_, err := io.WriteString(conn, get(p.target))
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		s.verify(thinkws.ReasonTransportError)
		assert.Equal(t, sidUnknown, p.do("GET", ""))
	}
}

// CVE-2022-41940: a refused upgrade whose client resets the connection.
func TestHostileResetAfterRefusal(t *testing.T) {
	s := newSite(t)
	for i := range 15 {
		conn := s.dial()
		request := upgradeRequest(io4+"websocket&sid=unknown", "")
		if i%2 == 0 {
			request = strings.Replace(request, "Upgrade: websocket", "Upgrade: h2c", 1)
		}
		_, err := io.WriteString(conn, request)
		require.NoError(t, err)
		require.NoError(t, conn.(*net.TCPConn).SetLinger(0))
		require.NoError(t, conn.Close())
		s.verify()
	}
}

// CVE-2020-36048: many large bodies at once.
func TestHostileManyLargeBodies(t *testing.T) {
	s := newSite(t)
	const clients = 10
	done := make(chan string, clients)
	for range clients {
		p := s.open(4, "")
		go func() {
			status, _, err := p.request(http.MethodPost, "4"+strings.Repeat("x", 900_000))
			done <- fmt.Sprint(status, ", ", err)
		}()
	}
	for range clients {
		assert.Equal(t, "400, <nil>", <-done)
		require.Equal(t, thinkws.ReasonParseError, <-s.reasons)
	}
	s.verify()
}

// Row 31: WebSocket over HTTP/2.
func TestHostile31HTTP2(t *testing.T) {
	s := newSite(t)
	server := httptest.NewUnstartedServer(s.router)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	for range 2 {
		for target, want := range map[string]string{
			io4 + "websocket": `400 {"code":3,"message":"WebSocket needs HTTP/1.1"}`,
			"/ws":             "501 WebSocket needs HTTP/1.1: this request came by another version of HTTP, over which a connection cannot be upgraded\n",
		} {
			res, err := server.Client().Get(server.URL + target)
			require.NoError(t, err)
			require.Equal(t, 2, res.ProtoMajor)
			assert.Equal(t, want, fmt.Sprint(res.StatusCode, " ", readBody(t, res)))
		}
	}
	assert.Equal(t, 2, strings.Count(s.log.String(), "level=WARN msg=\"WebSocket was asked for over HTTP/2"), "once for each protocol")
	s.verify()
}

// Row 92: middleware that hides http.Hijacker.
func TestHostile92WriterWithoutHijacker(t *testing.T) {
	s := newSite(t)
	server := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.router.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
	}))
	defer server.Close()
	connect := s.connect
	s.connect = func() (net.Conn, error) { return net.DialTimeout("tcp", server.Listener.Addr().String(), time.Second) }
	const want = "501 WebSocket needs a http.ResponseWriter that implements http.Hijacker or Unwrap: a middleware hides it\n"
	for range 2 {
		for _, target := range []string{io4 + "websocket", io3 + "websocket", "/ws"} {
			got, _ := s.exchange(upgradeRequest(target, ""))
			assert.Equal(t, want, got)
		}
	}
	p := s.open(4, "") // polling works without
	got, _ := s.exchange(upgradeRequest(strings.Replace(p.target, "polling", "websocket", 1), ""))
	assert.Equal(t, want, got)
	s.connect = connect
	assert.Equal(t, 2, strings.Count(s.log.String(), "level=ERROR"), "once for each protocol")
	p.alive()
}
