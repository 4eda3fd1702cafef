package thinkws_test

import (
	"context"
	"errors"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// asks is a client that answers questions. It returns its other events and answers on the channel.
func (c *talker) asks(t *testing.T, kind string) <-chan string {
	heard := make(chan string, 10)
	question := regexp.MustCompile(`^42(\d+)\["q"\]$|^\{"event":"q","cid":(\d+)\}$`)
	go func() {
		defer close(heard)
		for {
			text := c.hear()
			if id := question.FindStringSubmatch(text); id != nil {
				c.answering.Go(func() { c.send(answerOf(kind, id[1]+id[2], `"yes"`)) })
				continue
			}
			heard <- text
			if text == answerOf(kind, "6", 0) || text == "gone" {
				return
			}
		}
	}()
	return heard
}

// asker is a handler that asks its own client.
func asker(results chan<- error) thinkws.Option {
	return thinkws.On("ask", func(c *thinkws.Context) error {
		_, err := c.EmitAck(c.Context(), "q")
		results <- err
		return c.Ack("asked")
	})
}

// webSockets are the kinds of clients that can send while they have not been answered.
var webSockets = []string{"v4", "v3", "plain", "SockJS websocket", "SockJS raw websocket"}

// The answer comes behind events that wait, up to twice the limit of the queue.
func TestAnswerBehindEventsThatWait(t *testing.T) {
	for _, kind := range webSockets {
		t.Run(kind, func(t *testing.T) {
			n := &counter{release: make(chan struct{})}
			close(n.release)
			results := make(chan error, 1)
			s := newSite(t, asker(results), thinkws.On("count", n.count))
			c := s.talk(kind)
			heard := c.asks(t, kind)
			events := append([]string{eventOf(kind, "ask", "3", 0)}, numbered(kind, 1_900)...)
			c.send(append(events, eventOf(kind, "echo", "6", 0))...)
			assert.NoError(t, <-results)
			assert.Equal(t, answerOf(kind, "3", `"asked"`), <-heard)
			assert.Equal(t, answerOf(kind, "5", 1_899), <-heard)
			assert.Equal(t, answerOf(kind, "6", 0), <-heard)
			n.verify(t, 1_900)
			s.gone(c)
		})
	}
}

// Beyond that the question fails at once. All events arrive, in order, and nobody is disconnected.
func TestAnswerBehindTooManyEvents(t *testing.T) {
	const burst = 4_000
	for _, kind := range talkers {
		t.Run(kind, func(t *testing.T) {
			n := &counter{release: make(chan struct{})}
			close(n.release)
			results := make(chan error, 1)
			s := newSite(t, asker(results), thinkws.On("count", n.count))
			c := s.talk(kind)
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				c.send(append([]string{eventOf(kind, "ask", "3", 0)}, numbered(kind, burst)...)...)
				c.send(eventOf(kind, "echo", "6", 0))
			}()
			err := <-results
			require.ErrorIs(t, err, thinkws.ErrTooMany)
			<-sent
			heard := c.asks(t, kind) // the question is answered too late
			assert.Equal(t, answerOf(kind, "3", `"asked"`), <-heard)
			assert.Equal(t, answerOf(kind, "5", burst-1), <-heard)
			assert.Equal(t, answerOf(kind, "6", 0), <-heard)
			n.verify(t, burst)
			assert.NotZero(t, s.handler.Hub().Stats().Limits["receive_queue"])
			s.gone(c)
		})
	}
}

