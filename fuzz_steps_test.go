package thinkws_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// identity is a session that somebody has opened; the program counts from the newest.
func (s *crowd) identity() identity {
	n := s.program.byte()
	if len(s.ids) == 0 || n == 0xff {
		return identity{sid: "AAAAAAAAAAAAAAAAAAAA", wire: wire(n & 1)}
	}
	return s.ids[len(s.ids)-1-n%len(s.ids)]
}

// link is one of the connections; the program counts from the newest.
func (s *crowd) link() *link {
	n := s.program.byte()
	if len(s.links) == 0 {
		return nil
	}
	return s.links[len(s.links)-1-n%len(s.links)]
}

// dial opens a new connection, and closes the oldest where there are too many.
func (s *crowd) dial(w wire) *link {
	if len(s.links) == maxLinks {
		_ = s.links[0].conn.Close()
		s.links = s.links[1:]
	}
	l := &link{conn: s.world.dial(), wire: w}
	s.links = append(s.links, l)
	return l
}

// put writes, unless the server has stopped reading.
func (l *link) put(data string) {
	_ = l.conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = l.conn.Write([]byte(data))
}

// request sends one on a new connection.
func (s *crowd) request(w wire, method, target, header, body string) {
	s.dial(w).put(method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n" + header + "\r\n" + body)
}

func (s *crowd) webSocket(w wire, target string) {
	header := ""
	if strings.Contains(target, "deflate") {
		header = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
	}
	s.dial(w).put(upgradeRequest(target, header))
}

// Bits of how a session is opened, and of what is said of it later.
const (
	openV3 = 1 << iota
	openWebSocket
	openBase64
	openJSONP
	openOther // as if it were of the other revision
	openDeflate
)

func (s *crowd) open(how int) {
	id := identity{wire: engine4}
	if how&openV3 != 0 {
		id.wire = engine3
	}
	if how&openWebSocket != 0 {
		s.webSocket(id.wire, target(id, "websocket", how))
		return
	}
	s.request(id.wire, "GET", target(id, "polling", how), "", "")
}

// target is the URL of a session, or where one is opened.
func target(id identity, transport string, how int) string {
	revision := 4
	if (id.wire == engine3) != (how&openOther != 0) {
		revision = 3
	}
	to := fmt.Sprintf("/socket.io/?EIO=%d&transport=%s", revision, transport)
	if how&openBase64 != 0 {
		to += "&b64=1"
	}
	if how&openJSONP != 0 {
		to += "&j=0"
	}
	if how&openDeflate != 0 {
		to += "&deflate"
	}
	if id.sid != "" {
		to += "&sid=" + id.sid
	}
	return to
}

// Bits of how something is posted.
const (
	postBinary = 1 << iota
	postChunked
	postCut // more is promised than comes
	postForm
	postOther
	postGzip
	postExpect
	postAgain // on the newest connection
)

func (s *crowd) post(to string, w wire, how int) {
	body := s.program.payload(w, how&postBinary != 0)
	if how&postForm != 0 {
		body = "d=" + url.QueryEscape(body)
	}
	header := ""
	if how&postBinary != 0 {
		header += "Content-Type: application/octet-stream\r\n"
	}
	if how&postForm != 0 {
		header += "Content-Type: application/x-www-form-urlencoded\r\n"
	}
	if how&postGzip != 0 {
		header += "Content-Encoding: gzip\r\n"
	}
	if how&postExpect != 0 {
		header += "Expect: 100-continue\r\n"
	}
	length := len(body)
	if how&postChunked != 0 {
		header += "Transfer-Encoding: chunked\r\n"
		body = fmt.Sprintf("%x\r\n%s\r\n", length, body)
		if how&postCut == 0 {
			body += "0\r\n\r\n"
		}
	} else {
		if how&postCut != 0 {
			length += 10
		}
		header += fmt.Sprintf("Content-Length: %d\r\n", length)
	}
	if how&postAgain != 0 && len(s.links) > 0 {
		s.links[len(s.links)-1].put("POST " + to + " HTTP/1.1\r\nHost: localhost\r\n" + header + "\r\n" + body)
		return
	}
	s.request(w, "POST", to, header, body)
}

// frame sends a WebSocket frame on any connection, whatever that is.
func (s *crowd) frame() {
	l := s.link()
	if l == nil {
		return
	}
	frame, how := s.program.frame(l.wire)
	if how&frameSplit != 0 {
		half := len(frame) / 2
		l.put(string(frame[:half]))
		time.Sleep(time.Millisecond)
		frame = frame[half:]
	}
	l.put(string(frame))
}

// hangUp ends a connection in one of the ways there are.
func (s *crowd) hangUp() {
	l := s.link()
	how := s.program.byte()
	switch {
	case l == nil:
	case how%3 == 0:
		_ = l.conn.Close()
	case how%3 == 1:
		l.conn.Reset()
	default:
		_ = l.conn.CloseWrite()
	}
}

// sockjs does what clients of SockJS do.
func (s *crowd) sockjs(session, how int) {
	base := fmt.Sprintf("/sockjs/000/s%d", session%4)
	switch {
	case session&0x80 != 0:
		base += "x?nsp=/chat"
	case session&0x40 != 0:
		base += "y?nsp=/refused"
	}
	path, query, _ := strings.Cut(base, "?")
	with := func(name, more string) string { return path + "/" + name + "?" + query + more }
	switch how % 12 {
	case 0, 1:
		s.request(sockjsWire, "POST", with("xhr", ""), "Content-Length: 0\r\n", "")
	case 2, 3:
		s.post(with("xhr_send", ""), sockjsWire, s.program.byte()&^postForm)
	case 4:
		s.request(sockjsWire, "POST", with("xhr_streaming", ""), "Content-Length: 0\r\n", "")
	case 5:
		s.request(sockjsWire, "GET", with("eventsource", ""), "", "")
	case 6:
		s.request(sockjsWire, "GET", with("htmlfile", "&c=cb"), "", "")
	case 7:
		s.request(sockjsWire, "GET", with("jsonp", "&c=cb"), "", "")
	case 8:
		s.post(with("jsonp_send", ""), sockjsWire, s.program.byte())
	case 9:
		s.webSocket(sockjsWire, with("websocket", ""))
	case 10:
		s.webSocket(plainWire, "/sockjs/websocket?"+query)
	default:
		s.request(sockjsWire, "GET", "/sockjs/info", "", "")
	}
}

// serve does something on the server.
func (s *crowd) serve(what int) {
	hub := s.world.handler.Hub()
	switch what % 7 {
	case 0:
		_ = hub.To("r").Emit("room", []byte("bytes"), "text")
	case 1:
		_ = hub.Of("/chat").Emit("chat", what)
	case 2:
		_ = hub.To("r").Disconnect()
	case 3:
		_ = hub.To("r").Close()
	case 4:
		ctx, cancel := context.WithTimeout(s.world.t.Context(), time.Second)
		defer cancel()
		_, _ = hub.To("r").EmitAck(ctx, "question", []byte("?"))
	case 5:
		_ = hub.To("r").Volatile().Emit("volatile", make([]byte, 3_000))
	default:
		_ = hub.To("r").Except("1").Join("3")
	}
}

// odd sends a request that is none of a client's.
func (s *crowd) odd(method, path int) {
	methods := []string{"GET", "POST", "OPTIONS", "DELETE", "HEAD", "PUT", "CONNECT"}
	paths := []string{
		"/socket.io/", "/socket.io/?EIO=4&transport=webtransport", "/socket.io/?EIO=5&transport=polling", "/socket.io/?transport=websocket", "/ws", "/sockjs", "/sockjs/iframe.html",
		"/sockjs/000/s0/nothing", "/sockjs/a.b/c/xhr", "/", "/socket.io/../x", "//socket.io/", "/socket.io/?EIO=4&transport=polling&sid=", "/sockjs/000/s0/htmlfile?c=alert(1)",
	}
	to := paths[path%len(paths)]
	if len(s.ids) > 0 && path&0x80 != 0 {
		to = target(s.ids[len(s.ids)-1], "polling", 0)
	}
	s.request(engine4, methods[method%len(methods)], to, "Origin: http://other.example\r\nContent-Length: 0\r\n", "")
}
