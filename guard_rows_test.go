package thinkws_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Row A1 of the defects: the client gets "internal error" and the log a stack, nothing else.
func TestTypedNilErrorIsAnInternalError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemorySite(t, thinkws.On("attack", func(*thinkws.Context) error {
			var e *thinkws.Error
			return e
		}))
		ws, _ := s.enter("v4")
		for range 3 {
			ws.send(`421["attack"]`)
			require.Equal(t, `431[{"error":{"name":"Internal","message":"internal error"}}]`, ws.read())
		}
		s.alive(ws, "v4")
		assert.Equal(t, 3, strings.Count(s.log.String(), `level=ERROR`))
		assert.Equal(t, 3, strings.Count(s.log.String(), `stack="goroutine `))
	})
}

// Row A2: the namespace does not exist, and the mistake is reported.
func TestNamespaceFuncThatPanicsRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemorySite(t, thinkws.NamespaceFunc(func(name string, _ *http.Request) bool { return name[9] == '1' }))
		ws, _ := s.enter("v4")
		ws.send("40/x,")
		require.Equal(t, `44/x,{"message":"Invalid namespace"}`, ws.read())
		s.alive(ws, "v4")
		assert.Contains(t, s.log.String(), `level=ERROR msg="function of the service failed" option=NamespaceFunc`)
		assert.Contains(t, s.log.String(), `index out of range [9]`)
	})
}

// Row A3: runtime.Goexit is a panic to the client. Its next events run, and Shutdown returns,
// which the site sees to.
func TestGoexitInAnActionIsAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemorySite(t, thinkws.On("attack", func(*thinkws.Context) error { runtime.Goexit(); return nil }))
		ws, _ := s.enter("v4")
		for range 3 {
			ws.send(`421["attack"]`)
			require.Equal(t, `431[{"error":{"name":"Internal","message":"internal error"}}]`, ws.read())
		}
		s.alive(ws, "v4")
		assert.Equal(t, 3, strings.Count(s.log.String(), `error="thinkws: runtime.Goexit was called"`))
	})
}

// faulty is a protocol with a mistake of ours in it.
type faulty struct{ *fake }

func (faulty) Accept() { panic("oops") }

// A mistake of ours is reported and ends its client. Others are served, and Shutdown returns.
func TestMistakeOfOursEndsItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &logs{}
		h, err := thinkws.New(thinkws.WithLogger(slog.New(slog.NewTextHandler(out, nil))), thinkws.On("echo", answer))
		require.NoError(t, err)
		defer shutdown(t, h)
		honest := enter(t, h, "/")
		f := &fake{t: t, id: session.NewID(), changed: make(chan struct{}, 1)}
		f.mu.Lock()
		f.receiver = h.Admitter().Admit(session.Peer{ID: f.id, Namespace: "/", Handshake: session.Keep(httptest.NewRequest(http.MethodGet, "/", nil)), Flow: new(session.Flow), Conn: faulty{f}})
		f.mu.Unlock()
		f.until(func() bool { return f.closed == session.ReasonServerDisconnect })
		synctest.Wait()
		assert.Contains(t, out.String(), `level=ERROR msg="task panicked" error="thinkws: panic: oops" stack="goroutine `)
		honest.emit("echo", "1", "7")
		assert.Equal(t, []string{"ack 1[7]"}, honest.take(1))
		honest.end(session.ReasonTransportClose, true)
	})
}
