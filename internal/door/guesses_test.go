package door_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/seed-ce09063a/thinkws/internal/door"
)

// guess names an unknown session id and reports whether it is one too many.
func (e *entrance) guess(remote, id string, headers ...string) bool {
	r := httptest.NewRequest(http.MethodGet, "/socket.io/", nil)
	r.RemoteAddr = remote
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	refused := e.Guessed(w, r, id)
	if refused != (w.Header().Get("Retry-After") == "60") {
		panic("Retry-After does not fit the answer")
	}
	return refused
}

// guesses returns how many of n guesses are answered as usual.
func (e *entrance) guesses(n int, remote func(int) string) (usual int) {
	for i := range n {
		if !e.guess(remote(i), unknown()) {
			usual++
		}
	}
	return usual
}

func TestGuessesPerSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEntrance(door.Config{})
		for range 3 {
			assert.Equal(t, 20, e.guesses(200, one("192.0.2.1:7")))
			assert.Equal(t, 20, e.guesses(200, func(i int) string { return fmt.Sprintf("[2001:db8:1:2::%x]:1", i+1) }), "a /64 is one source")
			assert.False(t, e.guess("192.0.2.2:7", unknown()), "others are not worse off for it")
			time.Sleep(time.Minute)
		}
		assert.Equal(t, 6, strings.Count(e.log.String(), `level=WARN msg="many requests with unknown session ids"`), "once per source and minute")
		assert.EqualValues(t, 6*180, e.tally.Counts()["guesses"])
	})
}

func TestGuessesThroughTrustedProxies(t *testing.T) {
	e := newEntrance(door.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	for i := range 25 {
		assert.Equal(t, i >= 20, e.guess("10.0.0.1:7", unknown(), "X-Forwarded-For", "192.0.2.1"))
	}
	assert.False(t, e.guess("10.0.0.1:7", unknown(), "X-Forwarded-For", "192.0.2.2"))
	assert.Contains(t, e.log.String(), "address=192.0.2.1 ", "the log names the client, not the proxy")
}

// A crowd of sources takes a bounded amount of memory, and is counted all the same.
func TestGuessesOfManySources(t *testing.T) {
	e := newEntrance(door.Config{})
	assert.Less(t, e.guesses(10_000, many), 4096+100)
	assert.LessOrEqual(t, e.GuessSources(), 4097)
}
