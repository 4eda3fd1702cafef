// Soak puts a thinkws server under abuse and compares what comes of that with bounds; see
// ../README.md.
//
//	go run ./soak                     every kind of abuse
//	go run ./soak -only deaf,drain    a part
//	go run ./soak -for 30m            mixed load with faults
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/seed-ce09063a/thinkws/bench/internal/child"
	"github.com/seed-ce09063a/thinkws/bench/internal/soak"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if err := child.RaiseFiles(enoughFiles); err != nil {
		return err
	}
	if len(args) > 0 && args[0] == "server" {
		return soak.Serve(args[1:], os.Stdin, os.Stdout)
	}
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	only := flags.String("only", "", "only these scenarios, by comma: "+strings.Join(soak.Names(), ","))
	length := flags.Duration("for", 0, "mixed load for so long, instead of the scenarios")
	bound := flags.Duration("bound", 0, "after which everything is stopped (default 20m, with -for twice that and 5m)")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if flags.NArg() > 0 {
		return errors.New("see -help")
	}
	if *bound == 0 {
		*bound = 20 * time.Minute
		if *length > 0 {
			*bound = 2**length + 5*time.Minute
		}
	}
	return play(*only, *length, *bound)
}

func play(only string, length, bound time.Duration) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	path, err := os.Executable()
	if err != nil {
		return err
	}
	self := soak.Self{Path: path, Args: []string{"server"}, Log: os.Stderr}
	report := soak.NewReport(os.Stdout)
	switch {
	case length > 0:
		err = soak.Play(ctx, self, report, "mixed", soak.NewMixed(length))
	case only == "":
		err = soak.Abuse(ctx, self, report)
	default:
		err = soak.Abuse(ctx, self, report, strings.Split(only, ",")...)
	}
	if err == nil && report.Missed() > 0 {
		err = fmt.Errorf("%d bounds were missed", report.Missed())
	}
	return err
}

// enoughFiles is for the half-open connections, most of which stay for a while.
const enoughFiles = 18_000
