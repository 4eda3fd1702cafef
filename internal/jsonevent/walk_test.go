package jsonevent_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/jsonevent"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// BenchmarkWalk shows how often the text of an event is walked before the handler has its argument: compare the speed
// with that of one check.
func BenchmarkWalk(b *testing.B) {
	long := "[" + strings.Repeat(`{"id":12345,"name":"somebody","tags":["a","b"],"on":true},`, 1100) + "null]"
	text := []byte(`{"event":"e","data":` + long + `,"cid":1}`)
	b.Run("an event", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			m, reason, _ := jsonevent.Decode(text)
			if reason != "" {
				b.Fatal(reason)
			}
			m.Args.At(0)
		}
	})
	b.Run("one check", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			require.NoError(b, session.CheckJSON(text, session.Depth))
		}
	})
}
