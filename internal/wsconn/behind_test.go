package wsconn_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
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

// networks are the kinds of connections that a WebSocket runs over.
var networks = map[string]func(t *testing.T) (client, server net.Conn){
	"TCP": tcp,
	"TLS": func(t *testing.T) (client, server net.Conn) {
		client, server = tcp(t)
		return secure(t, client, server)
	},
	"unix": unixSocket,
	"pipe": func(*testing.T) (client, server net.Conn) { return net.Pipe() },
}

func everyNetwork(t *testing.T, test func(t *testing.T, client, server net.Conn)) {
	for name, network := range networks {
		t.Run(name, func(t *testing.T) {
			client, server := network(t)
			defer client.Close()
			test(t, client, server)
		})
	}
}

// secure puts TLS onto both ends of a connection.
func secure(t *testing.T, client, server net.Conn) (net.Conn, net.Conn) {
	t.Helper()
	s := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	defer s.Close()
	trust := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	c := tls.Client(client, &tls.Config{RootCAs: trust, ServerName: "example.com"})
	ended := make(chan error, 1)
	go func() { ended <- c.Handshake() }()
	secured := tls.Server(server, &tls.Config{Certificates: s.TLS.Certificates})
	require.NoError(t, secured.Handshake())
	require.NoError(t, <-ended)
	return c, secured
}

func unixSocket(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	require.NoError(t, err)
	defer l.Close()
	client, err = net.Dial("unix", l.Addr().String())
	require.NoError(t, err)
	server, err = l.Accept()
	require.NoError(t, err)
	return client, server
}

// A burst of more than the bound is not held against a client, and neither is a message of any size.
func TestBurstsArrive(t *testing.T) {
	everyNetwork(t, func(t *testing.T, client, server net.Conn) {
		cfg := config()
		cfg.Queue = 256 << 10
		c := accept(t, cfg, server, nil)
		h := newRecorder()
		c.Serve(h)
		large, small := strings.Repeat("x", 3_000_000), strings.Repeat("y", 90)
		require.NoError(t, c.Send(text(large)))
		require.NoError(t, c.Send(text("the answer")))
		for i := range 3000 {
			require.NoError(t, c.Send(text(fmt.Sprint(i, small))))
		}
		require.NoError(t, c.Ping())
		expect(t, client, frame{fin | opText, large}, frame{fin | opText, "the answer"})
		for i := range 3000 {
			expect(t, client, frame{fin | opText, fmt.Sprint(i, small)})
		}
		expect(t, client, frame{fin | opPing, ""})
		c.Close(1000, "")
		expectClose(t, client, 1000)
		write(t, client, masked(fin|opClose, closePayload(1000, "")))
		assert.ErrorIs(t, h.end(t), wsconn.ErrClosedByPeer)
		wait(t, cfg)
	})
}

// Beyond four times the bound a client is disconnected at once. What it was sent before the close frame has no gap.
func TestQueueEndsAtFourTimesTheBound(t *testing.T) {
	everyNetwork(t, func(t *testing.T, client, server net.Conn) {
		cfg := config()
		cfg.Queue = 64 << 10
		c := accept(t, cfg, server, nil)
		h := newRecorder()
		c.Serve(h)
		message := strings.Repeat("x", 10_000)
		n, most := 0, 0
		var err error
		for ; err == nil; n++ {
			most = max(most, c.Held())
			err = c.Send(text(fmt.Sprint(n, message)))
		}
		require.ErrorIs(t, err, session.ErrSlow)
		assert.Greater(t, most, 4*cfg.Queue-len(message)-200)
		assert.LessOrEqual(t, most, 4*cfg.Queue+len(message)+200)
		assert.Less(t, c.Held(), most/2, "what would not be taken is dropped")
		require.ErrorIs(t, c.Send(text("more")), session.ErrClosed)
		for i := 0; ; i++ {
			got, err := readFrame(client)
			require.NoError(t, err)
			if got.first == fin|opClose {
				require.Less(t, i, n)
				assert.Equal(t, closePayload(1013, session.ReasonSlow), got.payload)
				break
			}
			require.Equal(t, frame{fin | opText, fmt.Sprint(i, message)}, got)
		}
		write(t, client, masked(fin|opClose, closePayload(1013, "")))
		assert.ErrorIs(t, h.end(t), session.ErrSlow)
		wait(t, cfg)
	})
}

