package session_test

import (
	"math"
	"runtime"
	"strings"
	"testing"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// piece is a frame in a queue.
type piece struct {
	text string
	part session.FramePart
}

func (p piece) Len() int                { return len(p.text) }
func (p piece) Part() session.FramePart { return p.part }

// message is one of several frames.
func message(texts ...string) (frames []piece) {
	part := session.MessageStart
	for _, text := range texts {
		frames = append(frames, piece{text, part})
		part = session.MessageRest
	}
	return frames
}

func control(text string) []piece { return []piece{{text, session.NoMessage}} }

type waiting struct{ session.Waiting[piece] }

func (w *waiting) send(frames []piece, bound int, policy session.SlowPolicy) error {
	err := w.Room(session.Counts(frames...), bound, policy)
	if err == nil || session.Displaced(err) {
		w.Push(frames...)
	}
	return err
}

func (w *waiting) texts() (texts []string) {
	for _, p := range w.Entries {
		texts = append(texts, p.text)
	}
	return texts
}

// A hundred bytes count for a message, not for each of its frames. Empty messages are not free.
func TestMessagesAreCounted(t *testing.T) {
	assert.Equal(t, session.Held(1, 6), session.Counts(message("123", "45", "6")...))
	assert.Equal(t, session.Held(2, 0), session.Counts(append(message(""), control("")...)...))
	assert.Zero(t, session.Counts[piece]())
}

func TestBoundOfTheSendQueue(t *testing.T) {
	one := message("x")
	bound := session.Held(3, 3)
	for name, tt := range map[string]struct {
		policy session.SlowPolicy
		taken  int // messages
		err    error
	}{
		"disconnect":  {session.SlowDisconnect, 1 + 4*3, session.ErrSlow},
		"drop newest": {session.SlowDropNewest, 1 + 3, session.ErrDropped},
	} {
		t.Run(name, func(t *testing.T) {
			var w waiting
			for n := range tt.taken {
				require.NoError(t, w.send(one, bound, tt.policy), "the first one does not count")
				assert.Equal(t, n > 3, w.Over(bound))
			}
			assert.Equal(t, tt.err, w.send(one, bound, tt.policy))
			assert.Equal(t, tt.err, w.send(message(""), bound, tt.policy), "so that there is no gap")
			assert.Equal(t, session.Held(tt.taken, tt.taken), w.Held())
		})
	}
}

// A message that finds nothing waiting may have any size, and others follow it. It counts until it has left.
func TestFirstMessageDoesNotCount(t *testing.T) {
	const bound = 1000
	large := message(strings.Repeat("x", 100_000), strings.Repeat("y", 100_000))
	for _, policy := range []session.SlowPolicy{session.SlowDisconnect, session.SlowDropNewest, session.SlowDropOldest} {
		var w waiting
		require.NoError(t, w.send(large, bound, policy))
		assert.False(t, w.Over(bound))
		require.NoError(t, w.send(message("small"), bound, policy))
		assert.False(t, w.Over(bound))
		if err := w.send(large, bound, policy); policy == session.SlowDropOldest {
			require.Equal(t, &session.DisplacedError{Messages: 2}, err)
		} else {
			require.Error(t, err)
		}

		w.Clear()
		require.Zero(t, w.Held())
		w = waiting{}
		require.NoError(t, w.send(large, bound, policy))
		_, counts := w.Take(0) // the first frame is on its way
		require.NoError(t, w.send(message("small"), bound, policy))
		w.Sent(counts)
		assert.False(t, w.Over(bound))
		w.Pop()
		assert.Equal(t, session.Held(1, 5), w.Held())
		for range 8 {
			require.NoError(t, w.send(message("small"), bound, policy))
		}
		if err := w.send(message("small"), bound, policy); policy == session.SlowDisconnect {
			require.NoError(t, err)
		} else {
			require.Error(t, err, "it has left")
		}
	}
}

func TestOldestMessagesAreDropped(t *testing.T) {
	var w waiting
	w.Push(control("ping")...)
	w.Push(piece{"rest of one that is begun", session.MessageRest})
	w.Push(message("a", "a1")...)
	w.Push(control("pong")...)
	w.Push(message("b")...)
	w.Push(message("c", "c1")...)
	held := w.Held()
	bound := held
	err := w.send(message("d"), bound, session.SlowDropOldest)
	var more *session.DisplacedError
	require.ErrorAs(t, err, &more)
	assert.Equal(t, 1, more.Messages, "no more than it takes")
	assert.Equal(t, []string{"ping", "rest of one that is begun", "pong", "b", "c", "c1", "d"}, w.texts())
	assert.Equal(t, held-session.Held(1, 3)+session.Held(1, 1), w.Held())

	assert.Equal(t, session.ErrDropped, w.send(message(strings.Repeat("x", bound)), bound, session.SlowDropOldest))
	assert.Len(t, w.Entries, 7, "nothing is dropped for one that finds no room anyway")

	w.Shed()
	assert.Equal(t, []string{"ping", "rest of one that is begun", "pong"}, w.texts())
	w.Clear()
	assert.Zero(t, w.Held())
}

func TestQueueIsTakenInParts(t *testing.T) {
	var w waiting
	for _, text := range []string{"12", "34", "56789", "0"} {
		w.Push(message(text)...)
	}
	for _, want := range [][]string{{"12", "34"}, {"56789"}, {"0"}, nil} {
		frames, counts := w.Take(4)
		var got []string
		for _, f := range frames {
			got = append(got, f.text)
		}
		assert.Equal(t, want, got)
		w.Sent(counts)
	}
	assert.Zero(t, w.Held())
	assert.Nil(t, w.Entries)
}

// large is a frame that is worth letting go of.
type large struct{ memory *[1 << 20]byte }

func (l large) Len() int              { return len(l.memory) }
func (large) Part() session.FramePart { return session.MessageStart }

// A response may take long, and holds the text of its frames. The queue does not hold them as well.
func TestFramesThatAreTakenAreNotKept(t *testing.T) {
	var w session.Waiting[large]
	w.Push(large{new([1 << 20]byte)}, large{new([1 << 20]byte)}, large{new([1 << 20]byte)})
	first, last := weak.Make(w.Entries[0].memory), weak.Make(w.Entries[2].memory)
	_, counts := w.Take(1)
	runtime.GC()
	assert.Nil(t, first.Value())
	assert.NotNil(t, last.Value())
	w.Sent(counts)
	assert.Equal(t, session.Held(2, 2<<20), w.Held())
}

func TestBoundMayBeAny(t *testing.T) {
	var w waiting
	for range 10 {
		require.NoError(t, w.send(message("x"), math.MaxInt, session.SlowDisconnect))
	}
	require.NoError(t, w.send(message("x"), math.MaxInt, session.SlowDropNewest))
}
