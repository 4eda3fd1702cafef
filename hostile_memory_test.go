package thinkws_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// The tests of memory have many clients send one shape of hostile input at the same time, and compare
// the heap with the bounds that apply to that shape. Each shape runs in a bubble of synctest: when all goroutines of
// the bubble are blocked, the server has taken all that it will take.

// The limits of the server. They have the proportions of the defaults.
const (
	mostMessage   = 32 << 10
	mostItems     = 32
	mostBytes     = 128 << 10
	mostHeader    = 16 << 10
	mostAuth      = 4 << 10
	mostSpaces    = 8
	mostRooms     = 50
	mostAnswers   = 100
	mostBeside    = 64             // concurrent actions of one client
	inflater      = 48 << 10       // window and tables of one that reads compressed data
	roomCost      = 512            // a room with one client in it, without its name
	answerCost    = 256            // an answer that is awaited from one client
	timerCost     = 256            // stopped timers of one message: a bubble keeps them until they would be due
	keptCost      = 2 << 10        // ten values of a few bytes and their names in a list
	gateCost      = 2 << 10        // a client in a namespace whose Authorize function runs, with the goroutines
	endCost       = 2 << 10        // a connection that waits for the answer to its close frame, and the count of its pings
	uncounted     = 3 << 10        // what need not be counted: less than a client costs
	requestCost   = 6 << 10        // a request that is under way, for net/http
	oneWrite      = 32 << 10       // what goes out in one write while the network does not take it
	slack         = 5.0 / 4        // of what is held to its bounds
	gatedRoutines = 2 * mostSpaces // Authorize, beside the queue of the client in a namespace
	moreRoutines  = 2              // of one attacker than of an idle client
)

// bounds are those that apply to a shape, in bytes for each client.
type bounds map[string]int

var (
	nothing       = bounds{}
	aMessage      = bounds{"message": mostMessage}
	receiveQueue  = bounds{"receive queue": mostBytes, "the message that fills it": mostMessage}
	sendQueue     = bounds{"send queue": mostBytes, "one write": oneWrite}
	queryAndAuth  = bounds{"auth": mostAuth, "the same in the query": mostAuth} // the service gets it in both
	keptByService = bounds{"ten small values and names that the service keeps": keptCost}
	waitsInEach   = bounds{"namespaces in which Authorize runs": mostSpaces * gateCost}
	theEnd        = bounds{"the end of a connection": endCost}
	theHeader     = bounds{"header": mostHeader}
	concurrently  = bounds{"receive queue": mostBytes, "the message that fills it": mostMessage, "concurrent actions": mostBytes}
	theAuth       = bounds{"auth": mostAuth}
	queueAndPart  = bounds{"receive queue": mostBytes, "message": mostMessage}
	anInflater    = bounds{"message": mostMessage, "inflater": inflater}
	queueInflated = bounds{"receive queue": mostBytes, "message": mostMessage, "inflater": inflater}
)

// timersOf are the bounds of a shape of n messages that leaves nothing behind but stopped timers.
func timersOf(n int) bounds { return bounds{"stopped timers": n * timerCost} }

// shape is a kind of hostile input.
type shape struct {
	name     string
	kind     string // of client, see kinds
	options  []thinkws.Option
	attack   func(c *attacker) // runs on a goroutine of the client
	together func(a *arena)    // what the service does meanwhile
	bounds   bounds
	gated    bool     // Authorize blocks
	deaf     bool     // the clients do not read
	idle     []string // the kinds of idle clients that one attacker is; kind if there are none
	routines int      // more goroutines than an idle client that the service allows itself
}

// arena is a server in a bubble.
type arena struct {
	t       *testing.T
	handler *thinkws.Handler
	memory  *memory
	gate    chan struct{} // closed at the end: what blocks goes on then
	clients atomic.Int64  // goroutines of clients

	mu    sync.Mutex // protects what follows
	conns []net.Conn
	over  bool
}

