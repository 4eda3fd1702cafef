package serial_test

import (
	"bytes"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/serial"
)

// mistakes are the ways in which a function ends without returning.
var mistakes = map[string]func(){"panic": func() { panic("boom") }, "Goexit": runtime.Goexit}

// reporting returns a group and what it has logged.
func reporting() (*serial.Group, *bytes.Buffer) {
	log := new(bytes.Buffer)
	return &serial.Group{Logger: slog.New(slog.NewTextHandler(log, nil))}, log
}

// client is a task that fails.
type client struct {
	run    func()
	failed atomic.Pointer[error]
}

func (c *client) Run()           { c.run() }
func (c *client) Fail(err error) { c.failed.Store(&err) }

func TestGroupSurvivesMistakes(t *testing.T) {
	for name, mistake := range mistakes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, log := reporting()
				started, fresh := &client{run: mistake}, &client{run: mistake}
				g.Start(started)
				g.Fresh(fresh)
				g.Go(mistake)
				g.AfterFunc(time.Second, mistake)
				time.Sleep(time.Minute)
				synctest.Wait()
				require.NoError(t, g.Wait(t.Context()), "all of them are counted as ended")
				if name == "Goexit" {
					assert.Empty(t, log.String(), "nobody has made a mistake that is not handled elsewhere")
					return
				}
				assert.Equal(t, 4, bytes.Count(log.Bytes(), []byte(`level=ERROR msg="task panicked" error="thinkws: panic: boom" stack="goroutine `)))
				for _, c := range []*client{started, fresh} {
					require.NotNil(t, c.failed.Load(), "the client ends")
					assert.EqualError(t, *c.failed.Load(), "thinkws: panic: boom")
				}
			})
		})
	}
}

// A goroutine that is lost is not one that rests.
func TestGroupKeepsNoLostGoroutine(t *testing.T) {
	var g serial.Group
	for range 10 {
		g.Go(runtime.Goexit)
		require.NoError(t, g.Wait(t.Context()))
		assert.Zero(t, g.Idle())
	}
}

func TestQueueGoesOnAfterMistakes(t *testing.T) {
	for name, mistake := range mistakes {
		t.Run(name, func(t *testing.T) {
			g, _ := reporting()
			var mu sync.Mutex // protects got: each mistake costs a goroutine
			var got []int
			q := serial.NewQueue(g, nil, serial.Limit{Items: 100, Bytes: 100}, func(item int) {
				mu.Lock()
				got = append(got, item)
				mu.Unlock()
				if item%3 == 0 {
					mistake()
				}
			})
			for range 2 { // what was worked on does not count any more: there is room again
				got = nil
				for i := range 100 {
					require.NoError(t, q.Push(g, 1, i))
				}
				require.NoError(t, g.Wait(t.Context()))
				require.Len(t, got, 100)
				for i, v := range got {
					require.Equal(t, i, v, "the order holds")
				}
			}
		})
	}
}
