// Command cluster-node is one node of a cluster under test: thinkws on a Redis that it
// shares with nodes of Node.js (../cluster-node.js). Both take the same commands. It listens
// on a port of the loopback, writes its address to its standard output, and ends when its
// standard input is closed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/redis/go-redis/v9"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/redisbus"
)

type config struct {
	redis     redisFlags
	prefix    string
	addr      string
	socketIO2 bool
	specific  bool
}

func main() {
	var c config
	c.redis.define()
	flag.StringVar(&c.prefix, "prefix", "socket.io", "what the names of all channels begin with")
	flag.StringVar(&c.addr, "addr", "127.0.0.1:0", "where to listen")
	flag.BoolVar(&c.socketIO2, "socketio2", false, "mark binary events for nodes of Socket.IO 2")
	flag.BoolVar(&c.specific, "specific", false, "answer on the channel of who asks")
	flag.Parse()
	if err := run(c, os.Stdin, os.Stdout); err != nil {
		slog.Error("the node ended", "err", err)
		os.Exit(1)
	}
}

func (c config) options() []redisbus.Option {
	options := []redisbus.Option{redisbus.WithPrefix(c.prefix)}
	if c.socketIO2 {
		options = append(options, redisbus.WithSocketIO2())
	}
	if c.specific {
		options = append(options, redisbus.WithSpecificResponses())
	}
	return options
}

// run serves until in ends.
func run(c config, in io.Reader, out io.Writer) error {
	n, err := newNode(c)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: n.routes(), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() {
		_, _ = io.Copy(io.Discard, in) // ends with whoever started us
		ended <- n.end(server)
	}()
	if err := n.ready(5 * time.Second); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "{\"control\":\"http://%s\"}\n", listener.Addr()); err != nil {
		return err
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}

// node is the handler, and an emitter into the same cluster.
type node struct {
	rdb     redis.UniversalClient
	login   *credentials
	handler *thinkws.Handler
	emitter *redisbus.Emitter
	events  events
	traffic traffic
}

// named are the namespaces that are made by hand, since * has a meaning in names of
// thinkws.Namespace.
var named = []string{"/a*b", "/axxb", "/a*b*", "/z*[b]", "/zxb"}

func newNode(c config) (*node, error) {
	login := &credentials{user: c.redis.user, password: c.redis.password}
	rdb, err := c.redis.client(login)
	if err != nil {
		return nil, err
	}
	n := &node{rdb: rdb, login: login}
	n.emitter = redisbus.NewEmitter(n.rdb, c.options()...)
	actions := append(clientActions(), n.events.actions("/")...)
	options := append(slices.Clone(actions),
		thinkws.WithBus(redisbus.New(n.rdb, c.options()...)),
		thinkws.WithCompression(1000),
		thinkws.Namespace("/chat", append(clientActions(), n.events.actions("/chat")...)...),
		thinkws.NamespaceFunc(func(name string, _ *http.Request) bool { return slices.Contains(named, name) }, clientActions()...))
	n.handler, err = thinkws.New(options...)
	return n, err
}

// ready waits until the node is a part of the cluster.
func (n *node) ready(timeout time.Duration) error {
	for end := time.Now().Add(timeout); ; time.Sleep(5 * time.Millisecond) {
		err := n.handler.Health()
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

func (n *node) end(server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	return errors.Join(n.handler.Shutdown(ctx), n.rdb.Close(), server.Close())
}

func (n *node) routes() http.Handler {
	r := chi.NewRouter()
	r.Mount("/socket.io", n.handler)
	r.Mount("/ws", n.handler.WebSocket())
	r.Mount("/sockjs", n.handler.SockJS())
	r.Post("/do", n.serveCommand)
	r.Get("/health", func(w http.ResponseWriter, _ *http.Request) {
		if err := n.handler.Health(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	return r
}
