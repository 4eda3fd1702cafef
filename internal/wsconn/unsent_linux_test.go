package wsconn_test

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Who does not read fills our queue, not megabytes of the kernel's memory before it.
func TestKernelTakesLittle(t *testing.T) {
	cfg := config()
	client, server := tcp(t)
	require.NoError(t, client.(*net.TCPConn).SetReadBuffer(16<<10))
	c := accept(t, cfg, server, nil)
	h := newRecorder()
	c.Serve(h)
	message := strings.Repeat("x", 10<<10)
	sent := 0
	var err error
	for ; err == nil; sent += len(message) {
		err = c.Send(text(message))
	}
	require.ErrorIs(t, err, session.ErrSlow)
	assert.Greater(t, sent, cfg.Queue.Bytes)
	assert.Less(t, sent, cfg.Queue.Bytes+512<<10)
	require.NoError(t, errors.Join(client.(*net.TCPConn).SetLinger(0), client.Close()))
	h.end(t)
	wait(t, cfg)
}

// The bound is that of the socket below.
func TestKernelTakesLittleOfTLS(t *testing.T) {
	cfg := config()
	client, server := tcp(t)
	c := accept(t, cfg, tls.Server(server, new(tls.Config)), nil)
	const notSentLowAt = 25
	raw, err := server.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	got := 0
	require.NoError(t, raw.Control(func(fd uintptr) {
		got, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, notSentLowAt)
	}))
	require.NoError(t, err)
	assert.Equal(t, 64<<10, got)
	h := newRecorder()
	c.Serve(h)
	require.NoError(t, client.Close())
	h.end(t)
	wait(t, cfg)
}
