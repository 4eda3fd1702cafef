package wsconn

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"time"
)

// errEOF stands for io.EOF where coder/websocket reads: an end of the connection in
// the middle of a message would otherwise look like the end of the message.
var errEOF = errors.New("connection ended")

// stream is the net.Conn that coder/websocket sees. Its Read side belongs to the
// reader goroutine. Write queues, and Close ends reading only, because only a Conn
// knows when what is queued has gone out.
type stream struct {
	net.Conn // the network connection
	conn     *Conn
	reader   *bufio.Reader // of coder/websocket, on this stream

	early    []byte // came together with the handshake and is not read yet
	boundary boundary
	err      error // why the network connection can be read no more
}

func newStream(c *Conn, nc net.Conn, early []byte) *stream {
	s := &stream{Conn: nc, conn: c, early: bytes.Clone(early)}
	s.reader = bufio.NewReaderSize(s, readBuffer)
	return s
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.read(p)
	s.boundary.advance(p[:n])
	if errors.Is(err, io.EOF) {
		err = errEOF
	}
	if err != nil {
		s.err = err
	}
	return n, err
}

func (s *stream) read(p []byte) (int, error) {
	if len(s.early) == 0 {
		return s.Conn.Read(p)
	}
	n := copy(p, s.early)
	s.early = s.early[n:]
	if len(s.early) == 0 {
		s.early = nil
	}
	return n, nil
}

// Write queues a control frame of coder/websocket: an answer to a ping or a close
// frame. Each call brings exactly one whole frame, as none exceeds writeBuffer.
func (s *stream) Write(p []byte) (int, error) {
	s.conn.control(bytes.Clone(p))
	return len(p), nil
}

// Close ends a Read that waits. coder/websocket calls it after a close handshake,
// and when the rest of a control frame does not come within five seconds.
func (s *stream) Close() error {
	return s.Conn.SetReadDeadline(time.Unix(1, 0))
}

// drain reads and drops what the peer still sends, until it stops, or until the
// deadline that is set. A connection closed with bytes unread is reset, and a reset
// may overtake our close frame.
func (s *stream) drain() {
	var scrap [readBuffer]byte
	for {
		if _, err := s.Conn.Read(scrap[:]); err != nil {
			return
		}
	}
}
