package sockjs_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/sockjs"
)

// BenchmarkWalk shows how often the text of a frame is walked before its strings are events: compare the speed with
// that of one check. Package jsonevent has the rest.
func BenchmarkWalk(b *testing.B) {
	long := strings.Repeat(`{"id":12345,"name":"somebody","tags":["a","b"],"on":true},`, 1100)
	text := "[" + sockjs.Quote(`{"event":"e","data":[`+long+`null]}`, false) + "]"
	b.Run("a frame", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if _, wrong := sockjs.Array(text); wrong != "" {
				b.Fatal(wrong)
			}
		}
	})
	b.Run("one check", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			require.NoError(b, session.CheckJSON([]byte(text), session.Depth))
		}
	})
}
