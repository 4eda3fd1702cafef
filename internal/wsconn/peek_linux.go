//go:build linux

package wsconn

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// Peek waits for a connection that is none of a WebSocket. It is for one use.
type Peek struct {
	raw   syscall.RawConn
	ready func(fd uintptr) bool // p.look, made beforehand
	one   [1]byte
	n     uintptr
	err   syscall.Errno
}

// NewPeek returns nil if nc is no plain TCP.
func NewPeek(nc net.Conn) *Peek {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	p := &Peek{raw: raw}
	p.ready = p.look
	return p
}

// Wait returns nil when there is something to be read, and takes nothing of it, or the
// error that reading would return. The smallest stack there is has room for it.
func (p *Peek) Wait() error {
	if err := p.raw.Read(p.ready); err != nil {
		return err
	}
	switch {
	case p.err != 0:
		return os.NewSyscallError("recvfrom", p.err)
	case p.n == 0:
		return io.EOF
	}
	return nil
}

// look is called when the socket may be readable, and false waits until it is.
func (p *Peek) look(fd uintptr) bool {
	for {
		// syscall.Recvfrom has an address on its stack, which is too much for a small one.
		p.n, _, p.err = syscall.Syscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&p.one)), 1, syscall.MSG_PEEK, 0, 0) //nolint:gosec // G103: as package syscall does it
		switch p.err {
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			return true
		}
	}
}
