package load

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// read and write are the bare system calls. The sockets never block, so the scheduler
// need not be told, which is a tenth of what a message costs.

func read(fd int, p []byte) (int, unix.Errno) {
	n, _, err := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	return int(n), err
}

func write(fd int, p []byte) (int, unix.Errno) {
	n, _, err := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	return int(n), err
}
