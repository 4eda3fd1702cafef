package engineio_test

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// together runs all functions at the same time and waits for them.
func together(functions ...func()) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for _, f := range functions {
		wg.Go(func() { <-start; f() })
	}
	close(start)
	wg.Wait()
}

// Of several upgrades at once exactly one is used.
func TestRaceOfUpgrades(t *testing.T) {
	h := newHarness(t)
	for range 30 {
		p := h.polling(4, "")
		query := strings.Replace(p.query, "polling", "websocket", 1)
		won := make(chan *ws, 4)
		dial := func() {
			w := h.ws(query)
			_ = w.Write(t.Context(), websocket.MessageText, []byte("2probe")) // it may be closed by now
			if _, reply, err := w.Read(t.Context()); err == nil {
				assert.Equal(t, "3probe", string(reply))
				won <- w
			} else {
				assert.Equal(t, websocket.StatusNoStatusRcvd, websocket.CloseStatus(err))
			}
		}
		together(dial, dial, dial, dial)
		require.Len(t, won, 1)
		w := <-won
		w.write("5", "4x")
		assert.Equal(t, "text x", p.next(t))
		w.CloseNow()
		assert.Equal(t, "closed "+session.ReasonTransportClose, p.next(t))
	}
}

// Of two GETs at once one is refused, and both end with the session.
func TestRaceOfPolls(t *testing.T) {
	h := newHarness(t)
	for range 30 {
		p := h.polling(4, "")
		answers := make(chan answer, 2)
		get := func() { a, _ := h.try(request("GET", p.query, "")); answers <- a }
		together(get, get)
		first, second := <-answers, <-answers
		if first.status != 200 {
			first, second = second, first
		}
		assert.Equal(t, 200, first.status)
		assert.Equal(t, "1", first.body)
		assert.Equal(t, 400, second.status)
		assert.Equal(t, "closed "+session.ReasonTransportError, p.next(t))
	}
	assert.Zero(t, h.server.Len())
}

// Of two POSTs at once either both come one after the other, or the session ends.
func TestRaceOfPosts(t *testing.T) {
	h := newHarness(t)
	for range 50 {
		p := h.polling(4, "")
		statuses := make(chan int, 2)
		post := func() { a, _ := h.try(request("POST", p.query, "4x")); statuses <- a.status }
		together(post, post)
		ok := 0
		for range 2 {
			if <-statuses == 200 {
				ok++
			}
		}
		for range ok {
			assert.Equal(t, "text x", p.next(t))
		}
		if ok < 2 {
			for e := p.next(t); e != "closed "+session.ReasonTransportError; e = p.next(t) {
				assert.Equal(t, "text x", e)
			}
		}
	}
}

// A POST and messages on the WebSocket that takes over at the same moment: the layer
// above has one caller at a time, which the client of this package watches.
func TestRaceOfPostAndUpgrade(t *testing.T) {
	h := newHarness(t)
	for range 50 {
		p := h.polling(4, "")
		w := h.upgrading(p)
		var status int
		together(
			func() { status = h.post(p.query, strings.Repeat("4p\x1e", 50)+"4p").status },
			func() { w.write("5", "4w", "4w", "4w") },
			func() { p.send("a", "b") },
		)
		want := 3
		if status == 200 {
			want += 51
		}
		for range want {
			assert.Contains(t, []string{"text p", "text w"}, p.next(t))
		}
		assert.Empty(t, p.events)
	}
}

// Everything that can end a session, at once: it ends once.
func TestRaceOfEndings(t *testing.T) {
	h := newHarness(t)
	for range 50 {
		p := h.polling(4, "")
		w := h.upgrading(p)
		together(
			func() { p.Close(session.ReasonServerDisconnect) },
			func() { h.try(request("POST", p.query, "1")) },
			func() { h.try(request("GET", p.query, "")) },
			func() { w.Write(t.Context(), 1, []byte("5")) },
			func() { p.send("x") },
			func() { w.CloseNow() },
		)
		assert.Contains(t, p.next(t), "closed ")
		assert.Empty(t, p.events)
	}
	assert.Zero(t, h.server.Len())
}

// Idle clients own no goroutine: one reader for each WebSocket, none for pollers.
func TestGoroutinesOfIdleClients(t *testing.T) {
	const clients = 50
	h := newHarness(t)
	h.polling(4, "") // what the first connection leaves with net/http
	before := runtime.NumGoroutine()
	for range clients {
		h.polling(4, "")
	}
	settled := func(want int) func() bool {
		return func() bool { return runtime.NumGoroutine() <= want }
	}
	require.Eventually(t, settled(before+2), time.Minute, time.Millisecond, "pollers hold goroutines")
	for range clients {
		_, in := h.raw("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n" + rawUpgrade)
		resp, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		require.Equal(t, 101, resp.StatusCode)
		open := make([]byte, 2)
		_, err = io.ReadFull(in, open)
		require.NoError(t, err)
		_, err = in.Discard(int(open[1])) // so that nothing is left to be written
		require.NoError(t, err)
	}
	require.Eventually(t, settled(before+2+clients), time.Minute, time.Millisecond, "a WebSocket has more than its reader")
}
