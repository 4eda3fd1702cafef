package wsconn

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
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
	reader   *bufio.Reader // of coder/websocket, on this stream; nil while that holds nothing
	kept     bool          // Close means nothing
	partial  bool          // a message has begun, and not come to its end

	socket   *socket // nil where the connection is no plain TCP
	ahead    []byte  // read from the network, or with the handshake, and not taken yet
	boundary boundary
	err      error       // why the network connection can be read no more
	timer    *time.Timer // for a message to come to its end; nil if it has not been waited for
	loop     *loop       // that waits for us to be done, if one does; of whoever reads
}

// init puts s on a network connection; early is what was read from it before.
func (s *stream) init(c *Conn, nc net.Conn, early []byte) {
	boundUnsent(nc)
	s.Conn, s.conn, s.socket, s.ahead = nc, c, newSocket(nc), bytes.Clone(early)
}

// hand gives the stream to coder/websocket, with the buffers it works with.
func (s *stream) hand() (net.Conn, *bufio.ReadWriter, error) {
	buffer := readBuffer
	if s.socket != nil {
		buffer = 0 // the least there is: what is read at a time is for the socket to say
	}
	s.reader = bufio.NewReaderSize(s, buffer)
	return s, bufio.NewReadWriter(s.reader, bufio.NewWriterSize(s, writeBuffer)), nil
}

// buffered is what coder/websocket has read of the stream and not looked at yet.
func (s *stream) buffered() int {
	if s.reader == nil {
		return 0
	}
	return s.reader.Buffered()
}

// takeBack undoes what coder/websocket has read beyond the end of a message: what comes
// next may be a frame that is better read without it, above all a control frame, behind
// which it would wait for a message. A compressed message it may not have read to its end.
func (s *stream) takeBack() {
	n := s.buffered()
	if n == 0 || s.socket == nil || s.conn.deflates {
		return
	}
	beyond, _ := s.reader.Peek(n) // cannot fail: it is there
	ahead := slices.Concat(beyond, s.ahead)
	s.reader.Reset(s)
	s.drained()
	s.ahead, s.boundary = ahead, boundary{}
}

// waits reports whether the network has to be waited for, and can be so without holding
// anything.
func (s *stream) waits() bool {
	return s.socket != nil && len(s.ahead) == 0 && s.buffered() == 0
}

// await returns when there is something to be read.
func (s *stream) await() error {
	ahead, err := s.socket.read()
	if err != nil {
		return s.broke(err)
	}
	s.ahead = ahead
	return nil
}

// expected guesses the length of the message that is about to be read: it is right
// for all that are not read ahead in whole.
func (s *stream) expected() int {
	return int(min(s.boundary.payload, trusted)) + s.buffered()
}

// Read serves what has been read ahead, then the network.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.read(p)
	s.boundary.advance(p[:n])
	return n, s.broke(err)
}

func (s *stream) read(p []byte) (int, error) {
	if len(s.ahead) == 0 {
		s.clock()
		s.detach()
		return s.Conn.Read(p)
	}
	n := copy(p, s.ahead)
	s.ahead = s.ahead[n:]
	if len(s.ahead) == 0 {
		s.drained()
	}
	return n, nil
}

// drained gives back the memory of what was read ahead.
func (s *stream) drained() {
	s.ahead = nil
	if s.socket != nil {
		s.socket.release()
	}
}

// broke notes an error of the network, and returns it as coder/websocket may see it.
func (s *stream) broke(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) {
		err = errEOF
	}
	s.err = err
	return err
}

// tryWrite writes as much of frames as goes without waiting, and returns the rest.
func (s *stream) tryWrite(frames [][]byte) (rest [][]byte, err error) {
	if s.socket == nil {
		return frames, nil
	}
	if len(frames) > 1 && size(frames) <= coalesced {
		return s.tryTogether(frames)
	}
	for i, f := range frames {
		n, err := s.socket.write(f)
		if err != nil {
			return nil, err
		}
		if n < len(f) {
			return append([][]byte{f[n:]}, frames[i+1:]...), nil
		}
	}
	return nil, nil
}

// tryTogether is tryWrite for several frames in one write.
func (s *stream) tryTogether(frames [][]byte) (rest [][]byte, err error) {
	p := buffers.Get().(*[]byte)
	defer buffers.Put(p)
	buf := (*p)[:0]
	for _, f := range frames {
		buf = append(buf, f...)
	}
	n, err := s.socket.write(buf)
	if err != nil {
		return nil, err
	}
	return skip(frames, n), nil
}

// skip returns frames without their first n bytes.
func skip(frames [][]byte, n int) [][]byte {
	for len(frames) > 0 && n >= len(frames[0]) {
		n -= len(frames[0])
		frames = frames[1:]
	}
	if n == 0 {
		return frames
	}
	return append([][]byte{frames[0][n:]}, frames[1:]...)
}

// clearDeadline lets single writes go on after those of the goroutine.
func (s *stream) clearDeadline() {
	if s.socket != nil {
		s.SetWriteDeadline(time.Time{}) // fails on a closed connection only
	}
}

// Write queues a control frame of coder/websocket: an answer to a ping or a close
// frame. Each call brings exactly one whole frame, as none exceeds writeBuffer.
func (s *stream) Write(p []byte) (int, error) {
	s.conn.control(bytes.Clone(p))
	return len(p), nil
}

// Close ends a Read that waits. coder/websocket calls it after a close handshake.
func (s *stream) Close() error {
	if s.kept {
		return nil
	}
	return s.conn.warmth.limit(s.Conn, time.Unix(1, 0))
}

// drain reads and drops what the peer still sends, until it stops, or until the
// deadline that is set. A connection closed with bytes unread is reset, and a reset
// may overtake our close frame.
func (s *stream) drain() {
	s.drained()
	var scrap [readBuffer]byte
	for {
		if _, err := s.Conn.Read(scrap[:]); err != nil {
			return
		}
	}
}
