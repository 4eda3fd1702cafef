package variant

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// front is a listener of the server. Clients connect to its address.
type front struct {
	net.Listener              // of the server
	clients      net.Listener // of TCP
	dial         func() (net.Conn, error)
}

func newFront(server net.Listener, dial func() (net.Conn, error)) (net.Listener, error) {
	clients, err := loopback()
	if err != nil {
		return nil, errors.Join(err, server.Close())
	}
	f := &front{server, clients, dial}
	go f.run()
	return f, nil
}

func (f *front) Addr() net.Addr { return f.clients.Addr() }

func (f *front) Close() error { return errors.Join(f.clients.Close(), f.Listener.Close()) }

// run ends with Close.
func (f *front) run() {
	for {
		client, err := f.clients.Accept()
		if err != nil {
			return
		}
		go f.serve(client)
	}
}

// serve passes everything on until both directions have ended.
func (f *front) serve(client net.Conn) {
	server, err := f.dial()
	if err != nil {
		reset(client)
		return
	}
	var broken atomic.Bool // one of the two ends cannot be written to any more
	var directions sync.WaitGroup
	directions.Go(func() { pass(server, client, &broken) })
	directions.Go(func() { pass(client, server, &broken) })
	directions.Wait()
	if broken.Load() {
		reset(client)
		reset(server)
		return
	}
	client.Close()
	server.Close()
}

// pass copies until from ends or to is broken. If from was reset, to is reset at once. If to is broken, what it has
// sent before is still passed on in the other direction.
func pass(to, from net.Conn, broken *atomic.Bool) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				broken.Store(true)
				return
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe):
			closeWrite(to)
			return
		default:
			broken.Store(true)
			reset(to)
			return
		}
	}
}

// closeWrite ends one direction of c, or both where there is no other way.
func closeWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // fails on a broken connection only, which the other direction meets
		return
	}
	c.Close()
}

// reset closes c without a word of farewell, where the network can do that.
func reset(c net.Conn) {
	if secure, ok := c.(interface{ NetConn() net.Conn }); ok { // *tls.Conn
		c = secure.NetConn()
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails on a closed connection only
	}
	c.Close()
}
