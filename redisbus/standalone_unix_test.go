//go:build unix

package redisbus_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Redis stops for longer than anything waits for it, and executes then what it had received before.
func TestSingleRedisStops(t *testing.T) {
	t.Parallel()
	server, err := startRedis(0)
	require.NoError(t, err)
	defer server.kill()
	tr := startTraffic(t, same(clientOf(t, "redis://"+server.addr()), 3))
	server.signal(t, syscall.SIGSTOP)
	time.Sleep(6 * time.Second)
	server.signal(t, syscall.SIGCONT)
	t.Logf("SIGSTOP: traffic flows after %v", tr.flows(t))
	tr.check(t)
	tr.checkChanges(t, 1)
}
