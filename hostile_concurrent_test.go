package thinkws_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// An action that is Concurrent twice, as by Use and by On, does not wait for a slot while it has one:
// all slots could be taken by events that wait for another.
func TestHostileConcurrentTwice(t *testing.T) {
	s := newSite(t, thinkws.Namespace("/twice", thinkws.Use(thinkws.Concurrent),
		thinkws.On("beside", thinkws.Concurrent(func(c *thinkws.Context) error { return c.Ack(1) }))))
	ws, _ := s.enter("v4")
	ws.send("40/twice,")
	ws.expect("40/twice,")
	const events = 1000
	for i := range events {
		ws.send(fmt.Sprintf(`42/twice,%d["beside"]`, i))
	}
	for range events {
		ws.expect("43/twice,")
	}
	s.alive(ws, "v4")
}

// Concurrent does not run for a client that has left, which would give its slots and its session back
// a second time.
func TestConcurrentAfterTheClientHasLeft(t *testing.T) {
	kept := make(chan *thinkws.Context, 1)
	s := newSite(t, thinkws.On("keep", func(c *thinkws.Context) error { kept <- c; return c.Ack() }))
	sessions := func() int { return s.handler.Hub().Stats().Sessions }
	honest := sessions()
	for kind, event := range map[string]string{"v4": `421["keep"]`, "plain": `{"event":"keep","cid":1}`} {
		ws, _ := s.enter(kind)
		ws.send(event)
		ws.read()
		s.alive(ws, kind)
		require.Eventually(t, func() bool { return sessions() == honest }, 5*time.Second, time.Millisecond, kind)
		ran := false
		err := thinkws.Concurrent(func(*thinkws.Context) error { ran = true; return nil })(<-kept)
		require.ErrorIs(t, err, thinkws.ErrClosed, kind)
		assert.False(t, ran, kind)
		assert.Equal(t, honest, sessions(), kind)
	}
}
