// Package variant has what tests run with in more than one way: networks, and mechanisms of connections.
//
// Test clients speak plain TCP. They reach a server on another network through a front in the server's process:
//
//	client -- TCP --> front -- the network --> server
//
// The front passes bytes, the end of one direction and resets on, in both directions. TCP itself needs no front, and
// neither do wrapped connections.
package variant

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
)

// The networks that Listen knows.
const (
	TCP     = "tcp"
	TLS     = "tls"     // over TCP
	Unix    = "unix"    // a unix socket
	Wrapped = "wrapped" // TCP, whose type and further methods are hidden
	Pipe    = "pipe"    // net.Pipe
)

// Networks returns the names of all.
func Networks() []string { return []string{TCP, TLS, Unix, Wrapped, Pipe} }

// Listen returns a listener whose Accept returns connections of the named network; "" means TCP. Its address is one of
// TCP on loopback, to which clients connect.
func Listen(name string) (net.Listener, error) {
	switch name {
	case TCP, "":
		return loopback()
	case Wrapped:
		l, err := loopback()
		return wrapping{l}, err
	case TLS:
		return listenTLS()
	case Unix:
		return listenUnix()
	case Pipe:
		p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		return newFront(p, p.dial)
	default:
		return nil, fmt.Errorf("variant: network %q is not one of %q", name, Networks())
	}
}

func loopback() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

// Cut ends both directions of a connection that Accept of a Listen has returned, while others may use it. They read the
// end of the stream.
func Cut(conn net.Conn) {
	switch c := conn.(type) {
	case *tls.Conn:
		Cut(c.NetConn())
	case *hidden:
		Cut(c.Conn)
	case *piped:
		c.far.Close()
	case interface {
		CloseRead() error
		CloseWrite() error
	}:
		_ = c.CloseWrite() // fails on a closed connection only
		_ = c.CloseRead()
	}
}

// hidden is a connection of which nothing is known but that it is one.
type hidden struct{ net.Conn }

type wrapping struct{ net.Listener }

func (w wrapping) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &hidden{c}, nil
}

func listenTLS() (net.Listener, error) {
	server, client, err := configs()
	if err != nil {
		return nil, err
	}
	l, err := loopback()
	if err != nil {
		return nil, err
	}
	return newFront(tls.NewListener(l, server), func() (net.Conn, error) {
		return tls.Dial("tcp", l.Addr().String(), client)
	})
}

func listenUnix() (net.Listener, error) {
	dir, err := os.MkdirTemp("", "thinkws")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return newFront(&ephemeral{l, dir}, func() (net.Conn, error) { return net.Dial("unix", path) })
}

// ephemeral removes the directory of a unix socket.
type ephemeral struct {
	net.Listener
	dir string
}

func (e *ephemeral) Close() error { return errors.Join(e.Listener.Close(), os.RemoveAll(e.dir)) }

// pipes is a listener of net.Pipe.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// piped is the server's end of a pipe.
type piped struct {
	net.Conn
	far net.Conn
}

func (p *pipes) dial() (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- &piped{server, client}:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
