package socketio_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
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
