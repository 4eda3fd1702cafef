package wsconn_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// numbered is a message with a number, as a frame and so many attachments.
func numbered(n, attachments, size int) []session.Frame {
	m := &session.Message{Name: strconv.Itoa(n)}
	for range attachments {
		m.Args.Parts = append(m.Args.Parts, session.Part{Data: []byte(strings.Repeat(string(rune('a'+n%26)), size))})
	}
	frames, _ := m.Frames(numberedCodec{}) // cannot fail
	return frames
}

type numberedCodec struct{}

func (numberedCodec) Encode(dst []session.Frame, m *session.Message) ([]session.Frame, error) {
	dst = append(dst, session.TextFrame([]byte(fmt.Sprint(m.Name, " ", len(m.Args.Parts)))))
	for _, p := range m.Args.Parts {
		dst = append(dst, session.BinaryFrame(p.Data))
	}
	return dst, nil
}

func TestSlowPolicies(t *testing.T) {
	for _, tt := range []struct {
		name        string
		policy      session.SlowPolicy
		room        int // for messages behind the one that is being written
		attachments int
		want        []string // messages that arrive
		displaced   int
		dropped     int
	}{
		{"newest", session.SlowDropNewest, 5, 0, []string{"0", "1", "2", "3", "4", "5"}, 0, 4},
		{"oldest", session.SlowDropOldest, 5, 0, []string{"0", "5", "6", "7", "8", "9"}, 4, 0},
		{"newest of two frames", session.SlowDropNewest, 2, 1, []string{"0", "1", "2"}, 0, 7},
		{"oldest of two frames", session.SlowDropOldest, 2, 1, []string{"0", "8", "9"}, 7, 0},
		{"newest, longer than the queue", session.SlowDropNewest, 0, 6, []string{"0"}, 0, 9},
		{"oldest, longer than the queue", session.SlowDropOldest, 0, 6, []string{"0"}, 0, 9},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config()
				const head, attachment = 2 + 3, 2 + 10 // bytes
				cfg.Queue = session.Held(tt.room, tt.room*(head+tt.attachments*attachment))
				cfg.Slow = tt.policy
				c, client := dial(t, cfg)
				h := newRecorder()
				c.Serve(h)
				displaced, dropped := 0, 0
				for n := range 10 {
					err := c.Send(numbered(n, tt.attachments, 10)...)
					more, late := errors.AsType[*session.DisplacedError](err)
					switch {
					case late:
						displaced += more.Messages
					case errors.Is(err, session.ErrDropped):
						dropped++
					default:
						require.NoError(t, err)
					}
					synctest.Wait() // the first one is being written
				}
				require.NoError(t, c.Force(text("own")))
				assert.Equal(t, tt.displaced, displaced)
				assert.Equal(t, tt.dropped, dropped)
				for _, n := range tt.want {
					expect(t, client, frame{fin | opText, fmt.Sprint(n, " ", tt.attachments)})
					for range tt.attachments {
						got, err := readFrame(client)
						require.NoError(t, err)
						assert.Equal(t, byte(fin|opBinary), got.first)
					}
				}
				expect(t, client, frame{fin | opText, "own"})
				client.Close()
				h.end(t)
				wait(t, cfg)
			})
		})
	}
}

// Over TCP the socket takes parts of frames: what the peer gets are whole messages, in
// order, however much is dropped.
func TestDroppingOldestTearsNothing(t *testing.T) {
	cfg := config()
	cfg.Queue = 20 << 10
	cfg.Slow = session.SlowDropOldest
	client, server := tcp(t)
	require.NoError(t, client.(*net.TCPConn).SetReadBuffer(16<<10))
	require.NoError(t, server.(*net.TCPConn).SetWriteBuffer(4<<10))
	require.NoError(t, client.SetReadDeadline(time.Now().Add(time.Minute)))
	c := accept(t, cfg, server, nil)
	h := newRecorder()
	c.Serve(h)
	const messages = 3000
	lost := make(chan int, 1)
	go func() {
		displaced := 0
		for n := range messages {
			var round session.Round
			frames := numbered(n, n%4, 1+n*7%3000)
			if n%3 == 0 {
				m := &session.Message{Name: strconv.Itoa(n), Round: &round}
				frames, _ = m.Frames(numberedCodec{})
			}
			err := c.Send(frames...)
			more, late := errors.AsType[*session.DisplacedError](err)
			switch {
			case late:
				displaced += more.Messages
			case errors.Is(err, session.ErrDropped):
				displaced++ // all that is before it is being written
			default:
				assert.NoError(t, err)
			}
			flush(&round)
			if n%100 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		assert.NoError(t, c.Force(text("end")))
		lost <- displaced
	}()
	got, last := 0, -1
	for {
		first, err := readFrame(client)
		require.NoError(t, err)
		if first.payload == "end" {
			break
		}
		require.Equal(t, byte(fin|opText), first.first)
		var n, attachments int
		_, err = fmt.Sscan(first.payload, &n, &attachments)
		require.NoError(t, err)
		require.Greater(t, n, last)
		for range attachments {
			part, err := readFrame(client)
			require.NoError(t, err)
			require.Equal(t, byte(fin|opBinary), part.first)
			require.Equal(t, strings.Repeat(string(rune('a'+n%26)), len(part.payload)), part.payload)
		}
		last = n
		got++
		if got%50 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	displaced := <-lost
	assert.Equal(t, messages, got+displaced, "each has arrived or was counted")
	assert.Positive(t, displaced)
	client.Close()
	assert.NotErrorIs(t, h.end(t), io.ErrUnexpectedEOF)
	wait(t, cfg)
}
