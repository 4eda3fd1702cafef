package socketio_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/socketio"
)

func TestReceiveEvents(t *testing.T) {
	tests := []struct {
		text string
		want *session.Message
	}{
		{`2["e"]`, &session.Message{Namespace: "/", Name: "e"}},
		{`2["e",1,[2]]`, &session.Message{Namespace: "/", Name: "e", Args: args(`1,[2]`, 2)}},
		{`2/admin,5["e","x"]`, &session.Message{Namespace: "/admin", Name: "e", ID: "5", Args: args(`"x"`, 1)}},
		{`2[7]`, &session.Message{Namespace: "/", Name: "7"}},
		{`35[true]`, &session.Message{Kind: session.Answer, Namespace: "/", ID: "5", Args: args(`true`, 1)}},
		{`3/admin,5[]`, &session.Message{Kind: session.Answer, Namespace: "/admin", ID: "5"}},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			w := open(t, 4, nil)
			w.receive(`0`, `0/admin`, test.text)
			got := w.hub.last(t, test.want.Namespace).take()
			require.Len(t, got, 1)
			assertEqualMessages(t, test.want, got[0])
		})
	}
}

func TestReceiveBinary(t *testing.T) {
	w := open(t, 4, nil)
	w.receive(`0`, `52-["e",{"_placeholder":true,"num":1},{"a":{"_placeholder":true,"num":0}}]`)
	w.binary("zero")
	assert.Empty(t, w.hub.last(t, "/").take(), "not before it is complete")
	w.binary("one")
	want := &session.Message{Namespace: "/", Name: "e", Args: args(
		`,{"a":}`, 2, session.Part{At: 0, Data: []byte("one")}, session.Part{At: 6, Data: []byte("zero")},
	)}
	got := w.hub.last(t, "/").take()
	require.Len(t, got, 1)
	assertEqualMessages(t, want, got[0])

	w.receive(`61-8[{"_placeholder":true,"num":0}]`)
	require.NoError(t, w.rejects(nil, true))
	got = w.hub.last(t, "/").take()
	require.Len(t, got, 1)
	assert.NotNil(t, got[0].Args.Parts[0].Data, "empty is not nothing")
	assertEqualMessages(t, &session.Message{
		Kind: session.Answer, Namespace: "/", ID: "8", Args: args(``, 1, session.Part{Data: []byte{}}),
	}, got[0])

	w.receive(`2["after"]`)
	assert.Len(t, w.hub.last(t, "/").take(), 1)
}

func TestAckWithoutIDIsDropped(t *testing.T) {
	w := open(t, 4, nil)
	w.receive(`0`)
	for range 20 {
		w.receive(`3[1]`)
	}
	assert.Empty(t, w.hub.last(t, "/").take())
}

// TestViolations sends what ends the whole connection; a hub that is asked for
// nothing else must not see a message of it.
func TestViolations(t *testing.T) {
	tests := map[string]func(w *world) error{
		"text while attachments are awaited": func(w *world) error {
			w.receive(`51-["e",{"_placeholder":true,"num":0}]`)
			return w.rejects([]byte(`2["e"]`), false)
		},
		"text between attachments": func(w *world) error {
			w.receive(`52-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
			w.binary("x")
			return w.rejects([]byte(`2["e"]`), false)
		},
		"stray binary message":       func(w *world) error { return w.rejects([]byte("x"), true) },
		"empty stray binary message": func(w *world) error { return w.rejects(nil, true) },
		"one attachment too many": func(w *world) error {
			w.receive(`61-1[{"_placeholder":true,"num":0}]`)
			w.binary("x")
			w.hub.last(w.t, "/").take()
			return w.rejects([]byte("x"), true)
		},
		"no attachments, then a flood": func(w *world) error {
			assert.Error(w.t, w.rejects([]byte(`50-["x"]`), false))
			return w.rejects([]byte("x"), true)
		},
		"attachments too big together": func(w *world) error {
			w.receive(`52-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
			w.binary(strings.Repeat("x", 600))
			return w.rejects(make([]byte, 600), true)
		},
		"too many attachments for the limit": func(w *world) error {
			return w.rejects([]byte(`53-["e"]`), false)
		},
	}
	for _, text := range append(badPackets, badPlaceholders...) {
		tests[text] = func(w *world) error { return w.rejects([]byte(text), false) }
	}
	for name, send := range tests {
		t.Run(short(name), func(t *testing.T) {
			w := open(t, 4, nil, func(c *socketio.Config) { c.MaxMessage, c.MaxAttachments = 1000, 2 })
			w.receive(`0`)
			err := send(w)
			require.Error(t, err)
			_, reason := session.Verdict(err)
			assert.Equal(t, session.ReasonParseError, reason)
			assert.Empty(t, w.hub.last(t, "/").take())
		})
	}
}

func TestIgnoredPackets(t *testing.T) {
	tests := map[string]string{
		"event before CONNECT":      `2/other,["e"]`,
		"ack before CONNECT":        `3/other,1[]`,
		"DISCONNECT before CONNECT": `1/other,`,
		"double CONNECT":            `0`,
		"CONNECT of a pending one":  `0/pending,`,
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			w := open(t, 4, func(p session.Peer) {
				if p.Namespace == "/" {
					p.Conn.Accept()
				}
			})
			w.receive(`0`, `0/pending`)
			w.engine.take()
			for range 10 {
				w.receive(text)
			}
			w.receive(`2["alive"]`)
			assert.Len(t, w.hub.last(t, "/").take(), 1, "the others go on")
			assert.Equal(t, 2, w.hub.count())
			assert.Empty(t, w.engine.take())

			err := w.rejects([]byte(text), false)
			require.ErrorIs(t, err, session.ErrPolicy)
			code, _ := session.Verdict(err)
			assert.Equal(t, session.ClosePolicy, code)
		})
	}
}

