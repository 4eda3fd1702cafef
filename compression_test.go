package thinkws_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// readFrame reads a frame of the server: its first byte and, in buf, what it carries.
func readFrame(in io.Reader, buf *[]byte) (first byte, payload []byte, err error) {
	var head [10]byte
	if _, err := io.ReadFull(in, head[:2]); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1])
	switch n {
	case 126:
		_, err = io.ReadFull(in, head[8:])
		n = uint64(binary.BigEndian.Uint16(head[8:]))
	case 127:
		_, err = io.ReadFull(in, head[2:])
		n = binary.BigEndian.Uint64(head[2:])
	}
	if n > 1<<20 {
		return 0, nil, fmt.Errorf("a frame of %d bytes", n)
	}
	if uint64(cap(*buf)) < n {
		*buf = make([]byte, n)
	}
	if err == nil {
		_, err = io.ReadFull(in, (*buf)[:n])
	}
	return head[0], (*buf)[:n], err
}

// unpack inflates what a compressed frame carries.
func unpack(payload []byte) (string, error) {
	tail := strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff") // as RFC 7692 says, and the end
	text, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(payload), tail)))
	return string(text), err
}

// deflateClient is a WebSocket client that may offer permessage-deflate.
type deflateClient struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dialDeflate(t *testing.T, m *memory, target, extensions string) *deflateClient {
	t.Helper()
	c := &deflateClient{t: t, conn: m.dial(t)}
	t.Cleanup(func() { c.conn.Close() })
	require.NoError(t, c.conn.SetDeadline(time.Now().Add(30*time.Second)))
	c.in = bufio.NewReader(c.conn)
	header := ""
	if extensions != "" {
		header = "Sec-WebSocket-Extensions: " + extensions + "\r\n"
	}
	_, err := io.WriteString(c.conn, upgradeRequest(target, header))
	require.NoError(t, err)
	res, err := http.ReadResponse(c.in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	if !strings.HasPrefix(target, "/socket.io") {
		return c
	}
	c.expect("0{")
	c.send("40")
	c.expect("40{")
	return c
}

func (c *deflateClient) send(text string) {
	c.t.Helper()
	_, err := c.conn.Write(maskedFrame(1, text))
	require.NoError(c.t, err)
}

// sendDeflated sends text compressed.
func (c *deflateClient) sendDeflated(text string) {
	c.t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	require.NoError(c.t, err)
	_, err = io.WriteString(w, text)
	require.NoError(c.t, err)
	require.NoError(c.t, w.Flush())
	frame := maskedFrame(1, strings.TrimSuffix(out.String(), "\x00\x00\xff\xff"))
	frame[0] |= 0x40
	require.Less(c.t, len(frame), 1000)
	_, err = c.conn.Write(frame)
	require.NoError(c.t, err)
}

// expect reads frames and compares how they begin; those that begin with "z:" have to
// be compressed, the others must not.
func (c *deflateClient) expect(prefixes ...string) {
	c.t.Helper()
	var buf []byte
	for _, want := range prefixes {
		first, payload, err := readFrame(c.in, &buf)
		require.NoError(c.t, err)
		got := string(payload)
		if first&0x40 != 0 {
			text, err := unpack(payload)
			require.NoError(c.t, err)
			require.Less(c.t, len(payload), len(text))
			got = "z:" + text
		}
		require.True(c.t, strings.HasPrefix(got, want), "got %.60q, want %.60q…", got, want)
	}
}

func TestCompression(t *testing.T) {
	long := strings.Repeat("all the same ", 50)
	h, _ := newHandler(t, thinkws.WithCompression(200),
		thinkws.On("ask", func(c *thinkws.Context) error { return c.Ack(long) }))
	mux := http.NewServeMux()
	mux.Handle("/", h.Middleware(http.NotFoundHandler()))
	m := serveMemory(t, mux)

	const socketio, offer = "/socket.io/?EIO=4&transport=websocket", "permessage-deflate; client_max_window_bits"
	with, without := dialDeflate(t, m, socketio, offer), dialDeflate(t, m, socketio, "")
	plainWith, plainWithout := dialDeflate(t, m, "/ws", offer), dialDeflate(t, m, "/ws", "")
	poll := dialPoll(t, h)
	require.Eventually(t, func() bool { return h.Hub().Stats().Clients == 5 }, time.Minute, time.Millisecond)

	hub := h.Hub()
	runs := uint64(0)
	for _, step := range []struct {
		name       string
		emit       func() error
		event      string // as Socket.IO has it
		json       string // as plain WebSocket has it
		compressed bool
	}{
		{"long", func() error { return hub.Emit("e", long) }, `42["e","all`, `{"event":"e","data":"all`, true},
		{"short", func() error { return hub.Emit("e", long[:150]) }, `42["e","all`, `{"event":"e","data":"all`, false},
		{"not this one", func() error { return hub.To().Compress(false).Emit("e", long) }, `42["e","all`, `{"event":"e","data":"all`, false},
		{"after all", func() error { return hub.To().Compress(false).Compress(true).Emit("e", long) }, `42["e","all`, `{"event":"e","data":"all`, true},
	} {
		require.NoError(t, step.emit(), step.name)
		mark := map[bool]string{true: "z:"}[step.compressed]
		with.expect(mark + step.event)
		without.expect(step.event)
		plainWith.expect(mark + step.json)
		plainWithout.expect(step.json)
		assert.Contains(t, poll(), step.event, step.name)
		if step.compressed {
			runs += 2
		}
		assert.Equal(t, runs, h.Compressed(), "%s: once for each kind of client", step.name)
	}

	require.NoError(t, hub.Emit("b", make([]byte, 1000)))
	with.expect("451-[", "z:\x00\x00")
	without.expect("451-[", "\x00\x00")
	plainWith.expect(`z:{"event":"b","data":"AAAA`)
	plainWithout.expect(`{"event":"b","data":"AAAA`)

	with.send(`427["ask"]`)
	with.expect(`z:437["all the same`)
	plainWith.send(`{"event":"ask","cid":1}`)
	plainWith.expect(`z:{"rid":1,"data":"all the same`)
}

// dialPoll brings a polling client in, and returns what polls.
func dialPoll(t *testing.T, h http.Handler) (poll func() string) {
	t.Helper()
	do := func(method, query, body string) string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "/socket.io/?EIO=4&transport=polling"+query, strings.NewReader(body)))
		require.Equal(t, http.StatusOK, w.Code)
		return w.Body.String()
	}
	open := do(http.MethodGet, "", "")
	_, rest, ok := strings.Cut(open, `"sid":"`)
	require.True(t, ok, open)
	sid := "&sid=" + rest[:20]
	require.Equal(t, "ok", do(http.MethodPost, sid, "40"))
	require.Contains(t, do(http.MethodGet, sid, ""), "40{")
	t.Cleanup(func() { do(http.MethodPost, sid, "1") })
	return func() string { return do(http.MethodGet, sid, "") }
}

