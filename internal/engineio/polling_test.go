package engineio_test

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// advance lets time pass in a synctest bubble, and everything happen that it brings.
func advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func contextWith(r *http.Request, key, value any) context.Context {
	return context.WithValue(r.Context(), key, value)
}

// pending starts a GET and returns when it waits: a volatile message would go out.
func (h *harness) pending(p *peer) <-chan answer {
	h.t.Helper()
	answers := h.poll(p)
	require.Eventually(h.t, func() bool { return p.Send(nil, true) == nil }, time.Minute, time.Millisecond)
	return answers
}

func frames(f ...session.Frame) []session.Frame { return f }

func TestPoll(t *testing.T) {
	h := newHarness(t)
	data := []byte{1, 2, 3, 4}
	for name, c := range map[string]struct {
		revision           int
		extra, want, ctype string
	}{
		"4":         {4, "", "4hello\x1ebAQIDBA==\x1e4€", "text/plain; charset=UTF-8"},
		"4, b64":    {4, "&b64=1", "4hello\x1ebAQIDBA==\x1e4€", "text/plain; charset=UTF-8"},
		"4, JSONP":  {4, "&j=3", `/**/___eio[3]("4hello\u001ebAQIDBA==\u001e4€");`, "text/javascript; charset=UTF-8"},
		"3":         {3, "", "\x00\x06\xff4hello\x01\x05\xff\x04\x01\x02\x03\x04\x00\x04\xff4€", "application/octet-stream"},
		"3, b64":    {3, "&b64=1", "6:4hello10:b4AQIDBA==2:4€", "text/plain; charset=UTF-8"},
		"3, JSONP":  {3, "&j=3", `/**/___eio[3]("6:4hello10:b4AQIDBA==2:4€");`, "text/javascript; charset=UTF-8"},
		"4, b64 =":  {4, "&b64=", "4hello\x1ebAQIDBA==\x1e4€", "text/plain; charset=UTF-8"},
		"3, b64 =":  {3, "&b64=", "\x00\x06\xff4hello\x01\x05\xff\x04\x01\x02\x03\x04\x00\x04\xff4€", "application/octet-stream"},
		"3, JSONP1": {3, "&j=3&b64=1", `/**/___eio[3]("6:4hello10:b4AQIDBA==2:4€");`, "text/javascript; charset=UTF-8"},
	} {
		p := h.polling(c.revision, c.extra)
		v := p.Variant()
		require.NoError(t, p.Session.Send(frames(v.TextPacket([]byte("hello")), v.BinaryPacket(data)), false), name)
		require.NoError(t, p.send("€"), name)
		a := h.get(strings.Replace(p.query, "j=3", "j=4", 1)) // the index of the handshake holds
		assert.Equal(t, c.want, a.body, name)
		assert.Equal(t, c.ctype, a.header.Get("Content-Type"), name)
		assert.Equal(t, "no-store", a.header.Get("Cache-Control"), name)
		assert.Equal(t, strconv.Itoa(len(c.want)), a.header.Get("Content-Length"), name)
	}
}

// A GET waits for what is sent later, and volatile messages go only to one that waits.
func TestPollWaits(t *testing.T) {
	h := newHarness(t)
	p := h.polling(4, "")
	hello := frames(p.Variant().TextPacket([]byte("hello")))
	assert.ErrorIs(t, p.Session.Send(hello, true), session.ErrDropped)
	answer := h.pending(p)
	var dropped int
	for range 100 { // a burst: the first goes, and no GET waits for the others
		if p.Session.Send(hello, true) != nil {
			dropped++
		}
	}
	assert.Equal(t, "4hello", (<-answer).body)
	assert.Equal(t, 99, dropped)
	assert.ErrorIs(t, p.Session.Send(hello, true), session.ErrDropped)
}

// All packets of one Send go out together, in order, and none is lost between polls.
func TestPollsKeepTheOrder(t *testing.T) {
	h := newHarness(t)
	p := h.polling(4, "")
	var want []string
	for i := range 3000 {
		want = append(want, "4"+strings.Repeat("x", i%7)+string(rune('a'+i%26)))
	}
	go func() {
		for _, text := range want {
			p.send(text[1:])
		}
	}()
	var got []string
	for len(got) < len(want) {
		got = append(got, strings.Split(h.get(p.query).body, "\x1e")...)
	}
	assert.Equal(t, want, got)
}

