package thinkws_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// Over Socket.IO an event that nobody has registered gets no answer, as from Node.js: every client takes an ack for
// success. Clients that speak JSON events have a form for errors, and get one.
func TestUnregisteredEventsAreAnsweredWhereErrorsCanBeTold(t *testing.T) {
	s := newSite(t)
	for _, c := range s.speakers() {
		for i, event := range []string{"nobody", "open", "close"} { // the last two are no events of clients
			t.Run(c.name+" "+event, func(t *testing.T) {
				ignored := s.handler.Hub().Stats().Ignored
				c.say(event, "1", 10+i)
				c.say(event, "1", 0)
				c.say("echo", `"here"`, 20+i)
				if c.json {
					assert.Regexp(t, `^ack 1\d error NotFound$`, c.hear(t))
				}
				assert.Regexp(t, `^ack 2\d "here"$`, c.hear(t))
				assert.Equal(t, ignored+2, s.handler.Hub().Stats().Ignored)
			})
		}
	}
	assert.Contains(t, s.log.String(), `level=DEBUG msg="event without an action"`)
}

// What an action returns is told on every wire: that is the service's own answer.
func TestErrorsOfActionsAreAnsweredOnEveryWire(t *testing.T) {
	s := newSite(t, thinkws.On("missing", func(*thinkws.Context) error {
		return &thinkws.Error{Name: thinkws.NotFound, Message: "no such event"}
	}))
	for _, c := range s.speakers() {
		c.say("missing", "1", 5)
		assert.Equal(t, "ack 5 error NotFound", c.hear(t), c.name)
	}
}

var reservedNames = []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener", ""}

// Names that other protocols keep for themselves are ordinary here, on every wire and in both directions.
func TestNamesThatAreNotReserved(t *testing.T) {
	names := []string{"error", "#", "#publish", "ping", "message", "reconnect", "Connect"}
	var options []thinkws.Option
	for _, name := range names {
		options = append(options, thinkws.On(name, func(c *thinkws.Context) error {
			if err := c.Emit(c.Event(), c.Event()); err != nil {
				return err
			}
			return c.Ack(c.WsData())
		}))
	}
	s := newSite(t, options...)
	for _, c := range s.speakers() {
		for _, name := range names {
			c.say(name, `"x"`, 7)
			assert.Equal(t, name+` "`+name+`"`, c.hear(t), c.name)
			assert.Equal(t, `ack 7 "x"`, c.hear(t), "%s, %s", c.name, name)
		}
	}
}

// Reserved names are the same for all wires. They can be neither registered nor emitted, and OnAny does not hear them.
func TestReservedNames(t *testing.T) {
	s := newSite(t, thinkws.OnAny(func(c *thinkws.Context) error {
		assert.NotContains(t, reservedNames, c.Event())
		return nil
	}))
	speakers := s.speakers()
	for _, name := range reservedNames {
		_, err := thinkws.New(thinkws.On(name, func(*thinkws.Context) error { return nil }))
		require.ErrorIs(t, err, thinkws.ErrReserved, name)
		require.ErrorIs(t, s.handler.Hub().Of("/").Emit(name), thinkws.ErrReserved)
		for _, c := range speakers {
			if !c.json || name == "" {
				continue // that is a parse error, or malformed, which other tests have
			}
			for range 20 { // they do not count as malformed
				c.say(name, "1", 3)
				assert.Equal(t, "ack 3 error NotFound", c.hear(t), "%s, %s", c.name, name)
			}
			c.say("echo", `"here"`, 4)
			assert.Equal(t, `ack 4 "here"`, c.hear(t), c.name)
		}
	}
}

// The decoder of Node.js reads an empty name. Nobody can have registered it.
func TestEmptyNameOverSocketIOIsIgnored(t *testing.T) {
	s := newSite(t, thinkws.OnAny(func(c *thinkws.Context) error {
		assert.NotEmpty(t, c.Event())
		return nil
	}))
	for _, c := range s.speakers() {
		if c.json {
			continue
		}
		ignored := s.handler.Hub().Stats().Ignored
		c.say("", "1", 3)
		c.say("echo", `"here"`, 4)
		assert.Equal(t, `ack 4 "here"`, c.hear(t), c.name)
		assert.Equal(t, ignored+1, s.handler.Hub().Stats().Ignored)
	}
	assert.NotContains(t, s.log.String(), "parse error")
}
