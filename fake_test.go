package thinkws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

func TestMain(m *testing.M) {
	// net/http waits half a second for a client whose request it has refused to read.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// fake is a protocol with one client: it implements session.Conn and records what
// the hub sends. The zero id means a random one.
type fake struct {
	t        *testing.T
	id       string
	receiver session.Receiver
	flow     session.Flow
	released atomic.Int32 // calls of Released

	mu        sync.Mutex // protects what follows
	accepted  bool
	refused   *session.Failure
	sent      []*session.Message
	originals []*session.Message
	closed    string // the reason of Leave or Close
	whole     bool   // it was Close
	full      bool   // the send queue, from the test's hand
	busy      bool   // the transport, from the test's hand
	changed   chan struct{}
}

func (f *fake) note() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

func (f *fake) Accept() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.accepted = true
	f.note()
}

func (f *fake) Refuse(why *session.Failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused = why
	f.note()
}

func (f *fake) Send(m *session.Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed != "":
		return session.ErrClosed
	case f.full:
		return session.ErrSlow
	case f.busy && m.Volatile:
		return session.ErrDropped
	}
	// A message is only lent. What is compared here is a copy; the pointers are kept
	// to be compared with one another.
	f.sent = append(f.sent, &session.Message{Kind: m.Kind, Namespace: m.Namespace, Name: m.Name, ID: m.ID, Failure: m.Failure,
		Args: session.Args{Text: bytes.Clone(m.Args.Text), Count: m.Args.Count, Parts: m.Args.Parts}})
	f.originals = append(f.originals, m)
	f.note()
	return nil
}

func (f *fake) Leave(reason string) { f.end(reason, false) }
func (f *fake) Close(reason string) { f.end(reason, true) }
func (f *fake) Transport() string   { return "fake" }
func (f *fake) Released()           { f.released.Add(1) }

func (f *fake) end(reason string, whole bool) {
	f.mu.Lock()
	first := f.closed == ""
	if first {
		f.closed, f.whole = reason, whole
	}
	f.note()
	f.mu.Unlock()
	if first {
		f.receiver.Closed(reason)
	}
}

// until waits for a condition on the fake, which is checked under its lock.
func (f *fake) until(ok func() bool) {
	f.t.Helper()
	timeout := time.After(time.Minute)
	for {
		f.mu.Lock()
		done := ok()
		f.mu.Unlock()
		if done {
			return
		}
		select {
		case <-f.changed:
		case <-timeout:
			require.FailNow(f.t, "nothing came")
		}
	}
}

// emit sends an event from the client; ack is the id of the answer it wants, or "".
func (f *fake) emit(name, ack, args string) {
	parsed, err := session.ParseArray([]byte("["+args+"]"), session.Depth)
	require.NoError(f.t, err)
	f.receive(&session.Message{Kind: session.Event, Name: name, ID: ack, Args: parsed})
}

// receive hands a message to the hub, and has another goroutine run what comes of it.
func (f *fake) receive(m *session.Message) {
	f.receiver.Receive(m)
	if task := f.flow.Take(nil); task != nil {
		go task.Run()
	}
}

// answer answers a question of the server.
func (f *fake) answer(id, args string) {
	parsed, err := session.ParseArray([]byte("["+args+"]"), session.Depth)
	require.NoError(f.t, err)
	f.receive(&session.Message{Kind: session.Answer, ID: id, Args: parsed})
}

// take waits for n messages and returns them as lines: name, id and arguments.
func (f *fake) take(n int) []string {
	f.t.Helper()
	f.until(func() bool { return len(f.sent) >= n })
	f.mu.Lock()
	defer f.mu.Unlock()
	var lines []string
	for _, m := range f.sent[:n] {
		lines = append(lines, line(m))
	}
	f.sent = f.sent[n:]
	return lines
}

func line(m *session.Message) string {
	text := m.Name
	if m.Kind == session.Answer {
		text = "ack " + m.ID
	} else if m.ID != "" {
		text += "?" + m.ID
	}
	if m.Failure != nil {
		return text + " failed: " + m.Failure.Name + ": " + m.Failure.Message + string(m.Failure.Data)
	}
	return text + "[" + string(m.Args.JSON()) + "]"
}

// sentCount is how many messages have come and were not taken.
func (f *fake) sentCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sent)
}

// logs is where the handlers of tests log.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// newHandler makes a handler that logs to the returned buffer, unless an option names another
// logger, and is shut down at the end.
func newHandler(t *testing.T, options ...thinkws.Option) (*thinkws.Handler, *logs) {
	t.Helper()
	out := &logs{}
	logger := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	options = append([]thinkws.Option{thinkws.WithLogger(logger), mechanisms()}, options...)
	h, err := thinkws.New(options...)
	require.NoError(t, err)
	t.Cleanup(func() {
		shutdown(t, h)
		holdsNothing(t, h)
		assert.NotContains(t, out.String(), `msg="task panicked"`, "a mistake of ours")
	})
	return h, out
}

func shutdown(t *testing.T, h *thinkws.Handler) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	require.NoError(t, h.Shutdown(ctx))
}

// holdsNothing wants that nothing is held for clients, all of whom have gone.
func holdsNothing(t *testing.T, h *thinkws.Handler) {
	t.Helper()
	assert.Eventually(t, func() bool { return h.Hub().Stats().Memory == 0 }, time.Minute, time.Millisecond, "bytes are still counted as held")
}

// peer is a client before it asks to enter.
type peer struct {
	namespace string
	auth      string
	request   *http.Request
}

// knock brings a client to the hub and does not wait for the answer.
func knock(t *testing.T, h *thinkws.Handler, p peer) *fake {
	t.Helper()
	f := &fake{t: t, id: session.NewID(), changed: make(chan struct{}, 1)}
	if p.namespace == "" {
		p.namespace = "/"
	}
	if p.request == nil {
		p.request = httptest.NewRequest(http.MethodGet, "/", nil)
	}
	var auth json.RawMessage
	if p.auth != "" {
		auth = json.RawMessage(p.auth)
	}
	f.mu.Lock() // the hub may answer before the receiver is known
	defer f.mu.Unlock()
	f.receiver = h.Admitter().Admit(session.Peer{ID: f.id, Namespace: p.namespace, Auth: auth, Handshake: session.Keep(p.request), Conn: f, Flow: &f.flow})
	return f
}

// enter brings a client into a namespace. It leaves at the end of the test.
func enter(t *testing.T, h *thinkws.Handler, namespace string) *fake {
	t.Helper()
	f := knock(t, h, peer{namespace: namespace})
	f.until(func() bool { return f.accepted || f.refused != nil })
	require.Nil(t, f.refused)
	t.Cleanup(func() { f.end(session.ReasonTransportClose, true) })
	return f
}
