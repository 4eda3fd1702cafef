package wsconn

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"sync"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// deflateTail are the bytes at the end of a compressed message that its sender leaves out (RFC 7692, section 7.2.1).
const deflateTail = "\x00\x00\xff\xff"

// inflater reads one message at a time. The window and the tables take some 40 KB, so inflaters are shared.
type inflater struct {
	flate   io.ReadCloser // reads message; also a flate.Resetter
	message bytes.Reader
}

var inflaters = sync.Pool{New: func() any {
	f := new(inflater)
	f.flate = flate.NewReader(&f.message)
	return f
}}

// inflated returns what a compressed message holds, which may be limit bytes.
//
// Security: some bytes of a message may become a thousand times as many, so limit is checked while it is inflated. The
// message itself is not longer than limit, either. hold hears of what is held, the message included.
func inflated(message []byte, limit int64, hold session.Hold) ([]byte, error) {
	if len(message) == 0 { // RFC 7692, section 7.2.3.6, has senders write a byte; coder/websocket takes nothing, too
		return nil, nil
	}
	f, _ := inflaters.Get().(*inflater)
	defer f.release()
	message = append(message, deflateTail...)
	f.message.Reset(message)
	_ = f.flate.(flate.Resetter).Reset(&f.message, nil) // never fails
	expected := int(min(4*int64(len(message)), limit))
	data, err := session.ReadAll(io.LimitReader(lenient{f.flate}, limit+1), expected, limit, hold.Beside(cap(message)))
	switch {
	case err != nil:
		return nil, violated("message cannot be inflated")
	case int64(len(data)) > limit:
		return nil, errTooBig
	default:
		return data, nil
	}
}

// lenient reads up to the end of a message: compress/flate would wait for another block. A message that ends within a
// block is taken for what it holds, as by Node.js and coder/websocket.
type lenient struct{ io.Reader }

// Read implements io.Reader.
func (l lenient) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// release gives f to others, without the bytes of a client.
func (f *inflater) release() {
	f.message.Reset(nil)
	inflaters.Put(f)
}
