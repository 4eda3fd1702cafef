package thinkws_test

import (
	"slices"
	"strings"

	"github.com/seed-ce09063a/thinkws"
)

// hostileShapes are all of them.
func hostileShapes() []shape {
	return slices.Concat(eventShapes(), webSocketShapes(), socketShapes(), httpShapes())
}

// eventShapes are those of events, over every wire that has them.
func eventShapes() (shapes []shape) {
	for _, kind := range []string{"v4", "v3", "plain", "sockws", "sockraw", "polling4", "polling3", "jsonp", "xhr"} {
		w := dialects[kind]
		many := func(n int, texts ...string) func(c *attacker) {
			packed := w.pack(texts...)
			return func(c *attacker) {
				for i := 0; i < n && c.says(packed); i++ {
				}
			}
		}
		blanks := "1" + strings.Repeat(" ", mostMessage-4000)
		if kind == "jsonp" { // each blank is three bytes on the wire
			blanks = "1" + strings.Repeat(" ", mostMessage*9/10)
		}
		shapes = append(shapes,
			shape{name: "blanks, while an action blocks", kind: kind, bounds: receiveQueue,
				attack: many(12, w.event("block", blanks, ""))},
			shape{name: "tiny events, while an action blocks", kind: kind, bounds: receiveQueue,
				attack: many(mostItems-2, w.event("block", "1", ""))},
			shape{name: "events as large as a place in the queue, while an action blocks", kind: kind, bounds: receiveQueue,
				attack: many(40, w.event("block", `"`+strings.Repeat("x", mostBytes/mostItems-40)+`"`, ""))},
			shape{name: "long names, while an action blocks", kind: kind, bounds: receiveQueue,
				attack: func() func(*attacker) {
					packed := w.pack(w.event(strings.Repeat("n", 20_000), "1", ""))
					block := w.pack(w.event("block", "1", ""))
					return func(c *attacker) {
						c.says(block)
						for i := 0; i < 12 && c.says(packed); i++ {
						}
					}
				}()},
			shape{name: "deep arrays, while an action blocks", kind: kind, bounds: receiveQueue,
				attack: many(12, w.event("block", strings.Repeat("[", 200)+`"`+strings.Repeat("x", 20_000)+`"`+strings.Repeat("]", 200), ""))},
			shape{name: "events, while Authorize blocks", kind: kind, bounds: receiveQueue, gated: true, routines: 1,
				attack: many(12, w.event("echo", blanks, ""))},
			shape{name: "small arguments that the service keeps, out of large messages", kind: kind, bounds: keptByService,
				attack: many(10, w.event("keep", blanks, ""))},
			shape{name: "messages up to the limit that are not read", kind: kind, bounds: sendQueue, deaf: true,
				attack: many(1, w.event("fill", "1", ""))},
			shape{name: "messages beyond the limit that are not read, the oldest dropped", kind: kind, bounds: sendQueue, deaf: true,
				options: []thinkws.Option{thinkws.WithSlowPolicy(thinkws.SlowDropOldest)}, attack: many(1, w.event("flood", "1", ""))},
		)
	}
	return shapes
}
