package thinkws_test

import (
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/e2e/variant"
)

// The tests of this package run over the network that a flag names, and without the mechanisms that another one names:
// scripts/variants.sh runs them in all ways.
var (
	networkFlag = flag.String("network", variant.TCP, "what servers of tests listen on: tcp, tls, unix, wrapped or pipe")
	withoutFlag = flag.String("without", "", "mechanisms that connections do without, separated by commas: watch, cold, warm")
)

// mechanisms makes handlers do without the mechanisms that the flag names.
func mechanisms() thinkws.Option {
	noWatch, coolAfter, err := variant.Without(*withoutFlag)
	if err != nil {
		panic(err)
	}
	return thinkws.WithMechanisms(noWatch, coolAfter)
}

// newServer starts a server on the network that the flag names. Clients reach it by plain TCP. It is closed when the
// test ends.
func newServer(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := unstarted(t, h)
	s.Start()
	return s
}

func unstarted(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	require.NoError(t, s.Listener.Close())
	var err error
	s.Listener, err = variant.Listen(*networkFlag)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// ownOrigin is the origin of pages that such a server serves as localhost.
func ownOrigin() string {
	if *networkFlag == variant.TLS {
		return "https://localhost"
	}
	return "http://localhost"
}

// endsInReset reports whether an answer is whole though reading it has failed. net/http closes a connection whose
// request it has not read. The answer ends with its side of the connection; where that cannot be closed alone, a reset
// follows.
func endsInReset(res *http.Response, err error) bool {
	return *networkFlag == variant.Wrapped && res.Close && res.ContentLength < 0 && errors.Is(err, syscall.ECONNRESET)
}

// A few of the tests run in some other ways, too. scripts/variants.sh runs all of them in all ways.
func TestOtherVariants(t *testing.T) {
	for _, tt := range []struct{ network, without string }{
		{variant.TCP, variant.Watch + "," + variant.Cold},
		{variant.TCP, variant.Warm},
		{variant.TLS, ""},
		{variant.Unix, variant.Watch},
		{variant.Wrapped, ""},
		{variant.Pipe, variant.Watch},
	} {
		t.Run(tt.network+" without "+tt.without, func(t *testing.T) {
			self := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^(TestHostilePackets|TestHostileUpgradeSteps|TestHostile45PingFlood|TestHostileBytewise)$", "-test.timeout", "5m",
				"-network", tt.network, "-without", tt.without)
			out, err := self.CombinedOutput()
			require.NoError(t, err, "%s", out)
		})
	}
}
