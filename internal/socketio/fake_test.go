package socketio_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/socketio"
)

const engineSID = "eeeeeeeeeeeeeeeeeeee"

// fakeEngine is an Engine.IO session without a network. As a real one may, it
// calls Closed from within Close.
type fakeEngine struct {
	revision int
	request  *http.Request
	occupied atomic.Int32
	sending  func() // called by Send before anything is queued; nil for nothing
	encoding func() // called before something is encoded; nil for nothing
	flow     session.Flow

	mu     sync.Mutex // protects what follows
	sent   []string   // payloads without the type of the message packet; binary ones in <>
	failed error      // what Send returns
	reason string     // of Close
	client *socketio.Client
}

func (e *fakeEngine) ID() string                   { return engineSID }
func (e *fakeEngine) Revision() int                { return e.revision }
func (e *fakeEngine) Handshake() session.Handshake { return session.Keep(e.request) }
func (e *fakeEngine) Address() netip.Addr          { return netip.Addr{} }
func (e *fakeEngine) Transport() string            { return "polling" }
func (e *fakeEngine) Flow() *session.Flow          { return &e.flow }
func (e *fakeEngine) Occupy()                      { e.occupied.Add(1) }
func (e *fakeEngine) Vacate()                      { e.occupied.Add(-1) }

func (e *fakeEngine) Variant() engineio.Variant {
	if e.encoding != nil {
		e.encoding()
	}
	return engineio.Variant{Revision: uint8(e.revision)}
}

func (e *fakeEngine) Send(frames []session.Frame, volatile bool) error {
	if e.sending != nil {
		e.sending()
	}
	e.mu.Lock()
	client, err := e.client, e.failed
	if err == nil && e.reason != "" {
		err = session.ErrClosed
	}
	if err == nil {
		for _, f := range frames {
			e.sent = append(e.sent, describe(f))
		}
	}
	e.mu.Unlock()
	if err == session.ErrSlow && client != nil {
		client.Closed(session.ReasonSlow) // at once, whatever the caller holds
	}
	return err
}

func describe(f session.Frame) string {
	if f.Binary {
		return "<" + string(f.Payload()) + ">"
	}
	return string(f.Payload()[1:])
}

func (e *fakeEngine) Close(reason string) {
	e.mu.Lock()
	if e.reason == "" {
		e.reason = reason
	}
	client := e.client
	e.mu.Unlock()
	if client != nil {
		client.Closed(reason)
	}
}

func (e *fakeEngine) Drop(reason string) { e.Close(reason) }

// take returns what has been sent since the last call.
func (e *fakeEngine) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	sent := e.sent
	e.sent = nil
	return sent
}

func (e *fakeEngine) closedFor() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reason
}

func (e *fakeEngine) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failed = err
}

// fakeHub admits or refuses as answer says, and remembers who came.
type fakeHub struct {
	answer func(p session.Peer) // called within Admit; nil accepts everybody

	mu     sync.Mutex // protects what follows
	guests []*guest
}

func (h *fakeHub) Admit(p session.Peer) session.Receiver {
	g := &guest{peer: p}
	h.mu.Lock()
	h.guests = append(h.guests, g)
	h.mu.Unlock()
	if h.answer == nil {
		p.Conn.Accept()
	} else {
		h.answer(p)
	}
	return g
}

// last returns the newest guest in a namespace.
func (h *fakeHub) last(t *testing.T, namespace string) *guest {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, v := range slices.Backward(h.guests) {
		if v.peer.Namespace == namespace {
			return v
		}
	}
	require.Fail(t, "nobody asked for "+namespace)
	return nil
}

func (h *fakeHub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.guests)
}

// guest is the Receiver of one client in one namespace.
type guest struct {
	peer session.Peer

	mu      sync.Mutex // protects what follows
	got     []*session.Message
	reasons []string
}

func (g *guest) Receive(m *session.Message) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.got = append(g.got, m)
}

func (g *guest) Closed(reason string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reasons = append(g.reasons, reason)
}

func (g *guest) take() []*session.Message {
	g.mu.Lock()
	defer g.mu.Unlock()
	got := g.got
	g.got = nil
	return got
}

func (g *guest) closed() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.reasons
}

// world is one client with a fake on each side.
type world struct {
	t      *testing.T
	hub    *fakeHub
	engine *fakeEngine
	client *socketio.Client
	group  *serial.Group
}

// open starts a client. At the end of the test its session closes.
func open(t *testing.T, revision int, answer func(session.Peer), change ...func(*socketio.Config)) *world {
	r := httptest.NewRequest(http.MethodGet, "/socket.io/?EIO=4&transport=polling&a=1", nil)
	w := &world{t: t, hub: &fakeHub{answer: answer}, engine: &fakeEngine{revision: revision, request: r}, group: new(serial.Group)}
	cfg := socketio.Defaults(w.group)
	for _, f := range change {
		f(&cfg)
	}
	client := socketio.Open(cfg, w.hub, w.engine)
	w.engine.mu.Lock()
	w.engine.client = client
	w.engine.mu.Unlock()
	w.client = client
	t.Cleanup(func() {
		client.Closed(session.ReasonTransportClose)
		w.settle()
	})
	return w
}

// settle waits until everything in the background is done.
func (w *world) settle() { assert.NoError(w.t, w.group.Wait(context.Background())) }

// receive lets the client send packets, which must be good.
func (w *world) receive(packets ...string) {
	w.t.Helper()
	for _, p := range packets {
		require.NoError(w.t, w.rejects([]byte(p), false), p)
	}
}

// binary lets the client send binary messages, which must be good.
func (w *world) binary(messages ...string) {
	w.t.Helper()
	for _, m := range messages {
		require.NoError(w.t, w.rejects([]byte(m), true), m)
	}
}

// rejects lets the client send something, and returns what the session is closed for.
func (w *world) rejects(data []byte, binary bool) error {
	err := w.client.Receive(data, binary)
	return err
}

// sends asserts what the server has sent since the last look.
func (w *world) sends(packets ...string) {
	w.t.Helper()
	assert.Equal(w.t, packets, w.engine.take())
}

// closes asserts why a guest has been told to be closed, after the background has settled.
func (w *world) closes(g *guest, reasons ...string) {
	w.t.Helper()
	w.settle()
	assert.Equal(w.t, reasons, g.closed())
}

// later keeps the hub from answering.
func later(session.Peer) {}

// refuseWith refuses everybody.
func refuseWith(f *session.Failure) func(session.Peer) {
	return func(p session.Peer) { p.Conn.Refuse(f) }
}

// connected is the answer to CONNECT in revision 4.
func connected(t *testing.T, h *fakeHub, namespace string) string {
	t.Helper()
	head := "0"
	if namespace != "/" {
		head += namespace + ","
	}
	sid, err := json.Marshal(h.last(t, namespace).peer.ID)
	require.NoError(t, err)
	return head + `{"sid":` + string(sid) + `}`
}

// hello is an event that the server sends.
func hello(namespace string) *session.Message {
	return &session.Message{Namespace: namespace, Name: "hello", Args: args(`1`, 1)}
}
