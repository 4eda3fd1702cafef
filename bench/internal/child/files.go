package child

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// RaiseFiles lets this process, and those that it starts, have so many open files, most of
// which are sockets.
func RaiseFiles(enough uint64) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("getrlimit: %w", err)
	}
	limit.Max = max(limit.Max, enough) // which only root may
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("%d open files are needed (ulimit -Hn): %w", enough, err)
	}
	return nil
}
