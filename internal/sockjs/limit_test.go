package sockjs_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/door"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Who does not get in is answered before there is a session.
func TestDoor(t *testing.T) {
	var tally session.Tally
	bubble(t, func(t *testing.T, h *harness) {
		one := h.id()
		assert.Equal(t, "o", h.frame(one))
		c := <-h.clients
		a := h.post(h.id()+"/xhr", "")
		assert.Equal(t, 503, a.status)
		assert.Equal(t, "too many clients\n", a.body)
		assert.NotEmpty(t, a.header.Get("Retry-After"))
		assert.Equal(t, "*", a.header.Get("Access-Control-Allow-Origin"))
		require.NoError(t, c.send("x"))
		assert.Equal(t, e("x"), h.frame(one))
		time.Sleep(h.cfg.DisconnectDelay)
		synctest.Wait() // the session's alarm rings at that moment, too
		assert.Equal(t, "o", h.frame(h.id()), "there is room again")
		<-h.clients
		assert.EqualValues(t, 1, tally.Counts()["sessions"])
	}, func(h *harness) {
		h.cfg.Door = door.New(door.Config{
			Sessions: 1, SessionsPerAddress: 9, Handshakes: 9, HandshakesPerAddress: 9, Tally: &tally, Logger: h.cfg.Logger,
		})
	})
}

// A session answers only the origin and the user that began it, on every transport.
func TestSessionsOfOthers(t *testing.T) {
	h := newHarness(t, func(h *harness) { h.cfg.SessionCookies = []string{"login"} })
	const mine, other = "https://app.test", "https://evil.test"
	open := func(headers ...string) (string, *client) {
		target := h.id()
		require.Equal(t, "o\n", h.post(target+"/xhr", "", headers...).body)
		return target, <-h.clients
	}
	requests := func(target string, headers ...string) (statuses []int) {
		for _, r := range []*http.Request{
			request("POST", target+"/xhr", "", headers...),
			request("GET", target+"/jsonp?c=x", "", headers...),
			request("GET", target+"/eventsource", "", headers...),
			request("POST", target+"/xhr_streaming", "", headers...),
			request("GET", target+"/htmlfile?c=x", "", headers...),
			request("POST", target+"/xhr_send", "[]", headers...),
			request("POST", target+"/jsonp_send", "[]", headers...),
		} {
			a, err := h.try(r)
			require.NoError(t, err)
			statuses = append(statuses, a.status)
		}
		return statuses
	}
	nobody := []int{404, 404, 404, 404, 404, 404, 404}
	target, c := open("Origin", mine, "Authorization", "Basic bWU6eA==")
	require.NoError(t, c.send("for me"))
	assert.Equal(t, nobody, requests(target, "Origin", other, "Authorization", "Basic bWU6eA=="))
	assert.Equal(t, nobody, requests(target, "Origin", mine, "Authorization", "Basic eW91Ong="))
	assert.Equal(t, nobody, requests(target, "Origin", mine))
	assert.Equal(t, nobody, requests(target, "Origin", "null", "Authorization", "Basic bWU6eA=="))
	assert.Equal(t, e("for me")+"\n", h.post(target+"/xhr", "", "Origin", mine, "Authorization", "Basic bWU6eA==").body)
	assert.Equal(t, 204, h.post(target+"/xhr_send", "[]", "Authorization", "Basic bWU6eA==").status, "some requests name no origin")

	// one that began without an origin has that of its first request that names one
	target, c = open()
	assert.Equal(t, 204, h.post(target+"/xhr_send", "[]", "Origin", mine).status)
	assert.Equal(t, nobody, requests(target, "Origin", other))
	require.NoError(t, c.send("x"))
	assert.Equal(t, e("x"), h.frame(target))
	assert.Empty(t, c.events)

	// the cookies that the service names identify a user, others do not
	target, c = open("Cookie", "login=me; theme=dark")
	for _, cookies := range []string{"login=you", "", "theme=dark", "LOGIN=me", "login=me; login=you", "xlogin=me"} {
		assert.Equal(t, nobody, requests(target, "Cookie", cookies), cookies)
	}
	waiting := make(chan string, 1)
	go func() { waiting <- h.post(target+"/xhr", "", "Cookie", "login=me").body }()
	require.Eventually(t, func() bool { return h.server.Waiting(target[len("/000/"):]) }, time.Minute, time.Millisecond)
	assert.Equal(t, nobody, requests(target, "Cookie", "login=you"), "a second receiver")
	assert.Equal(t, 204, h.post(target+"/xhr_send", "[]", "Cookie", "theme=light; login=me; csrf=1").status)
	require.NoError(t, c.send("for me"))
	assert.Equal(t, e("for me")+"\n", <-waiting)
	assert.Empty(t, c.events)

	// after its end the id is free
	c.Conn.Close(session.ReasonServerDisconnect)
	assert.Equal(t, nobody, requests(target, "Origin", other))
}

