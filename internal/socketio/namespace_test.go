package socketio_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/socketio"
)

func TestConnectRevision4(t *testing.T) {
	w := open(t, 4, nil)
	assert.Zero(t, w.hub.count(), "nobody is let in without asking")
	w.receive(`0`)
	w.sends(connected(t, w.hub, "/"))
	w.receive(`0/admin,{"token":"x"}`)
	w.sends(connected(t, w.hub, "/admin"))

	root, admin := w.hub.last(t, "/").peer, w.hub.last(t, "/admin").peer
	assert.Len(t, root.ID, 20)
	assert.NotEqual(t, root.ID, admin.ID)
	assert.NotEqual(t, engineSID, root.ID, "the engine's id is a secret")
	assert.Nil(t, root.Auth)
	assert.JSONEq(t, `{"token":"x"}`, string(admin.Auth))
	assert.Same(t, w.engine.request, admin.Handshake.Request())
	assert.Equal(t, "polling", admin.Conn.Transport())
}

func TestConnectRevision3(t *testing.T) {
	w := open(t, 3, nil)
	w.sends(`0`)
	root := w.hub.last(t, "/").peer
	assert.Equal(t, engineSID, root.ID)
	assert.Nil(t, root.Auth)
	assert.Same(t, w.engine.request, root.Handshake.Request())

	w.receive(`0/foo,`)
	w.sends(`0/foo,`)
	foo := w.hub.last(t, "/foo").peer
	assert.Equal(t, "/foo#"+engineSID, foo.ID)
	assert.Nil(t, foo.Auth)
	assert.Same(t, w.engine.request, foo.Handshake.Request())
}

func TestConnectWithQuery(t *testing.T) {
	w := open(t, 3, nil)
	w.receive(`0/foo?token=abc&token=def&x=%3Ca%3E&a=2&bad=%zz,`)
	assert.Equal(t, []string{`0`, `0/foo,`}, w.engine.take())
	peer := w.hub.last(t, "/foo").peer
	assert.Equal(t, "/foo", peer.Namespace)
	assert.Equal(t, "/foo#"+engineSID, peer.ID)
	assert.JSONEq(t, `{"token":"abc","x":"<a>","a":"2"}`, string(peer.Auth))
	assert.Equal(t, url.Values{
		"EIO": {"4"}, "transport": {"polling"}, "token": {"abc", "def"}, "x": {"<a>"}, "a": {"2"},
	}, peer.Handshake.Request().URL.Query(), "merged; the namespace's query wins")
	assert.Equal(t, "EIO=4&transport=polling&a=1", w.engine.request.URL.RawQuery, "a copy")

	w.receive(`2/foo,["e"]`, `2/foo?token=abc,["e"]`)
	assert.Len(t, w.hub.last(t, "/foo").take(), 2)
}

func TestConnectIgnoresAuthInRevision3(t *testing.T) {
	w := open(t, 3, nil)
	w.receive(`0/foo,{"a":1}`)
	assert.Nil(t, w.hub.last(t, "/foo").peer.Auth)
}

func TestQueryIsPartOfTheNameInRevision4(t *testing.T) {
	w := open(t, 4, refuseWith(&session.Failure{Message: "Invalid namespace"}))
	w.receive(`0/admin?x=1,`)
	assert.Equal(t, "/admin?x=1", w.hub.last(t, "/admin?x=1").peer.Namespace)
	w.sends(`4/admin?x=1,{"message":"Invalid namespace"}`)
}

