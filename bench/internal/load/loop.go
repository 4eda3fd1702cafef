package load

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Loop is an epoll and its connections.
type Loop struct {
	epoll  int
	conns  map[int32]*conn // by descriptor
	events []unix.EpollEvent
	buf    []byte // what one read(2) takes
	clear  []byte // what one record of TLS holds
	err    error  // ends Run
}

// receiver is what stands behind a conn.
type receiver interface {
	// receive takes as many whole messages from data as it holds, and says how many bytes
	// these were. The rest comes again, with more behind it.
	receive(data []byte) (used int, err error)
	// closed tells that the server has ended the connection.
	closed(err error)
}

// conn is a socket.
type conn struct {
	loop *Loop
	fd   int
	to   receiver
	in   []byte  // the beginning of a message whose rest has not come
	out  []byte  // what the socket has not taken
	deaf bool    // never read from
	tls  *secure // nil without TLS
}

// NewLoop makes a Loop. Close frees it.
func NewLoop() (*Loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	return &Loop{
		epoll: epoll, conns: map[int32]*conn{},
		events: make([]unix.EpollEvent, 256), buf: make([]byte, 256<<10), clear: make([]byte, 16<<10),
	}, nil
}

// Close cuts all connections.
func (l *Loop) Close() {
	for _, c := range l.conns {
		c.cut()
	}
	_ = unix.Close(l.epoll)
}

// dial connects, with TLS if config is not nil. The connect(2) blocks, which on loopback takes no time
// while the server's backlog has room. The handshake of TLS blocks too.
func (l *Loop) dial(address netip.AddrPort, source [4]byte, config *tls.Config, to receiver) (*conn, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	c := &conn{loop: l, fd: fd, to: to}
	if err := c.connect(address, source, config); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	l.conns[int32(fd)] = c
	return c, nil
}

func (c *conn) connect(address netip.AddrPort, source [4]byte, config *tls.Config) error {
	// The port is chosen by connect, so that each source address has all ports.
	_ = unix.SetsockoptInt(c.fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	if err := unix.Bind(c.fd, &unix.SockaddrInet4{Addr: source}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if err := unix.Connect(c.fd, &unix.SockaddrInet4{Addr: address.Addr().As4(), Port: int(address.Port())}); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	// Cut connections vanish at once and leave no port in TIME_WAIT.
	_ = unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	_ = unix.SetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if config != nil {
		if err := c.secure(config); err != nil {
			return err
		}
	}
	if err := unix.SetNonblock(c.fd, true); err != nil {
		return fmt.Errorf("set non-blocking: %w", err)
	}
	return c.watch(unix.EPOLL_CTL_ADD, unix.EPOLLIN)
}

func (c *conn) watch(op int, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(c.fd)}
	if err := unix.EpollCtl(c.loop.epoll, op, c.fd, &ev); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// cut ends the connection with a reset.
func (c *conn) cut() {
	if c.fd < 0 {
		return
	}
	delete(c.loop.conns, int32(c.fd))
	_ = unix.Close(c.fd)
	c.fd = -1
}

// ignore leaves in the socket whatever the server sends.
func (c *conn) ignore() error {
	c.deaf = true
	_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096)
	return c.watch(unix.EPOLL_CTL_MOD, 0)
}

// write sends data.
func (c *conn) write(data []byte) {
	if c.tls == nil {
		c.send(data)
		return
	}
	_, _ = c.tls.tls.Write(data) // never fails, see secure
}

// send writes data to the socket, now or later.
func (c *conn) send(data []byte) {
	if c.fd < 0 {
		return
	}
	if len(c.out) > 0 {
		c.out = append(c.out, data...)
		return
	}
	n := c.try(data)
	if n < 0 || n == len(data) {
		return
	}
	c.out = append(c.out, data[n:]...)
	if err := c.watch(unix.EPOLL_CTL_MOD, unix.EPOLLIN|unix.EPOLLOUT); err != nil {
		c.fail(err)
	}
}

// try writes what the socket takes; -1 if the connection has failed.
func (c *conn) try(data []byte) int {
	n, err := write(c.fd, data)
	switch {
	case err == 0:
		return n
	case err == unix.EAGAIN || err == unix.EINTR:
		return 0
	}
	c.fail(fmt.Errorf("write: %w", err))
	return -1
}

func (c *conn) flush() {
	if len(c.out) == 0 {
		return // the event was meant for a connection that had this descriptor before
	}
	n := c.try(c.out)
	if n < 0 {
		return
	}
	if c.out = c.out[n:]; len(c.out) > 0 {
		return
	}
	c.out = nil
	if err := c.watch(unix.EPOLL_CTL_MOD, unix.EPOLLIN); err != nil {
		c.fail(err)
	}
}

func (c *conn) fail(err error) {
	if c.fd < 0 {
		return
	}
	c.cut()
	c.to.closed(err)
}

var errEnded = errors.New("the server closed the connection")

func (c *conn) readable() {
	n, err := read(c.fd, c.loop.buf)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
	case err != 0:
		c.fail(fmt.Errorf("read: %w", err))
	case n == 0:
		c.fail(errEnded)
	case c.tls != nil:
		if err := c.tls.decrypt(c.loop.buf[:n]); err != nil {
			c.fail(fmt.Errorf("TLS: %w", err))
		}
	default:
		c.feed(c.loop.buf[:n])
	}
}

// feed hands over what has come, behind what was left from before.
func (c *conn) feed(data []byte) {
	pieced := len(c.in) > 0
	if pieced {
		c.in = append(c.in, data...)
		data = c.in
	}
	used, err := c.to.receive(data)
	if err != nil {
		c.fail(err)
		return
	}
	if pieced {
		c.in = append(c.in[:0], data[used:]...)
	} else if used < len(data) {
		c.in = append(c.in, data[used:]...)
	}
}

// stop makes Run return err.
func (l *Loop) stop(err error) {
	if l.err == nil {
		l.err = err
	}
}

// turn waits for events, at most until deadline, and handles them.
func (l *Loop) turn(deadline time.Time) error {
	wait := time.Until(deadline)
	n, err := unix.EpollWait(l.epoll, l.events, max(0, int((wait+time.Millisecond-1)/time.Millisecond)))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("epoll_wait: %w", err)
	}
	for i := range max(n, 0) {
		ev := &l.events[i]
		c := l.conns[ev.Fd]
		if c == nil {
			continue
		}
		if ev.Events&unix.EPOLLOUT != 0 {
			c.flush()
		}
		if ev.Events&^uint32(unix.EPOLLOUT) != 0 && c.fd >= 0 {
			c.hear(ev.Events)
		}
	}
	return l.err
}

func (c *conn) hear(events uint32) {
	if !c.deaf {
		c.readable()
	} else if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		c.fail(errEnded)
	}
}

// run handles events until deadline.
func (l *Loop) run(deadline time.Time) error {
	for time.Now().Before(deadline) {
		if err := l.turn(deadline); err != nil {
			return err
		}
	}
	return nil
}

// until handles events until done says so; later than deadline is an error.
func (l *Loop) until(deadline time.Time, what string, done func() bool) error {
	for !done() {
		if !time.Now().Before(deadline) {
			return fmt.Errorf("%s: not done in time", what)
		}
		if err := l.turn(deadline); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}
