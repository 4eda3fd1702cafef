//go:build linux

package wsconn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/slim"
)

// interest is what a parked socket is watched for. Edge-triggered: an event says that
// something has changed, and whoever is told reads until there is no more.
const interest = syscall.EPOLLIN | syscall.EPOLLRDHUP | 1<<31 // EPOLLET, which package syscall has as a negative number

// hangUp are the events after which there is an end to be read.
const hangUp = syscall.EPOLLRDHUP | syscall.EPOLLHUP | syscall.EPOLLERR

// batch is how many events are fetched at a time.
const batch = 128

// Park lets idle connections wait without a goroutine each: one epoll for each
// processor, and one goroutine for each epoll, which reads what is ready and hands it
// on. A connection that would keep it waiting when it ends takes that goroutine along, and a new one
// takes over the epoll. The zero Park is
// not ready; it is safe for concurrent use.
type Park struct {
	loops []*loop
	next  atomic.Uint32 // the loop for the next connection
	start sync.Once
	group serial.Group // of the loops' goroutines
}

// NewPark returns a Park. Its goroutines start with the first connection.
func NewPark() (*Park, error) {
	p := &Park{}
	for range runtime.GOMAXPROCS(0) {
		l, err := newLoop(p)
		if err != nil {
			p.Close()
			return nil, err
		}
		p.loops = append(p.loops, l)
	}
	return p, nil
}

// Close ends the goroutines and returns when they have ended. Connections that are still
// parked are not told of anything any more.
func (p *Park) Close() {
	for _, l := range p.loops {
		_ = l.epoll.Close() // only its descriptor is given back
	}
	_ = p.group.Wait(context.Background())
}

// add parks a connection that nobody reads yet. It is false if it cannot be parked.
func (p *Park) add(c *Conn) bool {
	if c.in.socket == nil {
		return false
	}
	p.start.Do(func() {
		p.group.Logger = c.cfg.Group.Logger
		for _, l := range p.loops {
			p.group.Start(l)
		}
	})
	l := p.loops[p.next.Add(1)%uint32(len(p.loops))]
	c.parked.events.Store(1) // until it has been looked at below
	c.parked.loop.Store(l)
	if err := l.watch(c); err != nil {
		c.parked.loop.Store(nil)
		return false
	}
	c.cfg.Group.Begin() // until it has ended
	c.cfg.Group.Go(func() { c.process(nil) })
	return true
}

// parked is what a connection has of its Park.
type parked struct {
	loop   atomic.Pointer[loop] // nil if it is not parked, or not served yet
	fd     int32                // its descriptor
	events atomic.Uint32        // since nobody read; whoever makes it 1 reads until it can be made 0
	hungUp atomic.Bool          // an end is to be read
}

// isParked reports whether idle times pass without a goroutine.
func (c *Conn) isParked() bool { return c.parked.loop.Load() != nil }

// wake has the connection looked at, in case nobody does. One that is not served yet will
// be looked at then.
func (c *Conn) wake() {
	if c.isParked() && c.parked.events.Add(1) == 1 {
		c.cfg.Group.Go(func() { c.process(nil) })
	}
}

// cutAfter cuts a connection that is parked, or is going to be: no deadline of a Read
// would.
func (c *Conn) cutAfter(d time.Duration) {
	if c.cfg.Park != nil {
		c.cfg.Group.AfterFunc(d, func() { c.cut(fmt.Errorf("wsconn: read: %w", os.ErrDeadlineExceeded)) })
	}
}

// process reads what there is, until there is no more. It has one caller at a time:
// who made events 1. If that is a loop, it is named.
func (c *Conn) process(l *loop) {
	defer func() {
		if p := recover(); p != nil { // a mistake of ours, which ends the connection and not the loop
			c.in.detach()
			c.cfg.Group.Crashed((*parkedReader)(c), p)
		}
	}()
	for {
		seen := c.parked.events.Load()
		c.in.loop, c.in.socket.dry = l, false
		err := c.in.err
		if err == nil {
			err = c.readReady()
		}
		l = c.in.loop // nil if it has gone on without us
		if err != nil {
			c.unpark(err)
			return
		}
		c.in.loop = nil
		if c.parked.events.CompareAndSwap(seen, 0) {
			return
		}
	}
}

// parkedReader is a Conn as the caller of process sees it.
type parkedReader Conn

// Fail implements serial.Failer.
func (r *parkedReader) Fail(err error) {
	c := (*Conn)(r)
	c.fail(err, session.CloseInternal, "internal error")
	c.unpark(err)
}

