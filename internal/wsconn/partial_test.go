package wsconn_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// slowPeer is sent random frames over TCP and reads them when it likes to. It belongs
// to the test's goroutine.
type slowPeer struct {
	t      *testing.T
	conn   *wsconn.Conn
	client net.Conn
	random *rand.Rand
	want   bytes.Buffer // sent and not read yet
	rounds []*session.Round
	scrap  []byte
}

// sized returns a random length: mostly short, sometimes more than any buffer takes.
func (p *slowPeer) sized() int {
	switch n := p.random.IntN(100); {
	case n < 60:
		return p.random.IntN(300)
	case n < 98:
		return p.random.IntN(12 << 10)
	default:
		return p.random.IntN(200 << 10)
	}
}

func (p *slowPeer) frame(round *session.Round) session.Frame {
	b := make([]byte, p.sized())
	for i := range b {
		b[i] = byte(p.random.Uint32())
	}
	f := inRound(p.t, round, string(b), true)
	p.want.Write(f.WebSocket())
	return f
}

// send sends one to four frames, some of them in a round, and now and then a ping.
func (p *slowPeer) send() {
	p.t.Helper()
	var round *session.Round
	if p.random.IntN(3) == 0 {
		round = new(session.Round)
		p.rounds = append(p.rounds, round)
	}
	frames := make([]session.Frame, 1+max(0, p.random.IntN(6)-2))
	for i := range frames {
		frames[i] = p.frame(round)
	}
	require.NoError(p.t, p.conn.Send(frames...))
	if p.random.IntN(10) == 0 {
		p.want.Write([]byte{fin | opPing, 0})
		require.NoError(p.t, p.conn.Ping())
	}
}

// flush ends the rounds there are.
func (p *slowPeer) flush() {
	for _, round := range p.rounds {
		flush(round)
	}
	p.rounds = p.rounds[:0]
}

// read reads the next n bytes and compares each.
func (p *slowPeer) read(n int) {
	p.t.Helper()
	if cap(p.scrap) < n {
		p.scrap = make([]byte, n)
	}
	got := p.scrap[:n]
	_, err := io.ReadFull(p.client, got)
	require.NoError(p.t, err)
	want := p.want.Next(n)
	if !bytes.Equal(want, got) { // which would be too much to print
		at := 0
		for want[at] == got[at] {
			at++
		}
		require.FailNow(p.t, "stream differs", "after %d of %d bytes", at, n)
	}
}

// A peer that reads slowly, through small buffers: what the socket takes in parts goes
// on where it stopped, by the writing goroutine, which ends when it has caught up; then
// writes are direct again. Not a byte is lost, doubled or moved on the way.
func TestPartialWrites(t *testing.T) {
	for _, kilobytes := range []int{4, 64} { // one cuts single frames more often, the other several at once
		t.Run(fmt.Sprint(kilobytes), func(t *testing.T) { testPartialWrites(t, kilobytes<<10) })
	}
}

func testPartialWrites(t *testing.T, buffer int) {
	const rounds = 3000
	cfg := config()
	cfg.Queue = 1 << 30
	client, server := tcp(t)
	require.NoError(t, client.(*net.TCPConn).SetReadBuffer(64<<10))
	require.NoError(t, server.(*net.TCPConn).SetWriteBuffer(buffer))
	require.NoError(t, client.SetReadDeadline(time.Now().Add(time.Minute)))
	c := accept(t, cfg, server, nil)
	h := newRecorder()
	c.Serve(h)

	p := &slowPeer{t: t, conn: c, client: client, random: rand.New(rand.NewPCG(1, 7))}
	direct, behind, caughtUp := 0, 0, 0
	for range rounds {
		p.send()
		if p.random.IntN(4) == 0 {
			p.flush()
		}
		if c.Idle() {
			direct++
			continue
		}
		behind++
		switch p.random.IntN(20) {
		case 0: // everything: then the goroutine is done, and has to say so
			p.flush()
			p.read(p.want.Len())
			require.Eventually(t, c.Idle, 10*time.Second, 100*time.Microsecond)
			caughtUp++
		case 1, 2, 3:
			p.flush()
			p.read(p.random.IntN(p.want.Len()))
		}
	}
	assert.Greater(t, direct, rounds/50)
	assert.Greater(t, behind, rounds/50)
	assert.Greater(t, caughtUp, rounds/200)

	c.Close(1000, "")
	p.want.Write([]byte{fin | opClose, 2, 1000 >> 8, 1000 & 0xff})
	p.read(p.want.Len())
	write(t, client, masked(fin|opClose, closePayload(1000, "")))
	assert.ErrorIs(t, h.end(t), wsconn.ErrClosedByPeer)
	wait(t, cfg)
}

// What is lent and cannot go out at once is copied.
func TestLentFramesThatWait(t *testing.T) {
	cfg := config()
	cfg.Queue = 64 << 20
	c, h, client := pair(t, cfg)
	var want bytes.Buffer
	var m session.Message
	for i := range 1000 {
		m.Reset()
		m.Lent = true
		frames, err := m.Frames(textAndBinary{fmt.Sprint(i), strings.Repeat(string(rune('a'+i%26)), 10_000)})
		require.NoError(t, err)
		require.NoError(t, c.Send(frames...))
		for _, f := range frames {
			want.Write(f.WebSocket())
		}
	}
	got := make([]byte, want.Len())
	_, err := io.ReadFull(client, got)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want.Bytes(), got))
	client.Close()
	h.end(t)
	wait(t, cfg)
}

// textAndBinary encodes a message as two frames.
type textAndBinary struct{ text, binary string }

func (e textAndBinary) Encode(dst []session.Frame, m *session.Message) ([]session.Frame, error) {
	text := session.TextOf(append(m.Room(len(e.text)+session.RoomBehind(len(e.binary))), e.text...))
	return append(dst, text, session.BinaryBehind(text, []byte(e.binary))), nil
}
