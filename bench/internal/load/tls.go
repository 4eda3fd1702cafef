package load

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// secure is the TLS layer of a conn. crypto/tls reads from and writes to it as if it were a socket.
// The handshake blocks. After it, Read returns what the loop has read, or errWait, after which
// crypto/tls can go on; Write never fails, because the conn keeps what the socket does not take.
type secure struct {
	conn    *conn
	tls     *tls.Conn
	arrived []byte // read by the loop, not yet by crypto/tls
	open    bool   // the handshake is done
}

// handshakeTime bounds one handshake.
const handshakeTime = 10 * time.Second

// secure runs the handshake. The socket must block.
func (c *conn) secure(config *tls.Config) error {
	limit := unix.NsecToTimeval(handshakeTime.Nanoseconds())
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, option, &limit); err != nil {
			return fmt.Errorf("setsockopt: %w", err)
		}
	}
	s := &secure{conn: c}
	s.tls = tls.Client(s, config)
	if err := s.tls.Handshake(); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	s.open = true
	c.tls = s
	return nil
}

// waitError is a net.Error that crypto/tls does not keep: reading can go on later.
type waitError struct{}

func (waitError) Error() string   { return "nothing to read yet" }
func (waitError) Timeout() bool   { return true }
func (waitError) Temporary() bool { return true }

var errWait net.Error = waitError{}

// Read implements net.Conn.
func (s *secure) Read(p []byte) (int, error) {
	if !s.open {
		n, err := retried(func() (int, error) { return unix.Read(s.conn.fd, p) })
		if err == nil && n == 0 {
			err = errEnded
		}
		return max(n, 0), err
	}
	if len(s.arrived) == 0 {
		return 0, errWait
	}
	n := copy(p, s.arrived)
	s.arrived = s.arrived[n:]
	return n, nil
}

// Write implements net.Conn.
func (s *secure) Write(p []byte) (int, error) {
	if s.open {
		s.conn.send(p)
		return len(p), nil
	}
	for written := 0; written < len(p); {
		n, err := retried(func() (int, error) { return unix.Write(s.conn.fd, p[written:]) })
		if err != nil {
			return written, err
		}
		written += n
	}
	return len(p), nil
}

// retried repeats a call that a signal has interrupted: with SO_RCVTIMEO the kernel does not.
func retried(call func() (int, error)) (n int, err error) {
	for {
		if n, err = call(); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// decrypt hands over what crypto/tls makes of data.
func (s *secure) decrypt(data []byte) error {
	s.arrived = data
	for s.conn.fd >= 0 {
		n, err := s.tls.Read(s.conn.loop.clear)
		if n > 0 {
			s.conn.feed(s.conn.loop.clear[:n])
		}
		if errors.Is(err, errWait) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Close implements net.Conn: the loop closes the socket.
func (s *secure) Close() error { return nil }

// LocalAddr implements net.Conn.
func (s *secure) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPort{}) }

// RemoteAddr implements net.Conn.
func (s *secure) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPort{}) }

// SetDeadline implements net.Conn.
func (s *secure) SetDeadline(time.Time) error { return os.ErrNoDeadline }

// SetReadDeadline implements net.Conn.
func (s *secure) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// SetWriteDeadline implements net.Conn.
func (s *secure) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
