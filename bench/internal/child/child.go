// Package child runs servers as processes pinned to a core, talks to them by lines, and
// asks the kernel what they use.
package child

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-ce09063a/thinkws/bench/internal/servers"
)

// Command says what to run.
type Command struct {
	Path  string
	Args  []string
	Dir   string
	Env   []string // beside this process's own
	Cores []int    // that it may use, and GOMAXPROCS is their number; nil for all that this process may
}

// Process is a server that runs. It belongs to one goroutine.
type Process struct {
	Address netip.AddrPort

	cmd     *exec.Cmd
	stdin   io.WriteCloser
	answers chan string // lines of stdout; closed when there are no more
	stderr  *strings.Builder
}

// answerTimeout bounds every answer: a busy server may let the command wait.
const answerTimeout = 20 * time.Second

// Start runs a server and waits for its address. Its end is ctx's end at the latest. With
// Command.Cores the calling goroutine must be locked to its thread, whose affinity the process inherits.
func Start(ctx context.Context, c Command) (*Process, error) {
	p := &Process{
		cmd: exec.CommandContext(ctx, c.Path, c.Args...), answers: make(chan string), stderr: &strings.Builder{},
	}
	p.cmd.Dir = c.Dir
	p.cmd.Env = append(os.Environ(), c.Env...)
	start := p.cmd.Start
	if c.Cores != nil {
		p.cmd.Env = append(p.cmd.Env, fmt.Sprintf("GOMAXPROCS=%d", len(c.Cores)))
		start = func() error { return OnCores(c.Cores, p.cmd.Start) }
	}
	p.cmd.Stderr = p.stderr
	p.cmd.WaitDelay = time.Second
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := start(); err != nil {
		return nil, err
	}
	go p.read(stdout)
	var hello struct{ Address string }
	if err := p.answer(&hello); err != nil {
		p.Kill()
		return nil, fmt.Errorf("no address: %w", err)
	}
	if p.Address, err = netip.ParseAddrPort(hello.Address); err != nil {
		p.Kill()
	}
	return p, err
}

// OnCores calls fn with this thread on these cores only, and moves it back.
func OnCores(cores []int, fn func() error) error {
	var before, during unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("sched_getaffinity: %w", err)
	}
	for _, core := range cores {
		during.Set(core)
	}
	if err := unix.SchedSetaffinity(0, &during); err != nil {
		return fmt.Errorf("sched_setaffinity: %w", err)
	}
	return errors.Join(fn(), unix.SchedSetaffinity(0, &before))
}

func (p *Process) read(stdout io.Reader) {
	defer close(p.answers)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		p.answers <- lines.Text()
	}
}

// Kill ends the process and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	for range p.answers { // so that its reader ends
	}
	_ = p.cmd.Wait()
}

func (p *Process) answer(to any) error {
	select {
	case line, ok := <-p.answers:
		if !ok {
			_ = p.cmd.Wait() // then stderr is complete
			return fmt.Errorf("the server has ended: %s", p.stderr)
		}
		return json.Unmarshal([]byte(line), to)
	case <-time.After(answerTimeout):
		return errors.New("the server does not answer")
	}
}

// Call sends a command and takes its answer.
func (p *Process) Call(command string, answer any) error {
	if _, err := io.WriteString(p.stdin, command+"\n"); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	if err := p.answer(answer); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	return nil
}

// Ask sends a command that is answered by Stats.
func (p *Process) Ask(command string) (servers.Stats, error) {
	var st servers.Stats
	if err := p.Call(command, &st); err != nil {
		return st, err
	}
	if st.Error != "" {
		return st, fmt.Errorf("%s: %s", command, st.Error)
	}
	return st, nil
}
