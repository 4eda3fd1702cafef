package engineio_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// sendQueue sets the bound of the send queue, and leaves out heartbeats.
func sendQueue(bytes int) option {
	return with(func(c *engineio.Config) { c.Queue, c.PingInterval = bytes, 24*time.Hour })
}

// payloads takes the packets out of what a poll is answered with.
var payloads = map[string]struct {
	revision int
	extra    string
	split    func(t *testing.T, body string) []string
}{
	"4":        {4, "", func(_ *testing.T, body string) []string { return strings.Split(body, "\x1e") }},
	"4, JSONP": {4, "&j=0", func(t *testing.T, body string) []string { return strings.Split(unscript(t, body), "\x1e") }},
	"3":        {3, "", splitV3},
	"3, JSONP": {3, "&j=0", func(t *testing.T, body string) []string { return splitV3(t, unscript(t, body)) }},
}

func unscript(t *testing.T, script string) (text string) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(strings.TrimSuffix(strings.TrimPrefix(script, "/**/___eio[0]("), ");")), &text))
	return text
}

func splitV3(t *testing.T, body string) (packets []string) {
	t.Helper()
	for body != "" {
		length, rest, _ := strings.Cut(body, ":")
		n, err := strconv.Atoi(length)
		require.NoError(t, err)
		packets, body = append(packets, rest[:n]), rest[n:]
	}
	return packets
}

// What one handler sends arrives, in order, however much more than the bound it is: some thousand messages, then one of
// 8 MB.
func TestBurstsArriveByPolling(t *testing.T) {
	for name, tt := range payloads {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			p := h.polling(tt.revision, tt.extra)
			small, large := strings.Repeat("x", 200), strings.Repeat("y", 8_000_000)
			var want []string
			for i := range 5000 {
				want = append(want, fmt.Sprint("4", i, small))
				require.NoError(t, p.send(want[i][1:]))
			}
			want = append(want, "4"+large, "4last")
			require.NoError(t, p.send(large))
			require.NoError(t, p.send("last"))
			var got []string
			for len(got) < len(want) {
				got = append(got, tt.split(t, h.get(p.query).body)...)
			}
			for i := range want {
				if want[i] != got[i] {
					require.FailNow(t, "another packet", "%d", i)
				}
			}
			assert.Zero(t, p.Session.Held())
		})
	}
}

func TestPollingQueueEndsAtFourTimesTheBound(t *testing.T) {
	h := newHarness(t, sendQueue(session.Held(3, 3*len("4a"))))
	p := h.polling(4, "")
	require.NoError(t, p.send(strings.Repeat("x", 5000)), "one may have any size")
	for range 4 * 3 {
		require.NoError(t, p.send("a"))
	}
	assert.ErrorIs(t, p.send("d"), session.ErrSlow)
	assert.ErrorIs(t, p.send("e"), session.ErrClosed)
	assert.Equal(t, "closed "+session.ReasonSlow, p.next(t))
	h.gone(p)
}

// A client that is slow with one answer, and waits for the next, gets the close packet there.
func TestSlowWithAPollWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, sendQueue(100))
		p := h.polling(4, "")
		require.NoError(t, p.send(strings.Repeat("x", 100_000)))
		h.raw("GET /socket.io/?" + p.query + " HTTP/1.1\r\nHost: a\r\n\r\n")
		synctest.Wait() // it is being written
		next := h.poll(p)
		synctest.Wait()
		for range 3 {
			require.NoError(t, p.send("a"))
		}
		assert.ErrorIs(t, p.send("b"), session.ErrSlow)
		assert.Equal(t, "1", (<-next).body)
		assert.Equal(t, "closed "+session.ReasonSlow, p.next(t))
		advance(11 * time.Second) // for the one that is not read
	})
}

