package variant_test

import (
	"crypto/tls"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-ce09063a/thinkws/e2e/variant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everywhere runs a test with the two ends of a connection over each network.
func everywhere(t *testing.T, test func(t *testing.T, network string, client *net.TCPConn, server net.Conn)) {
	for _, network := range variant.Networks() {
		t.Run(network, func(t *testing.T) {
			l, err := variant.Listen(network)
			require.NoError(t, err)
			defer l.Close()
			client, err := net.Dial("tcp", l.Addr().String())
			require.NoError(t, err)
			defer client.Close()
			server, err := l.Accept()
			require.NoError(t, err)
			defer server.Close()
			if secure, ok := server.(*tls.Conn); ok {
				require.NoError(t, secure.HandshakeContext(t.Context()))
			}
			test(t, network, client.(*net.TCPConn), server)
		})
	}
}

func say(t *testing.T, from io.Writer, to io.Reader, text string) {
	t.Helper()
	_, err := io.WriteString(from, text)
	require.NoError(t, err)
	got := make([]byte, len(text))
	_, err = io.ReadFull(to, got)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
}

func TestBytesPass(t *testing.T) {
	everywhere(t, func(t *testing.T, _ string, client *net.TCPConn, server net.Conn) {
		for range 3 {
			say(t, client, server, "there")
			say(t, server, client, "and back")
		}
	})
}

// A server still answers a client that has ended its own direction, where the network has directions.
func TestTheEndOfOneDirectionPasses(t *testing.T) {
	everywhere(t, func(t *testing.T, network string, client *net.TCPConn, server net.Conn) {
		say(t, client, server, "last")
		require.NoError(t, client.CloseWrite())
		rest, err := io.ReadAll(server)
		require.NoError(t, err)
		assert.Empty(t, rest)
		if network != variant.Pipe {
			say(t, server, client, "answer")
		}
		require.NoError(t, server.Close())
		rest, err = io.ReadAll(client)
		require.NoError(t, err)
		assert.Empty(t, rest)
	})
}

func TestWhatIsSentBeforeTheEndPasses(t *testing.T) {
	everywhere(t, func(t *testing.T, _ string, client *net.TCPConn, server net.Conn) {
		_, err := io.WriteString(server, "the end")
		require.NoError(t, err)
		require.NoError(t, server.Close())
		text, err := io.ReadAll(client)
		require.NoError(t, err)
		assert.Equal(t, "the end", string(text))
	})
}

// Unix sockets and pipes do not know resets.
func TestResetsPass(t *testing.T) {
	everywhere(t, func(t *testing.T, network string, client *net.TCPConn, server net.Conn) {
		say(t, client, server, "here")
		require.NoError(t, client.SetLinger(0))
		require.NoError(t, client.Close())
		_, err := io.ReadAll(server)
		if network == variant.Unix || network == variant.Pipe {
			assert.NoError(t, err)
		} else {
			assert.ErrorContains(t, err, "reset")
		}
	})
}

func TestCutConnectionsEnd(t *testing.T) {
	everywhere(t, func(t *testing.T, _ string, client *net.TCPConn, server net.Conn) {
		say(t, client, server, "here")
		variant.Cut(server)
		for _, conn := range []net.Conn{client, server} {
			_, _ = io.ReadAll(conn) // it returns; such an end is an error of TLS
		}
	})
}

func TestWithout(t *testing.T) {
	noWatch, coolAfter, err := variant.Without("watch,cold")
	require.NoError(t, err)
	assert.True(t, noWatch)
	assert.Positive(t, coolAfter)
	_, _, err = variant.Without("watch,horse")
	assert.EqualError(t, err, `variant: no mechanism is called "horse"`)
}

func TestUnknownNetwork(t *testing.T) {
	_, err := variant.Listen("pigeon")
	assert.ErrorContains(t, err, `"pigeon"`)
}
