package stickiness

import (
	"bytes"
	"fmt"
)

const minSecret = 16 // bytes

// SetSecrets replaces Options.Secret and Options.AcceptSecrets at run time: signing signs what this server forwards,
// and is accepted like those in accepted. The error names a secret of less than 16 bytes; nothing has changed then. It
// may be called at any time and by several goroutines. The secrets are copied.
//
// No session ends if all servers take one step before any of them takes the next:
//
//  1. SetSecrets(old, next): every server accepts the new secret.
//  2. SetSecrets(next, old): every server signs with the new secret.
//  3. SetSecrets(next): the old secret is no longer accepted.
//
// Leave some seconds between the steps, for requests on their way. A server that starts meanwhile needs the secrets of
// the step in Options. A request that is signed by a secret which is not accepted counts in Stats.Forged and is logged.
// It is served like a request of a client, so the address of its client is lost, and sessions of SockJS may not be
// found.
func (f *Forwarder) SetSecrets(signing []byte, accepted ...[]byte) error {
	sealer, err := newSealer(signing, accepted)
	if err != nil {
		return fmt.Errorf("stickiness: SetSecrets: %w", err)
	}
	f.sealer.Store(sealer)
	return nil
}

// newSealer copies the secrets. It fails if one is too short.
func newSealer(signing []byte, accepted [][]byte) (*sealer, error) {
	s := new(sealer)
	for i, secret := range append([][]byte{signing}, accepted...) {
		name := "Secret"
		if i > 0 {
			name = fmt.Sprintf("AcceptSecrets[%d]", i-1)
		}
		if len(secret) < minSecret {
			return nil, fmt.Errorf("%s has %d bytes, less than %d", name, len(secret), minSecret)
		}
		s.secrets = append(s.secrets, bytes.Clone(secret))
	}
	return s, nil
}
