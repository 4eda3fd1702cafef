package wsconn_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

func TestMessagesInPieces(t *testing.T) {
	everywhere(t, func(t *testing.T, cfg *wsconn.Config, link link) {
		cfg.MaxMessage = 1 << 20
		client, server := link.ends(t)
		c := accept(t, cfg, server, nil)
		c.Serve(&echo{newRecorder(), c})
		var all []byte
		var want []frame
		for _, n := range []int{0, 1, 125, 126, 5000, 16 << 10, 16<<10 + 1, 70_000, 3} {
			all = append(all, masked(fin|opText, strings.Repeat("x", n))...)
			want = append(want, frame{fin | opText, strings.Repeat("x", n)})
		}
		all = append(all, masked(opText, "frag")...)
		all = append(all, masked(fin|opPing, "p")...)
		all = append(all, masked(fin|opCont, "ments")...)
		want = append(want, frame{fin | opPong, "p"}, frame{fin | opText, "fragments"})
		for _, step := range []int{1 << 20, 7000, 1000} {
			go func() {
				for rest := all; len(rest) > 0; {
					n := min(step, len(rest))
					_, err := client.Write(rest[:n])
					assert.NoError(t, err)
					rest = rest[n:]
					runtime.Gosched()
				}
			}()
			expect(t, client, want...)
		}
		client.Close()
	})
}

// A client may be refused before its connection is served. If it does not answer the close
// frame, it is cut off all the same.
func TestClosedBeforeServed(t *testing.T) {
	everywhere(t, func(t *testing.T, cfg *wsconn.Config, link link) {
		cfg.CloseTimeout = 50 * time.Millisecond
		client, server := link.ends(t)
		c := accept(t, cfg, server, nil)
		c.Close(1008, "")
		expectClose(t, client, 1008) // so all has been done that Close does
		h := newRecorder()
		start := time.Now()
		c.Serve(h)
		assert.ErrorIs(t, h.end(t), os.ErrDeadlineExceeded)
		assert.Less(t, time.Since(start), time.Second, "it was looked at for another reason")
		client.Close()
	})
}

func TestClosedWhileItBeginsToBeServed(t *testing.T) {
	everywhere(t, func(t *testing.T, cfg *wsconn.Config, link link) {
		for i := range 200 {
			client, server := link.ends(t)
			c := accept(t, cfg, server, nil)
			h := newRecorder()
			end := c.CloseNow
			if i%2 == 0 {
				end = func() { c.Close(1008, "") }
			}
			var ended sync.WaitGroup
			ended.Go(end)
			c.Serve(h)
			ended.Wait()
			client.Close()
			h.end(t)
		}
	})
}

func TestEveryCutOfTwoMessages(t *testing.T) {
	everywhere(t, func(t *testing.T, cfg *wsconn.Config, link link) {
		both := append(masked(fin|opText, "first"), masked(fin|opBinary, "second")...)
		for cut := range both {
			c, h, client := link.pair(t, cfg, both[:cut]...)
			write(t, client, both[cut:])
			require.Eventually(t, func() bool { return len(h.messages()) == 2 }, 5*time.Second, 100*time.Microsecond)
			assert.Equal(t, []frame{{opText, "first"}, {opBinary, "second"}}, h.messages())
			c.Close(1000, "")
			expectClose(t, client, 1000)
			client.Close()
			h.end(t)
		}
	})
}

func TestEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(t *testing.T, c *wsconn.Conn, client net.Conn)
		want error
	}{
		"client closes": {func(_ *testing.T, _ *wsconn.Conn, client net.Conn) { client.Close() }, wsconn.ErrClosedByPeer},
		"client resets": {func(t *testing.T, _ *wsconn.Conn, client net.Conn) {
			require.NoError(t, client.(*net.TCPConn).SetLinger(0))
			client.Close()
		}, nil},
		"client half-closes": {func(t *testing.T, _ *wsconn.Conn, client net.Conn) {
			require.NoError(t, client.(*net.TCPConn).CloseWrite())
		}, wsconn.ErrClosedByPeer},
		"close frame": {func(t *testing.T, _ *wsconn.Conn, client net.Conn) {
			write(t, client, masked(fin|opClose, closePayload(1000, "")))
			expectClose(t, client, 1000)
		}, wsconn.ErrClosedByPeer},
		"message and end at once": {func(t *testing.T, _ *wsconn.Conn, client net.Conn) {
			write(t, client, masked(fin|opText, "last words"))
			client.Close()
		}, wsconn.ErrClosedByPeer},
		"end in a message": {func(t *testing.T, _ *wsconn.Conn, client net.Conn) {
			write(t, client, masked(fin|opText, "last words")[:9])
			client.Close()
		}, io.ErrUnexpectedEOF},
		"protocol violated": {func(t *testing.T, _ *wsconn.Conn, client net.Conn) {
			write(t, client, unmasked(fin|opText, "x"))
			expectClose(t, client, 1002)
			client.Close()
		}, wsconn.ErrProtocol},
		"not UTF-8": {func(t *testing.T, _ *wsconn.Conn, client net.Conn) {
			write(t, client, masked(fin|opText, "\xff"))
			expectClose(t, client, 1007)
			write(t, client, masked(fin|opClose, closePayload(1007, "")))
		}, wsconn.ErrProtocol},
		"cut by us": {func(_ *testing.T, c *wsconn.Conn, _ net.Conn) { c.CloseNow() }, nil},
		"closed by us, answered": {func(t *testing.T, c *wsconn.Conn, client net.Conn) {
			c.Close(1001, "bye")
			assert.Equal(t, "bye", expectClose(t, client, 1001))
			write(t, client, masked(fin|opClose, closePayload(1001, "")))
		}, wsconn.ErrClosedByPeer},
		"closed by us, not answered": {func(t *testing.T, c *wsconn.Conn, client net.Conn) {
			c.Close(1001, "")
			expectClose(t, client, 1001)
		}, os.ErrDeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, cfg *wsconn.Config, link link) {
				cfg.CloseTimeout = time.Minute
				if tt.want == os.ErrDeadlineExceeded {
					cfg.CloseTimeout = 50 * time.Millisecond
				}
				c, h, client := link.pair(t, cfg)
				require.NoError(t, c.Send(text("hello"))) // it is idle after that
				expect(t, client, frame{fin | opText, "hello"})
				tt.end(t, c, client)
				err := h.end(t)
				require.Error(t, err)
				switch {
				case name == "client resets" && !link.resets(): // it closes there
					assert.ErrorIs(t, err, wsconn.ErrClosedByPeer)
				case tt.want != nil && tt.want != io.ErrUnexpectedEOF:
					assert.ErrorIs(t, err, tt.want)
				default:
					assert.NotErrorIs(t, err, wsconn.ErrClosedByPeer)
				}
				if strings.HasPrefix(name, "message and") {
					assert.Equal(t, []frame{{opText, "last words"}}, h.messages())
				}
				assert.ErrorIs(t, c.Send(text("late")), session.ErrClosed)
				wait(t, cfg)
			})
		})
	}
}

// Clients that stop in the middle of a message, more of them than there are
// processors, keep nobody else waiting.
func TestHalfMessagesDoNotHoldUpOthers(t *testing.T) {
	everywhere(t, func(t *testing.T, cfg *wsconn.Config, link link) {
		half := masked(fin|opText, "half a message")
		var stuck []net.Conn
		for range 50 {
			_, _, client := link.pair(t, cfg)
			write(t, client, half[:10])
			stuck = append(stuck, client)
		}
		client, server := link.ends(t)
		c := accept(t, cfg, server, nil)
		c.Serve(&echo{newRecorder(), c})
		for i := range 100 {
			write(t, client, masked(fin|opText, fmt.Sprint(i)))
			expect(t, client, frame{fin | opText, fmt.Sprint(i)})
		}
		for _, conn := range append(stuck, client) {
			conn.Close()
		}
	})
}

// The group waits for a connection until its close handshake is done.
func TestGroupWaitsForTheCloseHandshake(t *testing.T) {
	everywhere(t, func(t *testing.T, cfg *wsconn.Config, link link) {
		c, h, client := link.pair(t, cfg)
		c.Close(1001, "")
		expectClose(t, client, 1001)
		ended := make(chan error, 1)
		go func() { ended <- cfg.Group.Wait(t.Context()) }()
		runtime.Gosched()
		assert.Empty(t, ended)
		write(t, client, masked(fin|opClose, closePayload(1001, "")))
		require.NoError(t, <-ended)
		assert.ErrorIs(t, h.end(t), wsconn.ErrClosedByPeer)
	})
}

// A connection closed before anybody serves it is cleaned up all the same.
func TestCutBeforeServe(t *testing.T) {
	everywhere(t, func(t *testing.T, cfg *wsconn.Config, link link) {
		_, server := link.ends(t)
		c := accept(t, cfg, server, nil)
		c.CloseNow()
		h := newRecorder()
		c.Serve(h)
		require.Error(t, h.end(t))
	})
}

// What a frame declares is enough to refuse it: 2^40 bytes are not waited for.
func TestDeclaredTooBig(t *testing.T) {
	everywhere(t, func(t *testing.T, cfg *wsconn.Config, link link) {
		_, h, client := link.pair(t, cfg)
		write(t, client, masked(fin|opText, "x")[:1], []byte{0x80 | 127, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4})
		expectClose(t, client, 1009)
		client.Close()
		assert.ErrorIs(t, h.end(t), wsconn.ErrProtocol)
	})
}
