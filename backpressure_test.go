package thinkws_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// A client that sends faster than its handlers run, or than it may, is read more slowly. It is never disconnected.

// talker is a client of some kind.
type talker struct {
	send    func(events ...string)    // sends all at once and returns when the server has taken them
	hear    func() string             // returns the next event or answer from the server, "gone" at the end
	quit    func()                    // leaves, as such a client does
	context func(ctx context.Context) // cuts the connections of the client when ctx is done

	sign    func() // called for everything that comes from the server; nil for nothing
	lenient bool   // the server may end

	answering sync.WaitGroup // what asks sends
}

// turn is a mutex that a bubble may wait for.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// take runs f when nobody else does.
func (t turn) take(f func()) {
	t <- struct{}{}
	defer func() { <-t }()
	f()
}

// heard notes a sign of life.
func (c *talker) heard() {
	if c.sign != nil {
		c.sign()
	}
}

// taken checks that the server has taken what was sent.
func (c *talker) taken(t *testing.T, want, status int, err error) {
	if !c.lenient && assert.NoError(t, err) {
		assert.Equal(t, want, status)
	}
}

// eventOf is an event with one argument as a client of that kind writes it. ack is the id of the answer that it wants,
// or "".
func eventOf(kind, name, ack string, arg any) string {
	switch {
	case !strings.Contains(kind, "plain") && !strings.Contains(kind, "SockJS"):
		return fmt.Sprintf(`42%s["%s",%v]`, ack, name, arg)
	case ack == "":
		return fmt.Sprintf(`{"event":"%s","data":%v}`, name, arg)
	default:
		return fmt.Sprintf(`{"event":"%s","data":%v,"cid":%s}`, name, arg, ack)
	}
}

// answerOf is how a client of that kind answers, or is answered.
func answerOf(kind, id string, arg any) string {
	if strings.Contains(kind, "plain") || strings.Contains(kind, "SockJS") {
		return fmt.Sprintf(`{"rid":%s,"data":%v}`, id, arg)
	}
	return fmt.Sprintf(`43%s[%v]`, id, arg)
}

// talkers are the kinds of clients: each protocol over each transport.
var talkers = []string{
	"v4", "v3", "plain", "SockJS websocket", "SockJS raw websocket",
	"v4 polling", "v4 polling in pieces", "v3 polling", "v4 jsonp", "v3 jsonp",
	"SockJS xhr-polling", "SockJS xhr-polling in pieces", "SockJS jsonp", "SockJS xhr-streaming",
}

// talk connects a client.
func (s *site) talk(kind string) *talker {
	s.t.Helper()
	switch kind {
	case "v4 polling", "v4 polling in pieces":
		return s.talkPolling(4, "", strings.Contains(kind, "pieces"))
	case "v3 polling":
		return s.talkPolling(3, "", false)
	case "v4 jsonp":
		return s.talkPolling(4, "&j=0", false)
	case "v3 jsonp":
		return s.talkPolling(3, "&j=0", false)
	case "SockJS xhr-polling", "SockJS xhr-polling in pieces", "SockJS jsonp":
		return s.talkSockJS(kind)
	case "SockJS xhr-streaming":
		return s.talkStreaming()
	default:
		return s.talkWebSocket(kind)
	}
}

func (s *site) talkWebSocket(kind string) *talker {
	s.t.Helper()
	c := new(talker)
	wrap := func(text string) string { return text }
	var ws *rawWS
	switch kind {
	case "SockJS websocket":
		ws, wrap = s.upgrade("/sockjs/0/"+rand.Text()+"/websocket"), func(text string) string { return array(text) }
		ws.expect("o")
	case "SockJS raw websocket":
		ws = s.upgrade("/sockjs/websocket")
	default:
		ws, _ = s.enter(kind)
	}
	writing := newTurn()
	write := func(frames string) (err error) {
		writing.take(func() { _, err = ws.conn.Write([]byte(frames)) })
		return err
	}
	c.send = func(events ...string) {
		var all strings.Builder
		for _, e := range events {
			all.Write(maskedFrame(opText, wrap(e)))
		}
		c.taken(s.t, 0, 0, write(all.String()))
	}
	var frames []string
	c.hear = func() string {
		for len(frames) == 0 {
			frame := ws.read()
			c.heard()
			switch {
			case frame == "ping":
				go func() { _ = write(string(maskedFrame(10, ""))) }() // the server may not read it now
			case frame == "2":
				go func() { _ = write(string(maskedFrame(opText, "3"))) }()
			case frame == "h", frame == "6", kind == "v3" && frame == "3":
			case kind == "SockJS websocket" && frame[0] == 'a':
				frames = messages(frame)
			default:
				frames = []string{frame}
			}
		}
		next := frames[0]
		frames = frames[1:]
		return next
	}
	c.quit = func() { _ = ws.conn.Close() }
	c.context = func(ctx context.Context) { context.AfterFunc(ctx, c.quit) }
	return c
}

