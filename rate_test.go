package thinkws_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Row 49: who floods is cut off; who sends as fast as is allowed is not.
func TestHostile49Flood(t *testing.T) {
	for _, tt := range []struct {
		name         string
		option       thinkws.Option
		args         string
		atOnce, then int // how many are let in, and how many in each second after that
	}{
		{"messages", thinkws.WithReceiveRate(10, 1<<20), `"x"`, 20, 10},
		{"bytes", thinkws.WithReceiveRate(1000, 100), `"` + strings.Repeat("x", 47) + `"`, 4, 2},
		{"a message longer than all of it", thinkws.WithReceiveRate(1000, 10), `"` + strings.Repeat("x", 97) + `"`, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, log := newHandler(t, tt.option, thinkws.On("e", func(*thinkws.Context) error { return nil }))
				a := enter(t, h, "/")
				send := func(n int) {
					for range n {
						require.NoError(t, a.emit("e", "", tt.args))
						synctest.Wait()
					}
				}
				send(tt.atOnce)
				for range 3 {
					time.Sleep(time.Second)
					send(tt.then)
				}
				assert.ErrorIs(t, a.emit("e", "", tt.args), session.ErrOverrun)
				assert.ErrorIs(t, a.emit("e", "", tt.args), session.ErrOverrun, "what was under way already")
				time.Sleep(time.Minute)
				assert.ErrorIs(t, a.emit("e", "", tt.args), session.ErrOverrun)
				assert.Equal(t, 1, strings.Count(log.String(), "client sends too much"))
				assert.EqualValues(t, 1, h.Hub().Stats().Flooded)
			})
		})
	}
	_, err := thinkws.New(thinkws.WithReceiveRate(0, 1))
	assert.ErrorContains(t, err, "WithReceiveRate")
}
