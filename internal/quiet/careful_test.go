package quiet_test

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"testing"
	"testing/slogtest"

	"encoding/json"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/quiet"
)

// broken is a handler that makes a mistake in each method.
type broken struct{ mistake func() }

func (b broken) Enabled(context.Context, slog.Level) bool  { b.mistake(); return true }
func (b broken) Handle(context.Context, slog.Record) error { b.mistake(); return nil }
func (b broken) WithAttrs([]slog.Attr) slog.Handler        { b.mistake(); return b }
func (b broken) WithGroup(string) slog.Handler             { b.mistake(); return b }

// lost is a value that calls runtime.Goexit when it is printed.
type lost struct{}

func (lost) Error() string { runtime.Goexit(); return "" }

func TestMistakesOfTheHandlerCostTheLine(t *testing.T) {
	for name, mistake := range map[string]func(){"panic": func() { panic("oops") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			log := quiet.New(slog.New(broken{mistake}))
			log.With("a", 1).WithGroup("g").Error("lost")
			assert.NoError(t, log.Handler().Handle(t.Context(), slog.Record{}))
		})
	}
	out := new(bytes.Buffer)
	log := quiet.New(slog.New(slog.NewTextHandler(out, nil)))
	log.Error("lost", "error", lost{})
	log.With("error", lost{}).Error("lost")
	log.Info("kept")
	assert.Equal(t, 1, bytes.Count(out.Bytes(), []byte("msg=")))
}

// What is given to the handler late is what it would have been given at once.
func TestHandlerIsOneOfSlog(t *testing.T) {
	out := new(bytes.Buffer)
	require.NoError(t, slogtest.TestHandler(quiet.New(slog.New(slog.NewJSONHandler(out, nil))).Handler(), func() (lines []map[string]any) {
		for decoder := json.NewDecoder(out); decoder.More(); {
			var line map[string]any
			require.NoError(t, decoder.Decode(&line))
			lines = append(lines, line)
		}
		return lines
	}))
}
