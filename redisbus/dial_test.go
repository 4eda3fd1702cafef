package redisbus_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/redisbus"
)

// What the service's dialer does wrong is an error of the bus.
func TestDialersOfServices(t *testing.T) {
	t.Parallel()
	hangs := make(chan struct{})
	t.Cleanup(func() { close(hangs) })
	for name, dial := range map[string]func(context.Context, string, string) (net.Conn, error){
		"mistake":           func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("mistake") },
		"panic: mistake":    func(context.Context, string, string) (net.Conn, error) { panic("mistake") },
		"Goexit was called": func(context.Context, string, string) (net.Conn, error) { runtime.Goexit(); return nil, nil },
		"deadline exceeded": func(context.Context, string, string) (net.Conn, error) { <-hangs; return nil, errors.New("late") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := goRedis.count()
			client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", Dialer: dial})
			defer client.Close()
			a := openLate(t, client, &hub{})
			require.Eventually(t, func() bool { return strings.Contains(a.Stats().Err.Error(), name) }, time.Minute, 10*time.Millisecond)
			assert.ErrorIs(t, a.Stats().Err, thinkws.ErrBus)
			assert.Empty(t, goRedis.since(first, name))
		})
	}
}

// One line of go-redis is one of the service's log, but not any number of them.
func TestLogger(t *testing.T) {
	log := &lines{}
	logger := redisbus.Logger(log.logger())
	for i := range 1000 {
		logger.Printf(t.Context(), "redis: %d of %s", i, "them")
	}
	assert.Equal(t, 10, log.count(`msg=go-redis text="redis: `))
	assert.Equal(t, 1, log.count("redis: 7 of them"))
}