// A client that does not poll while more than the bound waits is slow after WriteTimeout. If less waits, it has until
// its heartbeat.
func TestClientThatDoesNotPoll(t *testing.T) {
	for name, messages := range map[string]int{"more than the bound": 4, "the bound": 3} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t, sendQueue(session.Held(2, 2*len("4a"))))
				p := h.polling(4, "")
				for range messages {
					require.NoError(t, p.send("a"))
				}
				advance(10*time.Second - 1)
				assert.Empty(t, p.events)
				advance(1)
				if messages > 3 {
					assert.Equal(t, "closed "+session.ReasonSlow, p.next(t))
					h.gone(p)
					return
				}
				assert.Empty(t, p.events)
				assert.Equal(t, "4a\x1e4a\x1e4a", h.get(p.query).body)
			})
		})
	}
}

// A client that takes an answer now and then stays, though more than the bound waits all the time.
func TestClientThatTakesOneAnswerAtATimeStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, sendQueue(1<<20))
		p := h.polling(4, "")
		message := strings.Repeat("x", 500_000)
		for range 6 {
			require.NoError(t, p.send(message))
		}
		for range 50 {
			advance(9 * time.Second)
			assert.Equal(t, "4"+message+"\x1e4"+message, h.get(p.query).body)
			require.NoError(t, p.send(message))
			require.NoError(t, p.send(message))
		}
		assert.Empty(t, p.events)
		advance(20 * time.Second)
		assert.Equal(t, "closed "+session.ReasonSlow, p.next(t))
	})
}

// A client that takes 64 KiB of an answer within WriteTimeout gets all of it, however long it is.
func TestSteadyPollerStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, sendQueue(1<<20))
		p := h.polling(4, "")
		message := strings.Repeat("x", 8_000_000)
		require.NoError(t, p.send(message))
		require.NoError(t, p.send(strings.Repeat("y", 2_000_000)), "so that more than the bound waits")
		conn, _ := h.raw("GET /socket.io/?" + p.query + " HTTP/1.1\r\nHost: a\r\n\r\n")
		r, w := io.Pipe()
		var reader sync.WaitGroup
		reader.Go(func() {
			piece := make([]byte, session.Piece)
			for err := error(nil); err == nil; time.Sleep(9 * time.Second) {
				var n int
				n, err = io.ReadFull(conn, piece)
				_, _ = w.Write(piece[:n])
			}
		})
		resp, err := http.ReadResponse(bufio.NewReader(r), nil)
		require.NoError(t, err)
		assert.EqualValues(t, 1+len(message), resp.ContentLength)
		body := make([]byte, len(message)-session.Piece)
		_, err = io.ReadFull(resp.Body, body)
		require.NoError(t, err)
		assert.Empty(t, p.events)
		p.Drop(session.ReasonServerClose)
		conn.Close()
		r.Close()
		reader.Wait()
	})
}

// A client that reads an answer by a byte now and then is slow, or lost if no more than the bound waits. It never has
// more wait than four times the bound, and one message.
func TestPollReadByteByByte(t *testing.T) {
	for name, want := range map[string]string{"much waits": session.ReasonSlow, "little waits": session.ReasonTransportError} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const bound = 64 << 10
				h := newHarness(t, sendQueue(bound))
				p := h.polling(4, "")
				message := strings.Repeat("x", 20_000)
				require.NoError(t, p.send(strings.Repeat("x", 100_000)))
				conn, _ := h.raw("GET /socket.io/?" + p.query + " HTTP/1.1\r\nHost: a\r\n\r\n")
				var reader sync.WaitGroup
				reader.Go(func() {
					for err := error(nil); err == nil; time.Sleep(time.Second) {
						_, err = conn.Read(make([]byte, 1))
					}
				})
				synctest.Wait()
				start := time.Now()
				for len(p.events) == 0 {
					if want == session.ReasonSlow {
						_ = p.send(message)
					}
					require.LessOrEqual(t, p.Session.Held(), 4*bound+session.Held(1, 100_001))
					advance(time.Second)
				}
				assert.Equal(t, "closed "+want, p.next(t))
				assert.LessOrEqual(t, time.Since(start), 21*time.Second)
				reader.Wait()
			})
		})
	}
}
