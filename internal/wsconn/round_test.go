package wsconn_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// inRound returns a frame that may wait for the end of round.
func inRound(t *testing.T, round *session.Round, data string, binary bool) session.Frame {
	t.Helper()
	m := &session.Message{Name: data, Round: round}
	frames, err := m.Frames(payload{binary})
	require.NoError(t, err)
	return frames[0]
}

// flush does what has to be done at the end of a round, and says how many batches it took.
func flush(round *session.Round) (batches int) {
	b, _ := round.End()
	for b != nil {
		next := b.Next
		b.Flush()
		b = next
		batches++
	}
	return batches
}

func nothing(t *testing.T, client net.Conn) {
	t.Helper()
	require.NoError(t, client.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	_, err := client.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "nothing is written yet")
	require.NoError(t, client.SetReadDeadline(time.Now().Add(time.Minute)))
}

// What several rounds have for a connection goes out when the first one is flushed.
func TestRoundsAreWrittenTogether(t *testing.T) {
	c, _, client := pair(t, config())
	var one, two session.Round
	require.NoError(t, c.Send(inRound(t, &one, "first", false)))
	require.NoError(t, c.Send(inRound(t, &two, "second", false)))
	assert.True(t, c.Idle(), "there is nothing that the socket would not take")
	nothing(t, client)
	assert.Equal(t, 1, flush(&one))
	expect(t, client, frame{fin | opText, "first"}, frame{fin | opText, "second"})
	assert.Zero(t, flush(&two))

	require.NoError(t, c.Send(inRound(t, &two, "too late for its round", false)))
	expect(t, client, frame{fin | opText, "too late for its round"})
}

// Whatever is sent otherwise takes along what waits, and does not overtake it.
func TestNothingOvertakesARound(t *testing.T) {
	for name, send := range map[string]func(*wsconn.Conn) error{
		"one":    func(c *wsconn.Conn) error { return c.Send(text("after")) },
		"forced": func(c *wsconn.Conn) error { return c.Force(text("after")) },
		"two":    func(c *wsconn.Conn) error { return c.Send(text("after"), text("and after that")) },
	} {
		t.Run(name, func(t *testing.T) {
			c, _, client := pair(t, config())
			var round session.Round
			require.NoError(t, c.Send(inRound(t, &round, "before", false)))
			require.NoError(t, send(c))
			expect(t, client, frame{fin | opText, "before"}, frame{fin | opText, "after"})
			if name == "two" {
				expect(t, client, frame{fin | opText, "and after that"})
			}
			flush(&round)
			nothing(t, client)
		})
	}
}

func TestCloseTakesARoundAlong(t *testing.T) {
	cfg := config()
	c, h, client := pair(t, cfg)
	var round session.Round
	require.NoError(t, c.Send(inRound(t, &round, "before", false)))
	c.Close(1000, "done")
	require.ErrorIs(t, c.Send(inRound(t, &round, "after", false)), session.ErrClosed)
	expect(t, client, frame{fin | opText, "before"})
	assert.Equal(t, "done", expectClose(t, client, 1000))
	write(t, client, masked(fin|opClose, closePayload(1000, "")))
	h.end(t)
	flush(&round)
	wait(t, cfg)
}

// A round that is long in coming to its end does not fill the queue.
func TestLongRoundIsWrittenBetween(t *testing.T) {
	for name, size := range map[string]int{"many": 1, "large": 10 << 10} {
		t.Run(name, func(t *testing.T) {
			cfg := config()
			cfg.Queue = 64 << 10
			c, _, client := pair(t, cfg)
			var round session.Round
			for i := range 100 {
				data := strings.Repeat("x", size) + fmt.Sprint(i)
				require.NoError(t, c.Send(inRound(t, &round, data, false)))
				if i%16 == 15 {
					for j := i - 15; j < i-1; j++ { // all but what may wait
						expect(t, client, frame{fin | opText, strings.Repeat("x", size) + fmt.Sprint(j)})
					}
					require.NoError(t, c.Send(text("all")))
					expect(t, client, frame{fin | opText, strings.Repeat("x", size) + fmt.Sprint(i-1)}, frame{fin | opText, data}, frame{fin | opText, "all"})
				}
			}
			flush(&round)
		})
	}
}

// Where writing waits, as over TLS, the goroutine does it.
func TestRoundWithoutASocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		c, client := dial(t, cfg)
		h := newRecorder()
		c.Serve(h)
		var round session.Round
		for i := range 3 {
			require.NoError(t, c.Send(inRound(t, &round, fmt.Sprint(i), false)))
		}
		flush(&round)
		assert.False(t, c.Idle())
		require.NoError(t, c.Send(inRound(t, &round, "more", false)))
		expect(t, client, frame{fin | opText, "0"}, frame{fin | opText, "1"}, frame{fin | opText, "2"}, frame{fin | opText, "more"})
		client.Close()
		h.end(t)
		wait(t, cfg)
	})
}

func TestRoundOfManyConnections(t *testing.T) {
	const connections = 150
	cfg := config()
	var round session.Round
	var clients []net.Conn
	var ends []*recorder
	for range connections {
		c, h, client := pair(t, cfg)
		clients, ends = append(clients, client), append(ends, h)
		require.NoError(t, c.Send(inRound(t, &round, "to all", false)))
	}
	clients[7].Close() // gone before its turn
	ends[7].end(t)
	assert.Equal(t, 3, flush(&round))
	for i, client := range clients {
		if i != 7 {
			expect(t, client, frame{fin | opText, "to all"})
			client.Close()
			assert.NotErrorIs(t, ends[i].end(t), io.ErrUnexpectedEOF)
		}
	}
	wait(t, cfg)
}
