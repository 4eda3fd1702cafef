//go:build unix

package wsconn

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// chunkSize is how much is read from a socket at a time, in bytes. Only sockets with bytes to be read have a chunk.
const chunkSize = 16 << 10

var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// socket reads and writes a TCP connection with single system calls, so that an idle
// one holds no buffer, and a write that would have to wait does not. Its read side has one
// user at a time, its write side another.
type socket struct {
	raw    syscall.RawConn
	onRead func(fd uintptr) bool // s.readOnce, made once

	chunk *[chunkSize]byte // nil while there is nothing in it
	n     int
	err   error
}

// newSocket returns nil for a connection that is no plain TCP.
func newSocket(nc net.Conn) *socket {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	s := &socket{raw: raw}
	s.onRead = s.readOnce
	return s
}

// read waits until there is something to read and returns it. It stays valid until
// release.
func (s *socket) read() ([]byte, error) {
	s.n, s.err = 0, nil
	if err := s.raw.Read(s.onRead); err != nil {
		s.release()
		return nil, err
	}
	if s.err != nil || s.n == 0 {
		s.release()
		if s.err == nil {
			return nil, io.EOF
		}
		return nil, os.NewSyscallError("read", s.err)
	}
	letOthersRun(s.n, chunkSize)
	return s.chunk[:s.n], nil
}

// readOnce is called when the socket may be readable, and false waits until it is.
func (s *socket) readOnce(fd uintptr) bool {
	if s.chunk == nil {
		s.chunk, _ = chunks.Get().(*[chunkSize]byte)
	}
	for {
		s.n, s.err = syscall.Read(int(fd), s.chunk[:])
		switch {
		case errors.Is(s.err, syscall.EINTR):
		case errors.Is(s.err, syscall.EAGAIN):
			s.release()
			return false
		default:
			s.n = max(s.n, 0)
			return true
		}
	}
}

func (s *socket) release() {
	if s.chunk != nil {
		chunks.Put(s.chunk)
		s.chunk = nil
	}
}

// attempt is one write that does not wait. They are lent out, so that none needs memory.
type attempt struct {
	p   []byte
	n   int
	err error
	do  func(fd uintptr) bool // a.write, made once
}

var attempts = sync.Pool{New: func() any {
	a := new(attempt)
	a.do = a.write
	return a
}}

func (a *attempt) write(fd uintptr) bool {
	for {
		a.n, a.err = syscall.Write(int(fd), a.p)
		if !errors.Is(a.err, syscall.EINTR) {
			return true
		}
	}
}

// write writes as much of p as the socket takes at once.
func (s *socket) write(p []byte) (n int, err error) {
	a, _ := attempts.Get().(*attempt)
	a.p = p
	err = s.raw.Write(a.do)
	n, failed := max(a.n, 0), a.err
	a.p, a.n, a.err = nil, 0, nil
	attempts.Put(a)
	switch {
	case err != nil:
		return 0, err
	case errors.Is(failed, syscall.EAGAIN):
		return 0, nil
	case failed != nil:
		return 0, os.NewSyscallError("write", failed)
	}
	return n, nil
}
