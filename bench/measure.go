package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-ce09063a/thinkws/bench/internal/suite"
)

// measure runs the suite and prints its tables. Interrupted or out of time, it prints
// what it has.
func (o *options) measure() error {
	ctx, cancel := context.WithTimeout(context.Background(), o.bound)
	defer cancel()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, unix.SIGTERM)
	defer stop()
	if err := o.prepare(ctx); err != nil {
		return err
	}
	began := time.Now()
	results, err := suite.Run(ctx, &o.Config)
	if results == nil {
		return err
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s.\n%v in all, windows of %v.\n\n", machine(), time.Since(began).Round(time.Second), o.Window)
	results.Markdown(&text)
	fmt.Fprintf(os.Stderr, "\n")
	if _, printed := io.Copy(os.Stdout, bytes.NewReader(text.Bytes())); printed != nil {
		return printed
	}
	if err == nil && len(results.Failed) > 0 {
		err = fmt.Errorf("%d measurements failed", len(results.Failed))
	}
	if err != nil || o.readme == "" {
		return err
	}
	return replaceTable(o.readme, text.Bytes())
}

// prepare finds what the servers need.
func (o *options) prepare(ctx context.Context) error {
	var err error
	if o.Self, err = os.Executable(); err != nil {
		return err
	}
	if o.Profiles != "" {
		if o.Profiles, err = filepath.Abs(o.Profiles); err != nil {
			return err
		}
		if err := os.MkdirAll(o.Profiles, 0o755); err != nil {
			return err
		}
	}
	o.ServerCores, o.AllCores = cores()
	if !o.NeedsNode() {
		return nil
	}
	return installNode(ctx, o.NodeDir)
}

// installNode gets socket.io for Node's server, once.
func installNode(ctx context.Context, dir string) error {
	if _, err := exec.LookPath("node"); err != nil {
		return errors.New("Node.js is missing: install it, or leave its server out with -servers")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "socket.io")); err == nil {
		return nil
	}
	fmt.Fprintln(os.Stderr, "installing socket.io for Node's server, with npm ci")
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "ci", "--no-fund", "--no-audit", "--loglevel=error")
	npm.Dir, npm.Stdout, npm.Stderr = dir, os.Stderr, os.Stderr
	if err := npm.Run(); err != nil {
		return fmt.Errorf("npm ci: %w", err)
	}
	return nil
}

var (
	tableBegin = []byte("<!-- table -->\n")
	tableEnd   = []byte("<!-- end of table -->\n")
)

// replaceTable puts text between the two marks in a file.
func replaceTable(path string, text []byte) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, begins := bytes.Cut(old, tableBegin)
	_, after, ends := bytes.Cut(rest, tableEnd)
	if !begins || !ends {
		return fmt.Errorf("%s has no place for a table", path)
	}
	return os.WriteFile(path, bytes.Join([][]byte{before, tableBegin, text, tableEnd, after}, nil), 0o644)
}
