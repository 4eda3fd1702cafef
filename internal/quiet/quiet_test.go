package quiet_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/seed-ce09063a/thinkws/internal/quiet"
)

func TestLinesAreSuppressed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		l := quiet.New(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
		for i := range 200 {
			l.Debug("detail", "i", i)
			l.With("client", i).Warn("refused", "i", i)
			l.WithGroup("g").Error("failed", "i", i)
		}
		assert.Equal(t, 200, strings.Count(log.String(), "msg=detail"), "who asks for details gets them")
		assert.Equal(t, 10, strings.Count(log.String(), "msg=refused"))
		assert.Equal(t, 100, strings.Count(log.String(), "msg=failed"))
		assert.NotContains(t, log.String(), "suppressed")
		log.Reset()
		time.Sleep(10 * time.Second)
		l.Warn("refused", "by", "limit")
		l.Warn("refused")
		lines := strings.Split(log.String(), "\n")
		assert.Contains(t, lines[0], `msg=refused by=limit suppressed=190`)
		assert.NotContains(t, lines[1], "suppressed", "they are told once")
	})
}

func TestQuietOnce(t *testing.T) {
	l := quiet.New(slog.New(slog.DiscardHandler))
	assert.Same(t, l, quiet.New(l))
}