func (s *site) talkPolling(eio int, query string, pieces bool) *talker {
	s.t.Helper()
	c := new(talker)
	p := s.open(eio, query)
	posting := newTurn() // clients have one POST at a time
	post := func(texts []string) (status int, err error) {
		var packets []any
		for _, text := range texts {
			packets = append(packets, text)
		}
		posting.take(func() { status, _, err = p.request(http.MethodPost, p.payload(packets...)) })
		return status, err
	}
	c.send = func(events ...string) {
		for piece := range slices.Chunk(events, pieceOf(pieces)) {
			status, err := post(piece)
			c.taken(s.t, http.StatusOK, status, err)
		}
	}
	var frames []string
	c.hear = func() string {
		for {
			for len(frames) == 0 {
				frames = p.get()
				c.heard()
			}
			next := frames[0]
			frames = frames[1:]
			switch next {
			case "2":
				go func() { _, _ = post([]string{"3"}) }()
			case "3", "6":
			default:
				return next
			}
		}
	}
	c.quit = func() { _, _ = post([]string{"1"}) }
	c.context = func(ctx context.Context) { p.ctx = ctx }
	return c
}

// pieceOf returns how many events a client sends in one request.
func pieceOf(pieces bool) int {
	if pieces {
		return 700
	}
	return math.MaxInt
}

func (s *site) talkSockJS(kind string) *talker {
	s.t.Helper()
	c := new(talker)
	p := s.sockjs("/sockjs/0/"+rand.Text(), "")
	path, want := "/xhr_send", http.StatusNoContent
	if kind == "SockJS jsonp" {
		path, want = "/jsonp_send", http.StatusOK
	}
	c.send = func(events ...string) {
		for piece := range slices.Chunk(events, pieceOf(strings.Contains(kind, "pieces"))) {
			status, _, err := p.request(path, array(piece...))
			c.taken(s.t, want, status, err)
		}
	}
	var frames []string
	c.hear = func() string {
		for len(frames) == 0 {
			frames = messages(p.poll())
			c.heard()
		}
		next := frames[0]
		frames = frames[1:]
		return next
	}
	c.quit = func() { c.send(`{"event":"kick"}`) }
	c.context = func(ctx context.Context) { p.ctx = ctx }
	return c
}

func (s *site) talkStreaming() *talker {
	s.t.Helper()
	target := "http://localhost/sockjs/0/" + rand.Text()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, target+"/xhr_streaming", nil)
	require.NoError(s.t, err)
	res, err := s.http.Do(req)
	require.NoError(s.t, err)
	c := new(talker)
	frames := make(chan string, 10)
	go func() {
		defer close(frames)
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			for _, text := range messages(lines.Text()) {
				frames <- text
			}
		}
	}()
	p := &sockjs{t: s.t, http: s.http, target: target}
	c.send = func(events ...string) {
		status, _, err := p.request("/xhr_send", array(events...))
		c.taken(s.t, http.StatusNoContent, status, err)
	}
	c.hear = func() string {
		if text, ok := <-frames; ok {
			return text
		}
		return "gone"
	}
	c.quit = func() { _ = res.Body.Close() }
	c.context = func(ctx context.Context) { context.AfterFunc(ctx, c.quit) }
	return c
}