func TestRefuse(t *testing.T) {
	data := json.RawMessage(`{"code": 7}`)
	tests := []struct {
		revision  int
		namespace string
		failure   session.Failure
		want      string
	}{
		{4, "/", session.Failure{Name: "Forbidden", Message: "no"}, `4{"message":"no"}`},
		{4, "/x", session.Failure{Message: "Invalid namespace"}, `4/x,{"message":"Invalid namespace"}`},
		{4, "/x", session.Failure{Message: "<no>", Data: data}, `4/x,{"message":"<no>","data":{"code":7}}`},
		{4, "/x", session.Failure{Message: "no", Data: json.RawMessage(`null`)}, `4/x,{"message":"no","data":null}`},
		{4, "/x", session.Failure{Message: "no", Data: json.RawMessage(`{`)}, `4/x,{"message":"no"}`},
		{3, "/", session.Failure{Message: `say "no"`}, `4"say \"no\""`},
		{3, "/x", session.Failure{Message: "Invalid namespace"}, `4/x,"Invalid namespace"`},
		{3, "/x", session.Failure{Message: "no", Data: data}, `4/x,{"code": 7}`},
		{3, "/x", session.Failure{Message: "no", Data: json.RawMessage(`{`)}, `4/x,"no"`},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.revision, test.want), func(t *testing.T) {
			w := open(t, test.revision, refuseWith(&test.failure))
			if test.namespace != "/" || test.revision == 4 {
				w.engine.take()
				w.receive(`0` + test.namespace + `,`)
			}
			w.sends(test.want)
			g := w.hub.last(t, test.namespace)
			g.peer.Conn.Accept()
			g.peer.Conn.Refuse(&test.failure)
			g.peer.Conn.Leave("")
			assert.ErrorIs(t, g.peer.Conn.Send(hello("/")), session.ErrClosed)
			assert.Empty(t, w.engine.take(), "a refusal is final")
			assert.Empty(t, w.engine.closedFor())
		})
	}
}

func TestConnectAgainAfterRefusal(t *testing.T) {
	refuse := true
	w := open(t, 4, func(p session.Peer) {
		if refuse {
			p.Conn.Refuse(&session.Failure{Message: "no"})
			return
		}
		p.Conn.Accept()
	})
	w.receive(`0`)
	refuse = false
	w.receive(`0`)
	w.sends(`4{"message":"no"}`, connected(t, w.hub, "/"))
}

// Only the namespace beyond the limit is refused.
func TestTooManyNamespaces(t *testing.T) {
	for name, answer := range map[string]func(session.Peer){"joined": nil, "pending": later} {
		t.Run(name, func(t *testing.T) {
			w := open(t, 4, answer)
			for i := range 64 {
				w.receive(fmt.Sprintf(`0/%d,`, i))
			}
			assert.Equal(t, 64, w.hub.count())
			w.engine.take()
			for range 200 {
				w.receive(`0/one-more,`)
				w.sends(`4/one-more,{"message":"too many namespaces, at most 64 over one connection"}`)
			}
			assert.Equal(t, 64, w.hub.count())
			w.receive(`2/63,["e"]`)
			assert.Len(t, w.hub.last(t, "/63").take(), 1)
			assert.Empty(t, w.engine.closedFor())
			w.receive(`1/0,`)
			w.hub.last(t, "/0").peer.Conn.Released()
			w.receive(`0/one-more,`)
			assert.Equal(t, 65, w.hub.count(), "there is room again")
		})
	}
}

// A client may be refused any number of times. It draws on its allowance.
func TestRefusalsDoNotEndTheConnection(t *testing.T) {
	w := open(t, 4, func(p session.Peer) {
		p.Conn.Refuse(&session.Failure{Message: "Invalid namespace"})
		p.Conn.Released()
	})
	for range 200 {
		w.receive(`0/x`)
	}
	assert.Equal(t, 200, w.hub.count())
	assert.Empty(t, w.engine.closedFor())
	assert.Zero(t, w.engine.occupied.Load())
}