// Who guesses ids is told so. A guess is a request that sends to a session which is not there, or is another's.
func TestGuessedSessions(t *testing.T) {
	const mine, yours = "Basic bWU6eA==", "Basic eW91Ong="
	var tally session.Tally
	newGuarded := func(t *testing.T) *harness {
		return newHarness(t, func(h *harness) {
			h.cfg.Door = door.New(door.Config{
				Sessions: 99, SessionsPerAddress: 99, Handshakes: 99, HandshakesPerAddress: 99, Tally: &tally, Logger: h.cfg.Logger,
			})
		})
	}
	for name, guess := range map[string]func(h *harness, i int, taken string) answer{
		"xhr_send": func(h *harness, i int, _ string) answer {
			return h.post(fmt.Sprintf("/0/guess%d/xhr_send", i), `["x"]`)
		},
		"jsonp_send": func(h *harness, i int, _ string) answer {
			return h.post(fmt.Sprintf("/0/guess%d/jsonp_send", i), `["x"]`)
		},
		"of another, send": func(h *harness, _ int, taken string) answer {
			return h.post(taken+"/xhr_send", `["x"]`, "Authorization", yours)
		},
		"of another, xhr": func(h *harness, _ int, taken string) answer { return h.post(taken+"/xhr", "", "Authorization", yours) },
		"of another, stream": func(h *harness, _ int, taken string) answer {
			return h.post(taken+"/xhr_streaming", "", "Authorization", yours)
		},
		"of another, jsonp":       func(h *harness, _ int, taken string) answer { return h.get(taken + "/jsonp?c=x") },
		"of another, eventsource": func(h *harness, _ int, taken string) answer { return h.get(taken + "/eventsource") },
		"of another, htmlfile":    func(h *harness, _ int, taken string) answer { return h.get(taken + "/htmlfile?c=x") },
	} {
		t.Run(name, func(t *testing.T) {
			h := newGuarded(t)
			before := tally.Counts()["guesses"]
			target := h.id()
			require.Equal(t, "o\n", h.post(target+"/xhr", "", "Authorization", mine).body)
			for i := range 20 {
				assert.Equal(t, 404, guess(h, i, target).status)
			}
			for i := range 180 {
				a := guess(h, 20+i, target)
				require.Equal(t, 429, a.status)
				assert.Equal(t, "60", a.header.Get("Retry-After"))
				assert.Equal(t, noCache, a.header.Get("Cache-Control"))
			}
			assert.Equal(t, 1, h.log.count("many requests with unknown session ids"))
			assert.Equal(t, before+180, tally.Counts()["guesses"])
			assert.Equal(t, 204, h.post(target+"/xhr_send", `[]`, "Authorization", mine).status, "who has a session is served")
			assert.Equal(t, "o\n", h.post(h.id()+"/xhr", "").body, "and so is who begins one")
		})
	}
}
