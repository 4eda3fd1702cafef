package quiet_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/seed-ce09063a/thinkws/internal/quiet"
)

type (
	stringer struct{ text string }
	valuer   struct{ text string }
	failing  struct{ text string }
	marshals struct{ text string }
	verbose  struct{ text string }
)

func (s stringer) String() string               { return s.text }
func (v valuer) LogValue() slog.Value           { return slog.GroupValue(slog.Any("inner", stringer(v))) }
func (f *failing) Error() string                { return f.text }
func (m marshals) Error() string                { return "short" }
func (m marshals) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%q", m.text), nil }
func (m marshals) MarshalText() ([]byte, error) { return []byte(m.text), nil }
func (v verbose) Error() string                 { return "short" }
func (v verbose) Format(s fmt.State, _ rune)    { fmt.Fprint(s, v.text) }

// long is longer than an attribute may be.
var long = strings.Repeat("x", 100_000)

func TestAttributesAreCut(t *testing.T) {
	var nobody *failing
	for name, value := range map[string]any{
		"string": long, "error": errors.New(long), "wrapped": fmt.Errorf("%w: %s", errors.ErrUnsupported, long),
		"stringer": stringer{long}, "pointer": &stringer{long}, "bytes": []byte(long), "list": []string{long}, "map": map[string]string{long: long},
		"struct": struct{ A string }{long}, "valuer": valuer{long}, "group": slog.GroupValue(slog.Group("more", "a", long, "b", errors.New(long))),
		"marshals": marshals{long}, "verbose": verbose{long}, "nobody": nobody, "unnamed": slog.AnyValue([]any{long}),
	} {
		for _, json := range []bool{false, true} {
			var out bytes.Buffer
			handler := slog.Handler(slog.NewTextHandler(&out, nil))
			if json {
				handler = slog.NewJSONHandler(&out, nil)
			}
			l := quiet.New(slog.New(handler))
			for i, log := range []func(){
				func() { l.Info("message", "key", value) },
				func() { l.With("key", value).Info("message") },
				func() { l.WithGroup("outer").With("key", value).WithGroup("inner").Info("message", "key", value) },
				func() { l.Info("message", slog.Group("group", "key", value)) },
			} {
				out.Reset()
				log()
				assert.Less(t, out.Len(), 1500, "%s, %d, %.500s", name, i, out.String())
				assert.Contains(t, out.String(), "key", name)
			}
		}
	}
}

func TestMessagesAreCut(t *testing.T) {
	var out bytes.Buffer
	l := quiet.New(slog.New(slog.NewTextHandler(&out, nil)))
	slog.NewLogLogger(l.Handler(), slog.LevelInfo).Print(long)
	assert.Less(t, out.Len(), 500)
}

func TestShortAttributesStay(t *testing.T) {
	for _, json := range []bool{false, true} {
		var out, same bytes.Buffer
		handler := func(b *bytes.Buffer) slog.Handler {
			o := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}}
			if json {
				return slog.NewJSONHandler(b, o)
			}
			return slog.NewTextHandler(b, o)
		}
		for _, l := range []*slog.Logger{quiet.New(slog.New(handler(&out))), slog.New(handler(&same))} {
			l.Info("message", "text", "a b", "n", 1, "yes", true, "error", errors.New("no luck"), "nothing", nil,
				"who", netip.MustParseAddr("::1"), slog.Group("g", "a", 1), "stack", long)
		}
		assert.Equal(t, same.String(), out.String())
	}
}

// A handler finds the error itself, and what it wraps.
func TestErrorsStayErrors(t *testing.T) {
	cause := errors.New("no luck")
	for _, err := range []error{cause, fmt.Errorf("%s: %w", long, cause)} {
		var got error
		l := quiet.New(slog.New(slog.NewTextHandler(&bytes.Buffer{}, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == "error" {
				got, _ = a.Value.Any().(error)
			}
			return a
		}})))
		l.Info("message", "error", err)
		assert.ErrorIs(t, got, cause)
	}
}
