package variant

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"time"
)

const serverName = "localhost"

// configs makes a certificate and the configurations of a server that has it and of a client that trusts it.
func configs() (server, client *tls.Config, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{serverName}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	own, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(own)
	curves := []tls.CurveID{tls.X25519} // for tests, the shortest handshake
	server = &tls.Config{
		MinVersion: tls.VersionTLS12, CurvePreferences: curves, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}
	client = &tls.Config{
		MinVersion: tls.VersionTLS12, CurvePreferences: curves, RootCAs: roots, ServerName: serverName, ClientSessionCache: tls.NewLRUClientSessionCache(0),
	}
	return server, client, nil
}
