package wsconn

import (
	"bytes"
	"net"
	"runtime"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/ledger"
)

// readBuffer is what a connection that is no plain TCP reads headers and short messages into, in bytes. Other payloads
// are read into the memory of their message.
const readBuffer = 512

// unsent is how much the kernel may hold for a peer that does not read, in bytes. Without a bound it takes megabytes
// (net.ipv4.tcp_wmem). A thousand such peers take more than it has for all connections of the machine
// (net.ipv4.tcp_mem), and then it drops what others send. What waits beyond waits in our queue, where it is bounded and
// shared.
const unsent = 64 << 10

// stream is the network connection of a Conn. Its read side belongs to the goroutine that reads, its write side to the
// outbox.
type stream struct {
	net.Conn
	conn   *Conn
	frames frameReader
	socket *socket      // nil where the connection is no plain TCP
	small  []byte       // where there is no socket: see readBuffer
	ahead  []byte       // read, and not taken yet
	err    error        // why the network connection can be read no more
	share  ledger.Share // of what has been read
	handed int          // bytes of the message that the handler has

	// of the write side
	taken   int  // bytes that the network has taken since it was looked how much of it is unsent
	bounded bool // the kernel takes no more than unsent
}

// init puts s on a network connection; early is what was read from it before.
func (s *stream) init(c *Conn, nc net.Conn, early []byte) {
	s.Conn, s.conn, s.socket, s.ahead = nc, c, newSocket(nc), bytes.Clone(early)
	s.share.Partial = true
}

// await returns when there is something to be read from the socket.
func (s *stream) await() (err error) {
	s.ahead, err = s.socket.read()
	return s.broke(err)
}

// fill waits for something to be read.
func (s *stream) fill() error {
	if s.socket != nil {
		return s.await()
	}
	if room := s.frames.room(); len(room) > readBuffer {
		n, err := s.Conn.Read(room)
		s.frames.filled(n)
		return s.got(n, err)
	}
	if s.small == nil {
		s.small = make([]byte, readBuffer)
	}
	n, err := s.Conn.Read(s.small)
	letOthersRun(n, readBuffer)
	s.ahead = s.small[:n]
	return s.got(n, err)
}

// letOthersRun yields if a read has filled its buffer of size bytes, for more waits then. Reading that never has to
// wait keeps its thread until the runtime preempts it, after 10 ms; with six clients that flood, all others would wait
// for their turn behind several of these.
func letOthersRun(n, size int) {
	if n == size {
		runtime.Gosched()
	}
}

// got is the error of a read. If bytes have come with it, the next read meets it.
func (s *stream) got(n int, err error) error {
	if n > 0 {
		return nil
	}
	return s.broke(err)
}

// take returns the next message or control frame of what has been read; opcode 0 if there is none yet.
func (s *stream) take() (in incoming, err error) {
	s.ahead, in, err = s.frames.next(s.ahead)
	if len(s.ahead) == 0 {
		s.drained()
	}
	if s.frames.between() {
		s.conn.deadline.endMessage()
	}
	s.settle(s.frames.held())
	return in, err
}

// settle counts what is held of what has been read.
func (s *stream) settle(bytes int) { s.conn.flow.Account().Settle(&s.share, s.conn, bytes) }

// pause is called before the peer is not read for a while. It keeps no more than what has been read.
func (s *stream) pause() {
	s.ahead = bytes.Clone(s.ahead)
	if s.socket != nil {
		s.socket.release()
	}
	s.settle(s.frames.held() + len(s.ahead) + s.handed)
}

// drained gives back the memory of what was read.
func (s *stream) drained() {
	s.ahead = nil
	if s.socket != nil {
		s.socket.release()
	}
}

// broke notes an error of the network.
func (s *stream) broke(err error) error {
	if err != nil {
		s.err = err
	}
	return err
}

// tryWrite writes what the socket takes of p without waiting.
func (s *stream) tryWrite(p []byte) (n int, err error) {
	n, err = s.socket.write(p)
	s.wrote(n)
	return n, err
}

// wrote looks after what the kernel holds, each time that it has taken as much as it may hold.
func (s *stream) wrote(n int) {
	if s.taken += n; s.taken >= unsent {
		s.taken = 0
		s.bounded = boundUnsent(s.Conn, s.bounded)
	}
}

// clearDeadline lets single writes go on after those of the goroutine.
func (s *stream) clearDeadline() {
	if s.socket != nil {
		s.SetWriteDeadline(time.Time{}) // fails on a closed connection only
	}
}

// drain reads and drops what the peer still sends, until it stops, or until the
// deadline that is set. A connection closed with bytes unread is reset, and a reset
// may overtake our close frame.
func (s *stream) drain() {
	s.drained()
	s.frames.message = nil
	s.settle(0)
	var scrap [readBuffer]byte
	for {
		if _, err := s.Conn.Read(scrap[:]); err != nil {
			return
		}
	}
}
