package thinkws_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Defects that have been seen in other servers of Go; hostile_rows_test.go names the tests of
// the others.

// Who is sent away learns that it was the server's will, before the connection ends.
func TestDefectKick(t *testing.T) {
	for _, kind := range []string{"v4", "v3"} {
		timed(t, kind, 0, func(t *testing.T, s *site) {
			ws, _ := s.enter(kind)
			ws.send(`42["kick"]`)
			assert.Equal(t, []string{"41", "close 1005"}, untilClose(t, ws, nil))
			require.NoError(t, ws.conn.Close())
			s.verify(thinkws.ReasonServerDisconnect)
		})
	}
	for eio, packets := range map[int][]string{4: {"41", "6", "6\x1e1", "1"}, 3: {"2:41", "1:6", "1:61:1", "1:1"}} {
		timed(t, fmt.Sprint("a poll that waits, revision ", eio), 0, func(t *testing.T, s *site) {
			p := s.open(eio, "")
			waiting := make(chan string, 1)
			go func() {
				_, body, _ := p.request(http.MethodGet, "")
				waiting <- body
			}()
			synctest.Wait()
			require.Equal(t, "200 ok", p.post(`42["kick"]`))
			got := <-waiting
			assert.Equal(t, packets[0], got)
			for !strings.HasSuffix(got, packets[3]) {
				_, body, err := p.request(http.MethodGet, "")
				require.NoError(t, err)
				require.Contains(t, packets[1:], body)
				got = body
			}
			s.verify(thinkws.ReasonServerDisconnect)
		})
	}
	timed(t, "SockJS", 0, func(t *testing.T, s *site) {
		p := s.sockjs("/sockjs/0/kicked", "")
		waiting := make(chan string, 1)
		go func() { waiting <- p.poll() }()
		synctest.Wait()
		require.Equal(t, "204 ", p.send(`{"event":"kick"}`))
		assert.True(t, strings.HasPrefix(<-waiting, "c["))
		s.verify(thinkws.ReasonServerDisconnect)
	})
}

// The client answers, the time is over and the client leaves, all at once: one of these is
// what came of the question, and what is late is counted as of use to nobody.
func TestDefectAnswers(t *testing.T) {
	h, _ := newHandler(t)
	outcomes := map[string]int{}
	for range 300 {
		a := enter(t, h, "/")
		s, ok := h.Hub().Socket(a.id)
		require.True(t, ok)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		begin := make(chan struct{})
		var id string
		wg.Go(func() {
			id = strings.TrimSuffix(strings.TrimPrefix(a.take(1)[0], "q?"), "[]")
			close(begin)
		})
		for _, act := range []func(){
			func() { a.answer(id, `"once"`); a.answer(id, `"twice"`) },
			cancel,
			func() { a.end(session.ReasonTransportClose, true) },
		} {
			wg.Go(func() {
				<-begin
				act()
			})
		}
		answer, err := s.EmitAck(ctx, "q")
		wg.Wait()
		switch {
		case err == nil:
			require.Equal(t, a.id, answer.ID)
			require.Equal(t, `"once"`, string(answer.Args()[0]))
			outcomes["answered"]++
		case errors.Is(err, thinkws.ErrClosed), errors.Is(err, thinkws.ErrNoAck):
			require.Nil(t, answer)
			outcomes["not answered"]++
		default:
			require.NoError(t, err)
		}
	}
	assert.Equal(t, 300, outcomes["answered"]+outcomes["not answered"])
	t.Log(outcomes)
	require.Eventually(t, func() bool { return h.Hub().Stats().Clients == 0 }, time.Minute, time.Millisecond)
}

// A thousand clients that come and go, and a thousand questions without an answer, leave
// no goroutine behind.
func TestDefectGoroutines(t *testing.T) {
	h, _ := newHandler(t, anyHandshakes)
	m := serveMemory(t, h)
	a := enter(t, h, "/")
	s, _ := h.Hub().Socket(a.id)
	base := goroutines()
	for i := range 1_000 {
		ws := upgrade(t, m.dial(t), "/socket.io/?EIO=4&transport=websocket", "40")
		ws.expect("0{", "40{")
		if i%2 == 0 {
			ws.send("41")
		}
		require.NoError(t, ws.conn.Close())
	}
	var wg sync.WaitGroup
	for range 1_000 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			_, err := s.EmitAck(ctx, "q")
			assert.ErrorIs(t, err, thinkws.ErrNoAck)
		})
	}
	wg.Wait()
	require.Eventually(t, func() bool { return h.Hub().Stats().Clients == 1 && runtime.NumGoroutine() <= base+5 },
		10*time.Second, 10*time.Millisecond)
}

// One target and one socket in many hands: what one of them adds is nobody else's.
func TestDefectSharedCalls(t *testing.T) {
	h, _ := newHandler(t)
	a, b := enter(t, h, "/"), enter(t, h, "/")
	s, _ := h.Hub().Socket(a.id)
	require.NoError(t, h.Hub().To().Join("all"))
	shared := h.Hub().To("all")
	var wg sync.WaitGroup
	const hands, rounds = 8, 50
	for i := range hands {
		wg.Go(func() {
			for range rounds {
				s.Set(i, i)
				assert.Equal(t, i, s.Get(i))
				assert.NoError(t, s.SetData(i))
				assert.NoError(t, s.Join(fmt.Sprint(i)))
				s.Leave(fmt.Sprint(i))
				_ = shared.Except(a.id).Local().Volatile().Compress(false).Emit("less")
				_ = shared.To("more").Except("all").Emit("none")
				assert.NoError(t, shared.Emit("all"))
			}
		})
	}
	wg.Wait()
	count := func(f *fake) map[string]int {
		seen := map[string]int{}
		for _, line := range f.take(f.sentCount()) {
			seen[line]++
		}
		return seen
	}
	assert.Equal(t, map[string]int{"all[]": hands * rounds}, count(a))
	assert.Equal(t, map[string]int{"all[]": hands * rounds, "less[]": hands * rounds}, count(b))
}
