package sockjs_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// from lets a request come from an address.
func from(h *harness) {
	inner := h.http.Handler
	h.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if address := r.Header.Get("X-From"); address != "" {
			r.RemoteAddr = address
		}
		inner.ServeHTTP(w, r)
	})
}

// Sessions are bounded, in all and from one address; who has one is not affected.
func TestMaxSessions(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		open := func(address string) answer { return h.post(h.id()+"/xhr", "", "X-From", address) }
		for i := range 3 {
			assert.Equal(t, 200, open(fmt.Sprint("192.0.2.7:", i)).status)
		}
		a := open("192.0.2.7:9")
		assert.Equal(t, 429, a.status)
		assert.Equal(t, "5", a.header.Get("Retry-After"))
		assert.Equal(t, "*", a.header.Get("Access-Control-Allow-Origin"))
		assert.Equal(t, 200, open("[2001:db8::1]:1").status)
		honest, c := h.id(), (*client)(nil)
		assert.Equal(t, "o", h.frame(honest))
		for range 5 {
			c = <-h.clients
		}
		a = open("192.0.2.8:1")
		assert.Equal(t, 503, a.status)
		assert.Equal(t, "5", a.header.Get("Retry-After"))
		for range 3 { // who is in stays in
			require.NoError(t, c.send("x"))
			assert.Equal(t, e("x"), h.frame(honest))
			time.Sleep(time.Second)
		}
		assert.Equal(t, 1, h.log.count("level=WARN"), "once for all of them")
		time.Sleep(h.cfg.DisconnectDelay)
		assert.Equal(t, 200, open("192.0.2.7:9").status, "there is room again")
	}, func(h *harness) { h.cfg.MaxSessions, h.cfg.MaxPerAddress = 5, 3 }, from)
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
