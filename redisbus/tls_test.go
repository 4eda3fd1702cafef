package redisbus_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// certificate writes a certificate for 127.0.0.1 that signs itself, and its key. It returns the
// options that let redis-server use it, and who trusts it.
func certificate(t *testing.T) (options []string, trust *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	require.NoError(t, os.WriteFile(certFile, cert, 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
	trust = x509.NewCertPool()
	require.True(t, trust.AppendCertsFromPEM(cert))
	return []string{"--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-ca-cert-file", certFile, "--tls-auth-clients", "no"}, trust
}

// Row 3, TLS: Redis is killed and started again, its connections are killed, and it is away behind a
// port that accepts and says nothing.
func TestRedisWithTLS(t *testing.T) {
	t.Parallel()
	options, trust := certificate(t)
	start := func(port int) *redisServer {
		server, err := startProcess(port, append([]string{"--port", "0", "--tls-port", strconv.Itoa(port), "--bind", "127.0.0.1",
			"--save", "", "--loglevel", "warning"}, options...)...)
		require.NoError(t, err)
		return server
	}
	server := start(freePort())
	defer func() { server.kill() }()
	client := redis.NewClient(&redis.Options{Addr: server.addr(), TLSConfig: &tls.Config{RootCAs: trust}})
	defer client.Close()
	first := goRedis.count()
	tr := startTraffic(t, same(client, 3))
	require.NoError(t, client.ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err())
	require.NoError(t, client.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err())
	t.Logf("CLIENT KILL: traffic flows after %v", tr.flows(t))
	server.kill()
	time.Sleep(2 * time.Second)
	assert.Empty(t, goRedis.since(first, server.addr()), "go-redis logs nothing of our connections")
	server = start(server.port)
	t.Logf("kill -9: traffic flows after %v", tr.flows(t))
	tr.check(t)
}
