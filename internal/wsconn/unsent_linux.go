package wsconn

import (
	"net"
	"syscall"
)

// unsent is how much the kernel takes for a peer beyond what it can send on, in bytes. Without
// such a bound it takes megabytes for one that does not read (net.ipv4.tcp_wmem), a thousand
// of these are more than it has for all connections of the machine (net.ipv4.tcp_mem), and then
// it drops what others send. What waits beyond waits in our queue, where it is bounded and shared.
const unsent = 64 << 10

const notSentLowAt = 25 // TCP_NOTSENT_LOWAT, which package syscall does not have

// boundUnsent does nothing where nc is no TCP.
func boundUnsent(nc net.Conn) {
	if secure, ok := nc.(interface{ NetConn() net.Conn }); ok { // *tls.Conn
		nc = secure.NetConn()
	}
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, notSentLowAt, unsent) // then it has no bound
	})
}
