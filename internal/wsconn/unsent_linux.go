package wsconn

import (
	"net"

	"golang.org/x/sys/unix"
)

// boundUnsent bounds what the kernel takes if a TCP connection has fallen behind, and takes the bound away otherwise:
// it makes each write slower. It returns whether there is a bound now.
func boundUnsent(nc net.Conn, bounded bool) bool {
	if secure, ok := nc.(interface{ NetConn() net.Conn }); ok { // *tls.Conn
		nc = secure.NetConn()
	}
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return bounded
	}
	_ = raw.Control(func(fd uintptr) { // fails on a closed connection only
		waits, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQNSD)
		if behind := waits >= unsent; err == nil && behind != bounded {
			bound := 0 // that of the system
			if behind {
				bound = unsent
			}
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bound)
			bounded = behind
		}
	})
	return bounded
}
