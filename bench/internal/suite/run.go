package suite

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed-ce09063a/thinkws/bench/internal/servers"
)

// Config says what to run and how.
type Config struct {
	Workloads, Servers []string // empty: all
	Full               bool
	Rounds             int
	Warm, Window       time.Duration
	Profiles           string // a directory for CPU and heap profiles, "" for none

	Self        string // this program
	NodeDir     string // where server.js is
	ServerCores []int
	AllCores    []int
	Progress    io.Writer

	certificate string      // a file, for the workloads with TLS
	trust       *tls.Config // in it
}

// Results are the figures of all rounds.
type Results struct {
	cfg     *Config
	targets []*Target
	rows    []*workload
	samples map[key][]figures // one for each round; nil where it failed
	Failed  []string
}

type key struct{ workload, target string }

// Names lists workloads and servers.
func Names() (loads, targets []string) {
	for _, w := range workloads {
		loads = append(loads, w.Name)
	}
	for _, t := range Targets() {
		targets = append(targets, t.Name)
	}
	return loads, targets
}

// NeedsNode reports whether Node's server is among those chosen.
func (c *Config) NeedsNode() bool { return len(c.Servers) == 0 || slices.Contains(c.Servers, peer) }

// Run measures. Each round runs each workload on all servers in turn, so that what
// drifts drifts for all. A measurement that fails is noted and leaves a gap.
func Run(ctx context.Context, cfg *Config) (*Results, error) {
	res := &Results{cfg: cfg, samples: map[key][]figures{}}
	var err error
	if res.rows, err = choose(workloads, cfg.Workloads, func(w *workload) string { return w.Name }); err != nil {
		return nil, err
	}
	if res.targets, err = choose(Targets(), cfg.Servers, func(t *Target) string { return t.Name }); err != nil {
		return nil, err
	}
	if len(cfg.Workloads) == 0 && !cfg.Full {
		res.rows = slices.DeleteFunc(res.rows, func(w *workload) bool { return w.full })
	}
	remove, err := cfg.certify()
	if err != nil {
		return nil, err
	}
	defer remove()
	for round := range cfg.Rounds {
		for _, w := range res.rows {
			if w.steady && !cfg.Full && round > 0 {
				continue
			}
			if err := res.round(ctx, round, w); err != nil {
				return res, err
			}
		}
	}
	return res, nil
}

// certify makes the certificate of the servers. remove deletes it.
func (c *Config) certify() (remove func(), err error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) } // what is left is in a temporary directory
	c.certificate = filepath.Join(dir, "certificate.pem")
	if err = servers.WriteCertificate(c.certificate); err == nil {
		c.trust, err = servers.Trust(c.certificate)
	}
	if err != nil {
		remove()
	}
	return remove, err
}

// choose picks by name, all if there are no names.
func choose[T any](all []T, names []string, name func(T) string) ([]T, error) {
	if len(names) == 0 {
		return slices.Clone(all), nil
	}
	var chosen []T
	for _, n := range names {
		i := slices.IndexFunc(all, func(t T) bool { return name(t) == n })
		if i < 0 {
			return nil, fmt.Errorf("nothing is named %q", n)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// round runs a workload on all servers. Each round begins with another one: who comes
// behind a long workload of the one before finds the machine still busy with it.
func (res *Results) round(ctx context.Context, round int, w *workload) error {
	first := round % len(res.targets)
	for _, t := range slices.Concat(res.targets[first:], res.targets[:first]) {
		if w.needs&^t.can != 0 {
			continue
		}
		got, err := measure(ctx, res.cfg, w, t)
		if ctx.Err() != nil {
			return fmt.Errorf("stopped in round %d: %w", round+1, ctx.Err())
		}
		k := key{w.Name, t.Name}
		res.samples[k] = append(res.samples[k], got)
		line := got.String()
		if err != nil {
			line = "  failed: " + strings.TrimSpace(err.Error())
			res.Failed = append(res.Failed, fmt.Sprintf("%s on %s, round %d: %v", w.Name, t.Name, round+1, err))
		}
		fmt.Fprintf(res.cfg.Progress, "%d  %-14s %-10s%s\n", round+1, w.Name, t.Name, line)
	}
	return nil
}

// value is the median of all rounds.
func (res *Results) value(k key, m metric) (float64, bool) {
	var got []float64
	for _, f := range res.samples[k] {
		if v, ok := f[m]; ok {
			got = append(got, v)
		}
	}
	return median(got)
}

// ratio is the median of the ratios of the rounds.
func (res *Results) ratio(over, under key, m metric) (float64, bool) {
	var got []float64
	above, below := res.samples[over], res.samples[under]
	for i := range min(len(above), len(below)) {
		a, ok := above[i][m]
		b, also := below[i][m]
		if ok && also && b != 0 {
			got = append(got, a/b)
		}
	}
	return median(got)
}

func median(values []float64) (float64, bool) {
	if len(values) == 0 {
		return 0, false
	}
	values = slices.Sorted(slices.Values(values))
	mid := len(values) / 2
	if len(values)%2 == 1 {
		return values[mid], true
	}
	return (values[mid-1] + values[mid]) / 2, true
}
