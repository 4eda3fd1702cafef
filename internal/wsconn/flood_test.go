package wsconn_test

import (
	"bytes"
	"net"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
)

// neighbor is a Handler that starts another goroutine with the first pong, and counts the pongs until that has run.
type neighbor struct {
	*recorder
	started bool
	ran     atomic.Bool
	before  int
}

func (n *neighbor) Pong() {
	if !n.started {
		n.started = true
		go n.ran.Store(true)
	}
	if !n.ran.Load() {
		n.before++
	}
}

// fullConn is a connection that always has more to be read, until the end.
type fullConn struct {
	net.Conn
	content bytes.Reader
}

func (c *fullConn) Read(p []byte) (int, error)  { return c.content.Read(p) }
func (c *fullConn) Write(p []byte) (int, error) { return len(p), nil }

// A client that sends without a pause must not keep its thread until the runtime preempts it, after 10 ms: with six of
// them, every other client would wait for that long several times.
func TestAFloodLetsOthersRun(t *testing.T) {
	const pongs = 8192 // 48 KiB
	flood := bytes.Repeat(masked(fin|opPong, ""), pongs)
	for name, connect := range map[string]func(*testing.T) net.Conn{
		"TCP": func(t *testing.T) net.Conn {
			client, server := tcp(t)
			write(t, client, flood)
			assert.NoError(t, client.(*net.TCPConn).CloseWrite())
			return server
		},
		"another connection": func(*testing.T) net.Conn {
			_, server := net.Pipe()
			c := &fullConn{Conn: server}
			c.content.Reset(flood)
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := connect(t)
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			cfg := config()
			c := accept(t, cfg, server, nil)
			n := &neighbor{recorder: newRecorder()}
			c.Serve(n)
			<-n.done
			wait(t, cfg)
			assert.Less(t, n.before, pongs, "pongs before another goroutine has run")
		})
	}
}
