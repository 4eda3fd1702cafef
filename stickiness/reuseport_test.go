package stickiness_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/stickiness"
)

// TestListenReusePort shares a port among three servers.
func TestListenReusePort(t *testing.T) {
	first, err := stickiness.ListenReusePort(t.Context(), "tcp", "127.0.0.1:0")
	if runtime.GOOS != "linux" {
		require.ErrorIs(t, err, stickiness.ErrReusePort)
		assert.ErrorIs(t, err, errors.ErrUnsupported)
		return
	}
	require.NoError(t, err)
	for i, name := range []string{"a", "b", "c"} {
		l := first
		if i > 0 {
			l, err = stickiness.ListenReusePort(t.Context(), "tcp", first.Addr().String())
			require.NoError(t, err)
		}
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
		_ = server.Listener.Close()
		server.Listener = l
		server.Start()
		t.Cleanup(server.Close)
	}
	client := freshClient(t, "")
	served := map[string]int{}
	for range 200 {
		res, err := client.Get("http://" + first.Addr().String())
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		served[string(body)]++
	}
	assert.Len(t, served, 3, "%v", served)
}
