package engineio_test

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

func TestUpgrade(t *testing.T) {
	for revision, c := range map[int]struct{ noop, hello, polled string }{
		4: {"6", "4hello", "4by polling"}, 3: {"1:6", "6:4hello", "11:4by polling"},
	} {
		h := newHarness(t)
		p := h.polling(revision, "")
		waiting := h.pending(p)
		w := h.upgrading(p)
		assert.Equal(t, "polling", p.Transport())
		w.write("2probe")
		assert.Equal(t, "3probe", w.read())
		assert.Equal(t, c.noop, (<-waiting).body, "a GET that waits")
		assert.Equal(t, c.noop, h.get(p.query).body, "a GET that comes after the probe")
		require.NoError(t, p.send("by polling"))
		assert.Equal(t, c.polled, h.get(p.query).body, "messages go out as before")
		assert.Equal(t, "ok", h.post(p.query, c.hello).body)
		assert.Equal(t, "text hello", p.next(t))
		require.NoError(t, p.send("waits", "too"))
		w.write("5", "4by websocket")
		assert.Equal(t, "4waits", w.read())
		assert.Equal(t, "4too", w.read())
		assert.Equal(t, "text by websocket", p.next(t))
		assert.Equal(t, "websocket", p.Transport())
		require.NoError(t, p.send("last"))
		assert.Equal(t, "4last", w.read())
		assert.Equal(t, badRequest, h.get(p.query).body)
		assert.Equal(t, badRequest, h.post(p.query, c.hello).body)
		assert.Equal(t, 1005, h.upgrading(p).closed())
		w.write("4unharmed")
		assert.Equal(t, "text unharmed", p.next(t))
		w.Close(1000, "")
		assert.Equal(t, "closed "+session.ReasonTransportClose, p.next(t))
		assert.Zero(t, h.server.Len())
	}
}

func TestUpgradeWithoutAProbe(t *testing.T) {
	h := newHarness(t)
	p := h.polling(4, "")
	waiting := h.pending(p)
	w := h.upgrading(p)
	w.write("5", "4x")
	assert.Equal(t, "text x", p.next(t))
	assert.Equal(t, "6", (<-waiting).body)
}

// A probe that comes with the request, and the upgrade right behind it.
func TestProbeRightBehindTheUpgrade(t *testing.T) {
	h := newHarness(t)
	for range 200 {
		p := h.polling(4, "")
		require.NoError(t, p.send("waits"))
		query := strings.Replace(p.query, "polling", "websocket", 1)
		c, in := h.raw("GET /socket.io/?" + query + " HTTP/1.1\r\n" + rawUpgrade +
			masked(0x81, "2probe") + masked(0x81, "5") + masked(0x81, "4early"))
		resp, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		require.Equal(t, 101, resp.StatusCode)
		require.Equal(t, "text early", p.next(t))
		got := make([]byte, len("\x81\x063probe\x81\x064waits"))
		_, err = in.Read(got[:0])
		require.NoError(t, err)
		for n := 0; n < len(got); {
			more, err := in.Read(got[n:])
			require.NoError(t, err)
			n += more
		}
		require.Equal(t, "\x81\x063probe\x81\x064waits", string(got))
		c.Close()
		require.Equal(t, "closed "+session.ReasonTransportClose, p.next(t))
	}
}

// Anything else before the upgrade ends the WebSocket, and only that.
func TestUpgradeThatFails(t *testing.T) {
	h := newHarness(t)
	p := h.polling(4, "")
	for name, fail := range map[string]func(*ws){
		"message":       func(w *ws) { w.write("4x"); assert.Equal(t, 1002, w.closed()) },
		"ping":          func(w *ws) { w.write("2"); assert.Equal(t, 1002, w.closed()) },
		"other probe":   func(w *ws) { w.write("2probes"); assert.Equal(t, 1002, w.closed()) },
		"nonsense":      func(w *ws) { w.write("x"); assert.Equal(t, 1002, w.closed()) },
		"empty":         func(w *ws) { w.write(""); assert.Equal(t, 1002, w.closed()) },
		"binary":        func(w *ws) { w.writeBinary("5"); assert.Equal(t, 1002, w.closed()) },
		"bad UTF-8":     func(w *ws) { w.write("2\xff"); assert.Equal(t, 1007, w.closed()) },
		"close":         func(w *ws) { w.write("1"); assert.Equal(t, 1002, w.closed()) },
		"after a probe": func(w *ws) { w.write("2probe", "4x"); w.read(); assert.Equal(t, 1002, w.closed()) },
		"closed":        func(w *ws) { w.Close(1000, "") },
		"cut":           func(w *ws) { w.CloseNow() },
		"cut, probed":   func(w *ws) { w.write("2probe"); w.read(); w.CloseNow() },
	} {
		fail(h.upgrading(p))
		require.Eventually(t, func() bool { return !p.Probing() }, time.Minute, time.Millisecond, name)
		waiting := h.pending(p)
		require.NoError(t, p.send("still"))
		assert.Equal(t, "4still", (<-waiting).body, name)
		assert.Equal(t, "ok", h.post(p.query, "4here").body, name)
		assert.Equal(t, "text here", p.next(t), name)
	}
	w := h.upgrading(p)
	w.write("2probe", "2probe", "5", "4x")
	assert.Equal(t, []string{"3probe", "3probe"}, []string{w.read(), w.read()})
	assert.Equal(t, "text x", p.next(t))
}