// A client that takes nothing is slow if more waits than the bound, and lost if not: a peer that is gone is no slow
// one.
func TestPeerThatTakesNothing(t *testing.T) {
	everyNetwork(t, func(t *testing.T, client, server net.Conn) {
		cfg := config()
		cfg.Queue = 10 << 20
		cfg.WriteTimeout = 50 * time.Millisecond
		c := accept(t, cfg, server, nil)
		h := newRecorder()
		c.Serve(h)
		var round session.Round
		require.NoError(t, c.Send(inRound(t, &round, "waits for the next one", false)))
		require.NoError(t, c.Send(inRound(t, &round, strings.Repeat("x", 32<<20), false)))
		flush(&round)
		err := h.end(t)
		assert.ErrorIs(t, err, session.ErrSlow)
		assert.Equal(t, session.ReasonSlow, wsconn.Reason(err))
		assert.ErrorIs(t, wsconn.Fault(err), session.ErrSlow)
		wait(t, cfg)
	})
	for name, messages := range map[string]int{"slow": 3, "lost": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config()
				cfg.Queue = session.Held(1, 2+100)
				c, client := dial(t, cfg)
				defer client.Close()
				h := newRecorder()
				c.Serve(h)
				start := time.Now()
				for range messages {
					require.NoError(t, c.Send(text(strings.Repeat("x", 100))))
					synctest.Wait() // the first one is being written
				}
				err := h.end(t)
				assert.Equal(t, cfg.WriteTimeout, time.Since(start))
				if name == "slow" {
					assert.ErrorIs(t, err, session.ErrSlow)
				} else {
					assert.Equal(t, session.ReasonTransportClose, wsconn.Reason(err))
					assert.NoError(t, wsconn.Fault(err))
				}
				wait(t, cfg)
			})
		})
	}
}

// A client that reads a byte now and then never has more than four times the bound wait, and one message.
func TestClientThatReadsAByteNowAndThen(t *testing.T) {
	for name, every := range map[string]time.Duration{"more than it takes": 200 * time.Millisecond, "far more": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config()
				cfg.Queue = 16 << 10
				c, client := dial(t, cfg)
				h := newRecorder()
				c.Serve(h)
				var reader sync.WaitGroup
				reader.Go(func() {
					for err := error(nil); err == nil; time.Sleep(time.Second) {
						_, err = client.Read(make([]byte, 1))
					}
				})
				start := time.Now()
				message := text(strings.Repeat("x", 1000))
				for c.Send(message) == nil {
					require.LessOrEqual(t, c.Held(), 4*cfg.Queue+2*session.Held(1, message.Len()))
					time.Sleep(every)
				}
				assert.ErrorIs(t, h.end(t), session.ErrSlow)
				assert.LessOrEqual(t, time.Since(start), 2*cfg.WriteTimeout)
				wait(t, cfg)
				reader.Wait()
			})
		})
	}
}

// A client that takes 64 KiB within WriteTimeout stays, however long a message or the queue is.
func TestSteadyClientStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Queue = 1 << 20
		c, client := dial(t, cfg)
		h := newRecorder()
		c.Serve(h)
		large, small := strings.Repeat("x", 2_000_000), strings.Repeat("y", 1000)
		require.NoError(t, c.Send(text(large)))
		for range 3000 {
			require.NoError(t, c.Send(text(small)))
		}
		r, w := io.Pipe()
		var reader sync.WaitGroup
		reader.Go(func() {
			piece := make([]byte, session.Piece)
			for err := error(nil); err == nil; time.Sleep(cfg.WriteTimeout - time.Second) {
				var n int
				n, err = io.ReadFull(client, piece)
				_, _ = w.Write(piece[:n])
			}
		})
		expect(t, r, frame{fin | opText, large})
		for range 2900 { // the last ones are not a whole piece
			expect(t, r, frame{fin | opText, small})
		}
		client.Close()
		r.Close()
		reader.Wait()
		h.end(t)
		wait(t, cfg)
	})
}

// A volatile message is dropped if something is being written, or if it does not fit, and that ends nothing.
func TestVolatileNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Queue = session.Held(2, 4)
		c, client := dial(t, cfg)
		h := newRecorder()
		c.Serve(h)
		volatile := []session.Frame{text(strings.Repeat("v", 100))}
		var round session.Round
		require.NoError(t, c.Send(inRound(t, &round, "1", false)))
		require.NoError(t, c.Send(inRound(t, &round, "2", false)))
		require.NoError(t, c.Send(inRound(t, &round, "3", false)))
		assert.ErrorIs(t, c.Deliver(volatile, true), session.ErrDropped, "does not fit")
		flush(&round)
		assert.ErrorIs(t, c.Deliver(volatile, true), session.ErrDropped, "something is being written")
		expect(t, client, frame{fin | opText, "1"}, frame{fin | opText, "2"}, frame{fin | opText, "3"})
		synctest.Wait()
		require.NoError(t, c.Deliver(volatile, true))
		expect(t, client, frame{fin | opText, strings.Repeat("v", 100)})
		client.Close()
		assert.NotErrorIs(t, h.end(t), session.ErrSlow)
		wait(t, cfg)
	})
}
