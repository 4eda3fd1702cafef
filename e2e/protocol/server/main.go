// Command server is what the official protocol suites expect: an echo over bare Engine.IO,
// over Socket.IO, and over SockJS with the settings that its suite names. It listens on a
// free port of the loopback, writes its address to its standard output, and ends when its
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
	"time"
)

func main() {
	eio3 := flag.Bool("eio3", false, "serve clients of revision 3 of Engine.IO too")
	flag.Parse()
	if err := run(os.Stdin, os.Stdout, *eio3); err != nil {
		slog.Error("the server under test ended", "err", err)
		os.Exit(1)
	}
}

// run serves until in ends.
func run(in io.Reader, out io.Writer, eio3 bool) error {
	s, err := newServices(eio3)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() {
		_, _ = io.Copy(io.Discard, in) // ends with the process that started this one
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		ended <- errors.Join(s.shutdown(ctx), server.Shutdown(ctx))
	}()
	if _, err := fmt.Fprintf(out, "{\"control\":\"http://%s\"}\n", listener.Addr()); err != nil {
		return err
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}
