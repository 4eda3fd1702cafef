package stickiness_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/stickiness"
)

// startFront runs the load balancer of a file of fronts/ before the nodes of a group, and
// returns its URL. In the file stand ids and addresses that are replaced by theirs.
func startFront(t *testing.T, g *group, program, file string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil { // Debian has it where only root looks
		path, err = exec.LookPath("/usr/sbin/" + program)
	}
	require.NoError(t, err, "see scripts/install.sh %s", program)
	text, err := os.ReadFile(filepath.Join("fronts", file))
	require.NoError(t, err)
	address := freeAddress(t)
	replace := []string{"127.0.0.1:8360", address}
	for i, m := range g.members {
		replace = append(replace, fmt.Sprintf("127.0.0.1:836%d", i+1), strings.TrimPrefix(m.url(), "http://"), fmt.Sprintf("n%daB", i+1), m.id)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, file)
	require.NoError(t, os.WriteFile(config, []byte(strings.NewReplacer(replace...).Replace(string(text))), 0o600))
	args := []string{"-f", config, "-db"}
	if program == "nginx" {
		args = []string{"-p", dir, "-c", config, "-g", "daemon off;"}
	}
	cmd := exec.Command(path, args...)
	var errors bytes.Buffer
	cmd.Stderr = &errors
	require.NoError(t, cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-done:
		case <-time.After(time.Minute):
			_ = cmd.Process.Kill()
			<-done
		}
		if t.Failed() {
			t.Logf("%s: %s", program, errors.String())
		}
	})
	require.Eventually(t, func() bool {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, 10*time.Second, 20*time.Millisecond, "%s: %s", program, &errors)
	return "http://" + address
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

func sticky(o *stickiness.Options) { o.StickyFront = true }

// fronts are all that clients may come through.
var fronts = []struct {
	name, program, file string
	change              func(*stickiness.Options)
	direct              bool // it finds the nodes of sessions itself
}{
	{"nginx round robin", "nginx", "nginx-round-robin.conf", nil, false},
	{"nginx map", "nginx", "nginx-map.conf", sticky, true},
	{"HAProxy use-server", "haproxy", "haproxy.cfg", sticky, true},
}

// TestFronts: behind each front 200 clients of each kind live through 10 polls, on a new
// connection for each request, and those that upgrade do.
func TestFronts(t *testing.T) {
	for _, tt := range fronts {
		t.Run(tt.name, func(t *testing.T) {
			var change []func(*stickiness.Options)
			if tt.change != nil {
				change = append(change, tt.change)
			}
			g := newGroup(t, 3, change...)
			surviveFront(t, g, startFront(t, g, tt.program, tt.file), tt.direct)
		})
	}
}

func surviveFront(t *testing.T, g *group, url string, direct bool) {
	t.Helper()
	client := freshClient(t, "")
	report := func(kind string, n int, before stickiness.Stats) {
		after := g.stats()
		t.Logf("%d of %d survive: %s; %d requests forwarded, %d questions", n, n, kind, after.Forwarded-before.Forwarded, after.Asked-before.Asked)
		if direct {
			require.Equal(t, before.Forwarded, after.Forwarded, "the front finds the nodes itself")
		} else {
			require.Greater(t, after.Forwarded, before.Forwarded)
		}
		require.Zero(t, after.Gone)
	}
	before := g.stats()
	report("Socket.IO, polling", survivors(t, 200, func(int) error { return (&poller{http: client, pick: fixed(url)}).live(10) }), before)
	before = g.stats()
	report("SockJS, xhr-polling", survivors(t, 200, func(i int) error {
		return newSock(client, fixed(url), fmt.Sprintf("session%d", i)).live(10)
	}), before)
	before = g.stats()
	report("Socket.IO, upgrade", survivors(t, 100, func(int) error {
		p := &poller{http: client, pick: fixed(url)}
		if err := p.open(); err != nil {
			return err
		}
		conn, err := p.upgrade(t)
		if err != nil {
			return err
		}
		return conn.Close(websocket.StatusNormalClosure, "")
	}), before)
}

// TestFrontsDead: behind each front, clients of a node that dies learn that they have to
// begin anew, and can; all others notice nothing.
func TestFrontsDead(t *testing.T) {
	for _, tt := range fronts {
		t.Run(tt.name, func(t *testing.T) {
			g := newGroup(t, 3)
			url := startFront(t, g, tt.program, tt.file)
			client := freshClient(t, "")
			pollers := make([]*poller, 30)
			for i := range pollers {
				pollers[i] = &poller{http: client, pick: fixed(url)}
				require.NoError(t, pollers[i].live(1))
			}
			dead := g.members[2]
			dead.kill()
			for _, p := range pollers {
				if stickiness.Owner(p.sid) != dead.id {
					_, err := p.echo()
					require.NoError(t, err)
					continue
				}
				answer, err := p.request(http.MethodGet, p.target(), "")
				require.NoError(t, err)
				require.Equal(t, sidUnknown, answer)
				require.NoError(t, p.live(1))
			}
		})
	}
}
