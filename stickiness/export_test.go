package stickiness

import (
	"net/http"
	"time"
)

// Bridge for the external tests.

// IdleTimeout is how long forwarders keep idle connections.
const IdleTimeout = idleTimeout

// Hop makes the header of a hop that serves (f) or asks (a).
func Hop(secret []byte, purpose byte, from, to, remote, method, target string, now time.Time) string {
	return sealerOf(secret).seal(hop{purpose: purposeOf(purpose), from: from, to: to, remote: remote}, method, target, now)
}

func sealerOf(secrets ...[]byte) *sealer { return &sealer{secrets: secrets} }

func purposeOf(p byte) purpose { return purpose(p) }

// OpenHop reads one and returns the client's address.
func OpenHop(secret []byte, header, self, method, target string, now time.Time) (remote string, err error) {
	h, err := sealerOf(secret).open(header, self, method, target, now)
	return h.remote, err
}

// ParseHop reads a header whose MAC has been cut off.
func ParseHop(text string) (again func(secret []byte) string, err error) {
	h, sent, err := parseHop(text)
	return func(secret []byte) string { return sealerOf(secret).seal(h, "GET", "/", sent) }, err
}

// ReadRoute says what a request is for.
func ReadRoute(r *http.Request) (kind int, session string) {
	found := routes{socketio: "/socket.io", sockjs: "/sockjs"}.read(r)
	return int(found.kind), found.session
}
