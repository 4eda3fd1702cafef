package session_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// pieces encodes a message as a text and two binary frames, which it leaves room for.
type pieces struct{ text, first, second string }

func (p pieces) Encode(dst []session.Frame, m *session.Message) ([]session.Frame, error) {
	room := m.Room(len(p.text) + session.RoomBehind(len(p.first)) + session.RoomBehind(len(p.second)))
	text := session.TextOf(append(room, p.text...))
	first := session.BinaryBehind(text, []byte(p.first))
	return append(dst, text, first, session.BinaryBehind(first, []byte(p.second))), nil
}

func (p pieces) wire() string {
	var b strings.Builder
	for _, f := range []session.Frame{session.TextFrame([]byte(p.text)), session.BinaryFrame([]byte(p.first)), session.BinaryFrame([]byte(p.second))} {
		b.Write(f.WebSocket())
	}
	return b.String()
}

func TestFramesWithoutAGap(t *testing.T) {
	sizes := []int{0, 1, 125, 126, 65535, 65536}
	for _, lent := range []bool{false, true} {
		for i := range sizes {
			p := pieces{strings.Repeat("t", sizes[i]), strings.Repeat("1", sizes[(i+1)%6]), strings.Repeat("2", sizes[(i+2)%6])}
			frames, err := (&session.Message{Lent: lent}).Frames(p)
			require.NoError(t, err)
			assert.Equal(t, p.wire(), string(session.Adjoin(frames)))
			for _, f := range frames {
				assert.Equal(t, lent, f.Lent())
			}
			assert.Equal(t, p.first, string(frames[1].Payload()))
			assert.True(t, frames[2].Binary)
		}
	}
}

func TestFramesApart(t *testing.T) {
	a, b := session.TextFrame([]byte("a")), session.BinaryFrame([]byte("b"))
	assert.Nil(t, session.Adjoin([]session.Frame{a, b}))
	assert.Equal(t, string(a.WebSocket()), string(session.Adjoin([]session.Frame{a})))
	apart := session.BinaryBehind(a, []byte("no room"))
	assert.Nil(t, session.Adjoin([]session.Frame{a, apart}))
	assert.Equal(t, "no room", string(apart.Payload()))

	frames, err := (&session.Message{Deflate: session.NewDeflater(1, 1)}).Frames(pieces{"t", "1", "2"})
	require.NoError(t, err)
	assert.Nil(t, session.Adjoin(frames), "each may be compressed")
}

// A lent message has the memory of its frames again; what is kept of them stays.
func TestLentFrames(t *testing.T) {
	var m session.Message
	var kept []session.Frame
	for i := range 3 {
		m.Reset()
		m.Lent = true
		frames, err := m.Frames(pieces{fmt.Sprint("text", i), fmt.Sprint("first", i), fmt.Sprint("second", i)})
		require.NoError(t, err)
		for _, f := range frames {
			kept = append(kept, f.Keep())
		}
	}
	for i, f := range kept {
		want := fmt.Sprint([]string{"text", "first", "second"}[i%3], i/3)
		assert.Equal(t, want, string(f.Payload()))
		assert.Equal(t, i%3 > 0, f.Binary)
		assert.False(t, f.Lent())
		head := []byte{0x81, byte(len(want))}
		if f.Binary {
			head[0]++
		}
		assert.True(t, bytes.HasPrefix(f.WebSocket(), head))
	}
	m.Reset()
	m.Lent = true
	assert.Zero(t, testing.AllocsPerRun(10, func() {
		m.Reset()
		m.Lent = true
		if _, err := m.Frames(&pieces{"t", "", ""}); err != nil {
			t.Error(err)
		}
	})-2, "two pieces that are converted, and no frame")
}
