//go:build !linux || mips || mipsle || mips64 || mips64le

package stickiness

import (
	"context"
	"net"
)

// ListenReusePort is for Linux: here it returns [ErrReusePort].
func ListenReusePort(context.Context, string, string) (net.Listener, error) {
	return nil, ErrReusePort
}
