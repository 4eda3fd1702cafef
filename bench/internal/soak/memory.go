package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Memory has many clients that hold as much in the server as their bounds allow, under GOMEMLIMIT. At first
// a tenth of them hold much, and the others little.
type Memory struct {
	Clients int
	Limit   size          // GOMEMLIMIT
	Little  int           // bytes that the others hold
	For     time.Duration // that clients hold more and more: the tenth, then all
}

// sent is what each client is sent that does not read: messages a second, and bytes of one.
type sent struct{ rate, size int }

var (
	sentFew = sent{4, 64 << 10}
	sentAll = sent{1, 16 << 10}
)

// Sizes in bytes.
const (
	hoardEvent = 16 << 10  // of an event behind a handler that sleeps
	hoardPart  = 890 << 10 // of a message or a body whose end never comes
	hoardWhole = 900 << 10 // what it says that it has
)

// Rooms of the clients.
const (
	manyRoom = "many" // those that hold little
	fewRoom  = "few"  // the tenth
)

// memoryHonest is how many honest clients come a second.
const memoryHonest = 20

// Run implements Scenario.
func (m Memory) Run(ctx context.Context, self Self, r *Report) error {
	const long = 5 * time.Minute // no client must go because it is silent
	p, err := self.start(ctx, serverConfig{
		Crowd: true, PingInterval: long, PingTimeout: long, DisconnectDelay: long, MessageTimeout: long,
		env: []string{fmt.Sprintf("GOMEMLIMIT=%d", int64(m.Limit))},
	})
	if err != nil {
		return err
	}
	defer p.end()
	crowd := &hoard{process: p}
	defer crowd.reset()
	if err := m.enter(ctx, crowd); err != nil {
		return err
	}
	if err := p.await(ctx, m.Clients); err != nil {
		return err
	}
	before, err := p.state()
	if err != nil {
		return err
	}
	r.note("before", before)
	sampling, stop := context.WithCancel(ctx)
	defer stop()
	resident, anonymous := peak(sampling, p.RSS), peak(sampling, p.Anonymous)
	honest := m.honest(ctx, p)
	for _, phase := range []func(context.Context, *Report, *hoard) error{m.few, m.all} {
		if err := phase(ctx, r, crowd); err != nil {
			return err
		}
	}
	stop()
	r.note("peak RSS of the server", <-resident)
	atMost(r, "of that at most without the pages of the program, which GOMEMLIMIT does not count", <-anonymous, m.Limit)
	served := <-honest
	exactly(r, "honest connects and echoes that failed", served.failed, 0)
	if served.err != nil {
		r.note("the first of these", served.err)
	}
	r.note("honest connects with an echo", len(served.took))
	atMost(r, "p99 of an honest connect with an echo", p99(served.took), honestBound)
	return nil
}

// honest has clients come, echo and go during both phases.
func (m Memory) honest(ctx context.Context, p *process) <-chan visits {
	all := make(chan visits, 1)
	go func() { all <- (door{server: p.Address, from: 1}).visit(ctx, memoryHonest, 2*m.For) }()
	return all
}

// few lets a tenth of the clients hold as much as they can. Only these may be disconnected.
func (m Memory) few(ctx context.Context, r *Report, h *hoard) error {
	if err := h.grow(ctx, fewRoom, sentFew, m.For); err != nil {
		return err
	}
	many, err := h.counted(manyRoom)
	if err != nil {
		return err
	}
	few, err := h.counted(fewRoom)
	if err != nil {
		return err
	}
	exactly(r, "of the clients that hold little there are still", many.Clients, m.Clients-m.Clients/10)
	r.note("held then, as Stats counts it", size(few.Memory))
	gone, counted := m.Clients/10-few.Clients, int(few.overMemory())
	r.note("of those that hold much were disconnected", fmt.Sprintf("%d of %d", gone, m.Clients/10))
	r.note("of these for the memory of all, counted", counted)
	exactly(r, "that is some, and none of them twice", 0 < counted && counted <= gone, true)
	return nil
}

// all lets every client hold as much as it can.
func (m Memory) all(ctx context.Context, r *Report, h *hoard) error {
	if err := h.grow(ctx, everybody, sentAll, m.For); err != nil {
		return err
	}
	st, err := h.process.ask("stats")
	if err != nil {
		return err
	}
	r.note("held in the end, as Stats counts it", size(st.Memory))
	maps.DeleteFunc(st.Limits, func(_ string, n uint64) bool { return n == 0 })
	r.note("limits reached", st.Limits)
	r.note("clients in the end", st.Clients)
	r.note("disconnected for the memory of all, counted", st.overMemory())
	return nil
}

