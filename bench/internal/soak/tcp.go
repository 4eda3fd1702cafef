package soak

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// door is the way to a server: from which address, and how.
type door struct {
	server netip.AddrPort
	from   byte // the last byte of 127.0.0.0/24; 0 for what the kernel chooses
	narrow bool // with a receive buffer as small as possible, for clients that do not read
	short  bool // with a small send buffer, so that little is on its way
	wide   bool // much is read at a time
}

// dialTimeout bounds a connect, and each answer on the way in.
const dialTimeout = 20 * time.Second

// Sizes of buffers in bytes; the kernel doubles them.
const (
	narrowBuffer = 4 << 10
	shortBuffer  = 16 << 10
)

func (d door) dial(ctx context.Context) (*net.TCPConn, error) {
	dialer := net.Dialer{Timeout: dialTimeout, Control: d.control}
	if d.from != 0 {
		dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, d.from)}
	}
	conn, err := dialer.DialContext(ctx, "tcp4", d.server.String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// control lets connect choose the port, so that each source address has all ports.
func (d door) control(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if d.narrow {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, narrowBuffer)
		}
		if d.short {
			failed = errors.Join(failed, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, shortBuffer))
		}
	})
	if err != nil {
		return err
	}
	return failed
}

// reset ends a connection by RST.
func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0) // fails on a closed connection only
	_ = conn.Close()
}

// refusedError is an answer that is not what a client hopes for.
type refusedError struct {
	status int
	retry  bool // with Retry-After
	body   string
}

func (e *refusedError) Error() string { return fmt.Sprintf("answered %d %.100s", e.status, e.body) }

// byCap reports whether a limit of the server was reached, and whether it was said when to come again.
func (e *refusedError) byCap() (capped, polite bool) {
	capped = e.status == http.StatusTooManyRequests || e.status == http.StatusServiceUnavailable
	return capped, capped && e.retry
}

// httpConn is a keep-alive connection with one request under way at a time, and its successors.
type httpConn struct {
	busy sync.Mutex // held while a request of do is under way
	door door
	in   *bufio.Reader // of the connection
	used bool          // it has brought an answer
	over bool          // and no further one will come

	mu       sync.Mutex // protects what follows
	conn     *net.TCPConn
	deadline time.Time
	closed   bool
}

func (d door) dialHTTP(ctx context.Context) (*httpConn, error) {
	h := &httpConn{door: d}
	return h, h.dial(ctx)
}

func (h *httpConn) dial(ctx context.Context) error {
	conn, err := h.door.dial(ctx)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		_ = conn.Close()
		return net.ErrClosed
	}
	if h.conn != nil {
		_ = h.conn.Close()
	}
	h.in, h.used, h.over = bufio.NewReaderSize(conn, 1<<10), false, false
	h.conn = conn
	return conn.SetDeadline(h.deadline)
}

// lazyHTTP connects with the first request, for a server gives up connections that bring none.
func (d door) lazyHTTP() *httpConn { return &httpConn{door: d, over: true} }

// Write implements io.Writer.
func (h *httpConn) Write(p []byte) (int, error) { return h.conn.Write(p) }

func (h *httpConn) limit(at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deadline = at
	if h.conn != nil {
		_ = h.conn.SetDeadline(at) // fails on a closed connection only
	}
}

func (h *httpConn) end(end func(*net.TCPConn)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if h.conn != nil {
		end(h.conn)
	}
}

func (h *httpConn) reset() { h.end(reset) }

func (h *httpConn) close() {
	h.end(func(c *net.TCPConn) { _ = c.Close() }) // fails if it is closed already
}

// request is what goes over the wire.
func request(method, target, body string) string {
	if method == http.MethodPost {
		body = fmt.Sprintf("Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	} else {
		body = "\r\n"
	}
	return method + " " + target + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + body
}

// do returns the body of an answer with status 200 or 204. It waits for its turn.
func (h *httpConn) do(method, target, body string) (string, error) {
	h.busy.Lock()
	defer h.busy.Unlock()
	res, err := h.open(method, target, body)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	return string(answer), err
}

// open returns an answer with status 200 or 204, whose body is still to be read to its end.
func (h *httpConn) open(method, target, body string) (*http.Response, error) {
	if h.over {
		if err := h.dial(context.Background()); err != nil { // which is bounded
			return nil, err
		}
	}
	used := h.used
	res, err := h.try(method, target, body)
	if used && (errors.Is(err, errNoAnswer) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)) {
		// The server has closed a connection that was idle. Browsers take another one then.
		if err := h.dial(context.Background()); err != nil {
			return nil, err
		}
		return h.try(method, target, body)
	}
	return res, err
}

// errNoAnswer is the end of a connection before an answer has begun.
var errNoAnswer = errors.New("no answer")

func (h *httpConn) try(method, target, body string) (*http.Response, error) {
	if _, err := io.WriteString(h, request(method, target, body)); err != nil {
		return nil, err
	}
	if _, err := h.in.Peek(1); err != nil {
		if errors.Is(err, io.EOF) {
			err = errNoAnswer
		}
		return nil, err
	}
	res, err := http.ReadResponse(h.in, nil)
	if err != nil {
		return nil, err
	}
	h.used, h.over = true, res.Close
	if res.StatusCode == http.StatusOK || res.StatusCode == http.StatusNoContent {
		return res, nil
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	return nil, &refusedError{res.StatusCode, res.Header.Get("Retry-After") != "", string(answer)}
}

// rawConn is a connection on which something was begun.
type rawConn struct{ *net.TCPConn }

func (c rawConn) reset() { reset(c.TCPConn) }

// begin connects and writes something that is not all there is.
func (d door) begin(ctx context.Context, text string) (rawConn, error) {
	conn, err := d.dial(ctx)
	if err != nil {
		return rawConn{}, err
	}
	_, err = io.WriteString(conn, text)
	return rawConn{conn}, err
}
