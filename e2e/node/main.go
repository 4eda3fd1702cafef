// Command node is one of several nodes under test, or with -dispatch what is in front of
// them. It ends when its standard input is closed.
//
//	node -id n1aB -addr 127.0.0.1:8361 -nodes n1aB=http://127.0.0.1:8361,n2aB=http://127.0.0.1:8362
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/e2e/internal/process"
	"github.com/seed-ce09063a/thinkws/stickiness"
)

// flags are what the command line says.
type flags struct {
	id, addr, nodes, policy   string
	sticky, dispatch          bool
	pingInterval, pingTimeout time.Duration
}

func main() {
	var f flags
	flag.StringVar(&f.id, "id", "", "of this node")
	flag.StringVar(&f.addr, "addr", "127.0.0.1:0", "to listen on")
	flag.StringVar(&f.nodes, "nodes", "", "all of them, id=URL, separated by commas")
	flag.BoolVar(&f.sticky, "sticky", false, "what is in front brings SockJS sessions to one node")
	flag.BoolVar(&f.dispatch, "dispatch", false, "be the dispatcher, not a node")
	flag.StringVar(&f.policy, "policy", "session", "of the dispatcher: session, source, cookie or least")
	flag.DurationVar(&f.pingInterval, "ping-interval", 25*time.Second, "pause between heartbeats")
	flag.DurationVar(&f.pingTimeout, "ping-timeout", 20*time.Second, "time for the answer to one")
	flag.Parse()
	if err := run(f, os.Stdin); err != nil {
		slog.Error("the node ended", "err", err)
		os.Exit(1)
	}
}

// run serves until in ends.
func run(f flags, in io.Reader) error {
	registry, err := process.Registry(f.nodes)
	if err != nil {
		return err
	}
	handler, shutdown, err := f.handler(registry)
	if err != nil {
		return err
	}
	return process.Serve(f.addr, handler, shutdown, in)
}

type shutdownFunc func(context.Context) error

func (f flags) handler(registry stickiness.Registry) (http.Handler, shutdownFunc, error) {
	if f.dispatch {
		return f.dispatcher(registry)
	}
	ws, err := thinkws.New(
		thinkws.WithNode(f.id),
		thinkws.WithPingInterval(f.pingInterval), thinkws.WithPingTimeout(f.pingTimeout),
		// On a busy machine, 200 clients in one process do not come back within the default of 5 s.
		thinkws.WithSockJS(thinkws.SockJSOptions{DisconnectDelay: time.Minute}),
		thinkws.On("echo", func(c *thinkws.Context) error { return c.Ack(f.id, c.WsData()) }),
	)
	if err != nil {
		return nil, nil, err
	}
	forward, err := stickiness.Forward(registry, stickiness.Options{
		Node: f.id, Secret: []byte("a secret of the tests"), Local: ws.Holds, StickyFront: f.sticky,
	})
	if err != nil {
		return nil, nil, err
	}
	r := chi.NewRouter()
	r.Use(forward.Middleware)
	r.Mount("/socket.io", ws)
	r.Mount("/sockjs", ws.SockJS())
	r.Get("/stats", func(w http.ResponseWriter, _ *http.Request) {
		stats := forward.Stats()
		_, _ = fmt.Fprintf(w, `{"forwarded":%d,"gone":%d,"forged":%d}`, stats.Forwarded, stats.Gone, stats.Forged)
	})
	return r, func(ctx context.Context) error { return errors.Join(ws.Shutdown(ctx), forward.Close(ctx)) }, nil
}

func (f flags) dispatcher(registry stickiness.Registry) (http.Handler, shutdownFunc, error) {
	policies := map[string]stickiness.Policy{
		"session": stickiness.BySession("", ""), "source": stickiness.BySource(),
		"cookie": stickiness.ByCookie(""), "least": stickiness.LeastConnections(),
	}
	policy, ok := policies[f.policy]
	if !ok {
		return nil, nil, fmt.Errorf("no policy %q", f.policy)
	}
	d, err := stickiness.NewDispatcher(registry, stickiness.DispatcherOptions{Policies: []stickiness.Policy{policy}, Cookie: new(http.Cookie)})
	if err != nil {
		return nil, nil, err
	}
	return d, func(context.Context) error { d.Close(); return nil }, nil
}
