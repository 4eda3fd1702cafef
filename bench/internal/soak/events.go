package soak

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/seed-ce09063a/thinkws"
)

// Lengths of what the server waits for.
const (
	answerTime    = time.Minute            // for a client's answer
	authorizeTime = 200 * time.Millisecond // for the decision about a slow namespace
)

// slowNamespaces is how many namespaces take authorizeTime to enter.
const slowNamespaces = 10

func slowNamespace(i int) string { return fmt.Sprintf("/slow-%d", i) }

// events are the handlers of the server under test.
func events() []thinkws.Option {
	options := []thinkws.Option{
		thinkws.On("echo", func(c *thinkws.Context) error { return c.Emit("echo", c.WsData()) }),
		thinkws.On("join", thinkws.Bind(func(c *thinkws.Context, room string) error {
			return errors.Join(c.Join(room), c.Emit("joined", room))
		})),
		thinkws.On("say", thinkws.Bind(func(c *thinkws.Context, text string) error {
			return c.Hub().To(room).Emit("said", text)
		})),
		thinkws.On("ask", ask),
		thinkws.On("sleep", thinkws.Bind(sleep)),
		thinkws.On("pour", thinkws.Bind(pour)),
	}
	for i := range slowNamespaces {
		options = append(options, thinkws.Namespace(slowNamespace(i), thinkws.Authorize(func(c *thinkws.Context) error {
			return wait(c, authorizeTime)
		})))
	}
	return options
}

// ask asks the client that has sent the event, and tells it what came of that.
func ask(c *thinkws.Context) error {
	ctx, cancel := context.WithTimeout(c.Context(), answerTime)
	defer cancel()
	answer, err := c.EmitAck(ctx, "question", "?")
	if errors.Is(err, thinkws.ErrTooMany) {
		return c.Emit("answered", tooMany)
	}
	if err != nil {
		return c.Emit("answered", "an error")
	}
	var text string
	if err := answer.Bind(&text); err != nil {
		return err
	}
	return c.Emit("answered", text)
}

// tooMany is what a client hears if too much waits for the server to hear its answer.
const tooMany = "too many"

// sleep blocks the client's other events.
func sleep(c *thinkws.Context, length string) error {
	d, err := time.ParseDuration(length)
	if err != nil {
		return err
	}
	return errors.Join(wait(c, d), c.Emit("slept", length))
}

// wait returns early if the client has gone.
func wait(c *thinkws.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-c.Context().Done():
		return c.Context().Err()
	}
}

// pour sends many messages and then a large one. Its argument is "COUNT SIZE LARGE".
func pour(c *thinkws.Context, sizes string) error {
	var count, size, large int
	if _, err := fmt.Sscan(sizes, &count, &size, &large); err != nil {
		return err
	}
	for n := range count {
		if err := c.Emit("drop", padded(n, size)); err != nil {
			return err
		}
	}
	return c.Emit("last", strings.Repeat("x", large))
}

// padded is a number, filled up to some bytes.
func padded(n, size int) string {
	text := fmt.Sprintf("%d ", n)
	return text + strings.Repeat("x", max(0, size-len(text)))
}
