package body_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-ce09063a/thinkws/internal/body"
	"github.com/seed-ce09063a/thinkws/internal/ledger"
	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fullError is why a request is evicted: that it holds so many bytes.
type fullError int64

func (fullError) Error() string { return "full" }

func newReader(limit int64) (*body.Reader, *serial.Group, chan int64) {
	group, evicted := new(serial.Group), make(chan int64, 10)
	l := ledger.New(ledger.Config{
		Limit: limit, Go: group.Go, After: func(d time.Duration, run func()) { group.AfterFunc(d, run) },
		Cause: func(held int64) error { return fullError(held) },
	})
	report := func(err error, _ session.Handshake, _ session.Receiver) {
		full, _ := errors.AsType[fullError](err)
		evicted <- int64(full)
	}
	return &body.Reader{Limit: 10 << 20, Ledger: l, Report: report}, group, evicted
}

func TestABodyCountsUntilItIsFreed(t *testing.T) {
	rd, group, _ := newReader(1 << 30)
	for _, size := range []int{1, 3 << 10, 1 << 20} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("x", size)))
		data, free, status := rd.Read(httptest.NewRecorder(), r)
		assert.Zero(t, status)
		assert.Len(t, data, size)
		assert.EqualValues(t, size&^1023, rd.Ledger.Held())
		free()
		assert.Zero(t, rd.Ledger.Held())
	}
	require.NoError(t, group.Wait(t.Context()))
}

func TestABodyThatCannotBeReadHoldsNothing(t *testing.T) {
	rd, group, _ := newReader(1 << 30)
	rd.Limit = 1000
	half := strings.NewReader(strings.Repeat("x", 900))
	for status, in := range map[int]io.Reader{
		413: strings.NewReader(strings.Repeat("x", 1001)), 408: io.MultiReader(half, iotest.ErrReader(os.ErrDeadlineExceeded)),
		400: iotest.ErrReader(errors.New("broken")),
	} {
		_, free, got := rd.Read(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", in))
		assert.Equal(t, status, got)
		assert.Zero(t, rd.Ledger.Held())
		free()
	}
	assert.Panics(t, func() {
		_, _, _ = rd.Read(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", readFunc(func([]byte) (int, error) { panic("boom") })))
	})
	assert.Zero(t, rd.Ledger.Held())
	require.NoError(t, group.Wait(t.Context()))
}

func TestARequestWithoutABodyHasNoAccount(t *testing.T) {
	rd, _, _ := newReader(1 << 30)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	data, free, status := rd.Read(httptest.NewRecorder(), r)
	free()
	assert.Nil(t, data)
	assert.Zero(t, status)
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// cuttable is a request and its ResponseWriter. The body is endless, and comes until the read deadline is set.
type cuttable struct {
	*httptest.ResponseRecorder
	cut  chan struct{}
	once sync.Once
}

func (c *cuttable) SetReadDeadline(time.Time) error {
	c.once.Do(func() { close(c.cut) })
	return nil
}

func (c *cuttable) Read(p []byte) (int, error) {
	select {
	case <-c.cut:
		return 0, os.ErrDeadlineExceeded
	default:
		return len(p), nil
	}
}

// At the limit the request ends that holds most. One whose body is there has a handler, which nobody ends.
func TestTheLargestBodyIsRefused(t *testing.T) {
	rd, group, evicted := newReader(1 << 20)
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("x", 700<<10)))
	_, free, status := rd.Read(httptest.NewRecorder(), r)
	require.Zero(t, status)

	w := &cuttable{ResponseRecorder: httptest.NewRecorder(), cut: make(chan struct{})}
	_, _, status = rd.Read(w, httptest.NewRequest(http.MethodPost, "/", w))
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Greater(t, <-evicted, int64(200<<10))
	assert.EqualValues(t, 700<<10, rd.Ledger.Held())
	free()
	assert.Zero(t, rd.Ledger.Held())
	require.NoError(t, group.Wait(t.Context()))
}
