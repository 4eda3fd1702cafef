package session_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// wholeCodec encodes a message as its name and its binary parts.
type wholeCodec struct{}

func (wholeCodec) Encode(dst []session.Frame, m *session.Message) ([]session.Frame, error) {
	frames := append(dst, session.TextFrame([]byte(m.Name)))
	for _, p := range m.Args.Parts {
		frames = append(frames, session.BinaryFrame(p.Data))
	}
	return frames, nil
}

func encoded(t testing.TB, m *session.Message) []session.Frame {
	t.Helper()
	frames, err := m.Frames(wholeCodec{})
	require.NoError(t, err)
	return frames
}

func marked(t testing.TB, d *session.Deflater, text string) session.Frame {
	t.Helper()
	return encoded(t, &session.Message{Name: text, Deflate: d})[0]
}

func inflate(t testing.TB, payload []byte) string {
	t.Helper()
	r := flate.NewReader(io.MultiReader(bytes.NewReader(payload), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(text)
}

func noise(n int) string {
	b := make([]byte, n)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return string(b)
}

func TestDeflated(t *testing.T) {
	d := session.NewDeflater(100, 2)
	for _, tt := range []struct {
		name, text string
		header     []byte // nil: as it is
	}{
		{"empty", "", nil},
		{"below the threshold", strings.Repeat("a", 99), nil},
		{"at the threshold", strings.Repeat("a", 100), []byte{0xc1}},
		{"long enough for two bytes of length", strings.Repeat(noise(300), 3), []byte{0xc1, 126}},
		{"long enough for eight", strings.Repeat(noise(3000), 200)[:500_000] + noise(70_000), []byte{0xc1, 127}},
		{"not to be made shorter", noise(100), nil},
		{"much that is not", noise(500_000), nil},
		{"a million", strings.Repeat("a", 1_000_000), []byte{0xc1, 126}},
		{"short again, after those", strings.Repeat("ab", 100), []byte{0xc1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := marked(t, d, tt.text)
			got := f.Deflated()
			assert.Equal(t, tt.text, string(f.Payload()))
			assert.Equal(t, session.TextFrame([]byte(tt.text)).WebSocket(), f.WebSocket())
			if tt.header == nil {
				assert.Equal(t, f.WebSocket(), got)
				return
			}
			assert.Less(t, len(got), len(f.WebSocket()))
			require.Equal(t, tt.header, got[:len(tt.header)])
			head := map[byte]int{126: 4, 127: 10}[got[1]]
			if head == 0 {
				head = 2
			}
			assert.Equal(t, size(got), len(got)-head)
			assert.Equal(t, tt.text, inflate(t, got[head:]))
		})
	}
}

// size is the length that a frame declares.
func size(frame []byte) (n int) {
	length := frame[1:2]
	switch frame[1] {
	case 126:
		length = frame[2:4]
	case 127:
		length = frame[2:10]
	}
	for _, b := range length {
		n = n<<8 | int(b)
	}
	return n
}

func TestDeflatedAttachments(t *testing.T) {
	zeros := make([]byte, 200)
	frames := encoded(t, &session.Message{Name: "short", Deflate: session.NewDeflater(100, 1),
		Args: session.Args{Parts: []session.Part{{Data: zeros}, {Data: zeros[:50]}}}})
	require.Len(t, frames, 3)
	assert.Equal(t, frames[0].WebSocket(), frames[0].Deflated())
	assert.Equal(t, byte(0xc2), frames[1].Deflated()[0], "binary, compressed")
	assert.Equal(t, string(zeros), inflate(t, frames[1].Deflated()[2:]))
	assert.Equal(t, frames[2].WebSocket(), frames[2].Deflated())
}

func TestNothingIsDeflatedUnasked(t *testing.T) {
	text := strings.Repeat("a", 1000)
	for _, f := range []session.Frame{session.TextFrame([]byte(text)), marked(t, nil, text)} {
		assert.Equal(t, unsafe.SliceData(f.WebSocket()), unsafe.SliceData(f.Deflated()), "the very same bytes")
	}
	d := session.NewDeflater(100, 1)
	marked(t, d, text).WebSocket()
	assert.Zero(t, d.Runs(), "nobody wants it compressed")
}

// Many clients of many messages at once: each frame is made once, by few compressors,
// and all get the same bytes.
func TestDeflatedOnceForAll(t *testing.T) {
	const messages, clients = 50, 20
	d := session.NewDeflater(100, 2)
	var wg sync.WaitGroup
	for i := range messages {
		m := &session.Message{Name: strings.Repeat(fmt.Sprint("message ", i), 50+i), Deflate: d}
		places := make([]*byte, clients)
		for c := range clients {
			wg.Go(func() {
				frames, err := m.Frames(wholeCodec{})
				assert.NoError(t, err)
				places[c] = unsafe.SliceData(frames[0].Deflated())
			})
		}
		wg.Go(func() {
			frames, err := m.Frames(wholeCodec{})
			assert.NoError(t, err)
			wire := frames[0].Deflated()
			assert.Equal(t, m.Name, inflate(t, wire[len(wire)-size(wire):]))
		})
		t.Cleanup(func() {
			for _, p := range places {
				assert.Equal(t, places[0], p)
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, messages, d.Runs())
}

func event(n int) string {
	return (`["e",` + strings.Repeat(`{"id":12345,"name":"somebody","text":"what there is to say"},`, n/60+1))[:n]
}

// BenchmarkBroadcastDeflated is the share of a compressed broadcast that this package
// has: one compression, and what each of the other clients adds.
func BenchmarkBroadcastDeflated(b *testing.B) {
	for _, bytes := range []int{1 << 10, 16 << 10} {
		for _, clients := range []int{1, 1000} {
			b.Run(fmt.Sprintf("bytes=%d/clients=%d", bytes, clients), func(b *testing.B) {
				d, text := session.NewDeflater(100, 2), event(bytes)
				b.ReportAllocs()
				for b.Loop() {
					m := &session.Message{Name: text, Deflate: d}
					for range clients {
						frames, _ := m.Frames(wholeCodec{})
						frames[0].Deflated()
					}
				}
			})
		}
	}
}

// BenchmarkBroadcastPlain is the same without compression.
func BenchmarkBroadcastPlain(b *testing.B) {
	text := event(1 << 10)
	b.ReportAllocs()
	for b.Loop() {
		m := &session.Message{Name: text}
		for range 1000 {
			frames, _ := m.Frames(wholeCodec{})
			frames[0].Deflated()
		}
	}
}