// TestEventsBeforeTheAnswer has a client that does not wait for the answer to its
// CONNECT: the hub gets what it sends, until it refuses.
func TestEventsBeforeTheAnswer(t *testing.T) {
	w := open(t, 4, later)
	w.receive(`0`, `0/refused`)
	for range 20 {
		w.receive(`2["e"]`, `31[]`, `2/refused,["e"]`)
	}
	assert.Len(t, w.hub.last(t, "/").take(), 40)
	refused := w.hub.last(t, "/refused")
	assert.Len(t, refused.take(), 20)

	w.hub.last(t, "/").peer.Conn.Accept()
	refused.peer.Conn.Refuse(&session.Failure{Message: "no"})
	w.receive(`2["e"]`, `2/refused,["e"]`)
	assert.Len(t, w.hub.last(t, "/").take(), 1)
	assert.Empty(t, refused.take())
	w.sends(connected(t, w.hub, "/"), `4/refused,{"message":"no"}`)
}

func TestIgnoredBinaryPacket(t *testing.T) {
	w := open(t, 4, nil)
	w.receive(`51-/other,["e",{"_placeholder":true,"num":0}]`)
	w.binary("x")
	w.receive(`0`, `2["alive"]`)
	assert.Len(t, w.hub.last(t, "/").take(), 1)
}

func TestConnectTimeout(t *testing.T) {
	for _, revision := range []int{3, 4} {
		t.Run(fmt.Sprint(revision), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := open(t, revision, later)
				if revision == 4 {
					w.receive(`0`)
				}
				time.Sleep(45*time.Second - time.Millisecond)
				synctest.Wait()
				assert.Empty(t, w.engine.closedFor())
				time.Sleep(time.Millisecond)
				synctest.Wait()
				assert.Equal(t, session.ReasonServerClose, w.engine.closedFor())
				w.closes(w.hub.last(t, "/"), session.ReasonServerClose)
			})
		})
	}
}

func TestConnectTimeoutWithoutConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, 4, nil, func(c *socketio.Config) { c.ConnectTimeout = time.Second })
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, session.ReasonServerClose, w.engine.closedFor())
		assert.Zero(t, w.hub.count())
		assert.Empty(t, w.engine.take())
	})
}

func TestConnectTimeoutIsOverOnceAdmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, 4, nil)
		w.receive(`0`, `1`)
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Empty(t, w.engine.closedFor(), "leaving the last namespace does not close the connection")
	})
}

func TestAttachmentTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, 4, nil)
		w.receive(`0`, `52-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
		w.binary("x")
		time.Sleep(30*time.Second - time.Millisecond)
		synctest.Wait()
		assert.Empty(t, w.engine.closedFor())
		time.Sleep(time.Millisecond)
		synctest.Wait()
		assert.Equal(t, session.ReasonParseError, w.engine.closedFor())
		w.closes(w.hub.last(t, "/"), session.ReasonParseError)
	})
}

func TestAttachmentsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, 4, nil)
		w.receive(`0`)
		for range 3 {
			w.receive(`51-["e",{"_placeholder":true,"num":0}]`)
			time.Sleep(29 * time.Second)
			w.binary("x")
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Empty(t, w.engine.closedFor())
		assert.Len(t, w.hub.last(t, "/").take(), 3)
	})
}

func TestNoTimerOutlivesTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, 4, nil)
		w.client.Closed(session.ReasonTransportClose)
		time.Sleep(time.Hour)

		v := open(t, 4, nil)
		v.receive(`0`, `51-["e",{"_placeholder":true,"num":0}]`)
		v.client.Closed(session.ReasonTransportClose)
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Empty(t, w.engine.closedFor())
		assert.Empty(t, v.engine.closedFor())
	})
}
