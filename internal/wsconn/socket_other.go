//go:build !unix

package wsconn

import "net"

// socket stands for what other systems have no way to do.
type socket struct{}

func newSocket(net.Conn) *socket              { return nil }
func (s *socket) read() ([]byte, error)       { return nil, net.ErrClosed }
func (s *socket) poll() ([]byte, error)       { return nil, net.ErrClosed }
func (s *socket) release()                    {}
func (s *socket) write(p []byte) (int, error) { return 0, net.ErrClosed }
