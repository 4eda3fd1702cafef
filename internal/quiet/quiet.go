// Package quiet keeps a log readable while somebody provokes line after line, and long ones.
package quiet

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	window   = 10 * time.Second
	warnings = 10  // of one message in a window
	errs     = 100 // of one message in a window
	kinds    = 256 // of messages that are counted apart
)

// Handler passes records on to another handler. It drops all but 10 warnings and 100 errors of
// one message in ten seconds; the next record has the number of those in the attribute
// "suppressed". It cuts the message and each attribute to 256 bytes, but for a stack trace. It
// survives a panic and runtime.Goexit in the other handler. It is safe for concurrent use.
type Handler struct {
	slog.Handler
	counts *counts // shared with the handlers made of this one
}

// counts are of lines by their messages.
type counts struct {
	mu    sync.Mutex // protects what follows
	lines map[string]*count
}

type count struct {
	since      time.Time
	lines      int
	suppressed int
}

// New returns a logger that is l, but quiet.
func New(l *slog.Logger) *slog.Logger {
	if _, already := l.Handler().(*Handler); already {
		return l
	}
	return slog.New(&Handler{newCareful(cutter{l.Handler()}), &counts{lines: make(map[string]*count)}})
}

// Handle implements slog.Handler.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		most := warnings
		if r.Level >= slog.LevelError {
			most = errs
		}
		passes, suppressed := h.counts.pass(r.Message, r.Time, most)
		if !passes {
			return nil
		}
		if suppressed > 0 {
			r = r.Clone()
			r.AddAttrs(slog.Int("suppressed", suppressed))
		}
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Handler{h.Handler.WithAttrs(attrs), h.counts}
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{h.Handler.WithGroup(name), h.counts}
}

// pass reports whether a line may pass, and how many did not before it.
func (c *counts) pass(message string, now time.Time, most int) (passes bool, suppressed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.lines[message]
	if one == nil {
		if len(c.lines) >= kinds {
			clear(c.lines)
		}
		one = &count{since: now}
		c.lines[message] = one
	}
	if now.Sub(one.since) >= window {
		one.since, one.lines = now, 0
	}
	if one.lines++; one.lines > most {
		one.suppressed++
		return false, 0
	}
	suppressed, one.suppressed = one.suppressed, 0
	return true, suppressed
}
