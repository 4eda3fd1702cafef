package load

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"
)

// client is one WebSocket client of a Fleet.
type client struct {
	conn  *conn
	fleet *Fleet
	phase phase
	room  *room // nil if there are none
}

type phase uint8

const (
	upgrading phase = iota // waits for 101
	greeting               // waits for the server's first message
	joining                // waits for the answer to its hello
	ready
	gone
)

const upgrade = "GET /socket.io/?EIO=4&transport=websocket%s HTTP/1.1\r\n" +
	"Host: 127.0.0.1\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) bench\r\n" +
	"Connection: Upgrade\r\n" +
	"Upgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n"

const deflate = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"

func (c *client) receive(data []byte) (used int, err error) {
	if c.phase == upgrading {
		end := bytes.Index(data, []byte("\r\n\r\n"))
		if end < 0 {
			return 0, nil
		}
		if err := c.upgraded(string(data[:end])); err != nil {
			return 0, err
		}
		used = end + 4
	}
	for c.phase != gone {
		first, payload, size, err := serverFrame(data[used:])
		if err != nil {
			return used, err
		}
		if size == 0 {
			break
		}
		used += size
		if err := c.frame(first, payload); err != nil {
			return used, err
		}
	}
	return used, nil
}

func (c *client) upgraded(head string) error {
	if !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		return fmt.Errorf("the handshake was answered by %q", head)
	}
	if c.fleet.deflate && !strings.Contains(head, "permessage-deflate") {
		return errors.New("the server does not compress")
	}
	if c.fleet.dialect.greeted {
		c.phase = greeting
		return nil
	}
	c.join()
	return nil
}

func (c *client) join() {
	c.phase = joining
	c.conn.write(c.fleet.hello)
}

var errGoodbye = errors.New("the server said goodbye")

func (c *client) frame(first byte, payload []byte) error {
	switch first & 0x0f {
	case opText, opBinary:
		return c.message(first, payload)
	case opPing:
		c.conn.write(clientFrame(opPong, payload))
	case opClose:
		return fmt.Errorf("%w: %q", errGoodbye, payload)
	}
	return nil
}

func (c *client) message(first byte, payload []byte) error {
	switch {
	case c.phase == greeting:
		c.join()
	case c.phase == joining:
		if first&rsv1 == 0 && !bytes.HasPrefix(payload, []byte(c.fleet.dialect.welcome)) {
			return fmt.Errorf("instead of a welcome came %q", payload)
		}
		c.joined()
	case first&rsv1 != 0, first&0x0f == opBinary:
		c.fleet.event(c, 1)
	default:
		m := c.fleet.dialect.hear(payload)
		switch {
		case m.events > 0:
			c.fleet.event(c, m.events)
		case m.answer != "":
			c.conn.write(clientFrame(opText, []byte(m.answer)))
		case m.over:
			return fmt.Errorf("%w: %q", errGoodbye, payload)
		}
	}
	return nil
}

func (c *client) joined() {
	c.phase = ready
	c.fleet.ready++
	if c.fleet.onReady != nil {
		c.fleet.onReady(c)
	}
}

func (c *client) closed(err error) { c.fleet.lost(c, err) }

// latencyNow is the clock for latencies.
func latencyNow() time.Duration { return time.Since(epoch) }

var epoch = time.Now()