// Without the option nothing is negotiated, and compressed messages are none.
func TestNoCompressionByDefault(t *testing.T) {
	long := strings.Repeat("all the same ", 100)
	h, _ := newHandler(t, thinkws.On("open", func(c *thinkws.Context) error { return c.Emit("e", long) }))
	m := serveMemory(t, h.WebSocket())
	c := dialDeflate(t, m, "/ws", "permessage-deflate")
	c.expect(`{"event":"e","data":"all the same`)
}

// What a client sends compressed is bounded by what it unpacks to.
func TestCompressedMessageIsBounded(t *testing.T) {
	h, _ := newHandler(t, thinkws.WithCompression(1024), thinkws.WithMaxMessage(10_000),
		thinkws.On("e", func(c *thinkws.Context) error { return c.Emit("got", len(c.WsData())) }))
	m := serveMemory(t, h.WebSocket())
	c := dialDeflate(t, m, "/ws", "permessage-deflate")
	for _, size := range []int{9_000, 11_000} {
		c.sendDeflated(fmt.Sprintf(`{"event":"e","data":"%s"}`, strings.Repeat("x", size)))
		if size < 10_000 {
			c.expect(`{"event":"got","data":9002}`)
			continue
		}
		c.expect("\x03\xf1") // 1009
	}
}

// The largest limit there is admits messages, also those that grow while they come in.
func TestMessagesWithoutALimit(t *testing.T) {
	for _, limit := range []int64{math.MaxInt32, 1 << 32, math.MaxInt64} {
		h, _ := newHandler(t, thinkws.WithCompression(1024), thinkws.WithMaxMessage(limit),
			thinkws.On("e", func(c *thinkws.Context) error { return c.Ack(len(c.WsData())) }))
		c := dialDeflate(t, serveMemory(t, h.WebSocket()), "/ws", "permessage-deflate")
		c.sendDeflated(`{"event":"e","cid":1,"data":"` + strings.Repeat("x", 10_000) + `"}`)
		c.expect(`{"rid":1,"data":10002}`)

		server := httptest.NewServer(h.Middleware(http.NotFoundHandler()))
		t.Cleanup(server.Close)
		for _, m := range roomOfAllKinds(t, server.URL) {
			m.say("e", strings.Repeat("x", 10_000))
			assert.Equal(t, 1, m.acks(), m.name)
		}
	}
}
