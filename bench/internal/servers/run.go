package servers

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is what a variant of a server may be told.
type Config struct {
	Deflate bool   // offer permessage-deflate
	TLS     string // serve TLS with the key and certificate in this file, if it is not ""
}

// server is one of those measured: it serves the listener until the process ends.
type server struct {
	serve func(net.Listener, Config) error
	// rooms is what a hub with rooms is asked to do, nil if there is none.
	rooms roomKeeper
}

// roomKeeper measures rooms from within the server.
type roomKeeper interface {
	// Fill puts every client into the same ten rooms, and, if many is set, those that
	// came for room "r1" into twenty of their own each.
	Fill(many bool) error
	// Rejoin has clients that came for room "r0" leave one of the ten and join it again,
	// n times in all.
	Rejoin(n int) (time.Duration, error)
	// Clients is how many there are.
	Clients() int
}

var registry = map[string]func() server{
	"ours":       newOurs,
	"net-http":   newNetHTTP,
	"limit-go":   newLimit,
	"coder":      newCoder,
	"gorilla":    newGorilla,
	"gws":        newGWS,
	"melody":     newMelody,
	"centrifuge": newCentrifuge,
}

// Main is Run with a command line: a name and flags.
func Main(args []string, stdin io.Reader, stdout io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("server: which? %s", strings.Join(Names(), ", "))
	}
	flags := flag.NewFlagSet("server", flag.ContinueOnError)
	var cfg Config
	flags.BoolVar(&cfg.Deflate, "deflate", false, "offer permessage-deflate")
	flags.StringVar(&cfg.TLS, "tls", "", "serve TLS with the key and certificate in a PEM `file`")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	return Run(args[0], cfg, stdin, stdout)
}

// Run serves as the server of this name on a port of loopback, until stdin ends. Commands
// come as lines on stdin, each is answered by a line of JSON on stdout; the first line there
// has the address. So a server cannot outlive who started it.
func Run(name string, cfg Config, stdin io.Reader, stdout io.Writer) error {
	create := registry[name]
	if create == nil {
		return fmt.Errorf("no server is named %q", name)
	}
	listener, err := cfg.listen()
	if err != nil {
		return err
	}
	defer listener.Close()
	s := create()
	failed := make(chan error, 1)
	go func() { failed <- s.serve(listener, cfg) }()

	c := control{server: s, out: json.NewEncoder(stdout)}
	if err := c.out.Encode(map[string]string{"address": listener.Addr().String()}); err != nil {
		return err
	}
	commanded := make(chan error, 1)
	go func() { commanded <- c.listen(stdin) }()
	select {
	case err := <-failed:
		return err
	case err := <-commanded:
		return err
	}
}

// control acts on commands.
type control struct {
	server  server
	out     *json.Encoder
	profile *os.File
}

// Stats is the answer to "stats" and "rejoin".
type Stats struct {
	Mallocs    uint64        `json:"mallocs"`
	HeapInUse  uint64        `json:"heapInUse"`
	StackInUse uint64        `json:"stackInUse"`
	Goroutines int           `json:"goroutines"`
	Clients    int           `json:"clients"`
	Took       time.Duration `json:"took"`
	Error      string        `json:"error,omitempty"`
}

func (c *control) listen(stdin io.Reader) error {
	lines := bufio.NewScanner(stdin)
	for lines.Scan() {
		name, argument, _ := strings.Cut(lines.Text(), " ")
		answer, err := c.act(name, argument)
		if err != nil {
			answer.Error = err.Error()
		}
		if err := c.out.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (c *control) act(name, argument string) (answer Stats, err error) {
	switch name {
	case "gc":
		runtime.GC()
		debug.FreeOSMemory()
	case "stats":
		answer = c.stats()
	case "cpu":
		err = c.startProfile(argument)
	case "stop":
		pprof.StopCPUProfile()
		err = c.profile.Close()
	case "heap":
		err = writeHeap(argument)
	case "fill", "rejoin":
		if c.server.rooms == nil {
			return answer, errors.New("this server has no rooms")
		}
		if name == "fill" {
			return answer, c.server.rooms.Fill(argument == "many")
		}
		var n int
		if n, err = strconv.Atoi(argument); err == nil {
			answer.Took, err = c.server.rooms.Rejoin(n)
		}
	default:
		err = fmt.Errorf("no command is named %q", name)
	}
	return answer, err
}

func (c *control) stats() Stats {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	st := Stats{
		Mallocs: m.Mallocs, HeapInUse: m.HeapInuse, StackInUse: m.StackInuse, Goroutines: runtime.NumGoroutine(),
	}
	if c.server.rooms != nil {
		st.Clients = c.server.rooms.Clients()
	}
	return st
}

func (c *control) startProfile(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	c.profile = f
	return pprof.StartCPUProfile(f)
}

func writeHeap(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("heap").WriteTo(f, 0), f.Close())
}

// serveHTTP is how all that stand on net/http are served.
func serveHTTP(l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	return s.Serve(l)
}

// Names lists the servers that Run knows.
func Names() []string {
	names := make([]string, 0, len(registry))
	for name := range registry {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// quietLogger formats what is logged, as a service's logger would, and drops it.
func quietLogger() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
