package servers

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
)

// pollSessions are the sessions of long-polling servers that know no more of Engine.IO
// than that a POST says something and a GET waits for it.
type pollSessions struct {
	mu   sync.Mutex // protects what follows
	byID map[string]chan string
}

// open makes a session and returns the body that announces it.
func (p *pollSessions) open() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byID == nil {
		p.byID = map[string]chan string{}
	}
	sid := fmt.Sprintf("session%013d", len(p.byID))
	p.byID[sid] = make(chan string, 4)
	return `0{"sid":"` + sid + `","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`
}

func (p *pollSessions) get(sid string) chan string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byID[sid]
}

// limitPolls serves long-polling without an HTTP library.
type limitPolls struct {
	sessions pollSessions
}

// serve answers the requests of one connection; head is what of the first was read.
func (p *limitPolls) serve(c net.Conn, head []byte) {
	defer c.Close()
	buf := make([]byte, 2048)
	have := copy(buf, head)
	var out []byte
	for {
		request, body, used := splitRequest(buf[:have])
		if used == 0 {
			if have == len(buf) {
				return
			}
			n, err := c.Read(buf[have:])
			if err != nil {
				return
			}
			have += n
			continue
		}
		answer, ok := p.answer(request, body)
		if !ok {
			return
		}
		out = append(out[:0], "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Length: "...)
		out = append(strconv.AppendInt(out, int64(len(answer)), 10), "\r\n\r\n"...)
		if _, err := c.Write(append(out, answer...)); err != nil {
			return
		}
		have = copy(buf, buf[used:have])
	}
}

// answer waits, if the request is a GET of a session.
func (p *limitPolls) answer(request, body string) (string, bool) {
	_, sid, known := strings.Cut(request, "&sid=")
	if !known {
		return p.sessions.open(), true
	}
	s := p.sessions.get(sid)
	if s == nil {
		return "", false
	}
	if strings.HasPrefix(request, "POST") {
		s <- body
		return "ok", true
	}
	return <-s, true
}

// splitRequest returns the beginning of the request line, "METHOD target", and the
// body; used is 0 if the request is not all there.
func splitRequest(data []byte) (request, body string, used int) {
	end := bytes.Index(data, []byte("\r\n\r\n"))
	if end < 0 {
		return "", "", 0
	}
	line, headers, _ := bytes.Cut(data[:end+2], []byte(" HTTP/1.1\r\n"))
	length := 0
	if i := bytes.Index(headers, []byte("Content-Length: ")); i >= 0 {
		digits, _, _ := bytes.Cut(headers[i+len("Content-Length: "):], []byte("\r\n"))
		length, _ = strconv.Atoi(string(digits))
	}
	if used = end + 4 + length; len(data) < used {
		return "", "", 0
	}
	return string(line), string(data[end+4 : used]), used
}
