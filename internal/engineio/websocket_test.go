package engineio_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

func TestWebSocket(t *testing.T) {
	h := newHarness(t)
	for name, c := range map[string]struct {
		revision int
		extra    string
		want     string // of a binary message
	}{
		"4":      {4, "", "binary \x01\x02"},
		"4, b64": {4, "&b64=1", "bAQI="},
		"3":      {3, "", "binary \x04\x01\x02"},
		"3, b64": {3, "&b64=1", "b4AQI="},
	} {
		s, w := h.websocket(c.revision, c.extra)
		require.NoError(t, s.send("a", "€"), name)
		require.NoError(t, s.Session.Send(frames(s.Variant().BinaryPacket([]byte{1, 2})), false), name)
		assert.Equal(t, []string{"4a", "4€", c.want}, []string{w.read(), w.read(), w.read()}, name)
		w.write("4hello", "4", map[int]string{4: "bAQI=", 3: "b4AQI="}[c.revision], "0", "5", "6")
		w.writeBinary(map[int]string{4: "\x04\x05", 3: "\x04\x04\x05"}[c.revision])
		for _, want := range []string{"text hello", "text ", "binary \x01\x02", "binary \x04\x05"} {
			assert.Equal(t, want, s.next(t), name)
		}
	}
}

// A message of no bytes is a message, unlike one of no text: that has no type.
func TestEmptyBinaryMessage(t *testing.T) {
	h := newHarness(t)
	s, w := h.websocket(4, "")
	w.writeBinary("")
	assert.Equal(t, "binary ", s.next(t))
}

func TestBadWebSocketMessages(t *testing.T) {
	h := newHarness(t)
	for name, c := range map[string]struct {
		revision int
		data     string
		binary   bool
		want     int
		reason   string
	}{
		"empty":             {4, "", false, 1002, session.ReasonParseError},
		"unknown":           {4, "9", false, 1002, session.ReasonParseError},
		"bad base64":        {4, "b!", false, 1002, session.ReasonParseError},
		"bad UTF-8":         {4, "4\xff", false, 1007, session.ReasonParseError},
		"too large":         {4, "4" + strings.Repeat("x", 10_000), false, 1009, session.ReasonParseError},
		"ping":              {4, "2", false, 1002, session.ReasonTransportError},
		"probe":             {4, "2probe", false, 1002, session.ReasonTransportError},
		"huge pong":         {4, "3" + strings.Repeat("x", 126), false, 1002, session.ReasonParseError},
		"close":             {4, "1", false, 1005, session.ReasonTransportClose},
		"refused above":     {4, "4x", false, 1002, session.ReasonParseError},
		"too much above":    {4, "4x", false, 1008, session.ReasonParseError},
		"3: empty binary":   {3, "", true, 1002, session.ReasonParseError},
		"3: unknown binary": {3, "\x09", true, 1002, session.ReasonParseError},
		"3: pong":           {3, "3", false, 1002, session.ReasonTransportError},
		"3: huge ping":      {3, "2" + strings.Repeat("x", 126), false, 1002, session.ReasonParseError},
	} {
		s, w := h.websocket(c.revision, "")
		s.reject = map[string]func(string) error{"refused above": refuse, "too much above": forbid}[name]
		if c.binary {
			w.writeBinary(c.data)
		} else {
			w.write(c.data)
		}
		assert.Equal(t, c.want, w.closed(), name)
		if s.reject != nil {
			assert.Equal(t, "text x", s.next(t), name)
		}
		assert.Equal(t, "closed "+c.reason, s.next(t), name)
	}
	assert.Zero(t, h.server.Len())
}

func TestWebSocketClosed(t *testing.T) {
	for name, end := range map[string]func(*ws){
		"by a close frame": func(w *ws) { w.Close(1000, "") },
		"by the network":   func(w *ws) { w.CloseNow() },
	} {
		h := newHarness(t)
		s, w := h.websocket(4, "")
		end(w)
		assert.Equal(t, "closed "+session.ReasonTransportClose, s.next(t), name)
		assert.ErrorIs(t, s.send("x"), session.ErrClosed, name)
		assert.Zero(t, h.server.Len(), name)
	}
}

func TestCloseWebSocket(t *testing.T) {
	h := newHarness(t)
	s, w := h.websocket(4, "")
	require.NoError(t, s.send("a", "b"))
	s.Close(session.ReasonServerDisconnect)
	s.Close("again")
	assert.Equal(t, "closed "+session.ReasonServerDisconnect, s.next(t))
	assert.Zero(t, h.server.Len())
	assert.Equal(t, []string{"4a", "4b"}, []string{w.read(), w.read()})
	assert.Equal(t, 1005, w.closed())
	assert.Empty(t, s.events)
}

// Over a pipe nothing is buffered: what the client does not read waits with us.
func TestSlowWebSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, with(func(c *engineio.Config) { c.Queue = session.Held(1, 2+2) / 4 }))
		s, w := h.websocket(4, "")
		synctest.Wait()
		volatile := frames(s.Variant().TextPacket([]byte("v")))
		require.NoError(t, s.Session.Send(volatile, true))
		assert.ErrorIs(t, s.Session.Send(volatile, true), session.ErrDropped)
		synctest.Wait() // it is being written
		require.NoError(t, s.send("a"))
		assert.ErrorIs(t, s.send("c"), session.ErrSlow)
		assert.ErrorIs(t, s.send("d"), session.ErrClosed)
		assert.Equal(t, "4v", w.read())
		assert.Equal(t, session.CloseTryLater, w.closed())
		assert.Equal(t, "closed "+session.ReasonSlow, s.next(t))
		assert.Zero(t, h.server.Len())
	})
}

