//go:build race

package thinkws_test

// With the race detector the test looks for races and goroutines only: a few clients are enough for that, and the
// costs of the detector are not the server's. scripts/test.sh runs it without the detector, too.
const (
	attackers  = 10
	countsHeap = false
)