// counter is a handler of numbered events, which must come in order. The first one waits for release.
type counter struct {
	release chan struct{}

	mu   sync.Mutex // protects what follows
	next int
	bad  []string
}

func (n *counter) count(c *thinkws.Context) error {
	var i int
	if err := c.Arg(0, &i); err != nil {
		return err
	}
	if i == 0 {
		<-n.release
	}
	n.mu.Lock()
	if i != n.next {
		n.bad = append(n.bad, fmt.Sprintf("%d in place of %d", i, n.next))
	}
	n.next++
	n.mu.Unlock()
	return c.Ack(i)
}

func (n *counter) verify(t *testing.T, want int) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	assert.Empty(t, n.bad)
	assert.Equal(t, want, n.next)
}

// numbered are events 0 to n-1, of which the last one wants an answer.
func numbered(kind string, n int) (events []string) {
	for i := range n {
		ack := ""
		if i == n-1 {
			ack = "5"
		}
		events = append(events, eventOf(kind, "count", ack, i))
	}
	return events
}

// paused waits until the server has stopped to read from a client because a receive queue is full.
func (s *site) paused() {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return s.handler.Hub().Stats().Limits["receive_queue"] > 0 }, time.Minute, time.Millisecond)
}

// gone says that the talker leaves by itself.
func (s *site) gone(c *talker) {
	s.t.Helper()
	c.answering.Wait()
	c.quit()
	select {
	case reason := <-s.reasons:
		assert.Contains(s.t, []thinkws.Reason{thinkws.ReasonTransportClose, thinkws.ReasonServerDisconnect}, reason)
	case <-time.After(time.Minute):
		require.FailNow(s.t, "the client is still there")
	}
	s.verify()
}

// C1: 4,000 events at once, as after a time offline, behind a handler that is busy.
func TestABurstOfEventsDisconnectsNobody(t *testing.T) {
	const burst = 4_000
	for _, kind := range talkers {
		t.Run(kind, func(t *testing.T) {
			n := &counter{release: make(chan struct{})}
			s := newSite(t, thinkws.On("count", n.count))
			c := s.talk(kind)
			sent := make(chan struct{})
			go func() { defer close(sent); c.send(numbered(kind, burst)...) }()
			s.paused()
			assert.Empty(t, s.reasons)
			close(n.release)
			assert.Equal(t, answerOf(kind, "5", burst-1), c.hear())
			<-sent
			n.verify(t, burst)
			assert.Equal(t, 1, strings.Count(s.log.String(), `level=INFO msg="client slowed down" limit=receive_queue`))
			s.gone(c)
		})
	}
}

// newSiteOn serves on a listener of its own kind.
func newSiteOn(t *testing.T, kind string, options ...thinkws.Option) *site {
	t.Helper()
	s := prepare(t, options)
	server := httptest.NewUnstartedServer(s.router)
	t.Cleanup(server.Close)
	switch kind {
	case "TLS":
		server.StartTLS()
		s.connect = func() (net.Conn, error) {
			return tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		}
	case "unix":
		path := filepath.Join(t.TempDir(), "s")
		listener, err := net.Listen("unix", path)
		require.NoError(t, err)
		require.NoError(t, server.Listener.Close())
		server.Listener = listener
		server.Start()
		s.connect = func() (net.Conn, error) { return net.Dial("unix", path) }
	}
	s.populate()
	return s
}

func TestABurstOfEventsOverOtherConnections(t *testing.T) {
	const burst = 4_000
	for _, network := range []string{"TLS", "unix"} {
		for _, kind := range []string{"v4", "plain", "v4 polling", "SockJS websocket"} {
			t.Run(network+" "+kind, func(t *testing.T) {
				n := &counter{release: make(chan struct{})}
				s := newSiteOn(t, network, thinkws.On("count", n.count))
				c := s.talk(kind)
				sent := make(chan struct{})
				go func() { defer close(sent); c.send(numbered(kind, burst)...) }()
				s.paused()
				close(n.release)
				assert.Equal(t, answerOf(kind, "5", burst-1), c.hear())
				<-sent
				n.verify(t, burst)
				s.gone(c)
			})
		}
	}
}
