package wsconn_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/e2e/variant"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// ways are with and without each mechanism that a connection has beside its frame reader. Over other networks than TCP
// connections do not become cold.
func ways(networkName string) map[string]func(cfg *wsconn.Config) {
	all := map[string]func(cfg *wsconn.Config){
		"by default":      func(*wsconn.Config) {},
		"without a Watch": func(cfg *wsconn.Config) { cfg.Watch = nil },
	}
	if networkName == variant.TCP {
		all["cold at once"] = func(cfg *wsconn.Config) { cfg.CoolAfter = time.Millisecond }
		all["never cold"] = func(cfg *wsconn.Config) { cfg.CoolAfter = time.Hour }
		all["none of the two"] = func(cfg *wsconn.Config) { cfg.Watch, cfg.CoolAfter = nil, time.Hour }
	}
	return all
}

func inWays(t *testing.T, networkName string, test func(t *testing.T, cfg *wsconn.Config)) {
	for name, change := range ways(networkName) {
		t.Run(name, func(t *testing.T) {
			cfg := config()
			change(cfg)
			test(t, cfg)
			wait(t, cfg)
		})
	}
}

// everyWay runs a test with and without each mechanism over TCP.
func everyWay(t *testing.T, test func(t *testing.T, cfg *wsconn.Config)) {
	inWays(t, variant.TCP, test)
}

// everywhere runs a test over each network, with and without each mechanism.
func everywhere(t *testing.T, test func(t *testing.T, cfg *wsconn.Config, link link)) {
	for _, name := range variant.Networks() {
		t.Run(name, func(t *testing.T) {
			inWays(t, name, func(t *testing.T, cfg *wsconn.Config) { test(t, cfg, listen(t, name)) })
		})
	}
}

// listen returns a link over a network, until the test ends.
func listen(t *testing.T, networkName string) link {
	t.Helper()
	l, err := variant.Listen(networkName)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return link{networkName, l}
}

// link connects clients of TCP with servers on some network.
type link struct {
	network  string
	listener net.Listener
}

// resets reports whether a server learns that its client has reset a connection. Other networks know only ends.
func (l link) resets() bool { return l.network != variant.Unix && l.network != variant.Pipe }

// ends returns the two ends of a connection.
func (l link) ends(t *testing.T) (client, server net.Conn) {
	t.Helper()
	client, err := net.Dial("tcp", l.listener.Addr().String())
	require.NoError(t, err)
	server, err = l.listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { client.Close(); server.Close() })
	if secure, ok := server.(*tls.Conn); ok {
		require.NoError(t, secure.HandshakeContext(t.Context()))
	}
	return client, server
}

// pair returns a Conn that is being served, and the client's end.
func (l link) pair(t *testing.T, cfg *wsconn.Config, early ...byte) (*wsconn.Conn, *recorder, net.Conn) {
	t.Helper()
	client, server := l.ends(t)
	c := accept(t, cfg, server, early)
	h := newRecorder()
	c.Serve(h)
	return c, h, client
}

// serve serves HTTP until the test ends.
func (l link) serve(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	require.NoError(t, s.Listener.Close())
	s.Listener = l.listener
	s.Start()
	t.Cleanup(s.Close)
	return s
}
