package engineio

import (
	"net"
	"net/http"
	"sync"
)

// returns is a net.Listener that brings connections back to an http.Server: after the
// answer to a GET that was held they are ordinary ones again.
type returns struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once // closes done
}

// Accept implements net.Listener.
func (l *returns) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *returns) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements net.Listener.
func (l *returns) Addr() net.Addr { return &net.TCPAddr{} }

// takesBack says whether connections go back at all.
func (s *Server) takesBack() bool { return !s.isClosed() }

// giveBack hands a connection to the server it came from, or closes it if that has been
// shut down.
func (s *Server) giveBack(home *http.Server, conn net.Conn) {
	if l := s.returnsTo(home); l != nil {
		select {
		case l.conns <- conn:
			return
		case <-l.done:
		}
	}
	_ = conn.Close() // its client gets a new one
}

// returnsTo returns the way back to home, nil if s has been closed.
func (s *Server) returnsTo(home *http.Server) *returns {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	l := s.returns[home]
	if l == nil {
		l = &returns{conns: make(chan net.Conn), done: make(chan struct{})}
		s.returns[home] = l
		s.cfg.Group.Go(func() { s.serveReturns(home, l) })
	}
	return l
}

// serveReturns runs until home is shut down or s is closed.
func (s *Server) serveReturns(home *http.Server, l *returns) {
	_ = home.Serve(l) // always fails in the end, with http.ErrServerClosed or net.ErrClosed
	_ = l.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.returns, home)
}

// closeReturns takes s.mu as held.
func (s *Server) closeReturns() {
	for _, l := range s.returns {
		_ = l.Close()
	}
}
