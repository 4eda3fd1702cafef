package thinkws_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// Row B4: a # separates the parts of a bus's channels, so no client enters a namespace with one,
// whatever the service's patterns and functions say.
func TestClientsNameNoNamespaceWithASeparator(t *testing.T) {
	s := newSite(t, thinkws.Namespace("/room-*"),
		thinkws.NamespaceFunc(func(string, *http.Request) bool { return true }))

	for _, kind := range []string{"v4", "v3"} {
		refused := map[string]string{"v4": `{"message":"Invalid namespace"}`, "v3": `"Invalid namespace"`}[kind]
		ws, _ := s.enter(kind)
		for _, name := range []string{"/room-1#x", "/#", "/other#"} {
			ws.send("40" + name + ",")
			require.Equal(t, "44"+name+","+refused, ws.read(), kind)
		}
		ws.send("40/room-1,")
		require.Contains(t, ws.read(), "40/room-1", "%s: the connection goes on", kind)
		require.NoError(t, ws.conn.Close())
		s.verify(thinkws.ReasonTransportClose)
	}

	for eio, refused := range map[int]string{4: `{"message":"Invalid namespace"}`, 3: `"Invalid namespace"`} {
		p := s.open(eio, "")
		require.Equal(t, "200 ok", p.post("40/room-1#x,"))
		assert.Equal(t, []string{"44/room-1#x," + refused}, p.get())
		require.Equal(t, "200 ok", p.post("1"))
		s.verify(thinkws.ReasonTransportClose)
	}

	const notFound = `{"error":{"name":"NotFound","message":"Invalid namespace"}}`
	for _, target := range []string{"/ws/room-1%23x", "/ws?nsp=room-1%23x"} {
		ws := s.upgrade(target)
		assert.Equal(t, notFound, ws.read(), target)
		assert.Equal(t, policy, ws.read(), target)
		s.leave(ws)
	}

	p := s.sockjs("/sockjs/0/separator", "?nsp=room-1%23x")
	p.expect(notFound)
	assert.Equal(t, `c[1008,"Invalid namespace"]`, p.poll())
	ws := s.upgrade("/sockjs/0/separator-2/websocket?nsp=room-1%23x")
	ws.expect("o", `a["{\"error\":{\"name\":\"NotFound\"`, `c[1008,"Invalid namespace"]`, "close")
	require.NoError(t, ws.conn.Close())
}
