package wsconn

import (
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
)

// Refusals logs handshakes that have failed. That no handshake can succeed is for the service to know: it is told once.
// It must not change once it is in use.
type Refusals struct {
	Logger  *slog.Logger
	Address func(*http.Request) netip.Addr // returns the address of a request's client

	http2, hijacker sync.Once
}

// Log logs that Accept has failed with err.
func (f *Refusals) Log(r *http.Request, err error) {
	address := slog.Any("address", f.Address(r))
	switch {
	case errors.Is(err, ErrHTTP2):
		f.http2.Do(func() { f.Logger.Warn("WebSocket was asked for over HTTP/2, which cannot be upgraded", address) })
	case errors.Is(err, ErrNoHijacker):
		f.hijacker.Do(func() {
			f.Logger.Error("WebSocket cannot be served", slog.Any("error", err), slog.String("url", r.URL.Path))
		})
	}
	f.Logger.Debug("websocket refused", slog.Any("error", err), address)
}
