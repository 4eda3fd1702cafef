// Command cluster is a service of three nodes behind nginx, which sends each request to the
// next of them, and a Redis that carries messages between them. Open http://127.0.0.1:8360 in
// several windows: each has a session on some node, its polls arrive at all of them, and what
// one says the others hear. Then kill a node (the log has the process ids).
//
// Without -id it starts everything, redis-server and nginx included, on the loopback. `make
// cluster` at the top of the repository installs what that needs. With -id it is one node,
// which is all that a service needs of it: see node.go.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/seed-ce09063a/thinkws/stickiness"
)

// The addresses of fronts/nginx-round-robin.conf.
const (
	frontAddr = "127.0.0.1:8360"
	redisAddr = "127.0.0.1:8364"
)

var nodes = []stickiness.Node{
	{ID: "n1aB", URL: "http://127.0.0.1:8361"},
	{ID: "n2aB", URL: "http://127.0.0.1:8362"},
	{ID: "n3aB", URL: "http://127.0.0.1:8363"},
}

func main() {
	id := flag.String("id", "", "be this node: n1aB, n2aB or n3aB; empty: start everything")
	front := flag.String("nginx", "stickiness/fronts/nginx-round-robin.conf", "configuration of nginx")
	clients := flag.String("clients", "e2e/node_modules/socket.io-client/dist", "directory with Node's client files")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *id, *front, *clients)
	stop()
	if err != nil {
		slog.Error("cluster ended", "node", *id, "err", err)
		os.Exit(1)
	}
}

const secretVariable = "CLUSTER_SECRET" // not an argument, which everybody may read

func run(ctx context.Context, id, front, clients string) error {
	if id == "" {
		return startAll(ctx, front, clients)
	}
	registry, err := stickiness.NewStatic(nodes...)
	if err != nil {
		return err
	}
	for i, one := range nodes {
		if one.ID == id {
			addr := fmt.Sprintf("127.0.0.1:%d", 8361+i)
			return node{id, addr, registry, redisAddr, os.Getenv(secretVariable), clients}.run(ctx)
		}
	}
	return fmt.Errorf("no node %q", id)
}

// startAll runs Redis, the nodes and nginx until ctx is done or nginx ends.
func startAll(ctx context.Context, front, clients string) error {
	dir, err := os.MkdirTemp("", "cluster-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // what is left is in the system's care
	if front, err = filepath.Abs(front); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	start := func(name string, env []string, program string, args ...string) {
		running.Go(func() { supervise(ctx, name, env, program, args...) })
	}
	_, port, _ := net.SplitHostPort(redisAddr)
	start("redis", nil, "redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", dir, "--loglevel", "warning")
	secret := secretVariable + "=" + rand.Text()
	for _, one := range nodes {
		start(one.ID, []string{secret}, self, "-id", one.ID, "-clients", clients)
	}
	start("nginx", nil, "nginx", "-p", dir, "-c", front, "-g", "daemon off;")
	for !listens(ctx, frontAddr) {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
	slog.Info("the cluster is ready", "url", "http://"+frontAddr)
	<-ctx.Done()
	return nil
}

// supervise runs a program, and again if it ends before ctx is done.
func supervise(ctx context.Context, name string, env []string, program string, args ...string) {
	for ctx.Err() == nil {
		cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // what this command was given
		cmd.Env = append(os.Environ(), env...)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = 8 * time.Second
		err := cmd.Start()
		if err == nil {
			slog.Info("started", "name", name, "pid", cmd.Process.Pid)
			err = cmd.Wait()
		}
		if ctx.Err() != nil {
			return
		}
		slog.Warn("ended, and starts again", "name", name, "err", err)
		if errors.Is(err, exec.ErrNotFound) {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
}

func listens(ctx context.Context, addr string) bool {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
