package wsconn_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// unsentBound returns how much the kernel holds for the peer of a TCP connection that it cannot send.
func unsentBound(t *testing.T, nc net.Conn) (bound int) {
	t.Helper()
	raw, err := nc.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		bound, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
	}))
	require.NoError(t, err)
	return bound
}

// A client that does not read fills our queue, not megabytes of the kernel's memory before it.
func TestKernelTakesLittle(t *testing.T) {
	cfg := config()
	cfg.Slow = session.SlowDropNewest
	client, server := tcp(t)
	require.NoError(t, client.(*net.TCPConn).SetReadBuffer(16<<10))
	c := accept(t, cfg, server, nil)
	h := newRecorder()
	c.Serve(h)
	sent := 0
	var err error
	for message := strings.Repeat("x", 10<<10); err == nil; sent += len(message) {
		err = c.Send(text(message))
	}
	require.ErrorIs(t, err, session.ErrDropped)
	assert.Greater(t, sent, cfg.Queue)
	assert.Less(t, sent, cfg.Queue+512<<10)
	require.NoError(t, client.(*net.TCPConn).SetLinger(0))
	require.NoError(t, client.Close())
	h.end(t)
	wait(t, cfg)
}

// The bound makes each write slower, so only connections that have fallen behind have it. That of TLS is on the socket
// below.
func TestOnlyConnectionsBehindAreBounded(t *testing.T) {
	for name, network := range map[string]func(*testing.T) (client, server, socket net.Conn){
		"TCP": func(t *testing.T) (client, server, socket net.Conn) {
			client, server = tcp(t)
			return client, server, server
		},
		"TLS": func(t *testing.T) (client, server, socket net.Conn) {
			below, socket := tcp(t)
			client, server = secure(t, below, socket)
			return client, server, socket
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config()
			cfg.Queue = 64 << 20
			client, server, socket := network(t)
			c := accept(t, cfg, server, nil)
			h := newRecorder()
			c.Serve(h)
			message := strings.Repeat("x", 10<<10)
			exchange := func() {
				for range 20 {
					require.NoError(t, c.Send(text(message)))
					expect(t, client, frame{fin | opText, message})
				}
			}
			usual := unsentBound(t, socket)
			require.NotEqual(t, 64<<10, usual)
			exchange()
			assert.Equal(t, usual, unsentBound(t, socket))
			n := 0
			for ; c.Held() < 1<<20; n++ {
				require.NoError(t, c.Send(text(message)))
			}
			require.Eventually(t, func() bool { return unsentBound(t, socket) == 64<<10 }, time.Minute, time.Millisecond)
			for range n {
				expect(t, client, frame{fin | opText, message})
			}
			exchange()
			assert.NotEqual(t, 64<<10, unsentBound(t, socket))
			require.NoError(t, client.Close())
			h.end(t)
			wait(t, cfg)
		})
	}
}
