package servers

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
)

// limit is the floor: a goroutine per connection that reads and writes the net.Conn and
// does nothing else. No HTTP library, no deadlines, no bounds, no checks.
type limit struct {
	lobby lobby[*limitConn]
	polls limitPolls
}

func newLimit() server {
	l := &limit{}
	return server{serve: l.serve}
}

type limitConn struct {
	net  net.Conn
	room string
}

func (l *limit) serve(listener net.Listener, _ Config) error {
	for {
		c, err := listener.Accept()
		if err != nil {
			return err
		}
		go l.handshake(c)
	}
}

// handshake reads the first request and starts over in a fresh goroutine, whose stack
// has not grown by it.
func (l *limit) handshake(c net.Conn) {
	buf := make([]byte, 2048)
	n := 0
	for {
		m, err := c.Read(buf[n:])
		if err != nil {
			c.Close()
			return
		}
		n += m
		if i := bytes.Index(buf[:n], []byte("\r\n\r\n")); i >= 0 {
			break
		}
		if n == len(buf) {
			c.Close()
			return
		}
	}
	head := string(buf[:n])
	key := between(head, "Sec-WebSocket-Key: ", "\r\n")
	if key == "" {
		go l.polls.serve(c, buf[:n])
		return
	}
	conn := &limitConn{net: c, room: everyone}
	target := between(head, "GET ", " ")
	if _, room, named := strings.Cut(target, "room="); named {
		conn.room = strings.Clone(room)
	}
	if _, err := c.Write(switching(key)); err != nil {
		c.Close()
		return
	}
	l.lobby.enter(conn.room, conn)
	go l.loop(conn)
}

func between(s, before, after string) string {
	_, rest, _ := strings.Cut(s, before)
	found, _, _ := strings.Cut(rest, after)
	return found
}

func switching(key string) []byte {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return fmt.Appendf(nil, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
}

// loop answers what one read(2) brings with one write(2).
func (l *limit) loop(c *limitConn) {
	defer func() {
		c.net.Close()
		l.lobby.leave(c.room, c)
	}()
	buf := make([]byte, 2048)
	have := 0
	for {
		n, err := c.net.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		answer, used := l.frames(c, buf[:have])
		if len(answer) > 0 {
			if _, err := c.net.Write(answer); err != nil {
				return
			}
		}
		have = copy(buf, buf[used:have])
		if have == len(buf) {
			buf = append(buf, make([]byte, 3*len(buf))...)
		}
	}
}

// frames makes its answers in place: the frames of a server are shorter by the mask key.
func (l *limit) frames(c *limitConn, data []byte) (answer []byte, used int) {
	answer = data[:0]
	for {
		payload, size := unmasked(data[used:])
		if size == 0 {
			return answer, used
		}
		first := data[used]
		used += size
		if isBroadcast(payload) {
			frame := append(appendHead(nil, first, len(payload)), payload...)
			l.lobby.each(c.room, func(to *limitConn) { _, _ = to.net.Write(frame) })
			continue
		}
		answer = append(appendHead(answer, first, len(payload)), payload...)
	}
}

// unmasked unmasks the first frame of data in place; size 0 if it is not all there.
func unmasked(data []byte) (payload []byte, size int) {
	if len(data) < 6 {
		return nil, 0
	}
	at, n := 2, int(data[1]&0x7f)
	switch n {
	case 126:
		at, n = 4, int(binary.BigEndian.Uint16(data[2:]))
	case 127:
		if len(data) < 14 {
			return nil, 0
		}
		at, n = 10, int(binary.BigEndian.Uint64(data[2:]))
	}
	if len(data) < at+4+n {
		return nil, 0
	}
	key := binary.LittleEndian.Uint32(data[at:])
	payload = data[at+4 : at+4+n]
	rest := payload
	for wide := uint64(key)<<32 | uint64(key); len(rest) >= 8; rest = rest[8:] {
		binary.LittleEndian.PutUint64(rest, binary.LittleEndian.Uint64(rest)^wide)
	}
	for i := range rest {
		rest[i] ^= byte(key >> (8 * (i & 3)))
	}
	return payload, at + 4 + n
}

func appendHead(b []byte, first byte, n int) []byte {
	switch {
	case n < 126:
		return append(b, first, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, first, 126), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(b, first, 127), uint64(n))
}
