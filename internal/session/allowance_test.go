package session_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

func TestAllowanceFillsAtItsRate(t *testing.T) {
	for _, tt := range []struct {
		name         string
		rate         session.Rate
		size         int
		atOnce, then int // packets at first, and in each second after that
	}{
		{"packets", session.Rate{Messages: 10, Bytes: 1 << 20}, 1, 20, 10},
		{"empty packets", session.Rate{Messages: 10, Bytes: 1}, 0, 20, 10},
		{"bytes", session.Rate{Messages: 1000, Bytes: 100}, 50, 4, 2},
		{"a packet larger than the allowance", session.Rate{Messages: 1000, Bytes: 10}, 100, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				var tally session.Tally
				m := session.NewMeter(tt.rate, &tally, slog.New(slog.NewTextHandler(&log, nil)), func(r *http.Request) netip.Addr {
					return netip.MustParseAddrPort(r.RemoteAddr).Addr()
				})
				came := session.Keep(&http.Request{RemoteAddr: "192.0.2.1:5"})
				var a session.Allowance
				take := func(n int) {
					for range n {
						assert.NoError(t, m.Take(&a, tt.size, came))
					}
				}
				take(tt.atOnce)
				for range 3 {
					time.Sleep(time.Second)
					take(tt.then)
				}
				assert.ErrorIs(t, m.Take(&a, tt.size, came), session.ErrOverrun)
				time.Sleep(time.Minute)
				assert.ErrorIs(t, m.Take(&a, tt.size, came), session.ErrOverrun, "for good")
				assert.EqualValues(t, 1, tally.Counts()["receive_rate"])
				assert.Equal(t, 1, strings.Count(log.String(), "receive rate exceeded"))
				assert.Contains(t, log.String(), "address=192.0.2.1")
			})
		})
	}
}

func TestNilMeterChargesNothing(t *testing.T) {
	var m *session.Meter
	var a session.Allowance
	for range 100 {
		assert.NoError(t, m.Take(&a, 1<<30, nil))
	}
}
