package thinkws_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// memory is a listener whose connections are in-memory pipes: as many as a test
// wants, and time in a synctest bubble passes at once while all wait.
type memory struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newMemory() *memory { return &memory{conns: make(chan net.Conn), done: make(chan struct{})} }

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.done:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { m.once.Do(func() { close(m.done) }); return nil }
func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

func (m *memory) dial(t *testing.T) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	select {
	case m.conns <- server:
	case <-time.After(time.Minute):
		require.FailNow(t, "nobody accepts")
	}
	return client
}

// serveMemory serves h on a memory listener until the test ends.
func serveMemory(t *testing.T, h http.Handler) *memory {
	m := newMemory()
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(m) })
	t.Cleanup(func() {
		_ = server.Close()
		wg.Wait()
	})
	return m
}

// rawWS is a WebSocket client made by hand, so that tests decide what goes into
// which write.
type rawWS struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// upgradeRequest is a WebSocket handshake.
func upgradeRequest(target, header string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" + header + "\r\n"
}

// upgrade sends a handshake with frames right behind it, all in one write, and reads the 101.
func upgrade(t *testing.T, conn net.Conn, target string, frames ...string) *rawWS {
	t.Helper()
	out := upgradeRequest(target, "")
	for _, f := range frames {
		out += string(maskedFrame(1, f))
	}
	ws := &rawWS{t: t, conn: conn, in: bufio.NewReaderSize(conn, 256)}
	written := make(chan error, 1)
	go func() { _, err := io.WriteString(conn, out); written <- err }()
	res, err := http.ReadResponse(ws.in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	require.NoError(t, <-written)
	return ws
}

// maskedFrame is a frame as clients write it.
func maskedFrame(opcode byte, payload string) []byte {
	frame := []byte{0x80 | opcode}
	switch n := len(payload); {
	case n < 126:
		frame = append(frame, 0x80|byte(n))
	case n < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, 0x80|126), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 0x80|127), uint64(n))
	}
	return append(append(frame, 0, 0, 0, 0), payload...) // a mask of zeros masks nothing
}

func (ws *rawWS) send(text string) { ws.write(maskedFrame(1, text)) }

func (ws *rawWS) write(p []byte) {
	ws.t.Helper()
	_, err := ws.conn.Write(p)
	require.NoError(ws.t, err)
}

// read returns the next frame as nextFrame does, or "gone".
func (ws *rawWS) read() string {
	ws.t.Helper()
	require.NoError(ws.t, ws.conn.SetReadDeadline(time.Now().Add(time.Minute)))
	frame, err := nextFrame(ws.in)
	if err != nil {
		return "gone"
	}
	return frame
}

// nextFrame reads a frame of the server: the text, or "close 1005", "binary:…" and
// the like.
func nextFrame(in io.Reader) (string, error) {
	var head [2]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return "", err
	}
	n := uint64(head[1] & 0x7f)
	if n >= 126 {
		var size [8]byte
		short := size[6:]
		if n == 127 {
			short = size[:]
		}
		if _, err := io.ReadFull(in, short); err != nil {
			return "", err
		}
		n = binary.BigEndian.Uint64(size[:])
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(in, payload); err != nil {
		return "", err
	}
	switch head[0] & 0x0f {
	case 1:
		return string(payload), nil
	case 8:
		if n < 2 {
			return "close 1005", nil
		}
		return fmt.Sprintf("close %d", binary.BigEndian.Uint16(payload)), nil
	case 9:
		return "ping", nil
	}
	return "binary:" + string(payload), nil
}

// expect reads frames and compares how they begin.
func (ws *rawWS) expect(prefixes ...string) {
	ws.t.Helper()
	for _, want := range prefixes {
		got := ws.read()
		require.True(ws.t, strings.HasPrefix(got, want), "got %q, want %q…", got, want)
	}
}
