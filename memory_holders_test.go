package thinkws_test

import (
	"bufio"
	"crypto/rand"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// halfPost sends the beginning of a large POST. The status of the answer comes later.
func (s *site) halfPost(target string, bytes int) (status <-chan int) {
	s.t.Helper()
	conn := s.dial()
	_, err := io.WriteString(conn, raw("POST", target, strings.Repeat("x", bytes), "Content-Length: 900000"))
	require.NoError(s.t, err)
	answered := make(chan int, 1)
	go func() {
		defer close(answered)
		if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
			answered <- res.StatusCode
			_ = res.Body.Close()
		}
	}()
	return answered
}

// What a client has sent of a body counts with everything else that the client holds, and so does its end.
func TestABodyIsHeldByItsClient(t *testing.T) {
	for kind, answer := range map[string]int{
		"v4 polling": http.StatusBadRequest, "v3 polling": http.StatusBadRequest, "v4 jsonp": http.StatusBadRequest,
		"SockJS xhr-polling": http.StatusServiceUnavailable, "SockJS jsonp": http.StatusServiceUnavailable,
	} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newMemorySite(t, append(blocks(nil), thinkws.WithLimits(thinkws.Limits{Memory: 2_500_000}))...)
				events, target := s.openAny(kind)
				other, _ := s.openAny(kind)
				events(waiting(kind, 700_000))
				half := s.halfPost(target, 700_000)
				synctest.Wait()
				assert.Greater(t, s.memory(), int64(1_390_000))
				go other(waiting(kind, 850_000)) // it is answered when there is room for more
				synctest.Wait()
				assert.Greater(t, s.memory(), int64(2_240_000))
				assert.Zero(t, s.evicted())

				third, _ := s.enter("v4")
				third.write(maskedFrame(opText, strings.Repeat("x", 400_000))[:300_000])
				s.left(thinkws.ReasonMemory)
				assert.Equal(t, answer, <-half)
				synctest.Wait()
				assert.EqualValues(t, 1, s.evicted(), "a client counts once")
				assert.Empty(t, s.reasons)
				for _, h := range s.honest {
					h.echo(t)
				}
			})
		})
	}
}

// openAny connects a client over HTTP that does not poll. It returns what sends events, and the target of its POSTs.
func (s *site) openAny(kind string) (send func(events ...string), target string) {
	s.t.Helper()
	eio, query := 4, ""
	switch kind {
	case "SockJS xhr-polling", "SockJS jsonp":
		path := "/sockjs/0/" + rand.Text()
		p := s.sockjs(path, "")
		way := "/xhr_send"
		if kind == "SockJS jsonp" {
			way = "/jsonp_send"
		}
		return func(events ...string) {
			status, _, err := p.request(way, array(events...))
			require.NoError(s.t, err)
			require.Less(s.t, status, 300)
		}, path + way
	case "v3 polling":
		eio = 3
	case "v4 jsonp":
		query = "&j=0"
	}
	p := s.open(eio, query)
	return func(events ...string) {
		for _, e := range events {
			require.Equal(s.t, "200 ok", p.post(e))
		}
	}, p.target
}

// At the limit, the client goes for which most waits. All others get what they are sent.
func TestTheLargestDeafClientIsDisconnected(t *testing.T) {
	text := strings.Repeat("x", 100_000)
	pour := func(c *thinkws.Context) error {
		var n int
		if err := c.Bind(&n); err != nil {
			return err
		}
		for range n {
			if err := c.Emit("poured", text); err != nil {
				return err
			}
		}
		return nil
	}
	for _, kind := range talkers {
		if kind == "SockJS xhr-streaming" { // its talker reads all the time
			continue
		}
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newMemorySite(t, thinkws.On("pour", pour), thinkws.WithLimits(thinkws.Limits{Memory: 2_000_000}))
				largest, middle, small := s.talk(kind), s.talk(kind), s.talk(kind)
				largest.send(eventOf(kind, "pour", "", 12))
				synctest.Wait()
				go middle.send(eventOf(kind, "pour", "", 6)) // a POST is answered when there is room for more
				synctest.Wait()
				assert.Greater(t, s.memory(), int64(1_700_000))
				assert.Zero(t, s.evicted())
				go small.send(eventOf(kind, "pour", "", 3))
				s.left(thinkws.ReasonMemory)
				synctest.Wait()
				assert.EqualValues(t, 1, s.evicted())
				assert.Less(t, s.memory(), int64(1_000_000))
				for range 6 {
					assert.Contains(t, middle.hear(), `poured`)
				}
				for range 3 {
					assert.Contains(t, small.hear(), `poured`)
				}
				synctest.Wait()
				assert.Zero(t, s.memory())
				assert.Empty(t, s.reasons)
				for _, h := range s.honest {
					h.echo(t)
				}
			})
		})
	}
}
