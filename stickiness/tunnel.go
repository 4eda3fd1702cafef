package stickiness

import (
	"errors"
	"io"
	"net/http"
)

// tunnel is the connection to a node once it speaks WebSocket. It replaces the two buffers of
// 32 KB that httputil.ReverseProxy gives each by small ones: most of them are idle.
type tunnel struct {
	io.ReadWriteCloser
	buffers *bufferPool
}

const tunnelBuffer = 1 << 10

// newTunnel takes over the body of an answer that upgrades.
func newTunnel(res *http.Response, buffers *bufferPool) {
	if body, ok := res.Body.(io.ReadWriteCloser); ok && res.StatusCode == http.StatusSwitchingProtocols {
		res.Body = &tunnel{body, buffers}
	}
}

// WriteTo implements io.WriterTo, which io.Copy asks for.
func (t *tunnel) WriteTo(w io.Writer) (int64, error) { return t.copy(w, t.ReadWriteCloser) }

// ReadFrom implements io.ReaderFrom, likewise.
func (t *tunnel) ReadFrom(r io.Reader) (int64, error) { return t.copy(t.ReadWriteCloser, r) }

// copy waits with a small buffer, and goes on with a large one as long as that fills.
func (t *tunnel) copy(w io.Writer, r io.Reader) (copied int64, err error) {
	small := make([]byte, tunnelBuffer)
	for err == nil {
		var n int
		n, err = t.step(w, r, small)
		copied += int64(n)
		for err == nil && n >= tunnelBuffer {
			buffer := t.buffers.Get() // and waits with it for once, where the message ends so
			n, err = t.step(w, r, buffer)
			t.buffers.Put(buffer)
			copied += int64(n)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return copied, err
}

// step copies what one read returns.
func (t *tunnel) step(w io.Writer, r io.Reader, buffer []byte) (n int, err error) {
	n, err = r.Read(buffer)
	if n > 0 {
		if _, failed := w.Write(buffer[:n]); failed != nil {
			err = failed
		}
	}
	return n, err
}
