package session_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// slowWriter is a ResponseWriter whose client takes each write after a while, if the deadline allows that.
type slowWriter struct {
	http.ResponseWriter
	takes    time.Duration
	failure  error // of a write that is too late
	deadline time.Time
	writes   []int
}

func (w *slowWriter) SetWriteDeadline(t time.Time) error {
	w.deadline = t
	return nil
}

func (w *slowWriter) Write(p []byte) (int, error) {
	w.writes = append(w.writes, len(p))
	if wait := time.Until(w.deadline); wait < w.takes {
		time.Sleep(wait)
		return 0, w.failure
	}
	time.Sleep(w.takes)
	return len(p), nil
}

// Each piece has the whole time. A piece that is not taken in time is reported the same way for HTTP/1.1 and HTTP/2.
func TestBodiesAreWrittenInPieces(t *testing.T) {
	body := make([]byte, 2*session.Piece+1)
	timeout := func() time.Duration { return 10 * time.Second }
	synctest.Test(t, func(t *testing.T) {
		w := &slowWriter{takes: 9 * time.Second}
		require.NoError(t, session.WriteBody(w, body, timeout))
		assert.Equal(t, []int{session.Piece, session.Piece, 1}, w.writes)

		reset := errors.New("stream reset")
		for _, failure := range []error{os.ErrDeadlineExceeded, reset} {
			w = &slowWriter{takes: 11 * time.Second, failure: failure}
			err := session.WriteBody(w, body, timeout)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.ErrorIs(t, err, failure)
			assert.Len(t, w.writes, 1)
		}
		w = &slowWriter{takes: 11 * time.Second, failure: reset}
		assert.NotErrorIs(t, session.WriteBody(broken{w, reset}, body, timeout), os.ErrDeadlineExceeded, "it was not too late")
	})
	w := httptest.NewRecorder() // has no deadlines
	require.NoError(t, session.WriteBody(w, body, timeout))
	assert.Equal(t, len(body), w.Body.Len())
	require.NoError(t, session.WriteBody(httptest.NewRecorder(), nil, timeout))
}

// broken fails at once.
type broken struct {
	http.ResponseWriter
	err error
}

func (b broken) Write([]byte) (int, error) { return 0, b.err }
