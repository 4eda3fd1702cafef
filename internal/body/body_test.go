package body_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
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
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var address = netip.MustParseAddr("192.0.2.1")

func newReader(t *testing.T, limit int64) (*body.Reader, *serial.Group, chan int64) {
	group, evicted := new(serial.Group), make(chan int64, 10)
	l := ledger.New(ledger.Config{
		Limit: limit, Go: group.Go, After: func(d time.Duration, run func()) { group.AfterFunc(d, run) },
		Cause: func(int64) error { return errors.New("full") },
		Log: func(o ledger.Owner, held, _ int64) {
			assert.Equal(t, address, o.Address())
			evicted <- held
		},
	})
	return &body.Reader{Limit: 10 << 20, Ledger: l, Address: func(*http.Request) netip.Addr { return address }}, group, evicted
}

func TestABodyCountsUntilItIsFreed(t *testing.T) {
	rd, group, _ := newReader(t, 1<<30)
	for _, size := range []int{1, 1000, 1 << 20} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("x", size)))
		data, free, status := rd.Read(httptest.NewRecorder(), r)
		assert.Zero(t, status)
		assert.Len(t, data, size)
		assert.EqualValues(t, size, rd.Ledger.Held())
		free()
		assert.Zero(t, rd.Ledger.Held())
	}
	require.NoError(t, group.Wait(t.Context()))
}

func TestABodyThatCannotBeReadHoldsNothing(t *testing.T) {
	rd, group, _ := newReader(t, 1<<30)
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
	rd, _, _ := newReader(t, 1<<30)
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
	rd, group, evicted := newReader(t, 1<<20)
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
