package wsconn_test

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// How many random streams are compared, and which.
var (
	streams = flag.Int("streams", 20_000, "random streams that are read by the frame reader and by coder/websocket")
	seed    = flag.Uint64("seed", 1, "of these streams")
)

const readerLimit = 300 // bytes of a message in these tests

// readAll returns what a frame reader makes of a stream that comes in pieces of at most so many bytes, and whether it
// ends between two messages.
func readAll(stream []byte, deflates bool, piece int) (events []string, between bool) {
	r := wsconn.NewFrameReader(readerLimit, deflates)
	for len(stream) > 0 {
		n := min(piece, len(stream))
		some := stream[:n]
		if room := r.Room(); len(room) > 3 { // into the message itself
			n = copy(room[:min(len(room), piece)], stream)
			r.Filled(n)
			some = nil
		}
		stream = stream[n:]
		for {
			rest, opcode, data, err := r.Next(some)
			switch {
			case err != nil:
				return append(events, fmt.Sprint("error ", wsconn.CodeOf(err))), false
			case opcode == opClose:
				return append(events, fmt.Sprintf("close %x", data)), false
			case opcode != 0:
				events = append(events, fmt.Sprintf("%x %x", opcode, data))
			}
			if some = rest; len(some) == 0 {
				break
			}
		}
	}
	return events, r.Between()
}

// What a frame reader makes of a stream does not depend on the pieces that it comes in.
func TestFrameReaderTakesPiecesOfAnySize(t *testing.T) {
	for _, e := range exchanges() {
		whole, between := readAll(e.send, false, len(e.send))
		for _, piece := range []int{1, 2, 3, 7, 4096} {
			got, betweenToo := readAll(e.send, false, piece)
			require.Equal(t, whole, got, "%s in pieces of %d", e.name, piece)
			require.Equal(t, between, betweenToo, e.name)
		}
	}
}

// Between two messages a reader holds nothing, and what it has announced to it costs nothing before it comes.
func TestFrameReaderHoldsWhatHasCome(t *testing.T) {
	const huge = 1 << 40
	announced := binary.BigEndian.AppendUint64([]byte{fin | opBinary, 0x80 | 127}, huge)
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r := wsconn.NewFrameReader(huge, false)
			_, _, _, err := r.Next(append(announced, 1, 2, 3, 4, 'x'))
			require.NoError(b, err)
		}
	}).AllocedBytesPerOp()
	assert.Less(t, allocated, int64(100<<10))
}

// What a frame reader holds is known all along: what has come of a message, and what becomes of that.
func TestFrameReaderKnowsWhatItHolds(t *testing.T) {
	const size, piece = 300_000, 1000
	r := wsconn.NewFrameReader(size, true)
	assert.Zero(t, r.Held())
	stream := masked(fin|opBinary, strings.Repeat("x", size))
	for done := 0; done < len(stream); done += piece {
		rest, opcode, _, err := r.Next(stream[done:min(done+piece, len(stream))])
		require.NoError(t, err)
		require.Empty(t, rest)
		if opcode != 0 {
			break
		}
		require.GreaterOrEqual(t, r.Held(), done)
		require.LessOrEqual(t, r.Held(), max(64<<10, (done+piece)*5/4))
	}
	assert.Zero(t, r.Held())

	most := 0
	r.OnHold(func(bytes int) { most = max(most, bytes) })
	_, opcode, data, err := r.Next(masked(fin|0x40|opText, deflate(t, strings.Repeat("x", size))))
	require.NoError(t, err)
	require.EqualValues(t, opText, opcode)
	assert.Len(t, data, size)
	assert.GreaterOrEqual(t, most, size)
	assert.Less(t, most, size*5/4+4000)
	assert.Zero(t, r.Held())
}

// The frame reader and coder/websocket read the same from random streams, apart from what agree lists.
func TestFrameReaderAgreesWithCoder(t *testing.T) {
	for i := range *streams {
		rnd := rand.New(rand.NewPCG(*seed, uint64(i)))
		program := make([]byte, 1+rnd.IntN(60))
		for j := range program {
			program[j] = byte(rnd.Uint32())
		}
		agree(t, program)
	}
}

func FuzzFrameReader(f *testing.F) {
	for _, e := range exchanges() {
		if len(e.send) < 600 {
			f.Add(append([]byte{raw}, e.send...))
		}
	}
	f.Fuzz(func(t *testing.T, program []byte) { agree(t, program) })
}

func BenchmarkFrameReader(b *testing.B) {
	for _, size := range []int{10, 1000, 100_000} {
		message := masked(fin|opBinary, strings.Repeat("x", size))
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			r := wsconn.NewFrameReader(1<<20, false)
			for b.Loop() {
				if _, _, data, err := r.Next(message); err != nil || len(data) != size {
					b.Fatal(err)
				}
			}
		})
	}
}
