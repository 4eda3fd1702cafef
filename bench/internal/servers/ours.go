package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/seed-ce09063a/thinkws"
)

// ours is thinkws as a service would have it: mounted in chi, with its heartbeats,
// bounded queues and deadlines at their defaults, each client in a room.
type ours struct {
	ready  chan struct{} // closed when hub is set
	hub    *thinkws.Hub
	movers []*thinkws.Socket // set by Fill
}

func newOurs() server {
	o := &ours{ready: make(chan struct{})}
	return server{serve: o.serve, rooms: o}
}

// compressFrom is the size of an event that is worth compressing, in bytes.
const compressFrom = 512

func (o *ours) options(cfg Config) []thinkws.Option {
	options := []thinkws.Option{
		thinkws.WithLogger(quietLogger()),
		thinkws.WithLimits(thinkws.Limits{SessionsPerAddress: 1 << 20, Handshakes: 1 << 20, HandshakesPerAddress: 1 << 20}), // they all come from here
		// The clients of a benchmark send as fast as they can. The default rate would slow them down on a fast
		// machine. No machine reaches this rate, and the cost of counting is still measured.
		thinkws.WithReceiveRate(1<<30, 1<<40),
		thinkws.On("open", func(c *thinkws.Context) error { return c.Join(roomOf(c.Request())) }),
		thinkws.On("e", func(c *thinkws.Context) error { return c.Emit("e", c.WsData()) }),
		thinkws.On("b", func(c *thinkws.Context) error {
			return c.Hub().To(roomOf(c.Request())).Emit("b", c.WsData())
		}),
		thinkws.On("n", thinkws.Bind(func(c *thinkws.Context, data []byte) error { return c.Emit("n", data) })),
	}
	if cfg.Deflate {
		options = append(options, thinkws.WithCompression(compressFrom))
	}
	return options
}

func (o *ours) serve(l net.Listener, cfg Config) error {
	ws, err := thinkws.New(o.options(cfg)...)
	if err != nil {
		return err
	}
	o.hub = ws.Hub()
	close(o.ready)
	r := chi.NewRouter()
	r.Mount("/socket.io", ws)
	return serveHTTP(l, r)
}

const (
	sharedRooms = 10
	ownRooms    = 20
)

func sharedRoom(i int) string { return fmt.Sprintf("shared-%d", i) }

func (o *ours) Fill(many bool) error {
	for k, s := range o.all() {
		for i := range sharedRooms {
			if err := s.Join(sharedRoom(i)); err != nil {
				return err
			}
		}
		if roomOf(s.Request()) == "r0" {
			o.movers = append(o.movers, s)
			continue
		}
		for i := 0; many && i < ownRooms; i++ {
			if err := s.Join(fmt.Sprintf("own-%d-%d", k, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// all are the clients of this moment.
func (o *ours) all() []*thinkws.Socket {
	<-o.ready
	members, err := o.hub.Sockets(context.Background())
	if err != nil {
		return nil
	}
	sockets := make([]*thinkws.Socket, 0, len(members))
	for i := range members {
		if s, ok := o.hub.Socket(members[i].ID); ok {
			sockets = append(sockets, s)
		}
	}
	return sockets
}

func (o *ours) Rejoin(n int) (time.Duration, error) {
	if len(o.movers) == 0 {
		return 0, errors.New("nobody is in a room")
	}
	var names [sharedRooms]string
	for i := range names {
		names[i] = sharedRoom(i)
	}
	began := time.Now()
	for i := range n {
		s := o.movers[i*7919%len(o.movers)] // not in the order they joined
		room := names[i%sharedRooms]
		s.Leave(room)
		if err := s.Join(room); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

func (o *ours) Clients() int {
	<-o.ready
	return o.hub.Stats().Clients
}