func TestSecondPollEndsTheSession(t *testing.T) {
	for revision, want := range map[int]string{4: "1", 3: "1:1"} {
		h := newHarness(t)
		p := h.polling(revision, "")
		first := h.pending(p)
		second := h.get(p.query)
		assert.Equal(t, 400, second.status)
		assert.Empty(t, second.body)
		assert.Equal(t, want, (<-first).body)
		assert.Equal(t, "closed "+session.ReasonTransportError, p.next(t))
		h.gone(p)
	}
}

func TestAbortedPollEndsTheSession(t *testing.T) {
	h := newHarness(t)
	p := h.polling(4, "")
	c, _ := h.raw("GET /socket.io/?" + p.query + " HTTP/1.1\r\nHost: a\r\n\r\n")
	require.Eventually(t, func() bool { return p.Send(nil, true) == nil }, time.Minute, time.Millisecond)
	c.Close()
	assert.Equal(t, "closed "+session.ReasonTransportError, p.next(t))
	h.gone(p)
	assert.Zero(t, h.server.Len())
}

// The body of a GET is read, or its connection could not be watched.
func TestAbortedPollWithABody(t *testing.T) {
	h := newHarness(t)
	p := h.polling(4, "")
	c, _ := h.raw("GET /socket.io/?" + p.query + " HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
	require.Eventually(t, func() bool { return p.Send(nil, true) == nil }, time.Minute, time.Millisecond)
	c.Close()
	assert.Equal(t, "closed "+session.ReasonTransportError, p.next(t))
}

func TestPollWithAnEndlessBody(t *testing.T) {
	h := newHarness(t)
	p := h.polling(4, "")
	a := h.do(request("GET", p.query, strings.Repeat("x", 10_001)))
	assert.Equal(t, 413, a.status)
	answer := h.pending(p)
	require.NoError(t, p.send("unharmed"))
	assert.Equal(t, "4unharmed", (<-answer).body)
}

// The close packet never shares a payload with messages: clients of Socket.IO act on
// it first, and would take being sent away for a connection that was lost.
func TestClose(t *testing.T) {
	for name, c := range map[string]struct {
		revision int
		extra    string
		pending  bool
		send     []string
		want     []string // answers of one GET after the other
	}{
		"a GET waits":                      {4, "", true, nil, []string{"1"}},
		"a GET waits, revision 3":          {3, "", true, nil, []string{"1:1"}},
		"a GET waits, JSONP":               {4, "&j=0", true, nil, []string{`/**/___eio[0]("1");`}},
		"a GET waits, something sent":      {4, "", true, []string{"a", "b"}, []string{"4a\x1e4b", "6\x1e1"}},
		"no GET waits":                     {4, "", false, nil, []string{"6\x1e1"}},
		"no GET waits, revision 3":         {3, "", false, nil, []string{"1:61:1"}},
		"no GET waits, something sent":     {4, "", false, []string{"a", "b"}, []string{"4a\x1e4b", "6\x1e1"}},
		"no GET waits, revision 3, a sent": {3, "", false, []string{"a"}, []string{"2:4a", "1:61:1"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			p := h.polling(c.revision, c.extra)
			var got []string
			var waiting <-chan answer
			if c.pending {
				waiting = h.pending(p)
			}
			require.NoError(t, p.send(c.send...))
			p.Close(session.ReasonServerDisconnect)
			p.Close("again")
			assert.Equal(t, "closed "+session.ReasonServerDisconnect, p.next(t))
			assert.Zero(t, h.server.Len())
			assert.ErrorIs(t, p.send("late"), session.ErrClosed)
			if c.pending {
				got = append(got, (<-waiting).body)
			} else {
				body := map[int]string{4: "4x", 3: "2:4x"}[c.revision]
				assert.Equal(t, "ok", h.post(p.query, body).body, "a POST crosses the close")
			}
			for len(got) < len(c.want) {
				got = append(got, h.get(p.query).body)
			}
			assert.Equal(t, c.want, got)
			h.gone(p)
			assert.Empty(t, p.events)
		})
	}
}

func TestCloseLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		early, late := h.polling(4, ""), h.polling(4, "")
		require.NoError(t, early.send("bye"))
		early.Close(session.ReasonServerDisconnect)
		late.Close(session.ReasonServerDisconnect)
		advance(engineio.LingerTimeout - time.Millisecond)
		assert.Equal(t, "4bye", h.get(early.query).body)
		advance(time.Millisecond)
		h.gone(late)
		advance(engineio.LingerTimeout - 2*time.Millisecond)
		assert.Equal(t, "6\x1e1", h.get(early.query).body)
		h.gone(early)
	})
}

func TestDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		away, here := h.polling(4, ""), h.polling(4, "")
		require.NoError(t, away.send("bye"))
		polled := h.poll(here)
		synctest.Wait()
		away.Drop(session.ReasonServerClose)
		here.Drop(session.ReasonServerClose)
		assert.Equal(t, "1", (<-polled).body)
		h.gone(away)
		h.gone(here)
		assert.Equal(t, "closed "+session.ReasonServerClose, away.next(t))
		assert.Equal(t, "closed "+session.ReasonServerClose, here.next(t))
	})
}

// A poll outlasts the timeouts of the server, which are for ordinary requests.
func TestPollOutlastsServerTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(h *harness, _ *engineio.Config) {
			h.http.ReadTimeout, h.http.WriteTimeout = time.Second, 2*time.Second
		})
		p := h.polling(4, "")
		for range 2 {
			answer := h.poll(p)
			advance(10 * time.Second)
			require.NoError(t, p.send("late"))
			assert.Equal(t, "4late", (<-answer).body)
		}
	})
}

// A client that does not read the answer to its poll cannot hold the handler for ever.
func TestPollOfAClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		p := h.polling(4, "")
		h.raw("GET /socket.io/?" + p.query + " HTTP/1.1\r\nHost: a\r\n\r\n")
		synctest.Wait()
		require.NoError(t, p.send(strings.Repeat("x", 100_000)))
		advance(11 * time.Second)
		assert.Equal(t, "closed "+session.ReasonTransportError, p.next(t))
		h.gone(p)
	})
}

// While one answer is being written the next GET may come, and waits for its turn.
func TestPollBehindASlowAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		p := h.polling(4, "")
		require.NoError(t, p.send(strings.Repeat("x", 100_000)))
		_, slow := h.raw("GET /socket.io/?" + p.query + " HTTP/1.1\r\nHost: a\r\n\r\n")
		synctest.Wait() // it is being written
		next := h.poll(p)
		synctest.Wait()
		require.NoError(t, p.send("behind"))
		synctest.Wait()
		assert.Empty(t, next, "the second answer overtakes the first")
		resp, err := http.ReadResponse(slow, nil)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.Len(t, body, 100_001)
		assert.Equal(t, "4behind", (<-next).body)
	})
}

func TestCompressionAroundUs(t *testing.T) {
	h := newHarness(t, around(middleware.Compress(5)))
	p := h.polling(4, "")
	for _, size := range []int{5, 5000, 500_000} {
		text := strings.Repeat("x", size)
		require.NoError(t, p.send(text))
		a := h.get(p.query, "Accept-Encoding", "gzip")
		require.Equal(t, "gzip", a.header.Get("Content-Encoding"))
		unzip, err := gzip.NewReader(strings.NewReader(a.body))
		require.NoError(t, err)
		body, err := io.ReadAll(unzip)
		require.NoError(t, err)
		assert.Equal(t, "4"+text, string(body))
	}
	w := h.upgrading(p)
	w.write("2probe", "5")
	assert.Equal(t, "3probe", w.read())
	w.write("4hello")
	assert.Equal(t, "text hello", p.next(t))
}

// What waits for a poll is no longer lent.
func TestLentFramesWaitForThePoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		p := h.polling(4, "")
		var m session.Message
		for _, text := range []string{"one", "two"} {
			m.Reset()
			m.Lent = true
			frames, err := m.Frames(oneText(text))
			require.NoError(t, err)
			require.NoError(t, p.Session.Send(frames, false))
		}
		assert.Equal(t, "4one\x1e4two", h.get(p.query).body)
	})
}

// oneText encodes any message as one text.
type oneText string

func (s oneText) Encode(dst []session.Frame, m *session.Message) ([]session.Frame, error) {
	v := engineio.Variant{Revision: 4}
	return append(dst, session.TextOf(append(v.Text(m.Room(v.TextSize(len(s)))), s...))), nil
}
