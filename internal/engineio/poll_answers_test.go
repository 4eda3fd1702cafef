package engineio_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Everything that can end the wait of a GET answers it with 200.
func TestWhatAnswersAPollThatWaits(t *testing.T) {
	tests := map[string]struct {
		act  func(t *testing.T, h *harness, p *peer)
		want string
	}{
		"a message":          {func(t *testing.T, _ *harness, p *peer) { assert.NoError(t, p.send("x")) }, "4x"},
		"several":            {func(t *testing.T, _ *harness, p *peer) { assert.NoError(t, p.send("x", "y")) }, "4x\x1e4y"},
		"a ping":             {func(*testing.T, *harness, *peer) { advance(25 * time.Second) }, "2"},
		"the session closes": {func(_ *testing.T, _ *harness, p *peer) { p.Close(session.ReasonServerDisconnect) }, "1"},
		"the server closes":  {func(_ *testing.T, h *harness, _ *peer) { h.server.Shut(session.ReasonServerShutdown) }, "1"},
		"the client closes":  {func(_ *testing.T, h *harness, p *peer) { h.post(p.query, "1") }, "6"},
		"a probe":            {func(_ *testing.T, h *harness, p *peer) { h.upgrading(p).write("2probe") }, "6"},
		"a second poll":      {func(_ *testing.T, h *harness, p *peer) { h.get(p.query) }, "1"},
		"a malformed packet": {func(_ *testing.T, h *harness, p *peer) { h.post(p.query, "x") }, "1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				p := h.polling(4, "")
				waiting := h.poll(p)
				advance(2 * time.Second)
				tt.act(t, h, p)
				a := <-waiting
				assert.Equal(t, 200, a.status)
				assert.Equal(t, tt.want, a.body)
			})
		})
	}
}
