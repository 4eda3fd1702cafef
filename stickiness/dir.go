package stickiness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Dir is a [Registry] of processes on one host: a directory in which each node has a unix
// socket, n1aB.sock, for the others, and an entry, n1aB.node. It goes well with
// [ListenReusePort]. The directory is read twice a second at most.
//
// The entry of a process that has died stays until it is back or somebody calls Unregister;
// until then the others find that it does not answer.
//
// Security: who can write to the directory is trusted; Options.SocketDir has to name it.
type Dir struct {
	path string

	mu    sync.Mutex // protects what follows
	nodes []Node
	read  time.Time
}

var _ Registry = (*Dir)(nil)

const dirAge = 500 * time.Millisecond

// entry is what a node's file says.
type entry struct {
	Weight   int  `json:"weight,omitempty"`
	Draining bool `json:"draining,omitempty"`
}

// NewDir returns the registry in a directory, which has to exist.
func NewDir(path string) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("stickiness: NewDir: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("stickiness: NewDir: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("stickiness: NewDir: %q is not a directory", path)
	}
	return &Dir{path: path}, nil
}

// Path returns the directory, for [Options.SocketDir].
func (d *Dir) Path() string { return d.path }

// Node returns what there is to register for a node of this directory.
func (d *Dir) Node(id string) Node {
	return Node{ID: id, URL: "unix://" + filepath.ToSlash(d.socket(id))}
}

func (d *Dir) socket(id string) string { return filepath.Join(d.path, id+".sock") }
func (d *Dir) entry(id string) string  { return filepath.Join(d.path, id+".node") }

// Listen listens on the socket of a node: the http.Server of the process serves the
// listener beside its own. A socket that a dead process has left is replaced; one that is
// in use is an error.
func (d *Dir) Listen(ctx context.Context, id string) (net.Listener, error) {
	if !session.IsNode(id) {
		return nil, fmt.Errorf("%w: ID %q is not 4 characters of [A-Za-z0-9_-]", ErrNode, id)
	}
	path := d.socket(id)
	dialer := net.Dialer{Timeout: dialTimeout}
	if conn, err := dialer.DialContext(ctx, "unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("%w: ID %q is in use", ErrNode, id)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("stickiness: Dir.Listen: %w", err)
	}
	var config net.ListenConfig
	return config.Listen(ctx, "unix", path)
}

// Register implements [Registry]. The node has to be one of [Dir.Node], with whatever weight.
func (d *Dir) Register(_ context.Context, node Node) error {
	if err := node.Check(); err != nil {
		return err
	}
	if node.URL != d.Node(node.ID).URL {
		return fmt.Errorf("%w: URL %q is not that of the directory", ErrNode, node.URL)
	}
	text, err := json.Marshal(entry{Weight: node.Weight, Draining: node.Draining})
	if err != nil { // numbers: this cannot be
		return err
	}
	fresh := d.entry(node.ID) + ".new"
	if err := os.WriteFile(fresh, text, 0o600); err != nil {
		return fmt.Errorf("stickiness: Dir.Register: %w", err)
	}
	if err := os.Rename(fresh, d.entry(node.ID)); err != nil { // so that nobody reads a part
		return fmt.Errorf("stickiness: Dir.Register: %w", err)
	}
	d.refresh()
	return nil
}

// Unregister implements [Registry].
func (d *Dir) Unregister(_ context.Context, id string) error {
	if !session.IsNode(id) {
		return nil
	}
	err := os.Remove(d.entry(id))
	d.refresh()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("stickiness: Dir.Unregister: %w", err)
	}
	return nil
}

// Lookup implements [Registry].
func (d *Dir) Lookup(id string) (Node, bool) { return find(d.Nodes(), id) }

// Nodes implements [Registry]. If the directory cannot be read, it is what was there last.
func (d *Dir) Nodes() []Node {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); now.Sub(d.read) >= dirAge {
		d.read = now
		if nodes, err := d.scan(); err == nil {
			d.nodes = nodes
		}
	}
	return d.nodes
}

func (d *Dir) refresh() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.read = time.Time{}
}

// maxEntry bounds what is read of an entry, in bytes.
const maxEntry = 1 << 10

func (d *Dir) scan() ([]Node, error) {
	files, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	var nodes []Node
	for _, file := range files {
		id, ok := strings.CutSuffix(file.Name(), ".node")
		if !ok || !session.IsNode(id) || !file.Type().IsRegular() {
			continue
		}
		if info, err := file.Info(); err != nil || info.Size() > maxEntry {
			continue
		}
		text, err := os.ReadFile(d.entry(id))
		var e entry
		if err != nil || json.Unmarshal(text, &e) != nil {
			continue
		}
		node := d.Node(id)
		node.Weight, node.Draining = e.Weight, e.Draining
		if node.Check() == nil {
			nodes = append(nodes, node)
		}
	}
	return sorted(nodes), nil
}
