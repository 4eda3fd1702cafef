package socketio_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/socketio"
)

// TestRaces lets the client, the hub and the session do everything at once, and
// looks at what comes of it: the order on the wire, and one Closed for each guest.
func TestRaces(t *testing.T) {
	for round := range 100 {
		var hub sync.WaitGroup
		var refusals sync.Map // of Conn: those the hub meant to refuse
		w := open(t, 3+round%2, func(p session.Peer) {
			choice := rand.IntN(6)
			if choice == 0 {
				refusals.Store(p.Conn, true)
			}
			hub.Go(func() { answer(p, choice) })
		}, func(c *socketio.Config) { c.MaxIgnored, c.MaxNamespaces = 1<<20, 1<<20 })

		var all sync.WaitGroup
		all.Go(func() { chat(w) })
		all.Go(func() {
			for range rand.IntN(200) {
				runtime.Gosched()
			}
			switch round % 3 {
			case 0:
				w.client.Closed(session.ReasonTransportClose)
			case 1:
				w.engine.fail(session.ErrSlow)
			}
		})
		all.Wait()
		hub.Wait()
		w.client.Closed(session.ReasonPingTimeout)
		w.settle()

		for _, g := range w.hub.guests {
			if _, refused := refusals.Load(g.peer.Conn); refused {
				assert.LessOrEqual(t, len(g.closed()), 1)
			} else {
				assert.Len(t, g.closed(), 1)
			}
		}
		checkTranscript(t, w.engine.take())
	}
}

// The namespace is left, or the connection closed, at the worst moment: a message is on its way to the session, and the
// namespace has been found to be joined. DISCONNECT must be the last packet all the same. The same holds for CONNECT,
// which must not follow a DISCONNECT.
func TestLeavingWhileAPacketIsOnItsWay(t *testing.T) {
	send := func(p session.Peer) { _ = p.Conn.Send(hello(p.Namespace)) }
	tests := map[string]struct {
		first, then func(session.Peer)
		want        []string
	}{
		"Send, Leave": {send, func(p session.Peer) { p.Conn.Leave(session.ReasonServerDisconnect) }, []string{`2/a,["hello",1]`, `1/a,`}},
		"Send, Close": {send, func(p session.Peer) { p.Conn.Close(session.ReasonServerDisconnect) }, []string{`2/a,["hello",1]`, `1/a,`}},
		"Accept, Leave": {func(p session.Peer) { p.Conn.Accept() }, func(p session.Peer) { p.Conn.Leave(session.ReasonServerDisconnect) },
			[]string{`0/a,{"sid":"…"}`, `1/a,`}},
		"Accept, Close": {func(p session.Peer) { p.Conn.Accept() }, func(p session.Peer) { p.Conn.Close(session.ReasonServerDisconnect) },
			[]string{`0/a,{"sid":"…"}`, `1/a,`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := open(t, 4, later)
			w.receive(`0/a,`)
			p := w.hub.last(t, "/a").peer
			if strings.HasPrefix(name, "Send") {
				p.Conn.Accept()
				w.engine.take()
			}
			var others sync.WaitGroup
			var again atomic.Bool
			w.engine.sending = func() {
				if again.Swap(true) {
					return
				}
				done := make(chan struct{})
				others.Go(func() { defer close(done); tt.then(p) })
				for range 10_000 { // it has to wait; if it did not, this is where it would overtake
					select {
					case <-done:
						return
					default:
						runtime.Gosched()
					}
				}
			}
			tt.first(p)
			others.Wait()
			w.settle()
			assert.Equal(t, tt.want, strings.Split(strings.ReplaceAll(strings.Join(w.engine.take(), "\x1e"), p.ID, "…"), "\x1e"))
		})
	}
}

// A message that is being encoded when the namespace is left does not follow DISCONNECT.
func TestLeavingWhileAMessageIsEncoded(t *testing.T) {
	w := open(t, 4, nil)
	w.receive(`0/a,`)
	w.engine.take()
	conn := w.hub.last(t, "/a").peer.Conn
	var again atomic.Bool
	w.engine.encoding = func() {
		if !again.Swap(true) {
			conn.Leave(session.ReasonServerDisconnect)
		}
	}
	assert.ErrorIs(t, conn.Send(hello("/a")), session.ErrClosed)
	w.sends(`1/a,`)
}

// answer does what a hub may do with a peer, on a goroutine of its own.
func answer(p session.Peer, choice int) {
	if choice == 0 {
		p.Conn.Refuse(&session.Failure{Message: "no"})
		return
	}
	p.Conn.Accept()
	var senders sync.WaitGroup
	for range 2 {
		senders.Go(func() {
			for range 5 {
				_ = p.Conn.Send(hello(p.Namespace))
			}
		})
	}
	if choice < 3 {
		p.Conn.Leave(session.ReasonServerDisconnect)
	}
	if choice == 5 && rand.IntN(20) == 0 {
		p.Conn.Close(session.ReasonServerDisconnect)
	}
	senders.Wait()
}

// chat is a client that comes and goes.
func chat(w *world) {
	for i := range 60 {
		for _, namespace := range []string{"/a", "/b"} {
			for _, format := range []string{`0%s,`, `2%s,["e"]`, `51-%s,["e",{"_placeholder":true,"num":0}]`} {
				w.receive(fmt.Sprintf(format, namespace))
			}
			w.binary("x")
			if i%3 == 0 {
				w.receive(fmt.Sprintf(`1%s,`, namespace))
			}
		}
	}
}

// checkTranscript checks that a namespace starts with CONNECT, and that nothing
// follows its DISCONNECT.
func checkTranscript(t *testing.T, sent []string) {
	in := map[string]bool{}
	for i, packet := range sent {
		namespace, _, _ := strings.Cut(packet[1:], ",")
		if !strings.HasPrefix(namespace, "/") {
			namespace = "/"
		}
		switch packet[0] {
		case '0':
			in[namespace] = true
		case '1':
			assert.True(t, in[namespace], "DISCONNECT %d of %s", i, namespace)
			in[namespace] = false
		case '2':
			assert.True(t, in[namespace], "event %d in %s", i, namespace)
		}
	}
}
