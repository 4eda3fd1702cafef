//go:build linux

package wsconn_test

import (
	"bytes"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// safeLog is a log that goroutines write to.
type safeLog struct {
	mu  sync.Mutex // protects buf
	buf bytes.Buffer
}

func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *safeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// crasher is a Handler with a mistake of ours in it.
type crasher struct{ *echo }

func (c *crasher) Message(data []byte, binary bool) error {
	switch string(data) {
	case "handler":
		panic("oops")
	case "task":
		c.conn.Flow().Start(taskFunc(func() { panic("oops") }))
		return nil
	case "lost task":
		c.conn.Flow().Start(taskFunc(runtime.Goexit))
		return nil
	}
	return c.echo.Message(data, binary)
}

// A panic in the handler ends its connection. One in a task, and runtime.Goexit, do not: the
// connection is read on. Others are served in any case.
func TestPanicsEndNoOtherConnection(t *testing.T) {
	everywhere(t, func(t *testing.T, cfg *wsconn.Config, link link) {
		log := new(safeLog)
		cfg.Group.Logger = slog.New(slog.NewTextHandler(log, nil))
		open := func() (io.ReadWriteCloser, *recorder) {
			client, server := link.ends(t)
			c := accept(t, cfg, server, nil)
			r := newRecorder()
			c.Serve(&crasher{&echo{r, c}})
			return client, r
		}
		other, _ := open()
		echoes := func(conn io.ReadWriter) {
			_, err := conn.Write(masked(fin|opText, "x"))
			require.NoError(t, err)
			f, err := readFrame(conn)
			require.NoError(t, err)
			require.Equal(t, frame{fin | opText, "x"}, f)
		}
		for range 3 {
			conn, r := open()
			echoes(conn)
			for _, text := range []string{"task", "lost task"} {
				_, err := conn.Write(masked(fin|opText, text))
				require.NoError(t, err)
				echoes(conn)
			}
			_, err := conn.Write(masked(fin|opText, "handler"))
			require.NoError(t, err)
			f, err := readFrame(conn)
			require.NoError(t, err)
			require.Equal(t, frame{fin | opClose, closePayload(1011, "internal error")}, f)
			conn.Close()
			<-r.done
			echoes(other)
		}
		other.Close()
		wait(t, cfg)
		assert.Equal(t, 6, bytes.Count([]byte(log.String()), []byte(`level=ERROR msg="task panicked" error="thinkws: panic: oops" stack="goroutine `)))
	})
}