// A WebSocket of a session that has one, or is about to, is closed, whatever comes by it.
func TestSecondUpgrade(t *testing.T) {
	for revision, hello := range map[int]string{3: "4x", 4: "4x"} {
		h := newHarness(t)
		p := h.polling(revision, "")
		used := h.upgrading(p)
		for _, packets := range [][]string{nil, {"2probe"}, {"5"}, {"4stolen"}, {"1"}} {
			second := h.upgrading(p)
			for _, packet := range packets { // the server may be gone by then
				_ = second.Write(t.Context(), websocket.MessageText, []byte(packet))
			}
			assert.Equal(t, 1005, second.closed(), "while probing")
		}
		used.write("2probe", "5", hello)
		assert.Equal(t, "3probe", used.read())
		assert.Equal(t, "text x", p.next(t))
		for _, packets := range [][]string{nil, {"2probe"}, {"5"}, {"4stolen"}, {"1"}} {
			second := h.upgrading(p)
			for _, packet := range packets {
				_ = second.Write(t.Context(), websocket.MessageText, []byte(packet))
			}
			assert.Equal(t, 1005, second.closed(), "after the upgrade")
		}
		used.write(hello)
		assert.Equal(t, "text x", p.next(t))
		require.NoError(t, p.send("y"))
		assert.Equal(t, "4y", used.read())

		born, w := h.websocket(revision, "")
		assert.Equal(t, 1005, h.ws(fmt.Sprintf("EIO=%d&transport=websocket&sid=%s", revision, born.ID())).closed(), "it began so")
		w.write(hello)
		assert.Equal(t, "text x", born.next(t))
		assert.Equal(t, 2, h.server.Len())
	}
}

// Such a WebSocket counts as no session, so one that does not answer the close frame is cut off soon.
func TestSecondUpgradeThatStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		p := h.polling(4, "")
		h.upgrading(p)
		_, in := h.raw("GET /socket.io/?" + strings.Replace(p.query, "polling", "websocket", 1) + " HTTP/1.1\r\n" + rawUpgrade)
		resp, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		require.Equal(t, 101, resp.StatusCode)
		begun := time.Now()
		rest, err := io.ReadAll(in)
		require.NoError(t, err)
		assert.Equal(t, []byte{0x88, 0}, rest)
		assert.Equal(t, time.Second, time.Since(begun))
	})
}

func TestUpgradeOfAClosingSession(t *testing.T) {
	h := newHarness(t)
	p := h.polling(4, "")
	p.Close(session.ReasonServerDisconnect)
	a := h.get(strings.Replace(p.query, "polling", "websocket", 1), upgradeHeaders...)
	assert.Equal(t, badRequest, a.body)
	assert.Equal(t, "6\x1e1", h.get(p.query).body)
}

func TestSessionEndsWhileProbing(t *testing.T) {
	for name, end := range map[string]func(*harness, *peer){
		"by the server": func(_ *harness, p *peer) { p.Close(session.ReasonServerDisconnect) },
		"by the client": func(h *harness, p *peer) { h.post(p.query, "1") },
		"by a mistake":  func(h *harness, p *peer) { h.post(p.query, "x") },
	} {
		h := newHarness(t)
		p := h.polling(4, "")
		w := h.upgrading(p)
		w.write("2probe")
		assert.Equal(t, "3probe", w.read(), name)
		end(h, p)
		assert.Equal(t, 1005, w.closed(), name)
	}
}

func TestUpgradeTimeout(t *testing.T) {
	for _, probed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := newHarness(t)
			p := h.polling(4, "")
			w := h.upgrading(p)
			if probed {
				w.write("2probe")
				assert.Equal(t, "3probe", w.read())
			}
			advance(10*time.Second - time.Millisecond)
			assert.True(t, p.Probing())
			advance(time.Millisecond)
			assert.False(t, p.Probing())
			assert.Equal(t, 1005, w.closed())
			require.NoError(t, p.send("still"))
			assert.Equal(t, "4still", h.get(p.query).body)
			next := h.upgrading(p)
			next.write("5", "4x")
			assert.Equal(t, "text x", p.next(t))
			advance(10 * time.Second)
			next.write("4y")
			assert.Equal(t, "text y", p.next(t), "the timer still runs after the upgrade")
		})
	}
}

