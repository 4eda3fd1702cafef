package variant

import (
	"fmt"
	"strings"
	"time"
)

// Mechanisms of connections that a test can do without.
const (
	Watch = "watch" // handlers never run on the goroutine that reads
	Cold  = "cold"  // no connection becomes cold
	Warm  = "warm"  // every connection becomes cold at once
)

// Without reads a list of mechanisms, separated by commas; it may be empty.
func Without(list string) (noWatch bool, coolAfter time.Duration, err error) {
	if list == "" {
		return false, 0, nil
	}
	for name := range strings.SplitSeq(list, ",") {
		switch name {
		case Watch:
			noWatch = true
		case Cold:
			coolAfter = 100 * time.Hour
		case Warm:
			coolAfter = time.Millisecond
		default:
			return false, 0, fmt.Errorf("variant: no mechanism is called %q", name)
		}
	}
	return noWatch, coolAfter, nil
}
