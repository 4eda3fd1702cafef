//go:build !mips && !mipsle && !mips64 && !mips64le

package stickiness

import (
	"context"
	"net"
	"syscall"
)

// soReusePort is SO_REUSEPORT, which package syscall lacks on most of Linux.
const soReusePort = 0xf

// ListenReusePort listens on an address that other processes of the same user listen on in
// the same way: the kernel gives each new connection to one of them. Requests of one session
// come to any of them then, so they need [Forward], over a [Dir] for one. It is for Linux;
// elsewhere it returns [ErrReusePort].
func ListenReusePort(ctx context.Context, network, address string) (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, conn syscall.RawConn) error {
		var err error
		if failed := conn.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soReusePort, 1)
		}); failed != nil {
			return failed
		}
		return err
	}}
	return config.Listen(ctx, network, address)
}
