package thinkws_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
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
	send func(events ...string) // sends all at once and returns when the server has taken them
	hear func() string          // returns the next event or answer from the server, "gone" at the end
	quit func()                 // closes the connection

	answering sync.WaitGroup // what asks sends
}

// eventOf is an event with one argument as a client of that kind writes it. ack is the id of the answer that it wants, or "".
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
	wrap := func(text string) string { return text }
	var ws *rawWS
	switch kind {
	case "SockJS websocket":
		ws, wrap = s.upgrade("/sockjs/0/talker/websocket"), func(text string) string { return array(text) }
		ws.expect("o")
	case "SockJS raw websocket":
		ws = s.upgrade("/sockjs/websocket")
	default:
		ws, _ = s.enter(kind)
	}
	var frames []string
	return &talker{
		send: func(events ...string) {
			var all strings.Builder
			for _, e := range events {
				all.Write(maskedFrame(opText, wrap(e)))
			}
			_, err := ws.conn.Write([]byte(all.String()))
			assert.NoError(s.t, err)
		},
		hear: func() string {
			for len(frames) == 0 {
				switch frame := ws.read(); {
				case frame == "ping":
					ws.write(maskedFrame(10, ""))
				case frame == "2":
					ws.send("3")
				case frame == "h", frame == "6":
				case kind == "SockJS websocket" && frame[0] == 'a':
					frames = messages(frame)
				default:
					frames = []string{frame}
				}
			}
			next := frames[0]
			frames = frames[1:]
			return next
		},
		quit: func() { _ = ws.conn.Close() },
	}
}

func (s *site) talkPolling(eio int, query string, pieces bool) *talker {
	s.t.Helper()
	p := s.open(eio, query)
	var frames []string
	var posting sync.Mutex // held during a POST: clients have one at a time
	return &talker{
		send: func(events ...string) {
			posting.Lock()
			defer posting.Unlock()
			size := len(events)
			if pieces {
				size = 700
			}
			for len(events) > 0 {
				var packets []any
				for _, e := range events[:min(size, len(events))] {
					packets = append(packets, e)
				}
				events = events[len(packets):]
				status, _, err := p.request(http.MethodPost, p.payload(packets...))
				if assert.NoError(s.t, err) {
					assert.Equal(s.t, http.StatusOK, status)
				}
			}
		},
		hear: func() string {
			for len(frames) == 0 || frames[0] == "6" || frames[0] == "2" {
				if len(frames) == 0 {
					frames = p.get()
				} else {
					frames = frames[1:]
				}
			}
			next := frames[0]
			frames = frames[1:]
			return next
		},
		quit: func() {
			posting.Lock()
			defer posting.Unlock()
			_, _, _ = p.request(http.MethodPost, p.payload("1"))
		},
	}
}

func (s *site) talkSockJS(kind string) *talker {
	s.t.Helper()
	p := s.sockjs("/sockjs/0/talker", "")
	post := func(events []string) {
		path, body, want := "/xhr_send", array(events...), http.StatusNoContent
		if kind == "SockJS jsonp" {
			path, want = "/jsonp_send", http.StatusOK
		}
		status, _, err := p.request(path, body)
		if assert.NoError(s.t, err) {
			assert.Equal(s.t, want, status)
		}
	}
	var frames []string
	return &talker{
		send: func(events ...string) {
			size := len(events)
			if strings.Contains(kind, "pieces") {
				size = 700
			}
			for len(events) > 0 {
				n := min(size, len(events))
				post(events[:n])
				events = events[n:]
			}
		},
		hear: func() string {
			for len(frames) == 0 {
				frames = messages(p.poll())
			}
			next := frames[0]
			frames = frames[1:]
			return next
		},
		quit: func() { post([]string{`{"event":"kick"}`}) },
	}
}

func (s *site) talkStreaming() *talker {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://localhost/sockjs/0/talker/xhr_streaming", nil)
	require.NoError(s.t, err)
	res, err := s.http.Do(req)
	require.NoError(s.t, err)
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
	p := &sockjs{t: s.t, http: s.http, target: "http://localhost/sockjs/0/talker"}
	return &talker{
		send: func(events ...string) {
			status, _, err := p.request("/xhr_send", array(events...))
			if assert.NoError(s.t, err) {
				assert.Equal(s.t, http.StatusNoContent, status)
			}
		},
		hear: func() string {
			select {
			case text, ok := <-frames:
				if !ok {
					return "gone"
				}
				return text
			case <-time.After(time.Minute):
				return "nothing"
			}
		},
		quit: func() { _ = res.Body.Close() },
	}
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
