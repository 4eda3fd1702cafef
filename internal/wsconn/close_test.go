package wsconn_test

import (
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

func TestCloseSendsWhatWaitsThenTheFrame(t *testing.T) {
	tests := map[string]struct {
		code   int
		reason string
		want   string
	}{
		"no status":      {0, "ignored", ""},
		"code":           {1000, "", closePayload(1000, "")},
		"code, reason":   {4001, "bye", closePayload(4001, "bye")},
		"longest reason": {1008, strings.Repeat("x", 123), closePayload(1008, strings.Repeat("x", 123))},
		"reason cut":     {1008, strings.Repeat("x", 124), closePayload(1008, strings.Repeat("x", 123))},
		"cut at a rune":  {1008, strings.Repeat("x", 122) + "é", closePayload(1008, strings.Repeat("x", 122))},
		"not UTF-8":      {4000, "a\xff", closePayload(4000, "a\uFFFD")},
		"cut at a face":  {1008, strings.Repeat("x", 120) + "😀", closePayload(1008, strings.Repeat("x", 120))},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config()
				c, client := dial(t, cfg)
				h := newRecorder()
				c.Serve(h)
				start := time.Now()
				require.NoError(t, c.Send(text("a")))
				require.NoError(t, c.Send(text("b")))
				c.Close(tt.code, tt.reason)
				c.Close(1011, "too late")
				require.ErrorIs(t, c.Send(text("c")), session.ErrClosed)

				expect(t, client, frame{fin | opText, "a"}, frame{fin | opText, "b"}, frame{fin | opClose, tt.want})
				require.True(t, utf8.ValidString(strings.TrimPrefix(tt.want, closePayload(tt.code, "")[:2])))
				write(t, client, masked(fin|opClose, tt.want))
				_, err := client.Read(make([]byte, 1))
				assert.ErrorIs(t, err, io.EOF, "the server closes once both have said so")
				assert.ErrorIs(t, h.end(t), wsconn.ErrClosedByPeer)
				assert.Zero(t, time.Since(start), "nobody has waited")
				wait(t, cfg)
			})
		})
	}
}

func TestPeerThatDoesNotAnswerTheCloseFrameIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		c, client := dial(t, cfg)
		h := newRecorder()
		c.Serve(h)
		start := time.Now()
		c.Close(1001, "going")
		expectClose(t, client, 1001)
		write(t, client, masked(fin|opText, "still talking"), masked(fin|opPing, "x"))
		_, err := client.Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.EOF, "nothing follows a close frame")
		assert.Equal(t, cfg.CloseTimeout, time.Since(start))
		assert.ErrorIs(t, h.end(t), os.ErrDeadlineExceeded)
		assert.Empty(t, h.messages())
		wait(t, cfg)
	})
}

// halves is a pipe whose server can close its side alone.
type halves struct{ net.Conn }

func (halves) CloseWrite() error { return nil }

// A peer cannot prolong its stay by talking on. Where it cannot be told that we are done with it, we do not wait for
// its end.
func TestPeerThatTalksOnIsCut(t *testing.T) {
	for name, tt := range map[string]struct {
		wrap func(net.Conn) net.Conn
		want time.Duration
	}{
		"a side can be closed": {func(conn net.Conn) net.Conn { return halves{conn} }, config().CloseTimeout},
		"it cannot":            {func(conn net.Conn) net.Conn { return conn }, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config()
				client, server := net.Pipe()
				c := accept(t, cfg, tt.wrap(server), nil)
				h := newRecorder()
				c.Serve(h)
				start := time.Now()
				write(t, client, unmasked(fin|opText, "x"))
				var wg sync.WaitGroup
				defer wg.Wait()
				wg.Go(func() {
					for tick := time.Tick(200 * time.Millisecond); ; {
						if _, err := client.Write(masked(fin|opText, "y")); err != nil {
							return
						}
						select {
						case <-tick:
						case <-h.done:
						}
					}
				})
				expectClose(t, client, 1002)
				assert.ErrorIs(t, h.end(t), wsconn.ErrProtocol)
				assert.Equal(t, tt.want, time.Since(start))
				wait(t, cfg)
				client.Close()
			})
		})
	}
}

// The time that a peer has begins when our close frame is written.
func TestPeerThatReadsLateGetsTheCloseFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		c, client := dial(t, cfg)
		h := newRecorder()
		c.Serve(h)
		write(t, client, unmasked(fin|opText, "x"))
		time.Sleep(3 * time.Second)
		expectClose(t, client, 1002)
		start := time.Now()
		assert.ErrorIs(t, h.end(t), wsconn.ErrProtocol)
		assert.Equal(t, 500*time.Millisecond, time.Since(start))
		wait(t, cfg)
		client.Close()
	})
}

