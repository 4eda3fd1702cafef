package redisbus_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/redisbus"
)

// shapes are values of some n bytes that would take long if anything in them were looked at more than a
// few times.
var shapes = map[string]func(n int) string{
	"nested long lists": func(n int) string {
		depth := min(10_000, n/40)
		text := strings.Repeat("[", depth) + `"` + strings.Repeat("x", n-36*depth) + `"`
		return text + strings.Repeat(",1,2,3,4,5,6,7,8,9,1,1,1,1,1,1,1]", depth)
	},
	"nested objects": func(n int) string {
		depth := min(10_000, n/5)
		return strings.Repeat(`{"":`, depth) + `"` + strings.Repeat("x", n-5*depth) + `"` + strings.Repeat("}", depth)
	},
	"empty lists":  func(n int) string { return "[" + strings.Repeat("[],", n/3) + "0]" },
	"long lists":   func(n int) string { return "[" + strings.Repeat("["+strings.Repeat("1,", 16)+"1],", n/36) + "0]" },
	"one key":      func(n int) string { return "{" + strings.Repeat(`"a":1,`, n/6) + `"a":1}` },
	"escapes":      func(n int) string { return `"` + strings.Repeat(`\ud800`, n/6) + `"` },
	"backslashes":  func(n int) string { return `"` + strings.Repeat(`\\`, n/2) + `"` },
	"one number":   func(n int) string { return strings.Repeat("1", n) },
	"minus zeros":  func(n int) string { return "[" + strings.Repeat("-0,", n/3) + "0]" },
	"white space":  func(n int) string { return "[" + strings.Repeat(" ", n) + "]" },
	"letters":      func(n int) string { return `"` + strings.Repeat("ü", n/2) + `"` },
	"short string": func(n int) string { return "[" + strings.Repeat(`"ü",`, n/5) + "0]" },
}

// BenchmarkShapes shows that the time for a byte does not grow with the size.
func BenchmarkShapes(b *testing.B) {
	names := make([]string, 0, len(shapes))
	for name := range shapes {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, size := range []int{500_000, 4_000_000} {
			e := &thinkws.Envelope{Namespace: "/", Event: "e", Args: thinkws.Payload{Text: []byte(shapes[name](size)), Count: 1}}
			b.Run(fmt.Sprint(name, "/", size), func(b *testing.B) {
				b.SetBytes(int64(len(e.Args.Text)))
				for b.Loop() {
					_, _, _, err := redisbus.DecodeBroadcast(redisbus.EncodeBroadcast("u", e, false))
					if err != nil {
						b.Fatal(err)
					}
				}
			})
			e.Kind = thinkws.BusServerEmit
			b.Run(fmt.Sprint(name, " as JSON/", size), func(b *testing.B) {
				b.SetBytes(int64(len(e.Args.Text)))
				for b.Loop() {
					text, _ := redisbus.EncodeRequest("u", "i", e)
					if _, err := redisbus.DecodeRequest("/", text); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// The shapes arrive as they are.
func TestShapesArrive(t *testing.T) {
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			requireArrives(t, thinkws.Payload{Text: []byte(shape(20_000)), Count: 1})
		})
	}
}
