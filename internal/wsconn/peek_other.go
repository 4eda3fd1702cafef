//go:build !linux

package wsconn

import "net"

// Peek is for Linux.
type Peek struct{}

// NewPeek returns nil.
func NewPeek(net.Conn) *Peek { return nil }

// Wait is never called.
func (p *Peek) Wait() error { return net.ErrClosed }
