package wsconn_test

import (
	"cmp"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// A control frame has the time of a message: not the five seconds of coder/websocket, which
// a machine may lose by itself that has too much to do.
func TestControlFrameTakesItsTime(t *testing.T) {
	for name, before := range map[string][]byte{"first": nil, "in between": masked(opText, "a")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config()
				c, client := dial(t, cfg)
				h := newRecorder()
				c.Serve(h)
				ping := masked(fin|opPing, "abc")
				write(t, client, append(before, ping[:7]...))
				time.Sleep(20 * time.Second)
				write(t, client, ping[7:])
				got, err := readFrame(client)
				require.NoError(t, err)
				assert.Equal(t, frame{fin | opPong, "abc"}, got)
				write(t, client, masked(fin|opClose, closePayload(1000, "")))
				got, err = readFrame(client)
				require.NoError(t, err)
				assert.Equal(t, frame{fin | opClose, closePayload(1000, "")}, got)
				client.Close()
				assert.ErrorIs(t, h.end(t), wsconn.ErrClosedByPeer)
				wait(t, cfg)
			})
		})
	}
}

// Row 44: a message has its time, in however many pieces it comes.
func TestHostile44Fragments(t *testing.T) {
	begun := masked(opText, "a")
	for name, tt := range map[string]struct {
		begin []byte
		again []byte // every second from then on
	}{
		"empty fragments":         {begun, masked(opCont, "")},
		"a byte each":             {begun, masked(opCont, "b")},
		"pings within":            {begun, masked(fin|opPing, "")},
		"silence":                 {begun, nil},
		"half a header":           {masked(fin|opText, "abc")[:1], nil},
		"half a ping":             {masked(fin|opPing, "abc")[:7], nil},
		"half a ping, in between": {append(masked(opText, "abc"), masked(fin|opPing, "abc")[:7]...), nil},
		"half a close frame":      {masked(fin|opClose, closePayload(1000, ""))[:7], nil},
		"half a frame":            {masked(fin|opText, "abc")[:7], nil},
		"half a second fragment":  {append(masked(opText, "abc"), fin|opCont), nil},
		"byte by byte":            {header(fin|opText, 0x80, 1000), []byte("x")},
		"behind a whole message":  {append(masked(fin|opText, "whole"), begun...), masked(opCont, "")},
		"behind a ping in pieces": {append(masked(fin|opPing, ""), begun...), masked(opCont, "")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config()
				c, client := dial(t, cfg)
				h := newRecorder()
				c.Serve(h)
				start := time.Now()
				write(t, client, tt.begin)
				var writer sync.WaitGroup
				writer.Go(func() {
					for err := error(nil); err == nil && tt.again != nil; time.Sleep(time.Second) {
						_, err = client.Write(tt.again)
					}
				})
				got, err := readFrame(client)
				for err == nil && got.first == fin|opPong {
					got, err = readFrame(client)
				}
				require.NoError(t, err)
				assert.Equal(t, frame{fin | opClose, closePayload(1008, "message takes too long")}, got)
				assert.Equal(t, 30*time.Second, time.Since(start))
				err = h.end(t)
				assert.ErrorIs(t, err, wsconn.ErrProtocol)
				assert.Equal(t, 30*time.Second+cfg.CloseTimeout, time.Since(start))
				assert.NotContains(t, h.messages(), frame{opText, "a"})
				client.Close()
				writer.Wait()
				wait(t, cfg)
			})
		})
	}
}

// Who takes any time between messages, or pings and is silent, is not in the middle of one;
// and each message has a time of its own.
func TestTimeBetweenMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		c, client := dial(t, cfg)
		h := newRecorder()
		c.Serve(h)
		for _, part := range [][]byte{
			masked(opText, "a"), masked(fin|opCont, "b"), masked(fin|opText, "c"), masked(fin|opPong, "xyz")[:3], masked(fin|opPong, "xyz")[3:],
			masked(opText, "d"), masked(opCont, ""), masked(fin|opCont, "e"),
		} {
			write(t, client, part)
			time.Sleep(4 * time.Second) // a control frame in pieces has five
		}
		time.Sleep(time.Hour)
		write(t, client, masked(opText, "f"))
		time.Sleep(29 * time.Second)
		write(t, client, masked(fin|opCont, "g"))
		time.Sleep(time.Hour)
		write(t, client, masked(fin|opText, "h"))
		synctest.Wait()
		assert.Equal(t, []frame{{opText, "ab"}, {opText, "c"}, {opText, "de"}, {opText, "fg"}, {opText, "h"}}, h.messages())
		client.Close()
		assert.ErrorIs(t, h.end(t), wsconn.ErrClosedByPeer)
		wait(t, cfg)
	})
}

// The same where sockets are read directly, and where nobody waits for them.
func TestHostile44FragmentsEverywhere(t *testing.T) {
	everywhere(t, func(t *testing.T, cfg *wsconn.Config, link link) {
		cfg.MessageTime, cfg.CoolAfter = 50*time.Millisecond, cmp.Or(cfg.CoolAfter, 10*time.Millisecond)
		for _, begin := range []string{string(masked(opText, "a")), string(masked(fin|opText, "abc")[:7]), "\x81"} {
			_, h, client := link.pair(t, cfg)
			_, honest, other := link.pair(t, cfg)
			write(t, client, []byte(begin))
			assert.Equal(t, "message takes too long", expectClose(t, client, 1008))
			client.Close()
			assert.ErrorIs(t, h.end(t), wsconn.ErrProtocol)
			write(t, other, masked(fin|opText, "as ever"))
			require.Eventually(t, func() bool { return len(honest.messages()) == 1 }, time.Minute, time.Millisecond)
			require.NoError(t, other.Close())
			honest.end(t)
		}
		wait(t, cfg)
	})
}

// Row 45: twenty pings in a second are answered.
func TestHostile45Pings(t *testing.T) {
	for name, before := range map[string][]byte{"between messages": nil, "within a message": masked(opText, "a")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config()
				c, client := dial(t, cfg)
				h := newRecorder()
				c.Serve(h)
				_, err := client.Write(before)
				require.NoError(t, err)
				for range 5 {
					pings(t, client, 20)
					time.Sleep(time.Second)
				}
				pings(t, client, 20)
				write(t, client, masked(fin|opPing, strings.Repeat("x", 125)))
				assert.Equal(t, "too many pings", expectClose(t, client, 1008))
				_, err = client.Write(masked(fin|opClose, closePayload(1008, "")))
				require.NoError(t, err)
				err = h.end(t)
				assert.ErrorIs(t, err, session.ErrPings)
				assert.Equal(t, "WARN", wsconn.Level(err).String())
				assert.Equal(t, session.ReasonParseError, wsconn.Reason(err))
				client.Close()
				wait(t, cfg)
			})
		})
	}
}

func pings(t *testing.T, client net.Conn, n int) {
	t.Helper()
	for i := range n {
		payload := fmt.Sprint(i)
		write(t, client, masked(fin|opPing, payload))
		expect(t, client, frame{fin | opPong, payload})
	}
}
