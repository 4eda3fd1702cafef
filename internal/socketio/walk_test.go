package socketio_test

import (
	"strings"
	"testing"

	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/socketio"
)

// long is a JSON value of some 64 KiB, of the kind that programs send.
var long = "[" + strings.Repeat(`{"id":12345,"name":"somebody","tags":["a","b"],"on":true},`, 1100) + "null]"

// BenchmarkWalk shows how often the text of an event is walked before the handler has its first argument: compare the
// speed with that of one check.
func BenchmarkWalk(b *testing.B) {
	for name, packet := range map[string]string{
		"one argument":   `2["e",` + long + `]`,
		"two arguments":  `2["e",1,` + long + `]`,
		"an attachment":  `51-["e",` + long + `,{"_placeholder":true,"num":0}]`,
		"an acknowledge": `31[` + long + `]`,
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(packet)))
			b.ReportAllocs()
			for b.Loop() {
				if err := socketio.Walk([]byte(packet)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("one check", func(b *testing.B) {
		text := []byte(long)
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if err := session.CheckJSON(text, session.Depth); err != nil {
				b.Fatal(err)
			}
		}
	})
}
