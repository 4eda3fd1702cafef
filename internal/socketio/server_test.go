package socketio_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/socketio"
)

// These tests go through the real Engine.IO: what a client sees in the end.

// serve returns a server whose background is over when the test is.
func serve(t *testing.T, hub session.Admitter) *socketio.Server {
	group := new(serial.Group)
	s := socketio.NewServer(socketio.Defaults(group), hub)
	t.Cleanup(func() {
		s.Shut(session.ReasonServerShutdown)
		assert.NoError(t, group.Wait(context.Background()))
	})
	return s
}

// poller is a client that polls.
type poller struct {
	t      *testing.T
	server http.Handler
	query  string
}

// poll opens a session and returns its client, and what came behind the open packet.
func poll(t *testing.T, server http.Handler, revision string) (p *poller, open string) {
	p = &poller{t: t, server: server, query: "/?transport=polling&EIO=" + revision}
	open = p.get()
	var packet struct{ SID string }
	start := strings.Index(open, "{")
	end := strings.Index(open, "}")
	require.NoError(t, json.Unmarshal([]byte(open[start:end+1]), &packet))
	p.query += "&sid=" + packet.SID
	return p, open[end+1:]
}

func (p *poller) get() string {
	w := httptest.NewRecorder()
	p.server.ServeHTTP(w, httptest.NewRequest(http.MethodGet, p.query, nil))
	require.Equal(p.t, http.StatusOK, w.Code)
	return w.Body.String()
}

// ended checks that the session has ended.
func (p *poller) ended() {
	w := httptest.NewRecorder()
	p.server.ServeHTTP(w, httptest.NewRequest(http.MethodGet, p.query, nil))
	assert.Equal(p.t, http.StatusBadRequest, w.Code)
	assert.JSONEq(p.t, `{"code":1,"message":"Session ID unknown"}`, w.Body.String())
}

func (p *poller) post(body string) int {
	w := httptest.NewRecorder()
	p.server.ServeHTTP(w, httptest.NewRequest(http.MethodPost, p.query, strings.NewReader(body)))
	return w.Code
}

func TestPolling(t *testing.T) {
	hub := &fakeHub{}
	s := serve(t, hub)
	p, _ := poll(t, s, "4")
	require.Equal(t, http.StatusOK, p.post("40\x1e42[\"e\",1]"))
	require.Len(t, hub.last(t, "/").take(), 1)
	assert.Equal(t, "4"+connected(t, hub, "/"), p.get())

	g := hub.last(t, "/")
	require.NoError(t, g.peer.Conn.Send(hello("/")))
	g.peer.Conn.Close(session.ReasonServerDisconnect)
	assert.Equal(t, "42[\"hello\",1]\x1e41", p.get(), `the client sees "io server disconnect"`)
	assert.Equal(t, "6\x1e1", p.get(), "and only then the end of the connection")
	p.ended()
}

func TestPollingRevision3(t *testing.T) {
	hub := &fakeHub{}
	s := serve(t, hub)
	p, rest := poll(t, s, "3")
	if rest == "" {
		rest = p.get()
	}
	assert.Equal(t, "2:40", rest)
	require.Equal(t, http.StatusOK, p.post(`12:40/foo?a=bc,`))
	assert.Equal(t, "7:40/foo,", p.get())
	g := hub.last(t, "/foo")
	g.peer.Conn.Close(session.ReasonServerDisconnect)
	assert.Equal(t, "2:417:41/foo,", p.get())
	assert.Equal(t, "1:61:1", p.get())
}

func TestBrokenPacketEndsThePollingSession(t *testing.T) {
	hub := &fakeHub{}
	s := serve(t, hub)
	p, _ := poll(t, s, "4")
	require.Equal(t, http.StatusOK, p.post("40"))
	assert.Equal(t, http.StatusBadRequest, p.post(`42["connect"]`))
	p.ended()
}

func TestWebSocket(t *testing.T) {
	hub := &fakeHub{}
	s := serve(t, hub)
	server := httptest.NewServer(s)
	defer server.Close()
	ctx := t.Context()
	c, _, err := websocket.Dial(ctx, server.URL+"/?transport=websocket&EIO=4", nil)
	require.NoError(t, err)
	defer func() { _ = c.CloseNow() }()
	read := func() string {
		_, data, err := c.Read(ctx)
		require.NoError(t, err)
		return string(data)
	}
	write := func(kind websocket.MessageType, data string) { require.NoError(t, c.Write(ctx, kind, []byte(data))) }

	assert.True(t, strings.HasPrefix(read(), "0{"))
	write(websocket.MessageText, `40`)
	reply := read()
	assert.Equal(t, "4"+connected(t, hub, "/"), reply)
	conn := hub.last(t, "/").peer.Conn
	assert.Equal(t, "websocket", conn.Transport())

	require.NoError(t, conn.Send(&session.Message{Namespace: "/", Name: "e", Args: args(``, 1, session.Part{Data: []byte("x")})}))
	assert.Equal(t, `451-["e",{"_placeholder":true,"num":0}]`, read())
	assert.Equal(t, `x`, read())

	write(websocket.MessageText, `451-7["e",{"_placeholder":true,"num":0}]`)
	write(websocket.MessageBinary, `y`)
	write(websocket.MessageText, `40/other`)
	reply = read()
	assert.Equal(t, "4"+connected(t, hub, "/other"), reply)
	got := hub.last(t, "/").take()
	require.Len(t, got, 1)
	assertEqualMessages(t, &session.Message{
		Namespace: "/", Name: "e", ID: "7", Args: args(``, 1, session.Part{Data: []byte("y")}),
	}, got[0])

	conn.Close(session.ReasonServerDisconnect)
	assert.Equal(t, "41", read())
	assert.Equal(t, "41/other,", read())
	_, _, err = c.Read(ctx)
	assert.Equal(t, websocket.StatusNoStatusRcvd, websocket.CloseStatus(err))
}

func TestBrokenPacketClosesTheWebSocket(t *testing.T) {
	tests := map[string]websocket.StatusCode{
		`42[null]`:   websocket.StatusProtocolError,
		`42/x,["e"]`: websocket.StatusPolicyViolation,
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			s := serve(t, &fakeHub{})
			server := httptest.NewServer(s)
			defer server.Close()
			c, _, err := websocket.Dial(t.Context(), server.URL+"/?transport=websocket&EIO=4", nil)
			require.NoError(t, err)
			defer func() { _ = c.CloseNow() }()
			_, _, err = c.Read(t.Context())
			require.NoError(t, err)
			for range 11 {
				_ = c.Write(t.Context(), websocket.MessageText, []byte(text)) // the first may be the last
			}
			_, _, err = c.Read(t.Context())
			assert.Equal(t, want, websocket.CloseStatus(err))
		})
	}
}

func TestServerClose(t *testing.T) {
	hub := &fakeHub{}
	s := serve(t, hub)
	p, _ := poll(t, s, "4")
	require.Equal(t, http.StatusOK, p.post("40"))
	s.Shut(session.ReasonServerShutdown)
	assert.Equal(t, "4"+connected(t, hub, "/"), p.get())
	assert.Equal(t, "6\x1e1", p.get(), "no DISCONNECT: the client will come back")
	p.ended()
}
