package sockjs_test

import (
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

// A session is that of the origin and the user who began it.
func TestSessionsOfOthers(t *testing.T) {
	h := newHarness(t)
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
			request("POST", target+"/xhr_send", "[]", headers...),
			request("POST", target+"/jsonp_send", "[]", headers...),
		} {
			a, err := h.try(r)
			require.NoError(t, err)
			statuses = append(statuses, a.status)
		}
		return statuses
	}
	nobody := []int{404, 404, 404, 404, 404}
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

	// after its end the id is free
	c.Conn.Close(session.ReasonServerDisconnect)
	assert.Equal(t, nobody, requests(target, "Origin", other))
}
