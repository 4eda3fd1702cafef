package engineio

import (
	"bytes"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/alarm"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// A GET that waits keeps two goroutines and two buffers of net/http: four times what all
// the rest of an idle client costs. So one that has waited for holdAfter is taken over from
// its handler, and the connection goes back to its http.Server with the answer.
const holdAfter = time.Second

// poll is a GET that waits.
type poll struct {
	session *Session
	ready   chan struct{} // its handler is woken through it, as long as it has one

	// What follows is protected by session.mu.
	alarm   alarm.Alarm
	long    bool   // it has waited for holdAfter
	relayed bool   // another node has brought it: its end need not be the client's
	mark    uint64 // of a relayed one, as in session.Mark
	held    *held  // set once it does not need its handler any more
}

func newPoll(s *Session) *poll { return &poll{session: s, ready: make(chan struct{}, 1)} }

// wake lets the GET be answered, or held. It takes session.mu as held.
func (p *poll) wake() {
	if p.held != nil {
		p.held.answer()
		return
	}
	select {
	case p.ready <- struct{}{}:
	default: // it is awake already
	}
}

// giveWay lets go of a GET whose node seems to be lost. It is false if p was brought by
// its client, or an answer is under way. It takes session.mu as held.
func (p *poll) giveWay() bool {
	switch {
	case !p.relayed || p.held != nil && p.held.answering:
		return false
	case p.held != nil:
		_ = p.held.conn.SetReadDeadline(time.Unix(1, 0)) // ends the watch, which closes it
	default:
		p.wake()
	}
	p.session.poll = nil
	return true
}

// Ring implements alarm.Sleeper: the GET has waited for holdAfter.
func (p *poll) Ring() {
	s := p.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.poll == p && s.server.cfg.Clock.Rang(&p.alarm) {
		p.long = true
		p.wake()
	}
}

// held is a GET that waits without its handler: an answer that is begun, and a connection
// that a goroutine watches, for a client that leaves has to be noticed.
type held struct {
	poll    *poll
	conn    net.Conn
	peek    *wsconn.Peek   // at conn; nil if it has to be read
	home    *http.Server   // that conn goes back to
	remote  string         // address of the client
	header  string         // of the answer, as far as middleware has set it
	isIE    bool           // the client is one of those that keepFromIE is for
	watched sync.WaitGroup // for nobody to read conn any more

	talks     bool // more has come, which is lost: conn cannot go back. Owned by who watches
	answering bool // protected by session.mu, as poll is
}

// hold takes the GET over, unless there is something to say by now. It is false if the
// handler has to go on waiting.
func (s *Session) hold(w http.ResponseWriter, r *http.Request, p *poll) bool {
	home, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok || r.Close || !r.ProtoAtLeast(1, 1) || r.ProtoMajor > 1 {
		return false
	}
	var header bytes.Buffer
	_ = w.Header().Write(&header) // a buffer takes everything
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	_ = conn.SetDeadline(time.Time{}) // fails on a closed connection, which shows
	h := &held{poll: p, conn: conn, peek: wsconn.NewPeek(conn), home: home, remote: r.RemoteAddr, header: header.String(),
		isIE: isIE(r), talks: rw.Reader.Buffered() > 0}
	h.watched.Add(1)
	s.mu.Lock()
	p.held, p.ready = h, nil
	if !s.idles() {
		h.answer()
	}
	s.mu.Unlock()
	s.server.cfg.Group.Fresh(h.watch)
	return true
}

// watch waits for the client to leave. Its stack must not grow.
func (h *held) watch() {
	var err error
	if h.peek != nil {
		err = h.peek.Wait()
	} else {
		err = h.read()
	}
	h.watched.Done()
	if err != nil {
		h.abort()
	}
}

// read is Peek.Wait for other connections: what it reads is lost.
func (h *held) read() error {
	var more [1]byte
	n, err := h.conn.Read(more[:])
	if n == 0 {
		return err
	}
	h.talks = true
	return nil
}

// abort is for a client that has left, unless an answer is under way to it.
func (h *held) abort() {
	s := h.poll.session
	s.mu.Lock()
	left, waited := !h.answering, s.poll == h.poll
	if left {
		h.answering = true
		if waited {
			s.poll = nil
		}
	}
	s.mu.Unlock()
	if left {
		_ = h.conn.Close() // it is useless anyway
	}
	if left && waited && !h.poll.relayed {
		s.aborted(h.remote)
	}
}

// answer has the GET answered, once. It takes session.mu as held.
func (h *held) answer() {
	if !h.answering {
		h.answering = true
		h.poll.session.server.cfg.Group.Start(h)
	}
}

// Run implements serial.Task: it answers the GET.
func (h *held) Run() {
	s := h.poll.session
	_ = h.conn.SetReadDeadline(time.Unix(1, 0)) // ends the watch
	h.watched.Wait()
	_ = h.conn.SetReadDeadline(time.Time{})
	back := !h.talks && s.server.takesBack()
	frames, _ := s.take(h.poll) // once it is to be answered it does not give way
	header := http.Header{}
	body := s.compose(header, frames, h.isIE)
	_ = h.conn.SetWriteDeadline(time.Now().Add(s.server.cfg.WriteTimeout))
	_, err := h.conn.Write(h.response(header, body, back))
	if err != nil || !back {
		_ = h.conn.Close()
	} else {
		_ = h.conn.SetWriteDeadline(time.Time{})
		s.server.giveBack(h.home, h.conn)
	}
	s.responded(h.remote, frames, err)
}

// response is the whole of the answer.
func (h *held) response(header http.Header, body []byte, back bool) []byte {
	b := bytes.NewBufferString("HTTP/1.1 200 OK\r\n")
	b.WriteString(h.header)
	header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if !back {
		header.Set("Connection", "close")
	}
	_ = header.Write(b)
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}
