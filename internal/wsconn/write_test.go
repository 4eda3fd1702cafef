package wsconn_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// counted counts the writes on a connection.
type counted struct {
	net.Conn
	mu     sync.Mutex // protects writes
	writes [][]byte
}

func (c *counted) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.writes = append(c.writes, bytes.Clone(p))
	c.mu.Unlock()
	return c.Conn.Write(p)
}

func (c *counted) sizes() (n []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.writes {
		n = append(n, len(w))
	}
	return n
}

func TestWaitingFramesAreCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		client, server := net.Pipe()
		conn := &counted{Conn: server}
		c := accept(t, cfg, conn, nil)
		h := newRecorder()
		c.Serve(h)

		require.NoError(t, c.Send(text("first")))
		synctest.Wait() // the first one is stuck: the others have to wait
		var want []frame
		send := func(s string) {
			require.NoError(t, c.Send(text(s)))
			want = append(want, frame{fin | opText, s})
		}
		for i := range 20 {
			send(fmt.Sprint("small ", i))
		}
		send(strings.Repeat("a", 30<<10))
		send(strings.Repeat("b", 30<<10))
		send(strings.Repeat("c", 100<<10))
		send("last")

		expect(t, client, frame{fin | opText, "first"})
		expect(t, client, want...)
		synctest.Wait()
		sizes := conn.sizes()
		require.Len(t, sizes, 6)
		assert.Equal(t, 7, sizes[0])
		assert.Equal(t, 20*2+20*len("small ")+30+4+30<<10, sizes[1], "small ones and what fits, in one write")
		assert.Equal(t, 4+30<<10, sizes[2])
		assert.Equal(t, []int{64 << 10, 10 + 36<<10}, sizes[3:5], "a long one by itself, in pieces")
		assert.Equal(t, 6, sizes[5])

		client.Close()
		h.end(t)
		wait(t, cfg)
	})
}

func TestSendIsAllOrNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Queue = 100
		c, client := dial(t, cfg)
		h := newRecorder()
		c.Serve(h)
		assert.True(t, c.Idle())
		require.NoError(t, c.Send(text("1"), session.BinaryFrame([]byte{2})))
		assert.False(t, c.Idle())
		synctest.Wait() // they are being written
		require.ErrorIs(t, c.Send(text("3"), text("4"), text(strings.Repeat("5", 300))), session.ErrSlow)
		require.ErrorIs(t, c.Send(text("6")), session.ErrClosed)
		require.ErrorIs(t, c.Force(text("7")), session.ErrClosed)
		require.ErrorIs(t, c.Ping(), session.ErrClosed)

		expect(t, client, frame{fin | opText, "1"}, frame{fin | opBinary, "\x02"})
		assert.Equal(t, session.ReasonSlow, expectClose(t, client, 1013))
		write(t, client, masked(fin|opClose, closePayload(1013, "")))
		assert.ErrorIs(t, h.end(t), session.ErrSlow)
		wait(t, cfg)
	})
}

func TestQueueIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Queue = 250
		c, client := dial(t, cfg)
		h := newRecorder()
		c.Serve(h)
		require.NoError(t, c.Send(text(strings.Repeat("x", 6000))), "any size, if nothing waits")
		require.NoError(t, c.Send(text(strings.Repeat("x", 600))), "the first one does not count")
		require.NoError(t, c.Force(text(strings.Repeat("y", 600))), "protocol packets go past the bound")
		require.ErrorIs(t, c.Send(text("z")), session.ErrSlow)
		client.Close()
		assert.ErrorIs(t, h.end(t), session.ErrSlow)
		wait(t, cfg)
	})
}

func TestPeerThatDoesNotReadIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		c, client := dial(t, cfg)
		h := newRecorder()
		c.Serve(h)
		start := time.Now()
		require.NoError(t, c.Send(text("nobody reads this")))
		err := h.end(t)
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.Equal(t, cfg.WriteTimeout, time.Since(start))
		wait(t, cfg)
		_, err = client.Write([]byte("x"))
		assert.Error(t, err, "the connection is closed")
	})
}