// While so much waits, questions fail before they are asked. In a question to several clients such a client is missing.
func TestQuestionsWhileTooManyEventsWait(t *testing.T) {
	for _, kind := range webSockets {
		t.Run(kind, func(t *testing.T) {
			release := make(chan struct{})
			s := newSite(t, thinkws.WithReceiveQueue(10, 1<<20), thinkws.OnAny(func(c *thinkws.Context) error {
				if c.Event() == "wait" {
					<-release
				}
				return nil
			}))
			busy, free := s.talk(kind), s.talk("v4")
			var ids []string
			require.Eventually(t, func() bool { ids = s.strangers(); return len(ids) == 2 }, time.Minute, time.Millisecond)
			go free.asks(t, "v4")
			asked := make(chan error, 1)
			go func() { // which lets the server read on
				_, err := s.handler.Hub().To(ids...).EmitAck(t.Context(), "q")
				asked <- err
			}()
			for range 25 {
				go busy.send(eventOf(kind, "wait", "", 0))
			}
			var missing *thinkws.NoAckError
			require.ErrorAs(t, <-asked, &missing)
			require.ErrorIs(t, missing, thinkws.ErrTooMany)
			require.Len(t, missing.Missing, 1)
			socket, ok := s.handler.Hub().Of("/").Socket(missing.Missing[0])
			require.True(t, ok)
			_, err := socket.EmitAck(t.Context(), "q")
			assert.ErrorIs(t, err, thinkws.ErrTooMany)
			close(release)
			assert.Eventually(t, func() bool {
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()
				_, err := socket.EmitAck(ctx, "q")
				return errors.Is(err, context.DeadlineExceeded) // it is asked
			}, time.Minute, time.Millisecond)
			free.answering.Wait()
			busy.quit()
			free.quit()
			s.verify(thinkws.ReasonTransportClose, thinkws.ReasonTransportClose)
		})
	}
}

// strangers returns the ids of clients that are not honest.
func (s *site) strangers() (ids []string) {
	members, err := s.handler.Hub().Sockets(s.t.Context())
	require.NoError(s.t, err)
	for _, m := range members {
		if socket, ok := s.handler.Hub().Of("/").Socket(m.ID); ok && !socket.Request().URL.Query().Has("honest") {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// A handler in one namespace asks while the queue of another one is full. The connection is read on for the answer.
func TestAnswerPastAFullNamespace(t *testing.T) {
	release := make(chan struct{})
	results := make(chan error, 1)
	wait := thinkws.On("wait", func(*thinkws.Context) error { <-release; return nil })
	s := newSite(t, asker(results), thinkws.WithReceiveQueue(10, 1<<20), thinkws.Namespace("/full", wait))
	c := s.talk("v4")
	c.send("40/full,")
	require.Contains(t, c.hear(), "40/full,")
	c.send(`42["ask",0]`)
	question := c.hear()
	require.Equal(t, `420["q"]`, question)
	for range 15 {
		c.send(`42/full,["wait"]`)
	}
	c.send(answerOf("v4", "0", 1))
	assert.NoError(t, <-results)
	s.paused() // nothing is awaited any more
	close(release)
	s.quitsBoth(c)
}

// quitsBoth says that a client with two sockets leaves by itself.
func (s *site) quitsBoth(c *talker) {
	s.t.Helper()
	c.quit()
	s.verify(thinkws.ReasonTransportClose)
}

// A question that is over, in whatever way, does not keep a connection being read.
func TestQuestionsThatAreOver(t *testing.T) {
	for name, end := range map[string]func(cancel func(), s *thinkws.Socket){
		"given up": func(cancel func(), _ *thinkws.Socket) { cancel() },
		"left":     func(_ func(), s *thinkws.Socket) { s.Disconnect() },
	} {
		t.Run(name, func(t *testing.T) {
			var handled atomic.Int32
			release := make(chan struct{})
			wait := thinkws.On("wait", func(*thinkws.Context) error { handled.Add(1); <-release; return nil })
			s := newSite(t, thinkws.WithReceiveQueue(10, 1<<20), wait, thinkws.Namespace("/other", thinkws.On("close", func(*thinkws.Context) error { return nil })))
			c := s.talk("v4")
			c.send("40/other,")
			require.Contains(t, c.hear(), "40/other,")
			var other *thinkws.Socket
			members, err := s.handler.Hub().Of("/other").Sockets(t.Context())
			require.NoError(t, err)
			other, _ = s.handler.Hub().Of("/other").Socket(members[0].ID)
			ctx, cancel := context.WithCancel(t.Context())
			asked := make(chan error)
			go func() { _, err := other.EmitAck(ctx, "q"); asked <- err }()
			require.Equal(t, `42/other,0["q"]`, c.hear())
			end(cancel, other)
			require.Error(t, <-asked)
			for range 25 {
				go c.send(`42["wait"]`)
			}
			s.paused()
			close(release)
			cancel()
			require.Eventually(t, func() bool { return handled.Load() == 25 }, time.Minute, time.Millisecond)
			s.quitsBoth(c)
		})
	}
}
