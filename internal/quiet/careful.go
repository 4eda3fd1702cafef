package quiet

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"

	"github.com/seed-ce09063a/thinkws/internal/guard"
)

// careful calls a handler of the service so that a mistake in it, or in a method of a value that
// it prints, costs the line. The first mistake is written to standard error: there is no other
// log. Attributes and groups are given to the handler when there is a line.
type careful struct {
	handler slog.Handler
	with    []func(slog.Handler) slog.Handler
	broken  *sync.Once // shared by all that are made of one
}

func newCareful(h slog.Handler) careful { return careful{handler: h, broken: new(sync.Once)} }

// Enabled implements slog.Handler. A handler that panics gets no line.
func (c careful) Enabled(ctx context.Context, level slog.Level) (on bool) {
	c.call(func() { on = c.handler.Enabled(ctx, level) })
	return on
}

// Handle implements slog.Handler.
func (c careful) Handle(ctx context.Context, r slog.Record) error {
	c.call(func() {
		h := c.handler
		for _, with := range c.with {
			h = with(h)
		}
		_ = h.Handle(ctx, r) // slog drops it, too
	})
	return nil
}

// WithAttrs implements slog.Handler.
func (c careful) WithAttrs(attrs []slog.Attr) slog.Handler {
	return c.and(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (c careful) WithGroup(name string) slog.Handler {
	return c.and(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (c careful) and(with func(slog.Handler) slog.Handler) slog.Handler {
	c.with = append(slices.Clip(c.with), with)
	return c
}

func (c careful) call(fn func()) {
	if err := guard.Call(fn); err != nil {
		c.broken.Do(func() {
			fmt.Fprintf(os.Stderr, "%v in the slog.Handler, whose lines are lost\n%s", err, guard.StackOf(err))
		})
	}
}
