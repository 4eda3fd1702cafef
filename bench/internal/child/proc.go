package child

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is the time a process has used.
type CPU struct {
	User, Total time.Duration
}

// tick is the unit of /proc/PID/stat: USER_HZ is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// CPU reads the times. Total is exact to the nanosecond, User to a tick.
func (p *Process) CPU() (CPU, error) {
	pid := p.cmd.Process.Pid
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return CPU{}, err
	}
	_, rest, _ := bytes.Cut(stat, []byte(") ")) // the name before may hold spaces
	fields := bytes.Fields(rest)
	if len(fields) < 13 {
		return CPU{}, fmt.Errorf("unexpected stat %q", stat)
	}
	user, err := strconv.ParseInt(string(fields[11]), 10, 64)
	if err != nil {
		return CPU{}, err
	}
	var total unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|cpuClockSched, &total); err != nil {
		return CPU{}, fmt.Errorf("clock_gettime: %w", err)
	}
	return CPU{User: time.Duration(user) * tick, Total: time.Duration(total.Nano())}, nil
}

// cpuClockSched is the kernel's CPUCLOCK_SCHED: all that a process ran.
const cpuClockSched = 2

// Since is what was used after before.
func (c CPU) Since(before CPU) CPU {
	return CPU{User: c.User - before.User, Total: c.Total - before.Total}
}

// RSS is the resident set in bytes.
func (p *Process) RSS() (int64, error) { return p.resident("VmRSS:") }

// Anonymous is the resident set without the pages of files, in bytes. Those are the program itself: the kernel may drop
// them, and GOMEMLIMIT does not count them.
func (p *Process) Anonymous() (int64, error) { return p.resident("RssAnon:") }

func (p *Process) resident(name string) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, found := bytes.Cut(status, []byte(name))
	fields := bytes.Fields(rest)
	if !found || len(fields) == 0 {
		return 0, fmt.Errorf("no %s in %q", name, status)
	}
	kib, err := strconv.ParseInt(string(fields[0]), 10, 64)
	return kib << 10, err
}
