// Bench measures thinkws beside the raw floor of Go and its peers; see README.md.
//
//	go run . -quick                             the main table, in minutes
//	go run . -full                              all of it
//	go run . -only echo100 -servers ours,node   a part
//	go run . server ours                        a server alone
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/seed-ce09063a/thinkws/bench/internal/child"
	"github.com/seed-ce09063a/thinkws/bench/internal/servers"
	"github.com/seed-ce09063a/thinkws/bench/internal/suite"
)

func main() {
	runtime.LockOSThread() // the affinity of this thread is what servers are started with
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) > 0 && args[0] == "server" {
		runtime.UnlockOSThread()
		return servers.Main(args[1:], os.Stdin, os.Stdout)
	}
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := pin(); err != nil {
		return err
	}
	if err := child.RaiseFiles(enoughFiles); err != nil {
		return err
	}
	return o.measure()
}

// options are the command line.
type options struct {
	suite.Config

	bound  time.Duration // of everything
	readme string        // whose table is replaced
}

func parse(args []string) (*options, error) {
	loads, targets := suite.Names()
	o := &options{Config: suite.Config{Progress: os.Stderr}}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "the main workloads in short windows; the default")
	flags.BoolVar(&o.Full, "full", false, "all workloads in longer windows")
	only := flags.String("only", "", "only these workloads, by comma: "+strings.Join(loads, ","))
	names := flags.String("servers", "", "only these servers, by comma: "+strings.Join(targets, ","))
	flags.IntVar(&o.Rounds, "rounds", 3, "how often each is measured; medians are printed")
	flags.DurationVar(&o.Window, "window", 0, "how long each is measured (default 600ms, with -full 2s)")
	flags.DurationVar(&o.bound, "bound", 0, "after which everything is stopped (default 15m, with -full 90m)")
	flags.StringVar(&o.Profiles, "profile", "", "a `directory` for CPU and heap profiles of the servers")
	flags.StringVar(&o.NodeDir, "node", "node", "the `directory` of Node's server")
	flags.StringVar(&o.readme, "readme", "", "a `file` whose table is replaced by this run's")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if *quick && o.Full {
		return nil, errors.New("-quick and -full exclude each other")
	}
	if flags.NArg() > 0 || o.Rounds < 1 {
		return nil, errors.New("see -help")
	}
	o.Workloads, o.Servers = list(*only), list(*names)
	o.defaults()
	return o, nil
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// defaults depend on -full.
func (o *options) defaults() {
	window, bound := 600*time.Millisecond, 15*time.Minute
	if o.Full {
		window, bound = 2*time.Second, 90*time.Minute
	}
	if o.Window == 0 {
		o.Window = window
	}
	if o.bound == 0 {
		o.bound = bound
	}
	o.Warm = o.Window / 3
}
