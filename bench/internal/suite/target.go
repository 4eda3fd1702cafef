package suite

import (
	"context"
	"path/filepath"

	"github.com/seed-ce09063a/thinkws/bench/internal/child"
	"github.com/seed-ce09063a/thinkws/bench/internal/load"
)

// Target is a server that is measured.
type Target struct {
	Name    string
	Dialect *load.Dialect
	Does    string // for the tables' legend
	can     ability
	node    bool
}

// ability is what not every server can do.
type ability uint

const (
	binary  ability = 1 << iota // sends binary messages back
	polling                     // Engine.IO's long-polling, or what looks like it
	deflate                     // permessage-deflate
	hub                         // rooms that can be measured from within
	deaf                        // clients that never read do not hold up the others
	stats                       // counts its allocations
)

// The servers that goals compare with.
const (
	floor = "limit-go"
	peer  = "node"
	// bare is net/http without a library; its long polls are handlers that wait on a channel.
	bare = "net-http"
	// rival is the library that a goal names.
	rival = "gws"
	// subject is whose goals are checked.
	subject = "ours"
)

// Targets are all servers, in the order of the tables.
func Targets() []*Target {
	const library = binary | deflate | stats
	return []*Target{
		{Name: subject, Dialect: load.SocketIO, can: binary | polling | deflate | hub | deaf | stats,
			Does: "thinkws in chi: hub, rooms, heartbeats, bounded queues and deadlines on"},
		{Name: floor, Dialect: load.Raw, can: binary | polling | stats,
			Does: "a goroutine per connection with raw reads and writes, no library, no checks: the floor"},
		{Name: bare, Dialect: load.Raw, can: binary | polling | stats,
			Does: "net/http in chi and no library: hijacked connections are read as in limit-go, long polls wait on a channel"},
		{Name: "coder", Dialect: load.Raw, can: library, Does: "coder/websocket as it comes"},
		{Name: "gorilla", Dialect: load.Raw, can: library, Does: "gorilla/websocket, broadcast as one prepared message"},
		{Name: rival, Dialect: load.Raw, can: library | deaf, Does: "lxzan/gws with its Broadcaster"},
		{Name: "melody", Dialect: load.Raw, can: library | deaf, Does: "olahol/melody"},
		{Name: "centrifuge", Dialect: load.Centrifuge, can: deflate | deaf | stats,
			Does: "centrifugal/centrifuge, its own JSON protocol, memory broker"},
		{Name: peer, Dialect: load.SocketIO, can: binary | polling | deflate | hub | deaf, node: true,
			Does: "Node's socket.io"},
	}
}

// command returns how the target is started for w.
func (t *Target) command(cfg *Config, cores []int, w *workload) child.Command {
	c := child.Command{Path: cfg.Self, Args: []string{"server", t.Name}, Cores: cores}
	if t.node {
		c = child.Command{Path: "node", Args: []string{"--expose-gc", "server.js"}, Dir: cfg.NodeDir, Cores: cores}
	}
	if w.deflate {
		c.Args = append(c.Args, "-deflate")
	}
	if w.tls {
		c.Args = append(c.Args, "-tls", cfg.certificate)
	}
	return c
}

// start runs the target on cores.
func (m *measurement) start(ctx context.Context, cores []int) error {
	var err error
	m.process, err = child.Start(ctx, m.target.command(m.cfg, cores, m.workload))
	return err
}

func (m *measurement) profilePath(kind string) string {
	return filepath.Join(m.cfg.Profiles, m.target.Name+"-"+m.workload.Name+"."+kind+".pprof")
}