// A socket keeps its slot until the hub has released it, whatever the client does.
func TestSlotsLimitWhatRunsForAClient(t *testing.T) {
	for name, answer := range map[string]func(session.Peer){"joined": nil, "pending": later} {
		t.Run(name, func(t *testing.T) {
			w := open(t, 4, answer, func(c *socketio.Config) { c.MaxNamespaces = 4 })
			for range 1000 {
				w.receive(`0`, `1`)
			}
			assert.Equal(t, 4, w.hub.count(), "sockets that the hub has not released")
			assert.EqualValues(t, 4, w.engine.occupied.Load())
			first := w.hub.last(t, "/")
			w.engine.take()

			w.receive(`0`, `0/other`)
			assert.Equal(t, 4, w.hub.count(), "they wait")
			assert.Empty(t, w.engine.take())
			first.peer.Conn.Released()
			assert.Equal(t, 5, w.hub.count(), "the first that waits gets the slot")
			w.hub.last(t, "/").peer.Conn.Accept()
			w.sends(connected(t, w.hub, "/"))
			w.receive(`1/other`)
			first.peer.Conn.Released()
			assert.Equal(t, 5, w.hub.count(), "the hub never hears of one that has left while it waited")
			assert.EqualValues(t, 3, w.engine.occupied.Load())
			w.receive(`0/other`)
			assert.Equal(t, 6, w.hub.count(), "a free slot is taken at once")
			assert.Empty(t, w.engine.closedFor())
		})
	}
}

// What waits for a slot ends with the connection.
func TestSlotsAreNotUsedAfterTheEnd(t *testing.T) {
	w := open(t, 4, nil, func(c *socketio.Config) { c.MaxNamespaces = 1 })
	w.receive(`0`, `1`, `0`)
	first := w.hub.last(t, "/")
	w.client.Closed(session.ReasonTransportClose)
	first.peer.Conn.Released()
	assert.Equal(t, 1, w.hub.count())
	assert.Zero(t, w.engine.occupied.Load())
}

// What is on its way to a namespace that the server ends is not held against the client.
func TestPacketsForANamespaceThatTheServerHasEnded(t *testing.T) {
	for name, end := range map[string]func(session.Conn){
		"left":    func(c session.Conn) { c.Leave(session.ReasonServerDisconnect) },
		"refused": func(c session.Conn) { c.Refuse(&session.Failure{Message: "no"}) },
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t, 4, later)
			w.receive(`0`, `0/x`)
			w.hub.last(t, "/").peer.Conn.Accept()
			end(w.hub.last(t, "/x").peer.Conn)
			for range 100 {
				w.receive(`2/x,["e"]`)
			}
			assert.Empty(t, w.engine.closedFor())
		})
	}
}

func TestAuthTooBig(t *testing.T) {
	auth := func(n int) string { return `{"a":"` + strings.Repeat("x", n-8) + `"}` }
	w := open(t, 4, nil)
	w.receive(`0` + auth(64<<10+1))
	w.sends(`4{"message":"auth payload too big"}`)
	assert.Zero(t, w.hub.count())
	w.receive(`0` + auth(64<<10))
	w.sends(connected(t, w.hub, "/"))

	v := open(t, 3, nil)
	v.receive(`0/x?a=` + strings.Repeat("x", 64<<10))
	v.sends(`0`, `4/x,"auth payload too big"`)
}

func TestClientDisconnect(t *testing.T) {
	w := open(t, 4, nil)
	w.receive(`0`, `0/admin`)
	first := w.hub.last(t, "/admin")
	w.engine.take()
	w.receive(`1/admin`)
	assert.Equal(t, []string{session.ReasonClientDisconnect}, first.closed())
	assert.Empty(t, w.engine.take(), "no answer")
	assert.Empty(t, w.engine.closedFor())
	assert.ErrorIs(t, first.peer.Conn.Send(hello("/admin")), session.ErrClosed)

	w.receive(`0/admin,`)
	second := w.hub.last(t, "/admin")
	assert.NotSame(t, first, second)
	assert.NotEqual(t, first.peer.ID, second.peer.ID)
	w.receive(`2/admin,["e"]`)
	assert.Len(t, second.take(), 1)
	assert.Empty(t, first.take())
	assert.NoError(t, second.peer.Conn.Send(hello("/admin")))
	first.peer.Conn.Leave(session.ReasonServerDisconnect)
	w.sends(connected(t, w.hub, "/admin"), `2/admin,["hello",1]`)
	w.closes(first, session.ReasonClientDisconnect)
}

