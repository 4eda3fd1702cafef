package load

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"time"
)

// Fleet is a number of WebSocket clients of one server.
type Fleet struct {
	loop    *Loop
	server  netip.AddrPort
	dialect *Dialect
	deflate bool
	tls     *tls.Config
	hello   []byte
	clients []*client
	rooms   []*room
	dialed  int
	ready   int
	events  int64 // that came in since the beginning

	onEvent func(c *client, events int) // nil while nobody measures
	onReady func(c *client)
	onLost  func(c *client, err error) // nil: an error
}

// FleetConfig says what a Fleet is to be like.
type FleetConfig struct {
	Server  netip.AddrPort
	Dialect *Dialect
	Clients int
	Rooms   int         // the clients are spread over; 0 for one without a name
	Deflate bool        // ask for permessage-deflate, and insist on it
	TLS     *tls.Config // nil for none
}

// together is how many handshakes are under way at a time: below any server's backlog.
const together = 64

// NewFleet connects all clients and has them enter, within timeout.
func NewFleet(cfg FleetConfig, timeout time.Duration) (*Fleet, error) {
	loop, err := NewLoop()
	if err != nil {
		return nil, err
	}
	f := cfg.fleet(loop)
	if err := f.Grow(cfg.Clients, timeout); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// fleet has no clients yet.
func (cfg FleetConfig) fleet(loop *Loop) *Fleet {
	return &Fleet{
		loop: loop, server: cfg.Server, dialect: cfg.Dialect, deflate: cfg.Deflate, tls: cfg.TLS,
		hello: clientFrame(opText, []byte(cfg.Dialect.hello)),
		rooms: makeRooms(cfg.Rooms),
	}
}

// Close cuts all connections.
func (f *Fleet) Close() { f.loop.Close() }

// Grow connects more clients until there are as many as said, within timeout.
func (f *Fleet) Grow(clients int, timeout time.Duration) error {
	return f.loop.until(time.Now().Add(timeout), "connecting clients", func() bool {
		for f.dialed < clients && f.dialed-f.ready < together {
			if _, err := f.dial(); err != nil {
				f.loop.stop(err)
				return false
			}
		}
		return f.ready == clients
	})
}

// dial begins the handshake of one more client.
func (f *Fleet) dial() (*client, error) {
	c := &client{fleet: f}
	query, extension := "", ""
	if len(f.rooms) > 0 {
		c.room = f.rooms[f.dialed%len(f.rooms)]
		c.room.clients = append(c.room.clients, c)
		query = "&room=" + c.room.name
	}
	if f.deflate {
		extension = deflate
	}
	var err error
	if c.conn, err = f.loop.dial(f.server, source(f.dialed), f.tls, c); err != nil {
		return nil, err
	}
	f.dialed++
	f.clients = append(f.clients, c)
	c.conn.write(fmt.Appendf(nil, upgrade, query, extension))
	return c, nil
}

// source is the address that client i comes from: one for each 10,000, as an address
// has about 28,000 ports.
func source(i int) [4]byte { return [4]byte{127, 0, 0, byte(1 + i/10_000%200)} }

func (f *Fleet) event(c *client, events int) {
	f.events += int64(events)
	if f.onEvent != nil {
		f.onEvent(c, events)
	}
}

func (f *Fleet) lost(c *client, err error) {
	c.phase = gone
	if f.onLost != nil {
		f.onLost(c, err)
		return
	}
	f.loop.stop(fmt.Errorf("a client was lost: %w", err))
}

// Hold lets the clients answer heartbeats for a while.
func (f *Fleet) Hold(d time.Duration) error { return f.loop.run(time.Now().Add(d)) }

// CutRoom resets the connections of a room's clients and says how many these were.
// Nothing else may follow.
func (f *Fleet) CutRoom(i int) int {
	for _, c := range f.rooms[i].clients {
		c.conn.cut()
		c.phase = gone
	}
	return len(f.rooms[i].clients)
}

// Window is what a measurement takes: a time to warm up, and one that counts.
type Window struct {
	Warm, Length time.Duration
	Meter        Meter
}

// Meter is told when the time that counts begins and ends.
type Meter interface {
	Start() error
	Stop() error
}

// Result is what came of a Window.
type Result struct {
	Count     int64 // messages, deliveries or connects
	Elapsed   time.Duration
	Latencies []time.Duration // sorted, if they were asked for
}

// Rate is the count per second.
func (r Result) Rate() float64 { return float64(r.Count) / r.Elapsed.Seconds() }

// measure runs turn for the window. What count says at the ends makes the result.
func (w Window) measure(run func(time.Time) error, count func() int64) (Result, error) {
	if err := run(time.Now().Add(w.Warm)); err != nil {
		return Result{}, fmt.Errorf("warming up: %w", err)
	}
	if err := w.Meter.Start(); err != nil {
		return Result{}, err
	}
	before, began := count(), time.Now()
	if err := run(began.Add(w.Length)); err != nil {
		return Result{}, err
	}
	result := Result{Count: count() - before, Elapsed: time.Since(began)}
	if err := w.Meter.Stop(); err != nil {
		return Result{}, err
	}
	if result.Count == 0 {
		return result, fmt.Errorf("nothing came back in %v", w.Length)
	}
	return result, nil
}
