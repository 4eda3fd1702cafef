package thinkws_test

import (
	"io"
	"math"
	"net/http"
	"net/http/httptest"
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
	assert.Eventually(t, func() bool { return h.Hub().Stats().Memory >= 100_000 }, time.Minute, time.Millisecond, "while it comes in")
	_, err = io.WriteString(out, `"`)
	require.NoError(t, err)
	require.NoError(t, out.Close())
	<-entered
	assert.EqualValues(t, 100_002, h.Hub().Stats().Memory, "and while the action runs")
	close(leave)
	wg.Wait()
	holdsNothing(t, h)
}

func TestTheLargestRequestIsRefused(t *testing.T) {
	h, out := newHandler(t, thinkws.WithLimits(thinkws.Limits{Memory: 400_000}), thinkws.WithReadTimeout(time.Minute))
	server := httptest.NewServer(h.Action(func(c *thinkws.Context) error { return c.Ack("served") }))
	defer server.Close()
	post := func(body io.Reader) (status int, text string, header http.Header) {
		res, err := http.Post(server.URL, "application/json", body)
		if !assert.NoError(t, err) {
			return 0, "", nil
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		assert.NoError(t, err)
		return res.StatusCode, string(got), res.Header
	}
	var large, larger sync.WaitGroup
	smallIn, smallOut := io.Pipe()
	large.Go(func() {
		status, text, _ := post(smallIn)
		assert.Equal(t, 200, status)
		assert.Equal(t, `"served"`, text)
	})
	_, err := io.WriteString(smallOut, `"`+strings.Repeat("x", 100_000))
	require.NoError(t, err)
	largeIn, largeOut := io.Pipe()
	larger.Go(func() {
		status, text, header := post(largeIn)
		assert.Equal(t, 503, status)
		assert.Equal(t, "1", header.Get("Retry-After"))
		assert.Equal(t, `{"error":{"name":"Internal","message":"the server holds too much, try again later"}}`, text)
	})
	counted := func() bool { return h.Hub().Stats().Limits["memory"] > 0 }
	for written := int64(100_000); !counted(); written += 10_000 { // all of it is read: otherwise the answer may be lost
		_, err = io.WriteString(largeOut, strings.Repeat("x", 10_000))
		require.NoError(t, err)
		require.Eventually(t, func() bool { return counted() || h.Hub().Stats().Memory >= written+10_000 }, time.Minute, time.Millisecond)
	}
	larger.Wait()
	require.NoError(t, largeOut.Close())
	_, err = io.WriteString(smallOut, `"`)
	require.NoError(t, err)
	require.NoError(t, smallOut.Close())
	large.Wait()
	assert.EqualValues(t, 1, h.Hub().Stats().Limits["memory"])
	assert.Contains(t, out.String(), `msg="memory limit reached, client disconnected" held=`)
	assert.Contains(t, out.String(), "address=127.0.0.1")
}