// Messages sent all through an upgrade arrive, in order, each once.
func TestUpgradeKeepsTheOrder(t *testing.T) {
	const messages = 400
	for range 10 {
		h := newHarness(t)
		p := h.polling(4, "")
		sent := make(chan error, 1)
		go func() {
			for i := range messages {
				if err := p.send(fmt.Sprint(i)); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		var got []string
		w := h.upgrading(p)
		got = append(got, strings.Split(h.get(p.query).body, "\x1e")...)
		w.write("2probe")
		assert.Equal(t, "3probe", w.read())
		got = append(got, strings.Split(h.get(p.query).body, "\x1e")...)
		w.write("5")
		count := func() (n int) {
			for _, packet := range got {
				if packet != "6" {
					n++
				}
			}
			return n
		}
		for n := count(); n < messages; n++ {
			got = append(got, w.read())
		}
		require.NoError(t, <-sent)
		want := 0
		for _, packet := range got {
			if packet != "6" {
				require.Equal(t, fmt.Sprint("4", want), packet)
				want++
			}
		}
	}
}

// Senders do not know at what moment the WebSocket takes over: it may be between a look at the transport and the lock.
// The messages of each arrive in order and none is lost, those of before on the WebSocket, too, if no poll has fetched
// them.
func TestStressOfSendersDuringTheUpgrade(t *testing.T) {
	const senders, after = 8, 20 // messages that each sends once the WebSocket has taken over
	h := newHarness(t, with(func(c *engineio.Config) { c.Queue = 1 << 30 }))
	for range 80 {
		p := h.polling(4, "")
		w := h.upgrading(p)
		w.write("2probe")
		require.Equal(t, "3probe", w.read())
		require.Equal(t, "6", h.get(p.query).body)
		w.SetReadLimit(-1)

		var all sync.WaitGroup
		started := make(chan struct{}, senders)
		for s := range senders {
			all.Go(func() {
				started <- struct{}{}
				for n, left := 0, after; left > 0; n++ {
					if p.Transport() == "websocket" {
						left--
					}
					assert.NoError(t, p.send(fmt.Sprintf("%d:%d", s, n)))
					runtime.Gosched()
				}
				assert.NoError(t, p.send(fmt.Sprintf("%d:end", s)))
			})
		}
		for range senders {
			<-started
		}
		w.write("5")
		var next [senders]int
		for ended := 0; ended < senders; {
			sender, number, _ := strings.Cut(strings.TrimPrefix(w.read(), "4"), ":")
			s, err := strconv.Atoi(sender)
			require.NoError(t, err)
			if number == "end" {
				ended++
				continue
			}
			require.Equal(t, strconv.Itoa(next[s]), number, "of sender %d", s)
			next[s]++
		}
		all.Wait()
		w.CloseNow()
	}
}

// What is sent before Close goes out on the WebSocket that has just taken over.
func TestCloseDuringUpgrade(t *testing.T) {
	h := newHarness(t)
	for range 50 {
		p := h.polling(4, "")
		require.NoError(t, p.send("a", "b"))
		w := h.upgrading(p)
		done := make(chan struct{})
		go func() { defer close(done); p.Close(session.ReasonServerDisconnect) }()
		w.Write(t.Context(), 1, []byte("5")) // it may be closed already
		<-done
		if p.Transport() == "websocket" {
			assert.Equal(t, []string{"4a", "4b"}, []string{w.read(), w.read()})
		} else {
			assert.Equal(t, "4a\x1e4b", h.get(p.query).body)
			assert.Equal(t, "6\x1e1", h.get(p.query).body)
		}
		assert.Equal(t, 1005, w.closed())
		assert.Equal(t, "closed "+session.ReasonServerDisconnect, p.next(t))
	}
}

// A POST that is being read when the client upgrades is refused, not delivered
// beside what comes on the WebSocket.
func TestPostAcrossTheUpgrade(t *testing.T) {
	h := newHarness(t)
	p := h.polling(4, "")
	c, in := h.raw("POST /socket.io/?" + p.query + " HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n4")
	h.posting(p)
	w := h.upgrading(p)
	w.write("5", "4x")
	assert.Equal(t, "text x", p.next(t))
	_, err := c.Write([]byte("y"))
	require.NoError(t, err)
	resp, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	assert.Equal(t, 400, resp.StatusCode)
	w.write("4z")
	assert.Equal(t, "text z", p.next(t))
}

// A GET that is aborted after the upgrade does not harm the session.
func TestAbortedPollAfterTheUpgrade(t *testing.T) {
	h := newHarness(t)
	for range 50 {
		p := h.polling(4, "")
		c, _ := h.raw("GET /socket.io/?" + p.query + " HTTP/1.1\r\nHost: a\r\n\r\n")
		require.Eventually(t, p.Polling, time.Minute, time.Millisecond)
		w := h.upgrading(p)
		w.write("5", "4x")
		assert.Equal(t, "text x", p.next(t))
		c.Close()
		w.write("4y")
		assert.Equal(t, "text y", p.next(t))
	}
}