// A peer that asks for pongs and reads none must neither block the reader nor be
// given memory without end.
func TestPongsToAPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Queue = 250
		c, client := dial(t, cfg)
		h := newRecorder()
		c.Serve(h)
		start := time.Now()
		for range 1 + 4*cfg.Queue/session.Held(1, 3) + 1 {
			write(t, client, masked(fin|opPing, "x"))
		}
		assert.ErrorIs(t, h.end(t), session.ErrSlow)
		assert.Equal(t, cfg.WriteTimeout, time.Since(start))
		wait(t, cfg)
		client.Close()
	})
}

// brokenConn fails to write.
type brokenConn struct {
	net.Conn
	err error
}

func (b *brokenConn) Write([]byte) (int, error) { return 0, b.err }

func TestWriteFailureEndsTheConnection(t *testing.T) {
	cfg := config()
	client, server := net.Pipe()
	defer client.Close()
	boom := errors.New("boom")
	c := accept(t, cfg, &brokenConn{server, boom}, nil)
	h := newRecorder()
	c.Serve(h)
	require.NoError(t, c.Send(text("a")))
	assert.ErrorIs(t, h.end(t), boom)
	assert.ErrorIs(t, c.Send(text("b")), session.ErrClosed)
	wait(t, cfg)
}

// Many goroutines send, ping and finally close: the stream must consist of whole
// frames, each sender's in order, those of one Send together, the close frame last.
func TestConcurrentSendPingClose(t *testing.T) {
	const senders, rounds = 8, 50
	cfg := config()
	cfg.Queue = 1 << 30
	client, server := tcp(t)
	c := accept(t, cfg, server, nil)
	h := newRecorder()
	c.Serve(h)

	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range rounds {
				head := fmt.Sprintf("%d %d ", s, i)
				assert.NoError(t, c.Send(text(head+"a"), text(head+strings.Repeat("b", i*37)), text(head+"c")))
				assert.NoError(t, c.Ping())
			}
		})
	}
	wg.Go(func() { // the client's pings are answered in between
		for range 20 { // more of them in a second are a flood
			_, err := client.Write(masked(fin|opPing, "client"))
			assert.NoError(t, err)
		}
	})
	read := make(chan []frame)
	go func() {
		var frames []frame
		for {
			f, err := readFrame(client)
			if err != nil {
				break
			}
			frames = append(frames, f)
			if f.first == fin|opClose {
				client.Write(masked(f.first, f.payload))
			}
		}
		read <- frames
	}()
	wg.Wait()
	for range 4 {
		wg.Go(func() { c.Close(1000, "done") })
	}
	wg.Wait()
	checkStream(t, <-read, senders, rounds)
	h.end(t)
	wait(t, cfg)
}

func checkStream(t *testing.T, frames []frame, senders, rounds int) {
	t.Helper()
	require.NotEmpty(t, frames)
	last := frames[len(frames)-1]
	require.Equal(t, frame{fin | opClose, closePayload(1000, "done")}, last)

	next, pings := make([]int, senders), 0
	var data []string
	for _, f := range frames[:len(frames)-1] {
		switch f.first {
		case fin | opText:
			data = append(data, f.payload)
		case fin | opPing:
			pings++
		case fin | opPong:
			require.Equal(t, "client", f.payload)
		default:
			t.Fatalf("unexpected frame %x", f.first)
		}
	}
	assert.Equal(t, senders*rounds, pings)
	require.Len(t, data, 3*senders*rounds)
	for i := 0; i < len(data); i += 3 {
		var s, n int
		_, err := fmt.Sscanf(data[i], "%d %d a", &s, &n)
		require.NoError(t, err)
		require.Equal(t, next[s], n, "order of sender %d", s)
		head := fmt.Sprintf("%d %d ", s, n)
		require.Equal(t, []string{head + "a", head + strings.Repeat("b", n*37), head + "c"}, data[i:i+3])
		next[s]++
	}
}
