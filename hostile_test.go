package thinkws_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// The tests of hostile input name their rows after the project's catalogue of it.
// Each attacks a whole server that honest clients use at the same time, of every
// kind; they must not notice, and in the end nobody else may be left.

// What Engine.IO answers a refused request with.
const (
	transportUnknown = `400 {"code":0,"message":"Transport unknown"}`
	sidUnknown       = `400 {"code":1,"message":"Session ID unknown"}`
	badMethod        = `400 {"code":2,"message":"Bad handshake method"}`
	badRequest       = `400 {"code":3,"message":"Bad request"}`
	forbidden        = `403 {"code":4,"message":"Forbidden"}`
	badVersion       = `400 {"code":5,"message":"Unsupported protocol version"}`
)

const (
	io4 = "/socket.io/?EIO=4&transport="
	io3 = "/socket.io/?EIO=3&transport="
)

// site is a server with honest clients on it.
type site struct {
	t       *testing.T
	handler *thinkws.Handler
	router  chi.Router
	origin  string // of pages that it serves
	log     *logs
	connect func() (net.Conn, error)
	http    *http.Client
	reasons chan thinkws.Reason // of hostile clients, as the action "close" has seen them
	honest  []*honest
	over    *atomic.Bool                                                                  // the test is: the honest clients are sent away
	around  func(http.ResponseWriter, *http.Request) (http.ResponseWriter, *http.Request) // middleware for clumsy requests
}

// newSite serves on loopback.
func newSite(t *testing.T, options ...thinkws.Option) *site {
	t.Helper()
	s := prepare(t, options)
	server := newServer(t, s.router)
	s.origin = ownOrigin()
	s.connect = func() (net.Conn, error) { return net.Dial("tcp", server.Listener.Addr().String()) }
	s.populate()
	return s
}

// newMemorySite serves in memory, for tests in which time passes.
func newMemorySite(t *testing.T, options ...thinkws.Option) *site {
	t.Helper()
	var s *site
	t.Cleanup(func() { // last of all
		assert.Eventually(t, func() bool { return s.handler.Holders() == 0 }, time.Hour, time.Second, "clients that have gone are known still")
	})
	s = prepare(t, options)
	m := serveMemory(t, s.router)
	s.connect = func() (net.Conn, error) {
		client, server := net.Pipe()
		select {
		case m.conns <- server:
			return client, nil
		case <-m.done: // a spare connection of the polling client, for which the end comes first
			return nil, net.ErrClosed
		}
	}
	s.populate()
	return s
}

// within is the same site for a subtest: its honest clients live through many cases.
func (s *site) within(t *testing.T) *site {
	one := *s
	one.t = t
	return &one
}

func prepare(t *testing.T, options []thinkws.Option) *site {
	s := &site{t: t, reasons: make(chan thinkws.Reason, 100), router: chi.NewRouter(), origin: "http://localhost", over: new(atomic.Bool)}
	s.handler, s.log = newHandler(t, append(s.actions(), options...)...)
	s.router.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("honest") {
				r.Header.Set("Sec-Fetch-Site", "same-origin") // for where a proof is required
			}
			if r.URL.Query().Has("guest") {
				r.Header.Set("Origin", "https://guest.example")
			}
			if r.URL.Query().Has("clumsy") {
				w, r = s.around(w, r)
			}
			next.ServeHTTP(w, r)
		})
	})
	s.router.Mount("/socket.io", s.handler)
	s.router.Mount("/ws", s.handler.WebSocket())
	s.router.Mount("/sockjs", s.handler.SockJS())
	s.router.Handle("/action", s.handler.Action(func(c *thinkws.Context) error { return c.Ack(c.WsData()) }))
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return s.connect() }}
	t.Cleanup(transport.CloseIdleConnections)
	s.http = &http.Client{Transport: transport}
	return s
}

