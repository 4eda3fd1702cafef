// Package process is the part that programs under test have in common: they serve until their standard input is closed.
package process

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/seed-ce09063a/thinkws/stickiness"
)

// Serve listens on addr and serves handler until in ends, then calls shutdown and ends the server. It returns the first
// error, or those of the shutdown.
func Serve(addr string, handler http.Handler, shutdown func(context.Context) error, in io.Reader) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() {
		_, _ = io.Copy(io.Discard, in) // ends with the test
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		ended <- errors.Join(shutdown(ctx), server.Shutdown(ctx))
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}

// Registry returns a registry of the nodes in list, id=URL, separated by commas.
func Registry(list string) (*stickiness.Static, error) {
	var nodes []stickiness.Node
	for text := range strings.SplitSeq(list, ",") {
		id, url, _ := strings.Cut(text, "=")
		nodes = append(nodes, stickiness.Node{ID: id, URL: url})
	}
	return stickiness.NewStatic(nodes...)
}
