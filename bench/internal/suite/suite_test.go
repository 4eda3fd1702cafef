package suite_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/bench/internal/servers"
	"github.com/seed-ce09063a/thinkws/bench/internal/suite"
)

// TestMain is also the servers that the suite starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "server" {
		if err := servers.Main(os.Args[2:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func config(t *testing.T) *suite.Config {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	return &suite.Config{
		Rounds: 1, Warm: 200 * time.Millisecond, Window: 300 * time.Millisecond,
		Self: self, ServerCores: []int{0}, AllCores: []int{0}, Progress: &strings.Builder{},
	}
}

func TestRun(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cfg := config(t)
	cfg.Workloads = []string{"echo100", "connects", "polling", "deflate", "tlsecho100"}
	cfg.Servers = []string{"ours", "limit-go", "gorilla"}
	cfg.Profiles = t.TempDir()
	results, err := suite.Run(context.Background(), cfg)
	require.NoError(t, err)
	require.Empty(t, results.Failed)

	var text strings.Builder
	results.Markdown(&text)
	assert.Contains(t, text.String(), "| median of 1 ")
	assert.Regexp(t, `\| long-polling echo, .* \| +[0-9.]+ \| +[0-9.]+ \| +– \|`, text.String(), "gorilla has no long-polling")
	assert.Regexp(t, `\| echo100: .*, ÷ limit-go +\| +[0-9.]+ \| +≥ 0.8 \| `, text.String())
	assert.Contains(t, text.String(), "connects: user-space CPU a connect")
	assert.Regexp(t, `\nGoals: [0-9]+ of 6 are met\..*\n\n(\|.*\n)+$`, text.String(), "the goals come last")
	profiles, err := os.ReadDir(cfg.Profiles)
	require.NoError(t, err)
	assert.Len(t, profiles, 2*13, "CPU and heap for each server and what it can do")
}

func TestRunChooses(t *testing.T) {
	cfg := config(t)
	cfg.Workloads = []string{"juggling"}
	_, err := suite.Run(context.Background(), cfg)
	require.ErrorContains(t, err, `"juggling"`)

	cfg = config(t)
	cfg.Servers = []string{"apache"}
	_, err = suite.Run(context.Background(), cfg)
	require.ErrorContains(t, err, `"apache"`)
	assert.False(t, cfg.NeedsNode())
}

func TestRunNotesFailures(t *testing.T) {
	cfg := config(t)
	cfg.Workloads, cfg.Servers = []string{"echo100"}, []string{"ours"}
	cfg.Self = "/nowhere"
	results, err := suite.Run(context.Background(), cfg)
	require.NoError(t, err)
	require.Len(t, results.Failed, 1)
	var text strings.Builder
	results.Markdown(&text)
	assert.Contains(t, text.String(), "Failed: echo100 on ours, round 1")
	assert.Regexp(t, `\| echo100: allocations a message +\| +– \| ≤ 4.04 \| \*\*no figure\*\* \|\n$`, text.String())
}

func TestRunStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	cfg := config(t)
	cfg.Workloads, cfg.Servers = []string{"echo100"}, []string{"limit-go"}
	_, err := suite.Run(ctx, cfg)
	require.ErrorIs(t, err, context.Canceled)
}
