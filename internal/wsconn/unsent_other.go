//go:build !linux

package wsconn

import "net"

// boundUnsent needs what only Linux has.
func boundUnsent(net.Conn, bool) bool { return false }
