//go:build linux

package wsconn_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

const soon = 5 * time.Millisecond

// cold waits until that many connections are cold.
func cold(t *testing.T, want int) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Count(goroutines(t), "wsconn.(*coldReader).Run") == want },
		5*time.Second, soon)
}

// goroutines are the stacks of all.
func goroutines(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, pprof.Lookup("goroutine").WriteTo(&b, 2))
	return b.String()
}

// Whatever comes to a cold connection is read as on any other, again and again.
func TestColdConnection(t *testing.T) {
	events := []struct {
		name string
		sent []byte
		want frame
	}{
		{"a message", masked(fin|opText, "x"), frame{fin | opText, "x"}},
		{"a ping", masked(fin|opPing, "p"), frame{fin | opPong, "p"}},
		{"fragments", append(masked(opText, "a"), masked(fin|opCont, "b")...), frame{fin | opText, "ab"}},
		{"fragments and a ping", bytes.Join([][]byte{masked(opText, "a"), masked(fin|opCont, "b"), masked(fin|opPing, "")}, nil),
			frame{fin | opText, "ab"}},
		{"a large message", masked(fin|opText, strings.Repeat("x", 1000)), frame{fin | opText, strings.Repeat("x", 1000)}},
		{"an empty message", masked(fin|opText, ""), frame{fin | opText, ""}},
	}
	cfg := config()
	cfg.CoolAfter = soon
	c, client := tcpEcho(t, cfg)
	for range 2 {
		for _, e := range events {
			cold(t, 1)
			write(t, client, e.sent)
			expect(t, client, e.want)
			if strings.HasSuffix(e.name, "and a ping") {
				expect(t, client, frame{fin | opPong, ""})
			}
		}
	}
	cold(t, 1)
	c.Close(1000, "bye")
	expect(t, client, frame{fin | opClose, closePayload(1000, "bye")})
	write(t, client, masked(fin|opClose, closePayload(1000, "bye")))
	wait(t, cfg)
}

func tcpEcho(t *testing.T, cfg *wsconn.Config) (*wsconn.Conn, net.Conn) {
	t.Helper()
	client, server := tcp(t)
	c := accept(t, cfg, server, nil)
	c.Serve(&echo{newRecorder(), c})
	return c, client
}

// The end of a cold connection is seen for what it is.
func TestEndsOfColdConnections(t *testing.T) {
	tests := map[string]struct {
		end  func(t *testing.T, c *wsconn.Conn, client *net.TCPConn)
		want error // nil if it is another one
	}{
		"closed": {func(_ *testing.T, _ *wsconn.Conn, client *net.TCPConn) { client.Close() }, wsconn.ErrClosedByPeer},
		"half a frame": {func(t *testing.T, _ *wsconn.Conn, client *net.TCPConn) {
			write(t, client, masked(fin|opText, "x")[:4])
			client.Close()
		}, nil},
		"reset": {func(t *testing.T, _ *wsconn.Conn, client *net.TCPConn) {
			require.NoError(t, client.SetLinger(0))
			client.Close()
		}, nil},
		"close frame": {func(t *testing.T, _ *wsconn.Conn, client *net.TCPConn) {
			write(t, client, masked(fin|opClose, closePayload(1000, "")))
			expect(t, client, frame{fin | opClose, closePayload(1000, "")})
		}, wsconn.ErrClosedByPeer},
		"no WebSocket": {func(t *testing.T, _ *wsconn.Conn, client *net.TCPConn) {
			write(t, client, []byte("GET / HTTP/1.1\r\n\r\n"))
		},
			wsconn.ErrProtocol},
		"cut":       {func(_ *testing.T, c *wsconn.Conn, _ *net.TCPConn) { c.CloseNow() }, nil},
		"no answer": {func(_ *testing.T, c *wsconn.Conn, _ *net.TCPConn) { c.Close(1000, "") }, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := config()
			cfg.CoolAfter, cfg.CloseTimeout = soon, 50*time.Millisecond
			c, h, client := pair(t, cfg)
			cold(t, 1)
			tt.end(t, c, client.(*net.TCPConn))
			err := h.end(t)
			if tt.want != nil {
				require.ErrorIs(t, err, tt.want)
			} else {
				require.NotErrorIs(t, err, wsconn.ErrClosedByPeer)
				require.NotErrorIs(t, err, wsconn.ErrProtocol)
			}
			wait(t, cfg)
		})
	}
}

// Connections that become cold and warm all the time, just when something comes, lose
// nothing.
func TestColdAndWarmInTurns(t *testing.T) {
	everyWay(t, func(t *testing.T, cfg *wsconn.Config) {
		cfg.CoolAfter = time.Millisecond
		const clients, messages = 50, 200
		var all sync.WaitGroup
		for range clients {
			_, client := tcpEcho(t, cfg)
			all.Go(func() {
				for i := range messages {
					text := fmt.Sprint(i)
					pieces := [][]byte{masked(fin|opText, text)}
					if i%10 == 0 {
						pieces = [][]byte{masked(opText, ""), masked(fin|opCont, text)}
					}
					for _, p := range pieces {
						if _, err := client.Write(p); !assert.NoError(t, err) {
							return
						}
					}
					got, err := readFrame(client)
					if !assert.NoError(t, err) || !assert.Equal(t, frame{fin | opText, text}, got) {
						return
					}
					<-time.After(rand.N(3 * time.Millisecond))
				}
				client.Close()
			})
		}
		all.Wait()
		wait(t, cfg)
	})
}

// Frames go out to a cold connection as to any other.
func TestSendToAColdConnection(t *testing.T) {
	cfg := config()
	cfg.CoolAfter = soon
	c, _, client := pair(t, cfg)
	cold(t, 1)
	require.NoError(t, c.Send(session.TextFrame([]byte("x"))))
	expect(t, client, frame{fin | opText, "x"})
	cold(t, 1)
	client.Close()
	wait(t, cfg)
}
