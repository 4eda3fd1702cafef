// Command server is thinkws under test: the actions of node-server.js, the oracle,
// written with this library, and the same control channel. It listens on free ports of
// the loopback, writes the address of the control channel to its standard output, and
// ends when its standard input is closed.
//
// THINKWS_NETWORK names the network that clients reach it over, see variant.Listen. THINKWS_WITHOUT names mechanisms
// that its connections do without, see variant.Without; it needs the build tag variants.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		slog.Error("the server under test ended", "err", err)
		os.Exit(1)
	}
}

// run serves the control channel until in ends.
func run(in io.Reader, out io.Writer) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c := &control{instances: make(map[string]*instance)}
	server := &http.Server{Handler: c.routes(), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		_, _ = io.Copy(io.Discard, in) // ends with whoever started us
		_ = server.Close()
	}()
	if _, err := fmt.Fprintf(out, "{\"control\":\"http://%s\"}\n", listener.Addr()); err != nil {
		return err
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// control is the control channel: a server of its own for each scenario.
type control struct {
	mu        sync.Mutex // protects the following
	instances map[string]*instance
	last      int
}

func (c *control) routes() http.Handler {
	r := chi.NewRouter()
	r.Post("/instances", c.create)
	r.Route("/instances/{id}", func(r chi.Router) {
		r.Delete("/", c.with(c.remove))
		r.Post("/cut", c.with(func(i *instance, _ *http.Request) (any, error) { return nil, i.cut() }))
		r.Post("/shutdown", c.with(func(i *instance, r *http.Request) (any, error) { return nil, i.shutdown(r.Context()) }))
		r.Post("/emit", c.with(emit))
		r.Get("/log", c.with(lines))
	})
	return r
}

func (c *control) create(w http.ResponseWriter, r *http.Request) {
	var cfg config
	if err := json.NewDecoder(r.Body).Decode(&cfg); err != nil {
		answer(w, nil, err)
		return
	}
	i, err := start(cfg)
	if err != nil {
		answer(w, nil, err)
		return
	}
	c.mu.Lock()
	c.last++
	id := strconv.Itoa(c.last)
	c.instances[id] = i
	c.mu.Unlock()
	answer(w, map[string]string{"id": id, "url": i.url()}, nil)
}

// with finds the instance that a request is about.
func (c *control) with(fn func(*instance, *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		i, ok := c.instances[chi.URLParam(r, "id")]
		c.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		result, err := fn(i, r)
		answer(w, result, err)
	}
}

func (c *control) remove(i *instance, r *http.Request) (any, error) {
	c.mu.Lock()
	delete(c.instances, chi.URLParam(r, "id"))
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	_ = i.cut() // what is already closed says so
	return nil, i.shutdown(ctx)
}

// emit sends an event from outside of any connection.
func emit(i *instance, r *http.Request) (any, error) {
	var m struct {
		Namespace, Room, Event string
		Strings                bool // to the clients that speak raw strings
		Args                   []any
	}
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		return nil, err
	}
	handler := i.handler
	if m.Strings {
		handler = i.strings
	}
	space := handler.Hub().Of(cmp.Or(m.Namespace, "/"))
	if m.Room == "" {
		return nil, space.Emit(m.Event, m.Args...)
	}
	return nil, space.To(m.Room).Emit(m.Event, m.Args...)
}

// lines waits until as many lines are there as the query asks for.
func lines(i *instance, r *http.Request) (any, error) {
	count, err := strconv.Atoi(r.URL.Query().Get("count"))
	if err != nil {
		return nil, err
	}
	return i.log.wait(r.Context(), count), nil
}

func answer(w http.ResponseWriter, result any, err error) {
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case result != nil:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(result) // the client has gone
	}
}
