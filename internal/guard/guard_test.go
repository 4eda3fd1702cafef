package guard_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-ce09063a/thinkws/internal/guard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loud, lost and dead are values whose methods make mistakes.
type (
	loud struct{}
	lost struct{}
	dead struct{}
)

func (loud) Error() string  { panic("louder") }
func (lost) String() string { runtime.Goexit(); return "" }
func (dead) Error() string  { panic(lost{}) }

func TestCallReturnsMistakes(t *testing.T) {
	var none *error
	for name, tt := range map[string]struct {
		fn   func()
		want string
	}{
		"text":                  {func() { panic("boom") }, "thinkws: panic: boom"},
		"error":                 {func() { panic(errors.New("boom")) }, "thinkws: panic: boom"},
		"runtime error":         {func() { *none = nil }, "thinkws: panic: runtime error: invalid memory address or nil pointer dereference"},
		"Goexit":                {func() { runtime.Goexit() }, "thinkws: runtime.Goexit was called"},
		"Goexit behind a panic": {func() { defer runtime.Goexit(); panic("boom") }, "thinkws: runtime.Goexit was called"},
		"panic behind a Goexit": {func() { defer func() { panic("boom") }(); runtime.Goexit() }, "thinkws: panic: boom"},
		"value that panics":     {func() { panic(loud{}) }, "thinkws: panic: %!v(PANIC=Error method: louder)"},
		"value that exits":      {func() { panic(lost{}) }, "thinkws: panic: a guard_test.lost that cannot be printed"},
		"value that does both":  {func() { panic(dead{}) }, "thinkws: panic: a guard_test.dead that cannot be printed"},
	} {
		t.Run(name, func(t *testing.T) {
			err := guard.Call(tt.fn)
			require.EqualError(t, err, tt.want)
			assert.Contains(t, string(guard.StackOf(err)), "guard_test.go", "the stack shows where it happened")
			assert.NotEmpty(t, guard.StackOf(fmt.Errorf("wrapped: %w", err)))
		})
	}
	ran := false
	assert.NoError(t, guard.Call(func() { ran = true }))
	assert.True(t, ran)
	assert.Nil(t, guard.StackOf(errors.New("ordinary")))
}

// again is a value whose method panics with the value itself.
type again struct{ calls *int }

func (a again) Error() string {
	if *a.calls++; *a.calls > 100 {
		panic("for ever")
	}
	panic(a)
}

// Each attempt to describe such a value is one more mistake, which must not be described, too.
func TestCallGivesUpOnValuesThatPanicWithThemselves(t *testing.T) {
	calls := 0
	assert.EqualError(t, guard.Call(func() { panic(again{&calls}) }), "thinkws: panic: a guard_test.again that cannot be printed")
	assert.Less(t, calls, 5)
}

func TestDoReturnsErrorsAndPanics(t *testing.T) {
	ordinary := errors.New("ordinary")
	assert.Equal(t, ordinary, guard.Do(func() error { return ordinary }))
	assert.NoError(t, guard.Do(func() error { return nil }))
	assert.EqualError(t, guard.Do(func() error { panic("boom") }), "thinkws: panic: boom")
}

func BenchmarkCall(b *testing.B) {
	b.ReportAllocs()
	for range b.N {
		_ = guard.Call(func() {})
	}
}

func TestKeepBeginsAnewAfterMistakes(t *testing.T) {
	for name, mistake := range map[string]func(){"panic": func() { panic("oops") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log, began, runs := new(bytes.Buffer), time.Now(), 0
				logger := slog.New(slog.NewTextHandler(log, nil))
				guard.Keep(t.Context(), logger, func() {
					if runs++; runs < 4 {
						mistake()
					}
				})
				assert.Equal(t, 4, runs)
				assert.Equal(t, 3*time.Second, time.Since(began))
				assert.Equal(t, 3, bytes.Count(log.Bytes(), []byte(`level=ERROR msg="task panicked"`)))
				ctx, cancel := context.WithCancel(t.Context())
				guard.Keep(ctx, logger, func() { cancel(); mistake() })
			})
		})
	}
}
