package engineio_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/door"
	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// guarded counts guesses of session ids in tally.
func guarded(tally *session.Tally) option {
	return with(func(c *engineio.Config) {
		c.Door = door.New(door.Config{Sessions: 10_000, SessionsPerAddress: 10_000, Handshakes: 10_000, HandshakesPerAddress: 10_000,
			Tally: tally, Logger: c.Logger})
	})
}

// refusals returns how many of n polls of an unknown session are not refused as guesses.
func (h *harness) usual(n int) (usual int) {
	for range n {
		if h.get("EIO=4&transport=polling&sid=nobody").status == 400 {
			usual++
		}
	}
	return usual
}

// A client that leaves may have a GET under way, which comes to the server before the POST of its
// close packet or after it. Both are answered, once.
func TestAPollBesideTheClosePacket(t *testing.T) {
	for name, c := range map[string]struct {
		revision           int
		extra, body, noops string
	}{
		"4":       {4, "", "1", "6"},
		"3":       {3, "", "1:1", "1:6"},
		"4 JSONP": {4, "&j=0", "d=1", `/**/___eio[0]("6");`},
		"3 JSONP": {3, "&j=0", "d=1:1", `/**/___eio[0]("1:6");`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tally session.Tally
				h := newHarness(t, guarded(&tally))
				for _, when := range []string{"before", "after", "with something unsent"} {
					p := h.polling(c.revision, c.extra)
					var waiting <-chan answer
					if when == "before" {
						waiting = h.poll(p)
						synctest.Wait()
					}
					if when == "with something unsent" {
						require.NoError(t, p.send("unsent"))
					}
					assert.Equal(t, "ok", h.post(p.query, c.body).body)
					if when != "before" {
						waiting = h.poll(p)
					}
					a := <-waiting
					assert.Equal(t, 200, a.status, when)
					assert.Equal(t, c.noops, a.body, when)
					assert.Equal(t, "closed "+session.ReasonTransportClose, p.next(t))
					for range 5 { // not one of which counts as a guess
						h.gone(p)
						assert.Equal(t, sidUnknown, h.post(p.query, c.body).body)
						assert.Equal(t, sidUnknown, h.get(strings.Replace(p.query, "polling", "websocket", 1), upgradeHeaders...).body)
					}
					assert.Zero(t, h.server.Len())
				}
				assert.Equal(t, 20, h.usual(25), "the guard is on")
			})
		})
	}
}

// However a session ends, requests that are under way are no guesses.
func TestEndedSessionsDoNotCountAsGuessed(t *testing.T) {
	for name, end := range map[string]func(h *harness, p *peer){
		"malformed packet": func(h *harness, p *peer) { h.post(p.query, "x") },
		"dropped":          func(_ *harness, p *peer) { p.Drop(session.ReasonServerClose) },
		"closed": func(h *harness, p *peer) {
			p.Close(session.ReasonServerDisconnect)
			assert.Equal(h.t, "6\x1e1", h.get(p.query).body)
		},
		"ping timeout": func(*harness, *peer) { advance(45 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tally session.Tally
				h := newHarness(t, guarded(&tally))
				p := h.polling(4, "")
				end(h, p)
				for range 50 {
					h.gone(p)
				}
				advance(engineio.EndedMemory)
				for range 20 {
					h.gone(p)
				}
				assert.Equal(t, 429, h.get(p.query).status, "it is forgotten")
				assert.Equal(t, uint64(1), tally.Counts()["guesses"])
			})
		})
	}
}

func TestFewEndedSessionsAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		for range engineio.MaxEnded + 10 {
			p := h.polling(4, "")
			p.Drop(session.ReasonServerClose)
		}
		assert.Equal(t, engineio.MaxEnded, h.server.Ended())
		advance(engineio.EndedMemory)
		assert.Zero(t, h.server.Ended())
	})
}

// The GET and the POST meet on the way in any order.
func TestRaceOfAPollAndTheClosePacket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		for range 600 {
			p := h.polling(4, "")
			var polled, posted answer
			together(
				func() { polled, _ = h.try(request("GET", p.query, "")) },
				func() { posted, _ = h.try(request("POST", p.query, "1")) },
			)
			require.Equal(t, 200, polled.status, polled.body)
			require.Equal(t, "6", polled.body)
			require.Equal(t, "ok", posted.body)
			require.Equal(t, http.StatusBadRequest, h.get(p.query).status)
			require.Equal(t, "closed "+session.ReasonTransportClose, p.next(t))
		}
	})
}
