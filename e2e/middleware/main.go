// Command middleware is one of several servers under test, or with -dispatch what is in front of them, behind the
// middleware that services have. It ends when its standard input is closed.
//
//	middleware -id n1aB -addr 127.0.0.1:8361 -nodes n1aB=http://127.0.0.1:8361,n2aB=http://127.0.0.1:8362
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
	"slices"

	"github.com/go-chi/chi/v5"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/e2e/internal/process"
	"github.com/seed-ce09063a/thinkws/stickiness"
)

// flags are the command line.
type flags struct {
	id, addr, nodes, policy string
	cors, compress, client  string
	dispatch                bool
}

func main() {
	var f flags
	flag.StringVar(&f.id, "id", "", "of this server")
	flag.StringVar(&f.addr, "addr", "127.0.0.1:0", "to listen on")
	flag.StringVar(&f.nodes, "nodes", "", "all of them, id=URL, separated by commas")
	flag.BoolVar(&f.dispatch, "dispatch", false, "be the dispatcher, not one of the servers")
	flag.StringVar(&f.policy, "policy", "least", "of the dispatcher: session or least")
	flag.StringVar(&f.cors, "cors", "rs", "CORS middleware: rs or strict")
	flag.StringVar(&f.compress, "compress", "front", "compression is in front of Forward or behind: front or behind")
	flag.StringVar(&f.client, "client", "", "URL of the SockJS client, for its iframes")
	flag.Parse()
	if err := run(f, os.Stdin); err != nil {
		slog.Error("the server ended", "err", err)
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
	front, err := f.front()
	if err != nil {
		return nil, nil, err
	}
	if f.dispatch {
		return f.dispatcher(registry, front)
	}
	ws, err := thinkws.New(
		thinkws.WithNode(f.id),
		thinkws.WithAllowOrigin(origins), // the handler enforces it as well as the middleware
		thinkws.WithCookie(http.Cookie{}),
		thinkws.WithSockJS(thinkws.SockJSOptions{Cookie: true, ClientURL: f.client}),
		thinkws.On("echo", func(c *thinkws.Context) error { return c.Ack(f.id, c.WsData()) }),
	)
	if err != nil {
		return nil, nil, err
	}
	forward, err := stickiness.Forward(registry, stickiness.Options{Node: f.id, Secret: []byte("a secret of the tests"), Local: ws.Holds})
	if err != nil {
		return nil, nil, err
	}
	r := chi.NewRouter()
	r.Use(front...)
	r.Use(forward.Middleware)
	if f.compress == "behind" {
		r.Use(compression)
	}
	r.Mount("/socket.io", ws)
	r.Mount("/sockjs", ws.SockJS())
	r.Get("/stats", func(w http.ResponseWriter, _ *http.Request) {
		stats := forward.Stats()
		_, _ = fmt.Fprintf(w, `{"forwarded":%d,"gone":%d,"forged":%d}`, stats.Forwarded, stats.Gone, stats.Forged)
	})
	return r, func(ctx context.Context) error { return errors.Join(ws.Shutdown(ctx), forward.Close(ctx)) }, nil
}

func (f flags) dispatcher(registry stickiness.Registry, front []func(http.Handler) http.Handler) (http.Handler, shutdownFunc, error) {
	policies := map[string]stickiness.Policy{"session": stickiness.BySession("", ""), "least": stickiness.LeastConnections()}
	policy, ok := policies[f.policy]
	if !ok {
		return nil, nil, fmt.Errorf("no policy %q", f.policy)
	}
	d, err := stickiness.NewDispatcher(registry, stickiness.DispatcherOptions{Policies: []stickiness.Policy{policy}, Cookie: new(http.Cookie)})
	if err != nil {
		return nil, nil, err
	}
	var h http.Handler = d
	for _, middleware := range slices.Backward(front) {
		h = middleware(h)
	}
	return h, func(context.Context) error { d.Close(); return nil }, nil
}
