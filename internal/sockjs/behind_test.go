package sockjs_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/sockjs"
)

// receivers are the requests that take frames, and how the frames are found in their responses.
var receivers = map[string]struct {
	method, path  string
	before, after string // a frame
	decode        func(frame string) (string, error)
}{
	"xhr-polling":   {"POST", "/xhr", "a", "\n", asItIs},
	"xhr-streaming": {"POST", "/xhr_streaming", "a", "\n", asItIs},
	"eventsource":   {"GET", "/eventsource", "data: a", "\r\n\r\n", url.PathUnescape},
	"htmlfile":      {"GET", "/htmlfile?c=x", "<script>\np(", ");\n</script>", fromScript},
	"jsonp-polling": {"GET", "/jsonp?c=x", "/**/x(", ");\r\n", fromScript},
}

func asItIs(frame string) (string, error) { return frame, nil }

func fromScript(quoted string) (frame string, err error) {
	err = json.Unmarshal([]byte(quoted), &frame)
	return strings.TrimPrefix(frame, "a"), err
}

func everyReceiver(t *testing.T, test func(t *testing.T, take func(h *harness, target string) []string)) {
	for name, r := range receivers {
		t.Run(name, func(t *testing.T) {
			test(t, func(h *harness, target string) (texts []string) {
				rest := h.do(r.method, target+r.path, "").body
				for {
					var frame string
					var found bool
					if _, rest, found = strings.Cut(rest, r.before); !found {
						return texts
					}
					frame, rest, _ = strings.Cut(rest, r.after)
					frame, err := r.decode(frame)
					require.NoError(t, err)
					if !strings.HasPrefix(frame, "[") {
						continue
					}
					var messages []string
					require.NoError(t, json.Unmarshal([]byte(frame), &messages))
					for _, message := range messages {
						var m struct{ Data string }
						require.NoError(t, json.Unmarshal([]byte(message), &m))
						texts = append(texts, m.Data)
					}
				}
			})
		})
	}
}

// What one handler sends arrives, in order, though it is more than the bound: many short messages, then a long one.
func TestBurstsArriveOverHTTP(t *testing.T) {
	everyReceiver(t, func(t *testing.T, take func(*harness, string) []string) {
		h := newHarness(t, func(h *harness) {
			h.cfg.Queue, h.cfg.ResponseLimit, h.cfg.DisconnectDelay = 512<<10, 128<<10, time.Hour
		})
		target, c := h.open()
		var want []string
		for i := range 1500 {
			want = append(want, fmt.Sprint(i, strings.Repeat("%x", 100)))
		}
		want = append(want, strings.Repeat("y", 1_000_000), "last")
		require.NoError(t, c.send(want...))
		c.Conn.Close(session.ReasonServerDisconnect) // which ends the last stream
		var got []string
		for len(got) < len(want) {
			got = append(got, take(h, target)...)
		}
		for i := range want {
			if want[i] != got[i] {
				require.FailNow(t, "another message", "%d", i)
			}
		}
		assert.Zero(t, sockjs.Held(c.Conn))
		assert.Equal(t, "closed "+session.ReasonServerDisconnect, c.next(t))
	})
}

// A client that does not fetch more than four times the bound is disconnected at once.
func TestQueueOverHTTPEndsAtFourTimesTheBound(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		target, c := h.open()
		require.NoError(t, c.send(strings.Repeat("any size", 1000)))
		for range 4 * 3 {
			require.NoError(t, c.send("x"))
		}
		assert.ErrorIs(t, c.send("x"), session.ErrSlow)
		assert.ErrorIs(t, c.send("x"), session.ErrClosed)
		assert.Equal(t, "closed "+session.ReasonSlow, c.next(t))
		assert.Equal(t, `c[1013,"slow client"]`, h.frame(target), "and nothing before it")
	}, func(h *harness) { h.cfg.Queue = session.Held(3, 3*len(e("x"))) })
}

// A client that does not come for WriteTimeout, or for DisconnectDelay if that is shorter, is slow if more than the
// bound waits. Otherwise it is gone after DisconnectDelay.
func TestClientThatDoesNotFetch(t *testing.T) {
	for _, tt := range []struct {
		name     string
		messages int
		delay    time.Duration // DisconnectDelay
		after    time.Duration
		want     string
	}{
		{"more than the bound", 4, time.Minute, 10 * time.Second, session.ReasonSlow},
		{"more than the bound, short delay", 4, 5 * time.Second, 5 * time.Second, session.ReasonSlow},
		{"the bound", 3, time.Minute, time.Minute, session.ReasonTransportClose},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, h *harness) {
				target, c := h.open()
				for range tt.messages {
					require.NoError(t, c.send("x"))
				}
				time.Sleep(tt.after - 1)
				synctest.Wait()
				assert.Empty(t, c.events)
				time.Sleep(time.Nanosecond)
				assert.Equal(t, "closed "+tt.want, c.next(t))
				if tt.want == session.ReasonSlow {
					assert.Equal(t, `c[1013,"slow client"]`, h.frame(target))
				}
			}, func(h *harness) { h.cfg.Queue, h.cfg.DisconnectDelay = session.Held(2, 2*len(e("x"))), tt.delay })
		})
	}
}

// A client that takes 64 KiB of a response within WriteTimeout gets all of it, in a stream and by a poll.
func TestSteadyReceiverStays(t *testing.T) {
	for name, r := range receivers {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, h *harness) {
				target, c := h.open()
				message := strings.Repeat("x", 1_000_000)
				require.NoError(t, c.send(message))
				require.NoError(t, c.send(message), "more than the bound")
				conn, _ := h.raw(r.method + " " + base + target + r.path + " HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
				piece := make([]byte, session.Piece)
				for range len(message) / len(piece) {
					_, err := io.ReadFull(conn, piece)
					require.NoError(t, err)
					time.Sleep(9 * time.Second)
				}
				assert.Empty(t, c.events)
				require.NoError(t, conn.Close())
				c.next(t)
			}, func(h *harness) { h.cfg.Queue = 500_000 })
		})
	}
}

// A client that reads by a byte now and then is slow, or lost if no more than the bound waits. It never has more wait
// than four times the bound, and one message.
func TestReceiverThatReadsByteByByte(t *testing.T) {
	for name, r := range receivers {
		for waits, want := range map[string]string{"much": session.ReasonSlow, "little": session.ReasonTransportClose} {
			t.Run(name+", "+waits+" waits", func(t *testing.T) {
				const bound = 64 << 10
				bubble(t, func(t *testing.T, h *harness) {
					target, c := h.open()
					first := strings.Repeat("x", 100_000)
					require.NoError(t, c.send(first))
					conn, _ := h.raw(r.method + " " + base + target + r.path + " HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
					var reader sync.WaitGroup
					reader.Go(func() {
						for err := error(nil); err == nil; time.Sleep(time.Second) {
							_, err = conn.Read(make([]byte, 1))
						}
					})
					synctest.Wait()
					start := time.Now()
					for len(c.events) == 0 {
						if waits == "much" {
							_ = c.send(strings.Repeat("x", 20_000))
						}
						require.LessOrEqual(t, sockjs.Held(c.Conn), 4*bound+session.Held(1, len(first)+100))
						time.Sleep(time.Second)
						synctest.Wait()
					}
					assert.Equal(t, "closed "+want, c.next(t))
					assert.LessOrEqual(t, time.Since(start), 21*time.Second)
					require.NoError(t, conn.Close())
					reader.Wait()
				}, func(h *harness) { h.cfg.Queue = bound })
			})
		}
	}
}
