package thinkws_test

import (
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

func TestTheMemoryLimitIsAPartOfThatOfTheProcess(t *testing.T) {
	before := debug.SetMemoryLimit(math.MaxInt64)
	defer debug.SetMemoryLimit(before)
	assert.EqualValues(t, 1<<30, thinkws.Limits{}.MemoryLimit(), "the process has none")
	debug.SetMemoryLimit(8 << 30)
	assert.Equal(t, int64(2<<30), thinkws.Limits{}.MemoryLimit())
	assert.EqualValues(t, 5000, thinkws.Limits{Memory: 5000}.MemoryLimit())
	assert.Zero(t, thinkws.Limits{Memory: -1}.MemoryLimit(), "none")
}

func TestMemoryLimitsThatAreNone(t *testing.T) {
	_, err := thinkws.New(thinkws.WithLimits(thinkws.Limits{Memory: -2}))
	assert.EqualError(t, err, "thinkws: WithLimits: Memory: -2 is negative")
	_, err = thinkws.New(thinkws.WithLimits(thinkws.Limits{Memory: -1}))
	assert.NoError(t, err)
}

func TestBodiesOfActionsAreHeld(t *testing.T) {
	h, _ := newHandler(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(h.Action(func(*thinkws.Context) error {
		close(entered)
		<-leave
		return nil
	}))
	defer server.Close()
	in, out := io.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		res, err := http.Post(server.URL, "application/json", in)
		if assert.NoError(t, err) {
			res.Body.Close()
		}
	})
	_, err := io.WriteString(out, `"`+strings.Repeat("x", 100_000))
	require.NoError(t, err)
	assert.Eventually(t, func() bool { return h.Hub().Stats().Memory >= 99_000 }, time.Minute, time.Millisecond, "while it comes in")
	_, err = io.WriteString(out, `"`)
	require.NoError(t, err)
	require.NoError(t, out.Close())
	<-entered
	assert.EqualValues(t, 100_002/1024*1024, h.Hub().Stats().Memory, "and while the action runs")
	close(leave)
	wg.Wait()
	holdsNothing(t, h)
}

// upload is a request whose body comes from a pipe, until its read deadline has passed.
type upload struct {
	*httptest.ResponseRecorder
	*io.PipeWriter
	served sync.WaitGroup
}

func newUpload(handler http.Handler) *upload {
	in, out := io.Pipe()
	u := &upload{ResponseRecorder: httptest.NewRecorder(), PipeWriter: out}
	u.served.Go(func() { handler.ServeHTTP(answerTo{u}, httptest.NewRequest(http.MethodPost, "/", in)) })
	return u
}

// answerTo is the ResponseWriter of an upload.
type answerTo struct{ *upload }

func (a answerTo) Write(p []byte) (int, error) { return a.ResponseRecorder.Write(p) }

func (a answerTo) SetReadDeadline(t time.Time) error {
	if !t.IsZero() && t.Before(time.Now()) {
		return a.PipeWriter.CloseWithError(os.ErrDeadlineExceeded)
	}
	return nil
}

func TestTheLargestRequestIsRefused(t *testing.T) {
	h, out := newHandler(t, thinkws.WithLimits(thinkws.Limits{Memory: 400_000}))
	action := h.Action(func(c *thinkws.Context) error { return c.Ack("served") })
	small, large := newUpload(action), newUpload(action)
	_, err := io.WriteString(small.PipeWriter, `"`+strings.Repeat("x", 100_000))
	require.NoError(t, err)
	for err == nil {
		_, err = io.WriteString(large.PipeWriter, strings.Repeat("x", 10_000))
	}
	large.served.Wait()
	assert.Equal(t, http.StatusServiceUnavailable, large.Code)
	assert.Equal(t, "1", large.Header().Get("Retry-After"))
	assert.Equal(t, `{"error":{"name":"Internal","message":"the server holds too much, try again later"}}`, large.Body.String())
	_, err = io.WriteString(small.PipeWriter, `"`)
	require.NoError(t, err)
	require.NoError(t, small.PipeWriter.Close())
	small.served.Wait()
	assert.Equal(t, http.StatusOK, small.Code)
	assert.Equal(t, `"served"`, small.Body.String())
	assert.EqualValues(t, 1, h.Hub().Stats().Limits["memory"])
	assert.Contains(t, out.String(), `msg="memory limit reached, client disconnected" error=`)
	assert.Contains(t, out.String(), "address=192.0.2.1")
}
