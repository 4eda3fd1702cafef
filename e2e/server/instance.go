package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/e2e/variant"
)

// logTimeout is how long lines waits for what the server is to see.
const logTimeout = 20 * time.Second

// config is what a scenario chooses; zero values leave the defaults. The names are
// those of Node's options.
type config struct {
	PingInterval, PingTimeout, AskTimeout int // milliseconds
	MaxMessage                            int64

	Origins       []string // that may connect; "own" is that of the instance itself
	RequireOrigin bool
	Proxies       []netip.Prefix // that are trusted
	Page          string         // a file that it serves at /page
	SockJS        sockjsConfig
}

func (c config) options(own string) []thinkws.Option {
	options := c.SockJS.options()
	if c.PingInterval > 0 {
		options = append(options, thinkws.WithPingInterval(time.Duration(c.PingInterval)*time.Millisecond))
	}
	if c.PingTimeout > 0 {
		options = append(options, thinkws.WithPingTimeout(time.Duration(c.PingTimeout)*time.Millisecond))
	}
	if c.MaxMessage > 0 {
		options = append(options, thinkws.WithMaxMessage(c.MaxMessage))
	}
	for _, origin := range c.Origins {
		options = append(options, thinkws.WithAllowOrigin(strings.Replace(origin, "own", own, 1)))
	}
	if len(c.Proxies) > 0 {
		options = append(options, thinkws.WithTrustedProxies(c.Proxies...))
	}
	if c.RequireOrigin {
		options = append(options, thinkws.WithRequireOrigin())
	}
	return options
}

func (c config) asker() asker {
	return asker{timeout: cmp.Or(time.Duration(c.AskTimeout)*time.Millisecond, askTimeout)}
}

// instance is a service with thinkws on a port of its own.
type instance struct {
	handler  *thinkws.Handler
	strings  *thinkws.Handler // of SockJS clients that speak raw strings
	server   *http.Server
	listener net.Listener
	log      *journal

	mu    sync.Mutex // protects conns
	conns map[net.Conn]struct{}
}

func start(cfg config) (*instance, error) {
	i := &instance{log: newJournal(), conns: make(map[net.Conn]struct{})}
	var err error
	if i.listener, err = variant.Listen(os.Getenv("THINKWS_NETWORK")); err != nil {
		return nil, err
	}
	if err = i.setUp(cfg); err != nil {
		_ = i.listener.Close() // the other error tells more
		return nil, err
	}
	r := chi.NewRouter()
	r.Mount("/socket.io", i.handler)
	r.Mount("/ws", i.handler.WebSocket())
	r.Mount("/sockjs", i.handler.SockJS())
	r.Mount("/strings", i.strings.SockJS())
	if cfg.Page != "" {
		r.Get("/page", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, cfg.Page) })
	}
	i.server = &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second, ConnState: i.track}
	go func() { _ = i.server.Serve(i.listener) }() // ends with shutdown
	return i, nil
}

func (i *instance) setUp(cfg config) error {
	mechanisms, err := mechanisms()
	if err != nil {
		return err
	}
	options := func(actions []thinkws.Option) []thinkws.Option {
		return slices.Concat(cfg.options(i.url()), mechanisms, actions)
	}
	if i.handler, err = thinkws.New(options(actions(i.log, cfg.asker()))...); err != nil {
		return err
	}
	cfg.SockJS.raw = true
	i.strings, err = thinkws.New(options(stringActions(i.log))...)
	return err
}

func (i *instance) url() string { return "http://" + i.listener.Addr().String() }

// track keeps the connections, hijacked ones too, for cut.
func (i *instance) track(conn net.Conn, state http.ConnState) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch state {
	case http.StateNew:
		i.conns[conn] = struct{}{}
	case http.StateClosed:
		delete(i.conns, conn)
	}
}

// cut closes every connection without a word.
func (i *instance) cut() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	for conn := range i.conns {
		variant.Cut(conn)
	}
	clear(i.conns)
	return nil
}

// shutdown ends the service as a service should: its clients first.
func (i *instance) shutdown(ctx context.Context) error {
	return errors.Join(i.handler.Shutdown(ctx), i.strings.Shutdown(ctx), i.server.Shutdown(ctx))
}

// journal is what happened on the server, for scenarios to look at.
type journal struct {
	mu    sync.Mutex // protects the following
	lines []string
	grown chan struct{} // closed and replaced when a line is added
}

func newJournal() *journal { return &journal{grown: make(chan struct{})} }

func (j *journal) addf(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
	close(j.grown)
	j.grown = make(chan struct{})
}

// wait returns the lines as soon as there are count of them, or what there is at the
// end of logTimeout.
func (j *journal) wait(ctx context.Context, count int) []string {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	for {
		j.mu.Lock()
		lines, grown := slices.Clone(j.lines), j.grown
		j.mu.Unlock()
		if len(lines) >= count || ctx.Err() != nil {
			return append([]string{}, lines...) // never null
		}
		select {
		case <-grown:
		case <-ctx.Done():
		}
	}
}