func TestClientDisconnectWhilePending(t *testing.T) {
	w := open(t, 4, later)
	w.receive(`0`, `1`)
	g := w.hub.last(t, "/")
	assert.Equal(t, []string{session.ReasonClientDisconnect}, g.closed())
	g.peer.Conn.Accept()
	g.peer.Conn.Refuse(&session.Failure{})
	assert.Empty(t, w.engine.take())
}

func TestSend(t *testing.T) {
	for _, revision := range []int{3, 4} {
		w := open(t, revision, nil)
		w.receive(`0/admin`)
		w.engine.take()
		conn := w.hub.last(t, "/admin").peer.Conn
		require.NoError(t, conn.Send(hello("/admin")))
		require.NoError(t, conn.Send(&session.Message{
			Kind: session.Answer, Namespace: "/admin", ID: "4", Args: args(``, 1, session.Part{Data: []byte("x")}),
		}))
		attachment := "<x>"
		if revision == 3 {
			attachment = "<\x04x>"
		}
		w.sends(`2/admin,["hello",1]`, `61-/admin,4[{"_placeholder":true,"num":0}]`, attachment)
		assert.Error(t, conn.Send(&session.Message{Namespace: "bad"}))
		w.engine.fail(session.ErrDropped)
		assert.ErrorIs(t, conn.Send(hello("/admin")), session.ErrDropped)
	}
}

func TestSendBeforeAccept(t *testing.T) {
	w := open(t, 4, later)
	w.receive(`0`)
	assert.ErrorIs(t, w.hub.last(t, "/").peer.Conn.Send(hello("/")), session.ErrClosed)
	assert.Empty(t, w.engine.take())
}

func TestLeave(t *testing.T) {
	for _, revision := range []int{3, 4} {
		w := open(t, revision, nil)
		if revision == 4 {
			w.receive(`0`)
		}
		w.receive(`0/admin`)
		w.engine.take()
		g := w.hub.last(t, "/admin")
		require.NoError(t, g.peer.Conn.Send(hello("/admin")))
		g.peer.Conn.Leave(session.ReasonServerDisconnect)
		assert.ErrorIs(t, g.peer.Conn.Send(hello("/admin")), session.ErrClosed)
		g.peer.Conn.Leave(session.ReasonServerDisconnect)
		w.sends(`2/admin,["hello",1]`, `1/admin,`)
		w.closes(g, session.ReasonServerDisconnect)
		assert.Empty(t, w.engine.closedFor())

		w.receive(`2/admin,["in flight"]`, `1/admin`) // no harm
		assert.Empty(t, g.take())
		root := w.hub.last(t, "/")
		root.peer.Conn.Leave(session.ReasonServerDisconnect)
		w.sends(`1`)
		w.closes(root, session.ReasonServerDisconnect)
	}
}

func TestClose(t *testing.T) {
	tests := map[string][]string{
		session.ReasonServerDisconnect: {`1`, `1/admin,`},
		session.ReasonServerShutdown:   nil,
	}
	for reason, want := range tests {
		t.Run(reason, func(t *testing.T) {
			w := open(t, 4, func(p session.Peer) {
				if p.Namespace != "/pending" {
					p.Conn.Accept()
				}
			})
			w.receive(`0`, `0/admin`, `0/pending`, `0/left`, `1/left`)
			w.engine.take()
			w.hub.last(t, "/admin").peer.Conn.Close(reason)
			w.hub.last(t, "/").peer.Conn.Close(session.ReasonSlow)
			assert.Equal(t, want, w.engine.take())
			assert.Equal(t, reason, w.engine.closedFor())
			for _, namespace := range []string{"/", "/admin", "/pending"} {
				w.closes(w.hub.last(t, namespace), reason)
			}
			w.closes(w.hub.last(t, "/left"), session.ReasonClientDisconnect)
			w.hub.last(t, "/pending").peer.Conn.Accept()
			for range 20 { // what was on its way
				w.receive(`2["e"]`, `0/more`, `garbage`)
				w.binary("x")
			}
			assert.Empty(t, w.engine.take())
			assert.Equal(t, 4, w.hub.count())
		})
	}
}