func TestCloseByThePeer(t *testing.T) {
	tests := map[string]string{
		"no status":    "",
		"code":         closePayload(1000, ""),
		"code, reason": closePayload(4999, "enough"),
		"going away":   closePayload(1001, strings.Repeat("x", 123)),
	}
	for name, payload := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config()
				c, client := dial(t, cfg)
				h := newRecorder()
				c.Serve(h)
				require.NoError(t, c.Send(text("queued")))
				write(t, client, masked(fin|opClose, payload))
				expect(t, client, frame{fin | opText, "queued"}, frame{fin | opClose, payload})
				_, err := client.Read(make([]byte, 1))
				assert.ErrorIs(t, err, io.EOF)
				assert.ErrorIs(t, h.end(t), wsconn.ErrClosedByPeer)
				assert.ErrorIs(t, c.Send(text("late")), session.ErrClosed)
				wait(t, cfg)
			})
		})
	}
}

// Both sides close at once, while data is still on its way out.
func TestCloseFramesThatCross(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		c, client := dial(t, cfg)
		h := newRecorder()
		c.Serve(h)
		require.NoError(t, c.Send(text("queued")))
		c.Close(1001, "going")
		write(t, client, masked(fin|opClose, closePayload(1000, "")))
		expect(t, client, frame{fin | opText, "queued"}, frame{fin | opClose, closePayload(1001, "going")})
		_, err := client.Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.EOF)
		assert.ErrorIs(t, h.end(t), wsconn.ErrClosedByPeer)
		wait(t, cfg)
	})
}

// A peer that closes and does not read what waits for it holds the connection no
// longer than one that does not answer.
func TestCloseByAPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		c, client := dial(t, cfg)
		h := newRecorder()
		c.Serve(h)
		start := time.Now()
		require.NoError(t, c.Send(text("queued")))
		write(t, client, masked(fin|opClose, closePayload(1000, "")))
		assert.ErrorIs(t, h.end(t), wsconn.ErrClosedByPeer)
		assert.Equal(t, cfg.CloseTimeout, time.Since(start))
		wait(t, cfg)
		client.Close()
	})
}

func TestCloseNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		c, client := dial(t, cfg)
		h := newRecorder()
		c.Serve(h)
		require.NoError(t, c.Send(text("lost")))
		c.CloseNow()
		c.CloseNow()
		_, err := client.Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.EOF)
		err = h.end(t)
		assert.NotErrorIs(t, err, wsconn.ErrClosedByPeer)
		assert.ErrorIs(t, c.Send(text("late")), session.ErrClosed)
		c.Close(1000, "late")
		wait(t, cfg)
	})
}

// reluctant is a connection whose Close waits, as that of TLS does: it writes an alert, and the peer may not be
// reading.
type reluctant struct{ net.Conn }

func (r reluctant) Close() error {
	time.Sleep(5 * time.Second)
	return r.Conn.Close()
}

// CloseNow is called for many connections in a row.
func TestCloseNowDoesNotWaitForTheNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		client, server := net.Pipe()
		c := accept(t, cfg, reluctant{server}, nil)
		h := newRecorder()
		c.Serve(h)
		start := time.Now()
		c.CloseNow()
		assert.Zero(t, time.Since(start))
		assert.ErrorIs(t, c.Send(text("late")), session.ErrClosed)
		wait(t, cfg)
		assert.EqualError(t, h.end(t), "wsconn: connection cut")
		client.Close()
	})
}

// Every method may be called by the handler itself.
type selfish struct {
	*recorder
	conn *wsconn.Conn
}

func (s *selfish) Message(data []byte, binary bool) error {
	s.conn.Send(session.TextFrame(data))
	s.conn.Close(1000, "")
	return s.recorder.Message(data, binary)
}

func (s *selfish) Pong() { s.conn.CloseNow() }

func (s *selfish) Closed(err error) {
	s.conn.Close(1000, "")
	s.conn.CloseNow()
	s.recorder.Closed(err)
}

func TestHandlerMayCloseFromWithin(t *testing.T) {
	tests := map[string][]byte{
		"in Message": masked(fin|opText, "hello"),
		"in Pong":    masked(fin|opPong, ""),
	}
	for name, send := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config()
				c, client := dial(t, cfg)
				h := &selfish{newRecorder(), c}
				c.Serve(h)
				write(t, client, send)
				go io.Copy(io.Discard, client)
				h.end(t)
				wait(t, cfg)
				client.Close()
			})
		})
	}
}
