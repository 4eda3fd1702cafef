package quiet

import (
	"context"
	"encoding"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/seed-ce09063a/thinkws/internal/excerpt"
)

// stack is the key of the one attribute that is not cut: a stack trace of our own, which the
// runtime bounds and no client writes.
const stack = "stack"

// cutter passes records on with excerpts of what they say.
//
// Security: paths, event names, headers and errors are as long as the client likes. Without
// this, one request writes a line of a megabyte.
type cutter struct{ slog.Handler }

// Handle implements slog.Handler.
func (c cutter) Handle(ctx context.Context, r slog.Record) error {
	short := slog.NewRecord(r.Time, r.Level, excerpt.Text(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		short.AddAttrs(cut(a))
		return true
	})
	return c.Handler.Handle(ctx, short)
}

// WithAttrs implements slog.Handler.
func (c cutter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return cutter{c.Handler.WithAttrs(cutAll(attrs))}
}

// WithGroup implements slog.Handler.
func (c cutter) WithGroup(name string) slog.Handler { return cutter{c.Handler.WithGroup(name)} }

func cutAll(attrs []slog.Attr) []slog.Attr {
	short := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		short[i] = cut(a)
	}
	return short
}

func cut(a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		if a.Key == stack {
			return slog.String(a.Key, v.String())
		}
		return slog.String(a.Key, excerpt.Text(v.String()))
	case slog.KindGroup:
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(cutAll(v.Group())...)}
	case slog.KindAny:
		return slog.Attr{Key: a.Key, Value: cutAny(v.Any())}
	default:
		return slog.Attr{Key: a.Key, Value: v}
	}
}

// cutAny calls methods of the value, which may be the service's: a panic of theirs becomes the text.
func cutAny(v any) (short slog.Value) {
	defer func() {
		if p := recover(); p != nil {
			short = slog.StringValue(excerpt.Text(fmt.Sprintf("!PANIC: %v", p)))
		}
	}()
	switch v := v.(type) {
	case nil:
		return slog.AnyValue(nil)
	case error:
		if formatsItself(v) {
			return slog.StringValue(excerpt.Text(v.Error()))
		}
		return slog.AnyValue(excerpt.Error(v))
	case []byte:
		return slog.StringValue(excerpt.Text(string(v)))
	default:
		return slog.StringValue(excerpt.Text(fmt.Sprintf("%+v", v)))
	}
}

// formatsItself reports whether a handler may print more of err than its Error method returns.
func formatsItself(err any) bool {
	switch err.(type) {
	case fmt.Formatter, json.Marshaler, encoding.TextMarshaler:
		return true
	default:
		return false
	}
}