func TestSessionClosed(t *testing.T) {
	w := open(t, 4, func(p session.Peer) {
		if p.Namespace == "/" {
			p.Conn.Accept()
		}
	})
	w.receive(`0`, `0/pending`)
	w.client.Closed(session.ReasonPingTimeout)
	w.client.Closed(session.ReasonTransportClose)
	for _, namespace := range []string{"/", "/pending"} {
		g := w.hub.last(t, namespace)
		w.closes(g, session.ReasonPingTimeout)
		g.peer.Conn.Accept()
		g.peer.Conn.Leave(session.ReasonServerDisconnect)
		g.peer.Conn.Close(session.ReasonServerDisconnect)
		w.closes(g, session.ReasonPingTimeout)
		assert.ErrorIs(t, g.peer.Conn.Send(hello(namespace)), session.ErrClosed)
	}
	assert.Empty(t, w.engine.closedFor(), "it is closed already")
}

func TestClosedWithinAdmit(t *testing.T) {
	tests := map[string]func(session.Peer){
		"close":            func(p session.Peer) { p.Conn.Close(session.ReasonServerDisconnect) },
		"leave":            func(p session.Peer) { p.Conn.Leave(session.ReasonServerDisconnect) },
		"accept and leave": func(p session.Peer) { p.Conn.Accept(); p.Conn.Leave(session.ReasonServerDisconnect) },
	}
	for name, answer := range tests {
		for _, revision := range []int{3, 4} {
			t.Run(fmt.Sprint(name, revision), func(t *testing.T) {
				w := open(t, revision, answer)
				if revision == 4 {
					w.receive(`0`)
				}
				w.closes(w.hub.last(t, "/"), session.ReasonServerDisconnect)
			})
		}
	}
}

// TestSlowClient has a session that reports its end from within Send, while the hub
// holds a lock that its Receiver takes.
func TestSlowClient(t *testing.T) {
	w := open(t, 4, nil)
	w.receive(`0`, `0/admin`)
	w.engine.fail(session.ErrSlow)
	g := w.hub.last(t, "/")
	g.mu.Lock()
	err := g.peer.Conn.Send(hello("/"))
	g.mu.Unlock()
	require.ErrorIs(t, err, session.ErrSlow)
	w.closes(g, session.ReasonSlow)
	w.closes(w.hub.last(t, "/admin"), session.ReasonSlow)
}

func TestLeaveAndCloseUnderALockOfTheHub(t *testing.T) {
	w := open(t, 4, nil)
	w.receive(`0`, `0/admin`)
	g := w.hub.last(t, "/admin")
	g.mu.Lock()
	g.peer.Conn.Leave(session.ReasonServerDisconnect)
	g.peer.Conn.Close(session.ReasonServerDisconnect)
	g.mu.Unlock()
	w.closes(g, session.ReasonServerDisconnect)
}

func TestHubWithoutReceiver(t *testing.T) {
	w := open(t, 4, nil)
	client := socketio.Open(socketio.Defaults(w.group), noReceiver{}, w.engine)
	err := client.Receive([]byte(`0`), false)
	require.NoError(t, err)
	client.Closed(session.ReasonTransportClose)
	w.sends(`4{"message":"no"}`)
}

// noReceiver refuses everybody and has nothing to listen with.
type noReceiver struct{}

func (noReceiver) Admit(p session.Peer) session.Receiver {
	p.Conn.Refuse(&session.Failure{Message: "no"})
	return nil
}
