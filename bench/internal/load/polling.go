package load

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Pollers is a number of Engine.IO sessions over long-polling.
type Pollers struct {
	loop     *Loop
	server   netip.AddrPort
	sessions []*poller
	ready    int
	events   int64
	echo     string // the body of an event, "" while nobody measures
}

// poller is one session. It has a connection for its GETs, which also carries what else
// is to be said while no GET is pending, and, once it echoes, one for its POSTs.
type poller struct {
	all       *Pollers
	get, post *request
	sid       string
	ready     bool
	posted    bool // its event has been accepted
	returned  bool // its event has come back
	pongs     int  // it owes
}

// request is a keep-alive connection with at most one request under way.
type request struct {
	conn *conn
	done func(body []byte) error
	lost func(error)
}

// NewPollers opens sessions and has them enter, within timeout. Each ends with a
// GET pending.
func NewPollers(server netip.AddrPort, sessions int, timeout time.Duration) (*Pollers, error) {
	loop, err := NewLoop()
	if err != nil {
		return nil, err
	}
	p := &Pollers{loop: loop, server: server}
	err = loop.until(time.Now().Add(timeout), "opening sessions", func() bool {
		for len(p.sessions) < sessions && len(p.sessions)-p.ready < together {
			if err := p.open(); err != nil {
				loop.stop(err)
				return false
			}
		}
		return p.ready == sessions
	})
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Close cuts all connections.
func (p *Pollers) Close() { p.loop.Close() }

// Hold lets the sessions answer heartbeats for a while.
func (p *Pollers) Hold(d time.Duration) error { return p.loop.run(time.Now().Add(d)) }

func (p *Pollers) dial(done func([]byte) error) (*request, error) {
	r := &request{done: done, lost: func(err error) { p.loop.stop(fmt.Errorf("a session was lost: %w", err)) }}
	var err error
	r.conn, err = p.loop.dial(p.server, source(len(p.sessions)), nil, r)
	return r, err
}

func (p *Pollers) open() error {
	s := &poller{all: p}
	var err error
	if s.get, err = p.dial(s.got); err != nil {
		return err
	}
	p.sessions = append(p.sessions, s)
	s.get.send("GET", "", "")
	return nil
}

// send writes a request.
func (r *request) send(method, sid, body string) {
	b := make([]byte, 0, 512)
	b = append(b, method...)
	b = append(b, " /socket.io/?EIO=4&transport=polling"...)
	if sid != "" {
		b = append(append(b, "&sid="...), sid...)
	}
	b = append(b, " HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) bench\r\nAccept: */*\r\n"...)
	if method == "POST" {
		b = append(b, "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: "...)
		b = append(strconv.AppendInt(b, int64(len(body)), 10), "\r\n"...)
	}
	b = append(append(b, "\r\n"...), body...)
	r.conn.write(b)
}

func (r *request) receive(data []byte) (used int, err error) {
	end := bytes.Index(data, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, nil
	}
	if !bytes.HasPrefix(data, []byte("HTTP/1.1 200 ")) {
		return 0, fmt.Errorf("a request was answered by %q", data)
	}
	length, err := contentLength(data[:end])
	if err != nil {
		return 0, err
	}
	if end += 4; len(data) < end+length {
		return 0, nil
	}
	return end + length, r.done(data[end : end+length])
}

func (r *request) closed(err error) { r.lost(err) }

func contentLength(head []byte) (int, error) {
	const name = "\r\nContent-Length: "
	i := bytes.Index(head, []byte(name))
	if i < 0 {
		return 0, fmt.Errorf("a response without Content-Length: %q", head)
	}
	n := 0
	for _, b := range head[i+len(name):] {
		if b < '0' || b > '9' {
			break
		}
		n = n*10 + int(b-'0')
	}
	return n, nil
}

// got takes the response to a request on the connection for GETs.
func (s *poller) got(body []byte) error {
	switch {
	case s.sid == "":
		return s.opened(string(body))
	case string(body) == "ok":
		s.poll()
		return nil
	}
	for packet := range bytes.SplitSeq(body, []byte{0x1e}) {
		if err := s.packet(packet); err != nil {
			return err
		}
	}
	return s.next()
}

func (s *poller) opened(body string) error {
	_, rest, _ := strings.Cut(body, `"sid":"`)
	sid, _, ok := strings.Cut(rest, `"`)
	if !ok {
		return fmt.Errorf("no session in %q", body)
	}
	s.sid = sid
	s.get.send("POST", sid, "40")
	return nil
}

func (s *poller) packet(p []byte) error {
	switch m := hearSocketIO(p); {
	case m.over:
		return errGoodbye
	case m.answer != "":
		s.pongs++
	case m.events > 0:
		s.returned = true
	case bytes.HasPrefix(p, []byte("40")):
		s.ready = true
		s.all.ready++
	default:
		return fmt.Errorf("an unexpected packet: %q", p)
	}
	return nil
}

func (s *poller) poll() { s.get.send("GET", s.sid, "") }

// next says what follows when a GET has returned: the answer to a heartbeat, or the
// next GET.
func (s *poller) next() error {
	if s.pongs > 0 {
		s.pongs = 0
		s.get.send("POST", s.sid, "3")
		return nil
	}
	s.poll()
	s.round()
	return nil
}

// round counts a message that has come back and sends the next.
func (s *poller) round() {
	if s.returned && s.posted {
		s.all.events++
		s.say()
	}
}

func (s *poller) say() {
	s.returned, s.posted = false, false
	s.post.send("POST", s.sid, s.all.echo)
}

func (s *poller) accepted(body []byte) error {
	if string(body) != "ok" {
		return errors.New("a POST was not answered by ok")
	}
	s.posted = true
	s.round()
	return nil
}

// Echo has every session post an event of size bytes, and again whenever it has
// come back and the POST has been answered.
func (p *Pollers) Echo(size int, w Window) (Result, error) {
	p.echo = socketIOEvent("e", strings.Repeat("x", size-len(socketIOEvent("e", ""))))
	for _, s := range p.sessions {
		var err error
		if s.post, err = p.dial(s.accepted); err != nil {
			return Result{}, err
		}
		s.say()
	}
	return w.measure(p.loop.run, func() int64 { return p.events })
}
