package socketio_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/socketio"
)

// countingEngine notes where the frames it is given lie in memory.
type countingEngine struct {
	*fakeEngine
	variant engineio.Variant
	places  map[*byte]engineio.Variant
}

func (e *countingEngine) Variant() engineio.Variant { return e.variant }

func (e *countingEngine) Send(frames []session.Frame, _ bool) error {
	for _, f := range frames {
		e.places[unsafe.SliceData(f.WebSocket())] = e.variant
	}
	return nil
}

// However many clients receive a message, it is encoded once for each wire variant,
// and all clients of a variant write the same bytes.
func TestBroadcastEncodesOncePerVariant(t *testing.T) {
	variants := []engineio.Variant{{Revision: 4}, {Revision: 4, Base64: true}, {Revision: 3}, {Revision: 3, Base64: true}}
	var group serial.Group
	hub := &fakeHub{}
	places := map[*byte]engineio.Variant{}
	for i := range 1000 {
		v := variants[i%len(variants)]
		e := &countingEngine{
			fakeEngine: &fakeEngine{revision: int(v.Revision), request: httptest.NewRequest(http.MethodGet, "/", nil)},
			variant:    v, places: places,
		}
		c := socketio.Open(socketio.Defaults(&group), hub, e)
		if v.Revision == 4 {
			require.NoError(t, c.Receive([]byte("0"), false))
		}
		defer c.Closed(session.ReasonTransportClose)
	}
	clear(places) // of the answers to CONNECT
	require.Equal(t, 1000, hub.count())

	m := &session.Message{Namespace: "/", Name: "e", Args: session.Args{
		Text: []byte(`"text",`), Count: 2, Parts: []session.Part{{At: 7, Data: []byte("binary")}}}}
	for _, g := range hub.guests {
		require.NoError(t, g.peer.Conn.Send(m))
	}
	frames := map[engineio.Variant]int{}
	for _, v := range places {
		frames[v]++
	}
	for _, v := range variants {
		assert.Equal(t, 2, frames[v], "%+v: the packet and its attachment", v)
	}
	assert.Len(t, places, 2*len(variants))
	t.Cleanup(func() { assert.NoError(t, group.Wait(context.Background())) })
}
