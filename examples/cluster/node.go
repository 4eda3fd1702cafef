package main

import (
	"context"
	"embed"
	"errors"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/redis/go-redis/v9"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/redisbus"
	"github.com/seed-ce09063a/thinkws/stickiness"
)

//go:embed index.html
var page embed.FS

// node is one node of the service.
type node struct {
	id       string // 4 characters, different on each
	addr     string
	registry stickiness.Registry // of all nodes
	redis    string              // address
	secret   string              // that the nodes know each other by
	clients  string              // directory with socket.io.js
}

// run serves until ctx is done.
func (n node) run(ctx context.Context) error {
	rdb := redis.NewClient(&redis.Options{Addr: n.redis})
	defer func() { _ = rdb.Close() }() // nothing waits in it
	ws, err := thinkws.New(
		thinkws.WithNode(n.id),             // session ids begin with it
		thinkws.WithBus(redisbus.New(rdb)), // what is sent reaches the clients of all nodes
		thinkws.WithClient(os.DirFS(n.clients)),
		thinkws.On("open", func(c *thinkws.Context) error { return c.Emit("node", n.id) }),
		thinkws.On("say", func(c *thinkws.Context) error { return c.Broadcast("said", n.id, c.WsData()) }),
	)
	if err != nil {
		return err
	}
	forward, err := stickiness.Forward(n.registry, stickiness.Options{
		Node: n.id, Secret: []byte(n.secret), Local: ws.Holds,
	})
	if err != nil {
		return err
	}
	r := chi.NewRouter()
	r.Use(forward.Middleware) // brings requests to the node of their session
	r.Mount("/socket.io", ws)
	r.Mount("/sockjs", ws.SockJS())
	r.Mount("/ws", ws.WebSocket())
	r.Handle("/*", http.FileServerFS(page))

	listener, err := net.Listen("tcp", n.addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		stopped <- shutdown(ws, forward, server)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

// shutdown lets the clients of this node go first, then what it forwards for others.
func shutdown(ws *thinkws.Handler, forward *stickiness.Forwarder, server *http.Server) error {
	// Shutdown waits five seconds for a connection on which nothing was sent. Browsers open such connections.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(forward.Drain(ctx), ws.Shutdown(ctx), forward.Close(ctx), server.Shutdown(ctx))
}