// A client of revision 3 that pings without reading the answers is a slow one.
func TestPingFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, with(func(c *engineio.Config) { c.Queue = 100 }))
		s, w := h.websocket(3, "")
		w.write("2", "2", "2", "2", "2", "2", "2")
		assert.Equal(t, "closed "+session.ReasonSlow, s.next(t))

		p := h.polling(3, "")
		assert.Equal(t, 400, h.post(p.query, strings.Repeat("1:2", 100)).status)
		assert.Equal(t, "closed "+session.ReasonSlow, p.next(t))
	})
}

func TestBadWebSocketHandshakes(t *testing.T) {
	h := newHarness(t)
	p := h.polling(4, "")
	for _, query := range []string{"EIO=4&transport=websocket", strings.Replace(p.query, "polling", "websocket", 1)} {
		for name, change := range map[string]func(http.Header){
			"no key":      func(h http.Header) { h.Del("Sec-WebSocket-Key") },
			"short key":   func(h http.Header) { h.Set("Sec-WebSocket-Key", "abc") },
			"old version": func(h http.Header) { h.Set("Sec-WebSocket-Version", "8") },
		} {
			r := request("GET", query, "", upgradeHeaders...)
			change(r.Header)
			assert.Equal(t, 400, h.do(r).status, name)
		}
	}
	assert.Equal(t, 1, h.server.Len())
	w := h.upgrading(p) // the place is free again
	w.write("2probe")
	assert.Equal(t, "3probe", w.read())
}

const rawUpgrade = "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// masked is a frame as clients send it, with a mask of zeros.
func masked(first byte, data string) string {
	return string([]byte{first, 0x80 | byte(len(data)), 0, 0, 0, 0}) + data
}

// A message that comes with the handshake, before the 101 is written.
func TestMessageRightBehindTheOpen(t *testing.T) {
	h := newHarness(t)
	for range 200 {
		c, in := h.raw("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n" + rawUpgrade + masked(0x81, "4early") + masked(0x82, "\x00"))
		resp, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		require.Equal(t, 101, resp.StatusCode)
		s := <-h.clients
		require.Equal(t, "text early", s.next(t))
		require.Equal(t, "binary \x00", s.next(t))
		c.Close()
	}
}

// Frames that are none, right behind the handshake, and once the session is open.
func TestInvalidFrames(t *testing.T) {
	for name, frame := range map[string]string{
		"RSV bits":        masked(0xf1, "4x"),
		"reserved opcode": masked(0x83, "4x"),
		"unmasked":        "\x81\x024x",
		"fragmented ping": masked(0x09, "x"),
		"long ping":       "\x89\xfe\x00\x80\x00\x00\x00\x00" + strings.Repeat("x", 128),
		"bad close code":  masked(0x88, "\x00\x01"),
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHarness(t)
			_, in := h.raw("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n" + rawUpgrade + frame)
			resp, err := http.ReadResponse(in, nil)
			require.NoError(t, err, name)
			require.Equal(t, 101, resp.StatusCode, name)
			s := <-h.clients
			rest, _ := io.ReadAll(in) // until the server cuts a client that does not answer
			assert.True(t, bytes.Contains(rest, []byte{0x03, 0xea}), "no code 1002 for %s: %q", name, rest)
			assert.Equal(t, "closed "+session.ReasonParseError, s.next(t), name)
		})
	}
}

// A refused upgrade does not read the frames behind it as another request.
func TestRefusedUpgradeClosesTheConnection(t *testing.T) {
	h := newHarness(t)
	_, in := h.raw("GET /socket.io/?EIO=4&transport=websocket&sid=x HTTP/1.1\r\n" + rawUpgrade + masked(0xf1, "4x"))
	resp, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	assert.Equal(t, 400, resp.StatusCode)
	assert.True(t, resp.Close)
	body, _ := io.ReadAll(resp.Body)
	assert.Equal(t, sidUnknown, string(body))
	_, err = in.ReadByte()
	assert.ErrorIs(t, err, io.EOF)
}

// hidden is a ResponseWriter without Hijacker.
type hidden struct{ http.ResponseWriter }

func TestMiddlewareWithoutHijacker(t *testing.T) {
	h := newHarness(t, around(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(hidden{w}, r) })
	}))
	a := h.get("EIO=4&transport=websocket", upgradeHeaders...)
	assert.Equal(t, 501, a.status)
	assert.Contains(t, a.body, "http.Hijacker")
	assert.Zero(t, h.server.Len())
	p := h.polling(4, "") // which needs none of it
	assert.Equal(t, "ok", h.post(p.query, "4x").body)
	answer := h.pending(p)
	require.NoError(t, p.send("y"))
	assert.Equal(t, "4y", (<-answer).body)
}

// open panics: net/http reports it, and neither session nor connection stay behind.
func TestPanicInOpen(t *testing.T) {
	h := newHarness(t, onOpen(func(*client) { panic("in open") }))
	_, err := h.try(request("GET", "EIO=4&transport=polling", ""))
	assert.Error(t, err)
	nc, in := h.raw("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n" + rawUpgrade)
	nc.SetReadDeadline(time.Now().Add(time.Minute))
	_, err = io.ReadAll(in)
	assert.NoError(t, err, "the connection is not closed")
	assert.Zero(t, h.server.Len())
}