func newArena(t *testing.T, s shape) *arena {
	a := &arena{t: t, gate: make(chan struct{})}
	t.Cleanup(func() { time.Sleep(time.Minute) }) // net/http waits for clients whose requests it has not read
	options := append(a.actions(s.gated),
		thinkws.WithLogger(slog.New(slog.DiscardHandler)), thinkws.WithMaxMessage(mostMessage), thinkws.WithReceiveQueue(mostItems, mostBytes),
		thinkws.WithSendQueue(mostBytes), thinkws.WithMaxRooms(mostRooms), thinkws.WithConnectTimeout(time.Hour),
		thinkws.WithLimits(thinkws.Limits{Header: mostHeader, Auth: mostAuth, Namespaces: mostSpaces, Answers: mostAnswers, HandshakesPerAddress: 1 << 20, Handshakes: 1 << 20}))
	a.handler, _ = newHandler(t, append(options, s.options...)...)
	router := http.NewServeMux()
	router.Handle("/action/block", a.handler.Action(func(*thinkws.Context) error { <-a.gate; return nil }))
	router.Handle("/action/echo", a.handler.Action(func(c *thinkws.Context) error { return c.Ack(c.WsData()) }))
	a.memory = serveMemory(t, a.handler.Middleware(router))
	t.Cleanup(a.close)
	return a
}

func (a *arena) actions(gated bool) []thinkws.Option {
	block := func(*thinkws.Context) error { <-a.gate; return nil }
	options := []thinkws.Option{
		thinkws.On("block", block),
		thinkws.On("beside", thinkws.Concurrent(block)),
		thinkws.On("echo", func(c *thinkws.Context) error { return c.Ack(c.WsData()) }),
		thinkws.On("join", thinkws.Bind(func(c *thinkws.Context, names []string) error { return c.Join(names...) })),
		thinkws.On("leave", thinkws.Bind(func(c *thinkws.Context, names []string) error { c.Leave(names...); return nil })),
		thinkws.On("fill", func(c *thinkws.Context) error { return fill(c, 100, 1000) }), // up to the limit
		thinkws.On("flood", func(c *thinkws.Context) error { return fill(c, 150, 2_000) }),
		thinkws.On("end", func(c *thinkws.Context) error { c.Websocket().Close(); return nil }),
		thinkws.OnAny(func(c *thinkws.Context) error { // the service keeps what it gets
			if strings.HasPrefix(c.Event(), "keep") {
				kept, _ := c.Get("kept").([]any)
				c.Set("kept", append(kept, c.Event(), c.WsData()))
			}
			return nil
		}),
		thinkws.Namespace("/n*"),
		thinkws.Namespace("/closed", thinkws.Authorize(func(*thinkws.Context) error { return &thinkws.Error{Name: thinkws.Forbidden} })),
	}
	if gated {
		options = append(options, thinkws.Authorize(block))
	}
	return options
}

func fill(c *thinkws.Context, messages, size int) error {
	text := strings.Repeat("x", size)
	for range messages {
		if err := c.Emit("e", text); err != nil && !errors.Is(err, thinkws.ErrDropped) {
			return err
		}
	}
	return nil
}

func (a *arena) close() {
	close(a.gate)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	for _, conn := range a.conns {
		_ = conn.Close()
	}
}

// dial connects until the test ends. After that the connection is a closed one.
func (a *arena) dial() net.Conn {
	a.mu.Lock()
	over := a.over
	a.mu.Unlock()
	if over {
		conn, _ := net.Pipe()
		_ = conn.Close()
		return conn
	}
	conn := a.memory.dial(a.t)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conns = append(a.conns, conn)
	return conn
}

// goes runs fn on a goroutine that counts as one of the clients.
func (a *arena) goes(fn func()) {
	a.clients.Add(1)
	go func() {
		defer a.clients.Add(-1)
		fn()
	}()
}

// settle returns when nothing happens any more. A second is enough for readers that take over from those that
// an action keeps, and for net/http to wait for clients whose requests it has not read.
func settle() {
	synctest.Wait()
	time.Sleep(time.Second)
	synctest.Wait()
}

func heapNow() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// footprint is what the server has for each client.
type footprint struct {
	bytes    int
	counted  int // of these, as Stats tells
	routines float64
}

