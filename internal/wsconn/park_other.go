//go:build !linux

package wsconn

import (
	"errors"
	"time"
)

// Park lets idle connections wait without a goroutine each, on Linux.
type Park struct{}

// NewPark fails: there is no epoll here.
func NewPark() (*Park, error) {
	return nil, errors.New("wsconn: connections can be parked on Linux only")
}

// Close does nothing.
func (p *Park) Close() {}

func (p *Park) add(*Conn) bool { return false }

type (
	parked struct{}
	loop   struct{}
)

func (c *Conn) isParked() bool         { return false }
func (c *Conn) wake()                  {}
func (c *Conn) cutAfter(time.Duration) {}
func (s *stream) detach()              {}
