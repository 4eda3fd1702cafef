package thinkws_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// B5: the number of dynamic namespaces is limited, whatever protocol names them. Those that exist can be
// entered, and named ones do not count.
func TestHostileDynamicNamespaces(t *testing.T) {
	var reported atomic.Int32
	s := newSite(t, thinkws.NamespaceFunc(func(name string, _ *http.Request) bool { return strings.HasPrefix(name, "/room-") }),
		thinkws.Namespace("/named"), thinkws.WithLimits(thinkws.Limits{DynamicNamespaces: 3}),
		thinkws.WithOnError(func(_ *thinkws.Context, err error) {
			assert.ErrorIs(t, err, thinkws.ErrTooMany)
			reported.Add(1)
		}))
	holder, _ := s.enter("v4")
	for i := range 3 {
		holder.send(fmt.Sprintf("40/room-%d,", i))
		holder.expect(fmt.Sprintf("40/room-%d,{", i))
	}
	const full = "too many namespaces"
	leave := func(end func()) { // of "/", whose handlers tell
		end()
		assert.Equal(t, thinkws.ReasonTransportClose, <-s.reasons)
	}
	enter := map[string]func(name string) (answer string){
		"v4": func(name string) string {
			ws, _ := s.enter("v4")
			defer leave(func() { require.NoError(t, ws.conn.Close()) })
			ws.send("40" + name + ",")
			return ws.read()
		},
		"v3": func(name string) string {
			ws, _ := s.enter("v3")
			defer leave(func() { require.NoError(t, ws.conn.Close()) })
			ws.send("40" + name + ",")
			return ws.read()
		},
		"polling": func(name string) string {
			p := s.open(4, "")
			defer leave(func() { p.post("1") })
			require.Equal(t, "200 ok", p.post("40"+name+","))
			return p.get()[0]
		},
		"plain": func(name string) string {
			ws := s.upgrade("/ws" + name)
			defer ws.conn.Close()
			ws.send(`{"event":"nothing","cid":1}`)
			return ws.read()
		},
		"SockJS": func(name string) string {
			ws := s.upgrade("/sockjs/0/dynamic/websocket?nsp=" + name)
			defer ws.conn.Close()
			ws.expect("o")
			ws.send(`"{\"event\":\"nothing\",\"cid\":1}"`)
			return ws.read()
		},
		"SockJS over HTTP": func(name string) string {
			p := s.sockjs("/sockjs/0/dynamic"+name[1:], "?nsp="+name)
			p.send(`{"event":"nothing","cid":1}`)
			return p.poll()
		},
	}
	for kind, enter := range enter {
		t.Run(kind, func(t *testing.T) {
			before := s.handler.Hub().Stats().Limits["dynamic_namespaces"]
			assert.Contains(t, enter("/room-x"), full)
			assert.Equal(t, before+1, s.handler.Hub().Stats().Limits["dynamic_namespaces"])
			assert.NotContains(t, enter("/room-1"), full, "it exists")
			assert.NotContains(t, enter("/named"), full, "it is not dynamic")
		})
	}
	assert.EqualValues(t, len(enter), reported.Load())
	assert.Contains(t, s.log.String(), `level=WARN msg="dynamic namespace refused"`)
	holder.send("41/room-0,")
	require.Eventually(t, func() bool { return s.handler.Hub().Stats().Namespaces == 4 }, time.Minute, time.Millisecond)
	holder.send("40/room-x,")
	holder.expect("40/room-x,{")
}

// One address cannot use up the dynamic namespaces of all.
func TestDynamicNamespacesPerAddress(t *testing.T) {
	h, _ := newHandler(t, thinkws.Namespace("/room-*"), thinkws.WithLimits(thinkws.Limits{DynamicNamespaces: 100, DynamicNamespacesPerAddress: 2}))
	come := func(address, namespace string) *fake {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = address
		f := knock(t, h, peer{namespace: namespace, request: r})
		t.Cleanup(func() { f.end(session.ReasonTransportClose, true) })
		return f
	}
	refused := func(f *fake) bool {
		f.until(func() bool { return f.accepted || f.refused != nil })
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.refused != nil && f.refused.Message == "too many namespaces from your address"
	}
	var first *fake
	for i, address := range []string{"203.0.113.1:1", "203.0.113.1:2", "[2001:db8::1]:1", "[2001:db8::2]:1"} {
		f := come(address, fmt.Sprintf("/room-%d", i))
		require.False(t, refused(f))
		if i == 0 {
			first = f
		}
	}
	assert.True(t, refused(come("203.0.113.1:3", "/room-x")))
	assert.True(t, refused(come("[2001:db8::3]:1", "/room-x")), "one /64 network")
	assert.False(t, refused(come("203.0.113.1:3", "/room-3")), "it exists")
	assert.False(t, refused(come("203.0.113.2:1", "/room-y")), "another address")
	assert.False(t, refused(come("[2001:db8:0:1::1]:1", "/room-z")), "another network")
	first.end(session.ReasonTransportClose, true)
	require.Eventually(t, func() bool { return !refused(come("203.0.113.1:3", "/room-x")) }, time.Minute, time.Millisecond)
	assert.NotZero(t, h.Hub().Stats().Limits["dynamic_namespaces_per_address"])
	_, err := thinkws.New(thinkws.WithLimits(thinkws.Limits{DynamicNamespaces: -1}))
	assert.ErrorContains(t, err, "DynamicNamespaces")
}
