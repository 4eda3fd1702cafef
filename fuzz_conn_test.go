package thinkws_test

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// What a connection in memory holds in one direction before its writer has to wait.
const pipeBuffer = 16 << 10

// pipe is one direction of a connection in memory. Unlike net.Pipe it has a buffer, so that
// who writes and reads in turn gets along without goroutines.
type pipe struct {
	mu       sync.Mutex // protects what follows
	changed  sync.Cond
	data     []byte
	readErr  error // comes once data is empty
	writeErr error
	reader   limit
	writer   limit
}

// limit is a deadline.
type limit struct {
	at    time.Time
	timer *time.Timer
}

func (l *limit) over() bool { return !l.at.IsZero() && !time.Now().Before(l.at) }

func newPipe() *pipe {
	p := &pipe{}
	p.changed.L = &p.mu
	return p
}

// until sets a deadline of the pipe.
func (p *pipe) until(l *limit, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	l.at = at
	if !at.IsZero() {
		l.timer = time.AfterFunc(time.Until(at), func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.changed.Broadcast()
		})
	}
	p.changed.Broadcast()
}

func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.reader.over():
			return 0, os.ErrDeadlineExceeded
		case len(p.data) > 0:
			n := copy(b, p.data)
			p.data = p.data[n:]
			p.changed.Broadcast()
			return n, nil
		case p.readErr != nil:
			return 0, p.readErr
		case len(b) == 0:
			return 0, nil
		}
		p.changed.Wait()
	}
}

func (p *pipe) write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.writer.over():
			return n, os.ErrDeadlineExceeded
		case p.writeErr != nil:
			return n, p.writeErr
		case len(b) == 0:
			return n, nil
		}
		if some := min(len(b), pipeBuffer-len(p.data)); some > 0 {
			p.data = append(p.data, b[:some]...)
			b, n = b[some:], n+some
			p.changed.Broadcast()
			continue
		}
		p.changed.Wait()
	}
}

// take returns what is there, without waiting for more.
func (p *pipe) take() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	data := p.data
	p.data = nil
	p.changed.Broadcast()
	return data
}

// end says what reads and writes come to from now on. What is there already can be read,
// unless it is lost.
func (p *pipe) end(readErr, writeErr error, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.readErr == nil || readErr == net.ErrClosed {
		p.readErr = readErr
	}
	if p.writeErr == nil || writeErr == net.ErrClosed {
		p.writeErr = writeErr
	}
	if lost {
		p.data = nil
	}
	p.changed.Broadcast()
}

// pipeConn is one end of a connection in memory.
type pipeConn struct{ in, out *pipe }

func newPipeConn() (client, server *pipeConn) {
	a, b := newPipe(), newPipe()
	return &pipeConn{a, b}, &pipeConn{b, a}
}

func (c *pipeConn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *pipeConn) Write(b []byte) (int, error) { return c.out.write(b) }

// Close is what ends a connection in order.
func (c *pipeConn) Close() error {
	c.out.end(io.EOF, net.ErrClosed, false)
	c.in.end(net.ErrClosed, syscall.EPIPE, true)
	return nil
}

// CloseWrite ends one direction.
func (c *pipeConn) CloseWrite() error {
	c.out.end(io.EOF, net.ErrClosed, false)
	return nil
}

// Reset is what a RST does.
func (c *pipeConn) Reset() {
	c.out.end(syscall.ECONNRESET, net.ErrClosed, true)
	c.in.end(net.ErrClosed, syscall.ECONNRESET, true)
}

func (c *pipeConn) LocalAddr() net.Addr  { return &net.UnixAddr{Name: "memory"} }
func (c *pipeConn) RemoteAddr() net.Addr { return &net.UnixAddr{Name: "memory"} }

func (c *pipeConn) SetDeadline(at time.Time) error {
	_ = c.SetReadDeadline(at)
	return c.SetWriteDeadline(at)
}

func (c *pipeConn) SetReadDeadline(at time.Time) error {
	c.in.until(&c.in.reader, at)
	return nil
}

func (c *pipeConn) SetWriteDeadline(at time.Time) error {
	c.out.until(&c.out.writer, at)
	return nil
}