// measure lets clients attack and returns what each of them costs.
func (s shape) measure(t *testing.T) (f footprint) {
	synctest.Test(t, func(t *testing.T) {
		a := newArena(t, s)
		synctest.Wait()
		bytes, routines := heapNow(), runtime.NumGoroutine()
		all := make([]*attacker, attackers)
		for i := range all {
			all[i] = a.open(s, i)
		}
		for _, c := range all {
			c.begin(s)
		}
		if s.together != nil {
			s.together(a)
		}
		settle()
		f.counted = int(a.handler.Hub().Stats().Memory) / attackers
		f.bytes = (heapNow() - bytes) / attackers
		// During a collection the runtime counts ended goroutines too. Here none is under way: heapNow has ended one.
		f.routines = float64(runtime.NumGoroutine()-routines-int(a.clients.Load())) / attackers
		runtime.KeepAlive(all)
	})
	return f
}

// idleClients are the costs of idle clients, by their kinds.
type idleClients map[string]footprint

func (known idleClients) of(t *testing.T, kinds ...string) (sum footprint) {
	for _, kind := range kinds {
		f, ok := known[kind]
		if !ok {
			f = shape{kind: kind}.measure(t)
			known[kind] = f
		}
		sum.bytes += f.bytes
		sum.routines += f.routines
	}
	return sum
}

// keepDescriptors makes the runtime keep descriptors for n goroutines. It never frees one, so the descriptors of
// goroutines that have ended, some 450 bytes each, would count for the first shape that has more at a time.
func keepDescriptors(n int) {
	var all sync.WaitGroup
	release := make(chan struct{})
	for range n {
		all.Go(func() { <-release })
	}
	close(release)
	all.Wait()
}

// TestHostileMemory holds each shape to its bounds.
func TestHostileMemory(t *testing.T) {
	keepDescriptors(100 * attackers) // more than any shape has at a time
	idle := idleClients{}
	seen := map[string]bool{}
	for _, s := range hostileShapes() {
		name := s.kind + ": " + s.name
		require.False(t, seen[name], name)
		seen[name] = true
		t.Run(name, func(t *testing.T) {
			if s.idle == nil {
				s.idle = []string{s.kind}
			}
			least := idle.of(t, s.idle...)
			most, names := least.bytes, "an idle client"
			for name, bytes := range s.bounds {
				most += bytes
				names += ", " + name
			}
			held := s.measure(t)
			t.Logf("%d bytes of %d held for each client, %.1f goroutines; the bounds: %s", held.bytes, most, held.routines, names)
			if countsHeap {
				assert.LessOrEqual(t, float64(held.bytes), slack*float64(most), "bytes for each client; the bounds are %s", names)
			}
			s.checkCount(t, held, least)
			assert.LessOrEqual(t, held.routines, least.routines+moreRoutines+float64(s.routines), "goroutines for each client")
		})
	}
	assert.GreaterOrEqual(t, len(seen), 60)
}

// counts are the bounds of what Limits.Memory counts.
var counts = map[string]bool{"message": true, "receive queue": true, "send queue": true, "concurrent actions": true}

// checkCount compares the bytes that Limits.Memory counts with the growth of the heap.
func (s shape) checkCount(t *testing.T, held, least footprint) {
	t.Helper()
	beside, most := least.bytes+uncounted, 0
	for name, bytes := range s.bounds {
		if counts[name] {
			most += bytes
		} else {
			beside += bytes
		}
	}
	assert.Zero(t, least.counted, "an idle client holds nothing")
	if !strings.HasPrefix(s.kind, "v") && !strings.HasPrefix(s.kind, "plain") && !strings.HasPrefix(s.kind, "sock") {
		beside += requestCost
		most += mostMessage // the body of a request that waits
	}
	assert.LessOrEqual(t, float64(held.counted), slack*float64(most+beside-least.bytes), "bytes that are counted")
	if countsHeap && most > 0 {
		assert.LessOrEqual(t, float64(held.bytes), slack*float64(held.counted+beside), "bytes of which %d are counted", held.counted)
	}
}

// answersOf asks all clients in the background and keeps what they answer.
func answersOf(questions int) func(a *arena) {
	return func(a *arena) {
		for range questions {
			a.goes(func() {
				ctx, cancel := context.WithCancel(context.Background())
				a.goes(func() { <-a.gate; cancel() })
				answers, _ := a.handler.Hub().EmitAck(ctx, "ask")
				<-a.gate
				runtime.KeepAlive(answers) // the service has them until then
			})
		}
	}
}
