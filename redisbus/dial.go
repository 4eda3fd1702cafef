package redisbus

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/guard"
)

// dialTimeout bounds an attempt to connect. It is shorter than the default of go-redis, so that
// a server that hangs is noticed while the loss can still be made good.
const dialTimeout = time.Second

// dialFunc is the type of a Dialer in options of go-redis.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer opens the connections of one client of ours, and can close all of them.
//
// A dial that fails returns a connection on which everything fails with the same error. go-redis
// logs a failed dial to stderr, through a logger that the whole process shares, and then refuses
// to connect for up to a second. It does neither when the handshake fails.
type dialer struct {
	next dialFunc

	mu         sync.Mutex // protects what follows
	open       map[net.Conn]struct{}
	generation uint64 // counts the calls of closeAll
}

func newDialer(next dialFunc) *dialer {
	return &dialer{next: next, open: map[net.Conn]struct{}{}}
}

// Dial is a Dialer for options of go-redis.
func (d *dialer) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if used, ok := ctx.Value(oneDial{}).(*atomic.Bool); ok && used.Swap(true) {
		return failedConn{errDialed}, nil
	}
	generation := d.current()
	conn, err := d.dial(ctx, network, addr)
	if err != nil {
		return failedConn{err}, nil //nolint:nilerr // the connection has the error, see dialer
	}
	return d.track(conn, generation), nil
}

func (d *dialer) current() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.generation
}

// dial calls the next dialer for at most dialTimeout. The dialers of go-redis for TLS and for
// Sentinel, and those of services, may not look at their context.
func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	results := make(chan dialed, 1)
	go func() {
		defer cancel()
		results <- d.call(ctx, network, addr)
	}()
	select {
	case result := <-results:
		return result.conn, result.err
	case <-ctx.Done():
	}
	select {
	case result := <-results: // both were there
		return result.conn, result.err
	default:
	}
	go func() {
		if late := <-results; late.conn != nil {
			late.conn.Close()
		}
	}()
	return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
}

// dialed is what a dialer has returned.
type dialed struct {
	conn net.Conn
	err  error
}

// call survives a dialer of the service that panics or ends its goroutine.
func (d *dialer) call(ctx context.Context, network, addr string) (result dialed) {
	if mistake := guard.Call(func() { result.conn, result.err = d.next(ctx, network, addr) }); mistake != nil {
		return dialed{err: mistake}
	}
	return result
}

// track returns conn, which closeAll can close. A connection that was being opened when closeAll was called is closed:
// it may lead to the server that was left.
func (d *dialer) track(conn net.Conn, generation uint64) net.Conn {
	tracked := trackedConn{conn, d}
	d.mu.Lock()
	stale := d.generation != generation
	if !stale {
		d.open[conn] = struct{}{}
	}
	d.mu.Unlock()
	if stale {
		_ = conn.Close() // nobody uses it
		return failedConn{errDialed}
	}
	if raw, ok := conn.(syscall.Conn); ok {
		return rawConn{tracked, raw}
	}
	return tracked
}

// closeAll closes every open connection.
func (d *dialer) closeAll() {
	d.mu.Lock()
	open := d.open
	d.open = map[net.Conn]struct{}{}
	d.generation++
	d.mu.Unlock()
	for conn := range open {
		conn.Close()
	}
}

// trackedConn is an open connection.
type trackedConn struct {
	net.Conn
	dialer *dialer
}

// Close implements net.Conn.
func (c trackedConn) Close() error {
	c.dialer.mu.Lock()
	delete(c.dialer.open, c.Conn)
	c.dialer.mu.Unlock()
	return c.Conn.Close()
}

// rawConn is one without TLS. go-redis looks at its socket before using it again, and so notices
// that the server has closed it. With TLS it must not.
type rawConn struct {
	trackedConn
	syscall.Conn
}

// failedConn is a connection that could not be opened.
type failedConn struct{ err error }

func (c failedConn) Read([]byte) (int, error)       { return 0, c.err }
func (c failedConn) Write([]byte) (int, error)      { return 0, c.err }
func (failedConn) Close() error                     { return nil }
func (failedConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (failedConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (failedConn) SetDeadline(time.Time) error      { return nil }
func (failedConn) SetReadDeadline(time.Time) error  { return nil }
func (failedConn) SetWriteDeadline(time.Time) error { return nil }

// oneDial is the key of a context in which a dialer dials once.
type oneDial struct{}

var errDialed = errors.New("redisbus: the connection has ended")

// withOneDial is for a PubSub of go-redis: after an error it would connect again by itself, and
// subscribe to everything by one command.
func withOneDial(ctx context.Context) context.Context {
	return context.WithValue(ctx, oneDial{}, &atomic.Bool{})
}
