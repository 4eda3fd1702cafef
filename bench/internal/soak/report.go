package soak

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"
)

// Report prints one figure a line, and remembers whether a bound was missed.
type Report struct {
	out      io.Writer
	scenario string
	missed   int
}

// NewReport prints to out.
func NewReport(out io.Writer) *Report { return &Report{out: out} }

// Missed is how many bounds were missed.
func (r *Report) Missed() int { return r.missed }

// note prints a figure that has no bound.
func (r *Report) note(name string, value any) {
	fmt.Fprintf(r.out, "%s: %s: %v\n", r.scenario, name, value)
}

func (r *Report) check(ok bool, name string, value, bound any) {
	verdict := "ok"
	if !ok {
		verdict = "MISSED"
		r.missed++
	}
	fmt.Fprintf(r.out, "%s: %s: %v (%v) %s\n", r.scenario, name, value, bound, verdict)
}

// atMost checks an upper bound.
func atMost[T cmp.Ordered](r *Report, name string, value, bound T) {
	r.check(value <= bound, name, value, fmt.Sprintf("≤ %v", bound))
}

// exactly checks a number that has to be what it is.
func exactly[T comparable](r *Report, name string, value, want T) {
	r.check(value == want, name, value, fmt.Sprintf("= %v", want))
}

// size is a number of bytes.
type size int64

func (s size) String() string {
	if s < 10<<20 {
		return fmt.Sprintf("%.2f MiB", float64(s)/(1<<20))
	}
	if s < 100<<20 {
		return fmt.Sprintf("%.1f MiB", float64(s)/(1<<20))
	}
	return fmt.Sprintf("%d MiB", s>>20)
}

// What a server may keep in any case: an idle one has half a megabyte of live objects.
const (
	keptHeap = 64 << 10
	keptRSS  = 2 << 20
)

// percent adds so many percent, and for small sizes at least so much.
func (s size) percent(n int64, least size) size { return s + max(s*size(n)/100, least) }

// p99 sorts latencies and returns the one that a hundredth exceeds.
func p99(latencies []time.Duration) time.Duration {
	if len(latencies) == 0 {
		return 0
	}
	slices.Sort(latencies)
	return latencies[len(latencies)*99/100].Round(10 * time.Microsecond)
}

// median sorts.
func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