// actions are what every site knows, beside what a case adds.
func (s *site) actions() []thinkws.Option {
	return []thinkws.Option{
		thinkws.On("echo", func(c *thinkws.Context) error {
			var args []any
			for _, arg := range c.Args() {
				args = append(args, arg)
			}
			return c.Ack(args...)
		}),
		thinkws.On("text", thinkws.Reply(func(_ *thinkws.Context, text string) (string, error) { return text, nil })),
		thinkws.On("number", thinkws.Reply(func(_ *thinkws.Context, n float64) (float64, error) { return n, nil })),
		thinkws.On("kick", func(c *thinkws.Context) error { c.Websocket().Close(); return nil }),
		thinkws.On("close", func(c *thinkws.Context) error {
			query := c.Request().URL.Query()
			if query.Has("honest") {
				assert.True(s.t, s.over.Load(), "an honest client was sent away: %v", c.Reason())
			} else if !query.Has("hasty") { // such a client may have left before it was in
				s.reasons <- c.Reason()
			}
			return nil
		}),
	}
}

// dial connects a hostile client, until the test ends at most.
func (s *site) dial() net.Conn {
	s.t.Helper()
	conn, err := s.connect()
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// honest is a client that does as it should.
type honest struct {
	name             string
	say              func(string)
	heard            chan string
	question, answer string // formats of what is said and heard
	asked            int
}

func (s *site) populate() {
	s.t.Helper()
	s.honest = []*honest{
		s.honestWebSocket("Socket.IO", io4+"websocket&honest", `42%d["echo",{"text":"ü😀"}]`, `43%d[{"text":"ü😀"}]`),
		s.honestWebSocket("plain", "/ws?honest", `{"event":"echo","data":"ü😀","cid":%d}`, `{"rid":%d,"data":"ü😀"}`),
		s.honestPolling(`42%d["echo",[1,"😀"]]`, `43%d[[1,"😀"]]`),
		s.honestSockJS(`{"event":"echo","data":[1,"😀"],"cid":%d}`, `{"rid":%d,"data":[1,"😀"]}`),
	}
	s.verify()
	s.t.Cleanup(func() { // while the honest are there to hear of it: nobody is waited for
		s.over.Store(true)
		shutdown(s.t, s.handler)
	})
}

func (s *site) honestWebSocket(name, target, question, answer string) *honest {
	ws := upgrade(s.t, s.dial(), target)
	if name != "plain" {
		ws.expect("0{")
		ws.send("40")
		ws.expect("40{")
	}
	require.NoError(s.t, ws.conn.SetReadDeadline(time.Time{}))
	h := &honest{name: name, say: ws.send, heard: make(chan string, 10), question: question, answer: answer}
	go func() {
		for frame, err := nextFrame(ws.in); err == nil; frame, err = nextFrame(ws.in) {
			switch frame {
			case "2":
				_, _ = ws.conn.Write(maskedFrame(1, "3"))
			case "ping":
				_, _ = ws.conn.Write(maskedFrame(10, ""))
			case "close 1001":
				_ = ws.conn.Close()
				return
			default:
				h.heard <- frame
			}
		}
	}()
	return h
}

func (s *site) honestPolling(question, answer string) *honest {
	p := s.open(4, "&honest")
	h := &honest{name: "polling", heard: make(chan string, 10), question: question, answer: answer}
	h.say = func(packet string) { require.Equal(s.t, "200 ok", p.post(packet)) }
	go func() {
		for {
			status, body, err := p.request(http.MethodGet, "")
			if err != nil || status != http.StatusOK {
				assert.True(s.t, s.over.Load(), "an honest poll was answered %d %s: %v", status, body, err)
				return
			}
			for packet := range strings.SplitSeq(body, "\x1e") {
				if packet == "2" {
					_, _, _ = p.request(http.MethodPost, "3")
					continue
				}
				h.heard <- packet
			}
		}
	}()
	return h
}

func (s *site) honestSockJS(question, answer string) *honest {
	p := s.sockjs("/sockjs/000/honest", "?honest")
	h := &honest{name: "SockJS", heard: make(chan string, 10), question: question, answer: answer}
	h.say = func(text string) { require.Equal(s.t, "204 ", p.send(text)) }
	go func() {
		for {
			status, frame, err := p.request("/xhr", "")
			if err != nil || status != http.StatusOK || frame[0] == 'c' {
				assert.True(s.t, s.over.Load(), "an honest poll was answered %d %s: %v", status, frame, err)
				return
			}
			for _, text := range messages(frame) {
				h.heard <- text
			}
		}
	}()
	return h
}

// echo asks the server for something and gets it.
func (h *honest) echo(t *testing.T) {
	t.Helper()
	h.asked++
	h.say(fmt.Sprintf(h.question, h.asked))
	for {
		select {
		case got := <-h.heard:
			if strings.Contains(got, `"bystander"`) { // an event that is for everybody
				continue
			}
			require.Equal(t, fmt.Sprintf(h.answer, h.asked), got, h.name)
		case <-time.After(time.Minute):
			require.FailNow(t, "an honest client got no answer", h.name)
		}
		return
	}
}

// verify checks that hostile clients have left for these reasons, in any order, that nobody else is
// there but the honest ones, and that those are served.
func (s *site) verify(reasons ...thinkws.Reason) {
	s.t.Helper()
	var got []thinkws.Reason
	for range reasons {
		select {
		case reason := <-s.reasons:
			got = append(got, reason)
		case <-time.After(time.Minute):
			require.FailNow(s.t, "the hostile client is still there", "want: %s, got: %s", reasons, got)
		}
	}
	require.ElementsMatch(s.t, reasons, got)
	for _, h := range s.honest {
		h.echo(s.t)
	}
	require.Eventually(s.t, func() bool { return s.handler.Hub().Stats().Clients == len(s.honest) }, time.Minute, time.Millisecond)
	require.Zero(s.t, s.handler.Hub().Stats().Rooms)
	require.Empty(s.t, s.reasons)
}

// exchange sends a request on a connection of its own, as it stands there, and
// returns the answer: status and body.
func (s *site) exchange(raw string) (answer string, header http.Header) {
	s.t.Helper()
	conn := s.dial()
	go func() { _, _ = io.WriteString(conn, raw) }() // the server may hang up in the middle of it
	require.NoError(s.t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	method, _, _ := strings.Cut(raw, " ")
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	require.NoError(s.t, err)
	if res.Close {
		res.Header.Set("Connection", "close")
	}
	defer func() { _ = conn.Close() }()
	if res.StatusCode == http.StatusSwitchingProtocols {
		return "101", res.Header
	}
	return fmt.Sprintf("%d %s", res.StatusCode, readBody(s.t, res)), res.Header
}

// raw is a request as text. Header lines follow the target, the body comes last.
func raw(method, target, body string, header ...string) string {
	text := method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n"
	for _, line := range header {
		text += line + "\r\n"
	}
	if body != "" && !strings.Contains(text, "\r\nContent-Length") && !strings.Contains(text, "\r\nTransfer-Encoding") {
		text += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return text + "\r\n" + body
}

func get(target string, header ...string) string { return raw("GET", target, "", header...) }
func post(target, body string, header ...string) string {
	return raw("POST", target, body, header...)
}

// poller is a hostile client over polling, in the namespace "/".
type poller struct {
	s      *site
	eio    int
	target string // without the session id, then with it
	jsonp  bool
	ctx    context.Context // of requests; nil for one that does not end
}

// open does the handshake and enters.
func (s *site) open(eio int, query string) *poller {
	s.t.Helper()
	p := &poller{s: s, eio: eio, target: fmt.Sprintf("/socket.io/?EIO=%d&transport=polling%s", eio, query)}
	p.jsonp = strings.Contains(query, "&j=")
	first := p.get()
	var open struct{ SID string }
	require.NoError(s.t, json.Unmarshal([]byte(first[0][1:]), &open))
	p.target += "&sid=" + open.SID
	if eio == 4 {
		require.Equal(s.t, "200 ok", p.post("40"))
		require.Regexp(s.t, `^40\{"sid":`, p.get()[0])
	} else if len(first) == 1 { // such clients are in without asking, sooner or later
		require.Equal(s.t, []string{"40"}, p.get())
	}
	return p
}

func (p *poller) request(method, body string) (status int, answer string, err error) {
	ctx := p.ctx
	if ctx == nil {
		ctx = context.WithoutCancel(p.s.t.Context())
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost"+p.target, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	res, err := p.s.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

func (p *poller) do(method, body string) string {
	p.s.t.Helper()
	status, answer, err := p.request(method, body)
	require.NoError(p.s.t, err)
	return fmt.Sprint(status, " ", answer)
}

// get returns the packets of one poll.
func (p *poller) get() []string {
	p.s.t.Helper()
	answer, ok := strings.CutPrefix(p.do(http.MethodGet, ""), "200 ")
	require.True(p.s.t, ok, answer)
	if p.jsonp {
		_, answer, _ = strings.Cut(answer, "](")
		require.NoError(p.s.t, json.Unmarshal([]byte(strings.TrimSuffix(answer, ");")), &answer))
	}
	if p.eio == 4 {
		return strings.Split(answer, "\x1e")
	}
	return split3(p.s.t, answer)
}

// post sends packets: text, or attachments as []byte.
func (p *poller) post(packets ...any) string {
	p.s.t.Helper()
	return p.do(http.MethodPost, p.payload(packets...))
}

func (p *poller) payload(packets ...any) string {
	var texts []string
	for _, packet := range packets {
		text, ok := packet.(string)
		if !ok {
			text = map[int]string{3: "b4", 4: "b"}[p.eio] + base64.StdEncoding.EncodeToString(packet.([]byte))
		}
		if p.eio == 3 {
			text = frame3(text)
		}
		texts = append(texts, text)
	}
	separator := map[int]string{4: "\x1e"}[p.eio]
	payload := strings.Join(texts, separator)
	if p.jsonp {
		payload = "d=" + url.QueryEscape(payload)
	}
	return payload
}

// frame3 is a packet in a payload of revision 3.
func frame3(packet string) string {
	return fmt.Sprintf("%d:%s", len(utf16.Encode([]rune(packet))), packet)
}

// split3 takes a payload of revision 3 apart.
func split3(t *testing.T, payload string) (packets []string) {
	t.Helper()
	units := utf16.Encode([]rune(payload))
	for len(units) > 0 {
		digits := slices.Index(units, ':')
		require.Positive(t, digits, "%.1000q", payload)
		n, err := strconv.Atoi(string(utf16.Decode(units[:digits])))
		require.NoError(t, err, "%.1000q", payload)
		units = units[digits+1:]
		packets = append(packets, string(utf16.Decode(units[:n])))
		units = units[n:]
	}
	return packets
}

// until polls until a packet comes that begins like last, and returns what came
// before it.
func (p *poller) until(last string) (before []string) {
	p.s.t.Helper()
	for {
		for _, packet := range p.get() {
			if packet == last {
				return before
			}
			before = append(before, packet)
		}
	}
}

// alive says that the session works, and ends it.
func (p *poller) alive() {
	p.s.t.Helper()
	require.Equal(p.s.t, "200 ok", p.post(`4277["echo","here"]`))
	p.until(`4377["here"]`)
	require.Equal(p.s.t, "200 ok", p.post("1"))
	p.s.verify(thinkws.ReasonTransportClose)
}

// dead says that the session is gone, and was ended for reason.
func (p *poller) dead(reason thinkws.Reason) {
	p.s.t.Helper()
	require.Equal(p.s.t, sidUnknown, p.do(http.MethodGet, ""))
	p.s.verify(reason)
}