// overMemory is how often the limit of the memory of all clients was reached.
func (f figures) overMemory() uint64 { return f.Limits["memory"] }

// hoard is the clients.
type hoard struct {
	process *process

	mu  sync.Mutex // protects few, and all while clients enter
	all []*client
	few []*client
}

func (h *hoard) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.all {
		c.reset()
	}
}

func (h *hoard) counted(room string) (figures, error) { return h.process.ask("count %s", room) }

// memoryKinds are the clients that hold something: sessions that nobody polls hold it for certain, since the
// kernel takes nothing from the server.
var memoryKinds = [...]kind{polling, socketIO, xhr, plain, upgraded, sockJS}

// enter connects all clients. Those that hold little get that now.
func (m Memory) enter(ctx context.Context, h *hoard) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(32)
	for i := range m.Clients {
		group.Go(func() error {
			c, err := (door{server: h.process.Address, from: byte(2 + i%20), narrow: true, short: true}).
				enter(ctx, memoryKinds[i/10%len(memoryKinds)])
			if err != nil {
				return fmt.Errorf("client %d: %w", i, err)
			}
			h.add(c, i%10 == 0)
			return m.settle(c, i%10 == 0)
		})
	}
	return group.Wait()
}

func (h *hoard) add(c *client, few bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, c)
	if few {
		h.few = append(h.few, c)
	}
}

// settle has a client join its room. One that holds little gets that: in half a message, or in its send queue, which
// nobody polls.
func (m Memory) settle(c *client, few bool) error {
	c.limit(time.Now().Add(dialTimeout))
	room := manyRoom
	if few {
		room = fewRoom
	}
	if err := c.say("join", room); err != nil {
		return err
	}
	if event, data, err := c.hear(); err != nil || event != "joined" {
		return unexpected("joined", event, data, err)
	}
	if few {
		return nil
	}
	if w, ok := c.wire.(*webSocket); ok {
		return w.sendPart(2*m.Little, m.Little)
	}
	return c.say("pour", fmt.Sprintf("1 %d 0", m.Little))
}

// sendPart sends the beginning of a message.
func (w *webSocket) sendPart(whole, part int) error {
	all := frame(1, strings.Repeat("x", whole))
	_, err := w.tcp().Write(all[:len(all)-whole+part])
	return err
}

// grow has the clients in a room hold more and more for a time. The server sends to each of them, of which none
// reads, and of the tenth each holds something else too.
func (h *hoard) grow(ctx context.Context, room string, messages sent, length time.Duration) error {
	if _, err := h.process.ask("each %s %d %d %v", room, messages.rate, messages.size, length); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(100)
	if room == fewRoom {
		for i, c := range h.few {
			group.Go(func() error {
				c.limit(time.Now().Add(length))
				_ = hoarding[i%len(hoarding)](ctx, c) // the server may disconnect it
				return nil
			})
		}
	}
	_ = group.Wait() // none fails
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// hoarding are the ways in which a client holds what it sends.
var hoarding = [...]func(context.Context, *client) error{
	// Only what the server sends.
	func(context.Context, *client) error { return nil },
	// Events behind a handler that sleeps.
	func(ctx context.Context, c *client) error {
		err := c.say("sleep", time.Minute.String())
		for event := c.event("echo", strings.Repeat("x", hoardEvent)); err == nil && ctx.Err() == nil; {
			err = c.send(event)
		}
		return err
	},
	// A message, or a body, whose end never comes.
	func(_ context.Context, c *client) error {
		switch w := c.wire.(type) {
		case *webSocket:
			return w.sendPart(hoardWhole, hoardPart)
		case *poller:
			return w.post.begin(w.target)
		case *xhrPoller:
			return w.post.begin(w.session + "/xhr_send")
		}
		return nil
	},
}

// begin sends the beginning of a large POST.
func (h *httpConn) begin(target string) error {
	h.busy.Lock()
	defer h.busy.Unlock()
	all := request(http.MethodPost, target, strings.Repeat("x", hoardWhole))
	_, err := io.WriteString(h, all[:len(all)-hoardWhole+hoardPart])
	return err
}
