package session_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

func TestReadAll(t *testing.T) {
	for _, size := range []int{0, 1, 2, 511, 512, 513, 10_000, 99_999, 100_000} {
		want := bytes.Repeat([]byte("x"), size)
		for _, expected := range []int{0, size / 2, size, size + 1} {
			for name, r := range map[string]io.Reader{"whole": bytes.NewReader(want), "by bytes": iotest.OneByteReader(bytes.NewReader(want)), "with its end": iotest.DataErrReader(bytes.NewReader(want))} {
				held := 0
				got, err := session.ReadAll(r, expected, 100_000, func(bytes int) { held = bytes })
				require.NoError(t, err)
				assert.Equal(t, size, held)
				assert.True(t, bytes.Equal(want, got), "%s %d %d", name, size, expected)
				assert.Len(t, got, cap(got))
			}
		}
	}
	_, err := session.ReadAll(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("xxx"))), 0, 10, nil)
	assert.ErrorIs(t, err, iotest.ErrTimeout)
}

func TestReadAllWithoutALimit(t *testing.T) {
	want := strings.Repeat("x", 10_000)
	for _, limit := range []int64{math.MaxInt32 - 1, math.MaxInt32, math.MaxInt32 + 1, 1 << 32, math.MaxInt64 - 1, math.MaxInt64} {
		got, err := session.ReadAll(strings.NewReader(want), 0, limit, nil)
		require.NoError(t, err)
		assert.Equal(t, want, string(got), limit)
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(want))
		got, status := session.ReadBody(httptest.NewRecorder(), r, limit, nil)
		assert.Zero(t, status)
		assert.Equal(t, want, string(got), limit)
	}
}

// sizes notes the memory that a reader is given.
type sizes struct {
	io.Reader
	most int // bytes it had been given room for, over what it has read
	read int
}

func (s *sizes) Read(p []byte) (int, error) {
	s.most = max(s.most, len(p)-s.read/4)
	n, err := s.Reader.Read(p[:1])
	s.read += n
	return n, err
}

func TestMemoryGrowsWithWhatHasCome(t *testing.T) {
	s := &sizes{Reader: strings.NewReader(strings.Repeat("x", 50_000))}
	held := 0
	_, err := session.ReadAll(s, 0, 50_000, func(bytes int) {
		assert.LessOrEqual(t, bytes, s.read+max(512, s.read/4))
		assert.GreaterOrEqual(t, bytes, s.read)
		held = bytes
	})
	require.NoError(t, err)
	assert.LessOrEqual(t, s.most, 512)
	assert.Equal(t, 50_000, held)
}

func TestReadBody(t *testing.T) {
	read := func(body io.Reader, declared int64) (string, int) {
		r := httptest.NewRequest(http.MethodPost, "/", body)
		r.ContentLength = declared
		got, status := session.ReadBody(httptest.NewRecorder(), r, 1000, nil)
		return string(got), status
	}
	drop := func(body io.Reader, declared int64) int {
		r := httptest.NewRequest(http.MethodPost, "/", body)
		r.ContentLength = declared
		return session.DropBody(httptest.NewRecorder(), r, 1000)
	}
	for _, size := range []int{0, 1, 999, 1000} {
		want := strings.Repeat("x", size)
		for _, declared := range []int64{int64(size), -1} {
			got, status := read(strings.NewReader(want), declared)
			assert.Equal(t, want, got)
			assert.Zero(t, status)
			assert.Zero(t, drop(strings.NewReader(want), declared))
		}
	}
	for status, body := range map[int]io.Reader{
		413: strings.NewReader(strings.Repeat("x", 1001)), 408: iotest.ErrReader(os.ErrDeadlineExceeded), 400: iotest.ErrReader(errors.New("broken")),
	} {
		got, refused := read(body, -1)
		assert.Empty(t, got)
		assert.Equal(t, status, refused)
	}
	for status, body := range map[int]io.Reader{
		413: strings.NewReader(strings.Repeat("x", 1001)), 408: iotest.ErrReader(os.ErrDeadlineExceeded), 400: iotest.ErrReader(errors.New("broken")),
	} {
		assert.Equal(t, status, drop(body, -1))
	}
	_, refused := read(iotest.ErrReader(errors.New("it is not read")), 1001)
	assert.Equal(t, 413, refused)
	assert.Equal(t, 413, drop(iotest.ErrReader(errors.New("it is not read")), 1001))
}
