package session

import (
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/bucket"
)

// Rate is how much one client may send over one connection, per second. Both numbers are
// positive. A client that has been silent may send twice as much at once.
type Rate struct{ Messages, Bytes int }

// Meter charges what clients send to the allowances of their connections. One Meter serves all
// protocols of a handler. It is safe for concurrent use. A nil Meter charges nothing.
type Meter struct {
	rate   Rate
	began  time.Time
	tally  *Tally
	logger *slog.Logger

	address func(*http.Request) netip.Addr
}

// NewMeter returns a Meter that counts in tally and logs to logger when a client exceeds rate.
// address returns the address of a request's client.
func NewMeter(rate Rate, tally *Tally, logger *slog.Logger, address func(*http.Request) netip.Addr) *Meter {
	return &Meter{rate: rate, began: time.Now(), tally: tally, logger: logger, address: address}
}

// Allowance is what one client may still send over one connection: an Engine.IO session, a
// WebSocket, or a SockJS session. The zero Allowance is full. It is not safe for concurrent use:
// it belongs to the caller that receives from the client.
type Allowance struct {
	messages, bytes bucket.Bucket
	exceeded        bool // for good
}

// Take charges one packet to a. Every packet that causes work is charged, whatever it contains.
// size is its length in bytes on the wire, after inflating. The error is ErrOverrun if the client
// exceeds its rate; the connection must then be closed. That is counted and logged once.
func (m *Meter) Take(a *Allowance, size int, came Handshake) error {
	if m == nil {
		return nil
	}
	if a.exceeded {
		return ErrOverrun
	}
	now := int64(time.Since(m.began)) + 1
	if a.messages.Take(now, m.rate.Messages, 1) && a.bytes.Take(now, m.rate.Bytes, size) {
		return nil
	}
	a.exceeded = true
	m.tally.Count(LimitReceiveRate)
	m.logger.Warn("receive rate exceeded, client disconnected",
		slog.Int("messages", m.rate.Messages), slog.Int("bytes", m.rate.Bytes), slog.Any("address", m.address(came.Request())))
	return ErrOverrun
}
