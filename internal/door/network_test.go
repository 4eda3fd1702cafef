package door_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/seed-ce09063a/thinkws/internal/door"
)

func TestNetworkIsWhatLimitsPerAddressCountBy(t *testing.T) {
	d := door.New(door.Config{})
	for remote, want := range map[string]string{
		"203.0.113.1:5":       "203.0.113.1/32",
		"[2001:db8::1]:5":     "2001:db8::/64",
		"[2001:db8::2:3]:5":   "2001:db8::/64",
		"127.0.0.1:5":         "invalid Prefix", // clients behind a proxy have this address, too
		"@":                   "invalid Prefix",
		"nothing of the kind": "invalid Prefix",
	} {
		assert.Equal(t, want, d.Network(&http.Request{RemoteAddr: remote, Header: http.Header{}, ProtoMajor: 1, ProtoMinor: 1}).String(), remote)
	}
}
