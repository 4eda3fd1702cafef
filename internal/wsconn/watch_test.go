package wsconn_test

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// worker is a Handler each of whose messages gives rise to a task.
type worker struct {
	*recorder
	conn *wsconn.Conn
	task func(text string)
}

func (w *worker) Message(data []byte, binary bool) error {
	w.conn.Flow().Start(taskFunc(func() { w.task(string(data)) }))
	return w.recorder.Message(data, binary)
}

type taskFunc func()

func (f taskFunc) Run() { f() }

// work serves a connection with tasks.
func work(t *testing.T, cfg *wsconn.Config, task func(c *wsconn.Conn, text string)) net.Conn {
	t.Helper()
	c, client := dial(t, cfg)
	c.Serve(&worker{newRecorder(), c, func(text string) { task(c, text) }})
	return client
}

func say(t *testing.T, conn net.Conn, texts ...string) {
	t.Helper()
	for _, s := range texts {
		write(t, conn, masked(fin|opText, s))
	}
}

// A task that waits for what comes next on its own connection gets it: soon, or at once
// if it says that it is going to wait.
func TestTaskThatWaitsForItsOwnClient(t *testing.T) {
	tests := map[string]struct {
		listens  bool
		min, max time.Duration
	}{
		"in silence": {false, wsconn.Patience, 2 * wsconn.Patience},
		"listening":  {true, 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config()
				var began time.Time
				second := make(chan struct{})
				client := work(t, cfg, func(c *wsconn.Conn, text string) {
					if text == "second" {
						close(second)
						return
					}
					began = time.Now()
					if tt.listens {
						c.Flow().Listen()
					}
					<-second
					assert.GreaterOrEqual(t, time.Since(began), tt.min)
					assert.LessOrEqual(t, time.Since(began), tt.max)
					c.Close(1000, "")
				})
				say(t, client, "first", "second")
				expect(t, client, frame{fin | opClose, closePayload(1000, "")})
				client.Close()
				wait(t, cfg)
			})
		})
	}
}

// The tasks that a reader runs itself cost no goroutine, and none of it stays.
func TestShortTasksAreRunByTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		var mu sync.Mutex
		got := 0
		client := work(t, cfg, func(*wsconn.Conn, string) {
			mu.Lock()
			defer mu.Unlock()
			got++
		})
		for range 1000 {
			say(t, client, "x")
		}
		synctest.Wait()
		assert.Equal(t, 1000, got)
		assert.True(t, cfg.Watch.Looking())
		time.Sleep(3 * wsconn.Patience)
		assert.False(t, cfg.Watch.Looking(), "nobody is there to be looked at")
		client.Close()
		wait(t, cfg)
	})
}

// However many tasks take long, everybody is read.
func TestManyLongTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		var mu sync.Mutex
		got := map[string]int{}
		release := make(chan struct{})
		var clients []net.Conn
		for range 3 * wsconn.Places {
			clients = append(clients, work(t, cfg, func(_ *wsconn.Conn, text string) {
				mu.Lock()
				got[text]++
				mu.Unlock()
				<-release
			}))
		}
		for i := range 3 {
			for _, c := range clients {
				say(t, c, fmt.Sprint(i))
			}
			time.Sleep(3 * wsconn.Patience)
		}
		mu.Lock()
		assert.Equal(t, map[string]int{"0": len(clients), "1": len(clients), "2": len(clients)}, got)
		mu.Unlock()
		close(release)
		for _, c := range clients {
			c.Close()
		}
		wait(t, cfg)
		time.Sleep(3 * wsconn.Patience)
		assert.False(t, cfg.Watch.Looking())
	})
}

// The end of a connection is noticed while a task runs.
func TestEndWhileATaskRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		c, client := dial(t, cfg)
		h := newRecorder()
		c.Serve(&worker{h, c, func(string) { <-h.done }})
		say(t, client, "x")
		client.Close()
		assert.ErrorIs(t, h.end(t), wsconn.ErrClosedByPeer)
		wait(t, cfg)
	})
}

func TestWithoutAWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Watch = nil
		second := make(chan struct{})
		client := work(t, cfg, func(c *wsconn.Conn, text string) {
			if text == "second" {
				close(second)
				return
			}
			c.Flow().Listen()
			<-second
		})
		say(t, client, "first", "second")
		<-second
		require.NoError(t, client.Close())
		wait(t, cfg)
	})
}
