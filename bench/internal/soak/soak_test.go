package soak_test

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/bench/internal/soak"
)

// TestMain is the server under test as well, when a scenario starts this program again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "server" {
		if err := soak.Serve(os.Args[2:], os.Stdin, os.Stdout); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

// Every scenario works, at a size that says nothing of the library. What depends on how fast
// the machine is may miss its bound here.
func TestScenarios(t *testing.T) {
	path, err := os.Executable()
	require.NoError(t, err)
	self := soak.Self{Path: path, Args: []string{"server"}, Log: io.Discard}
	for name, tt := range map[string]struct {
		scenario soak.Scenario
		want     []string // lines
	}{
		"deaf": {
			soak.Deaf{Clients: 18, Honest: 6, Rate: 300, Size: 10 << 10, For: 2 * time.Second, Rounds: 1},
			[]string{"deaf clients left: 0 (= 0) ok", "broadcasts that honest clients got without the deaf: 3600 of 3600", "with them: 3600 (≥ 3600) ok"},
		},
		"halfopen": {
			soak.HalfOpen{Rate: 40, For: time.Second, Warm: 500 * time.Millisecond, Honest: 6, Expire: time.Second, Settle: time.Second},
			[]string{"honest connects: 6", "honest connects that failed: 0 (= 0) ok", "failed otherwise: 0 <nil>"},
		},
		"slowbody": {
			soak.SlowBody{Bodies: 4, Upgrades: 4, Within: 15 * time.Second},
			[]string{"slow connections left: 0 (= 0) ok", "honest connects that failed: 0 (= 0) ok"},
		},
		"drain": {
			soak.Drain{Clients: 32, Messages: 3, Size: 200},
			[]string{
				"clients: 0 (= 0) ok",
				`plain WebSocket, "close 1001 server shutting down" after all messages: 8 (= 8) ok`,
				`Socket.IO WebSocket, "close 1001" after all messages: 8 (= 8) ok`,
				`Socket.IO polling, "packet 1" after all messages: 8 (= 8) ok`,
				`SockJS WebSocket, "c[1001,\"server shutting down\"]" after all messages: 4 (= 4) ok`,
				`SockJS xhr-polling, "c[1001,\"server shutting down\"]" after all messages: 4 (= 4) ok`,
			},
		},
		"noise": {
			soak.Noise{Floods: 2, For: 500 * time.Millisecond, Rate: 20},
			[]string{"with the default rate, honest echoes: 20 (= 20) ok", "without a limit of the rate, honest echoes: 20 (= 20) ok"},
		},
		"burst": {
			soak.Burst{For: time.Millisecond, Events: 200, Sleep: time.Second, Drops: 200, Large: 200 << 10},
			[]string{
				"sending and echoing as fast as it can for 1ms: kinds of clients that stay and get everything in order: 9 (= 9) ok",
				"200 events at once: kinds of clients that stay and get everything in order: 9 (= 9) ok",
				"200 events in several requests: kinds of clients that stay and get everything in order: 9 (= 9) ok",
				"a question to a client with 200 events waiting: kinds of clients that stay and get everything in order: 9 (= 9) ok",
				"a handler that sleeps 1s before a full queue: kinds of clients that stay and get everything in order: 9 (= 9) ok",
				"200 messages and one of 0.20 MiB from one handler: kinds of clients that stay and get everything in order: 9 (= 9) ok",
			},
		},
		"trickle": {
			soak.Trickle{Clients: 8, Pause: 20 * time.Millisecond, Rate: 20, Size: 1 << 10, For: 500 * time.Millisecond},
			[]string{"disconnected when slow, clients in the end: 8 of 8", "messages dropped when slow, clients in the end: 8 of 8"},
		},
		"memory": {
			soak.Memory{Clients: 120, Limit: 24 << 20, Little: 1 << 10, For: 3 * time.Second},
			[]string{"of the clients that hold little there are still: 108 (= 108) ok", "that is some, and none of them twice: true (= true) ok", "honest connects and echoes that failed: 0 (= 0) ok"},
		},
		"churn": {
			soak.Churn{Connects: 120, Warm: 24, Workers: 4, Settle: 4 * time.Second},
			[]string{"that failed: 0 (= 0) ok", "clients left: 0 (= 0) ok"},
		},
		"mixed": {
			soak.Mixed{
				For: 2 * time.Second, Warm: 500 * time.Millisecond, Honest: 6, Stay: time.Second, Speak: 20 * time.Millisecond,
				Fault: 300 * time.Millisecond, Settle: 10 * time.Second, Progress: time.Second,
			},
			[]string{"honest clients that lost something, or failed: 0 (= 0) ok", "clients left: 0 (= 0) ok"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var out strings.Builder
			require.NoError(t, soak.Play(ctx, self, soak.NewReport(&out), name, tt.scenario))
			for _, want := range tt.want {
				assert.Contains(t, out.String(), name+": "+want+"\n")
			}
			if t.Failed() {
				t.Log(out.String())
			}
		})
	}
}

func TestReport(t *testing.T) {
	var out strings.Builder
	r := soak.NewReport(&out)
	r.Note("kept", 1)
	r.AtMost("low", 2*time.Second, 3*time.Second)
	r.AtMost("high", 4*time.Second, 3*time.Second)
	assert.Equal(t, ": kept: 1\n: low: 2s (≤ 3s) ok\n: high: 4s (≤ 3s) MISSED\n", out.String())
	assert.Equal(t, 1, r.Missed())
	assert.ErrorContains(t, soak.Abuse(t.Context(), soak.Self{}, r, "nothing"), `no scenario is named "nothing"`)
	assert.Equal(t, []string{"deaf", "halfopen", "slowbody", "drain", "noise", "burst", "trickle", "memory", "churn"}, soak.Names())
}

func TestSockJSStrings(t *testing.T) {
	got, err := soak.SockJSStrings(`["{\"event\":\"a\",\"data\":\"b\"}","{\"event\":\"c\",\"data\":\"d\"}"]`)
	require.NoError(t, err)
	assert.Equal(t, []string{`{"event":"a","data":"b"}`, `{"event":"c","data":"d"}`}, got)
	for _, wrong := range []string{``, `[]`, `["a"`, `x`} {
		_, err := soak.SockJSStrings(wrong)
		assert.Error(t, err)
	}
}