// unpark ends a parked connection, err being why no more can be read.
func (c *Conn) unpark(err error) {
	defer c.cfg.Group.End()
	c.in.detach() // the end may take its time
	c.parked.loop.Load().forget(c)
	c.finishReading(err)
}

// readReady hands on the messages that are there.
func (c *Conn) readReady() error {
	for {
		ready, err := c.in.ready(c.parked.hungUp.Load())
		if err != nil {
			return err
		}
		if !ready {
			c.in.clock()
			return nil
		}
		if err := c.next(); err != nil {
			return err
		}
	}
}

// ready reports whether there is something to be read, without waiting for it.
func (s *stream) ready(hungUp bool) (bool, error) {
	if len(s.ahead) > 0 {
		return true, nil
	}
	if s.socket.dry && !hungUp {
		return false, nil
	}
	ahead, err := s.socket.poll()
	s.ahead = ahead
	return len(ahead) > 0, s.broke(err)
}

// detach lets the loop that called us go on: we are going to wait.
func (s *stream) detach() {
	if l := s.loop; l != nil {
		s.loop = nil
		l.handOver()
	}
}

// loop waits on one epoll. What is not marked otherwise belongs to the goroutine that
// runs it, which may change: see handOver.
type loop struct {
	park  *Park
	epoll *os.File
	raw   syscall.RawConn // of epoll, which is waited on in the runtime's own
	fetch func(fd uintptr) bool

	turn   atomic.Uint32 // counts the goroutines that have run it
	events [batch]syscall.EpollEvent
	n, i   int // events that were fetched, and how many of them have been dealt with

	mu      sync.Mutex // protects what follows
	conns   slim.Map[int32, watched]
	lastGen int32
}

// watched is a connection and which use of its descriptor it is: an event of the one
// before may still be under way.
type watched struct {
	conn *Conn
	gen  int32
}

func newLoop(p *Park) (*loop, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // or the runtime would not wait on it
		_ = syscall.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	l := &loop{park: p, epoll: os.NewFile(uintptr(fd), "epoll")}
	l.fetch = l.fetchOnce
	l.raw, err = l.epoll.SyscallConn()
	return l, err
}

// Fail implements serial.Failer: another goroutine runs the loop from now on, behind the event
// that has caused the panic.
func (l *loop) Fail(error) { l.handOver() }

// Run implements serial.Task: it deals with events until the epoll is closed or another goroutine
// does.
func (l *loop) Run() {
	turn := l.turn.Add(1)
	for {
		if l.i == l.n {
			if err := l.raw.Read(l.fetch); err != nil {
				return
			}
		}
		for l.i < l.n {
			e := l.events[l.i]
			l.i++
			l.deal(e)
			if l.turn.Load() != turn {
				return
			}
		}
	}
}

// handOver is called by the goroutine that runs the loop, when it is going to wait for
// one connection. Another one runs it from now on.
func (l *loop) handOver() {
	l.turn.Add(1)
	l.park.group.Start(l)
}

// fetchOnce is called when the epoll may have events, and false waits until it has.
func (l *loop) fetchOnce(fd uintptr) bool {
	for {
		n, err := syscall.EpollWait(int(fd), l.events[:], 0)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		l.n, l.i = max(n, 0), 0
		return n != 0
	}
}

func (l *loop) deal(e syscall.EpollEvent) {
	l.mu.Lock()
	w := l.conns.Get(e.Fd)
	l.mu.Unlock()
	if w.conn == nil || w.gen != e.Pad {
		return
	}
	p := &w.conn.parked
	if e.Events&hangUp != 0 {
		p.hungUp.Store(true)
	}
	if p.events.Add(1) == 1 {
		w.conn.process(l)
	}
}

// watch has events of c fetched from now on; one at once if there is something to be read.
func (l *loop) watch(c *Conn) error {
	var failed error
	err := c.in.socket.raw.Control(func(fd uintptr) {
		l.mu.Lock()
		l.lastGen++
		gen := l.lastGen
		c.parked.fd = int32(fd)
		l.conns.Set(int32(fd), watched{c, gen})
		l.mu.Unlock()
		err := l.raw.Control(func(epoll uintptr) {
			failed = syscall.EpollCtl(int(epoll), syscall.EPOLL_CTL_ADD, int(fd),
				&syscall.EpollEvent{Events: interest, Fd: int32(fd), Pad: gen})
		})
		failed = errors.Join(err, failed)
	})
	if err = errors.Join(err, failed); err != nil {
		l.forget(c)
	}
	return err
}

// forget is for a connection that is about to be closed, which ends its watch.
func (l *loop) forget(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns.Get(c.parked.fd).conn == c {
		l.conns.Delete(c.parked.fd)
	}
}
