package redisbus

import (
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-ce09063a/thinkws"
)

// config is what the options say.
type config struct {
	prefix      string
	specific    bool
	old         bool
	timeout     time.Duration
	outboxItems int
	outboxBytes int
	maxPayload  int
	oneByOne    bool          // for a benchmark
	surveyEvery time.Duration // shorter in tests
}

func configOf(options []Option) *config {
	c := &config{prefix: "socket.io", timeout: 5 * time.Second, outboxItems: 100_000, outboxBytes: 64 << 20, maxPayload: 16 << 20,
		surveyEvery: time.Minute}
	for _, option := range options {
		option(c)
	}
	return c
}

func (c *config) check(client redis.UniversalClient) error {
	if err := checkKind(client); err != nil {
		return err
	}
	switch {
	case c.prefix == "":
		return errors.New("redisbus: WithPrefix: no prefix")
	case c.maxPayload > largest:
		return fmt.Errorf("redisbus: WithMaxPayload: %d is more than %d", c.maxPayload, largest)
	case c.timeout <= 0 || c.outboxItems <= 0 || c.outboxBytes <= 0 || c.maxPayload <= 0:
		return fmt.Errorf("redisbus: a bound is not above zero: %v, %d, %d, %d", c.timeout, c.outboxItems, c.outboxBytes, c.maxPayload)
	}
	return nil
}

// Option configures a [Bus] or an [Emitter].
type Option func(*config)

// WithPrefix sets what the names of all channels begin with. It is the option key of Node's
// adapters, and has to be the same on all nodes. The default is "socket.io".
func WithPrefix(prefix string) Option { return func(c *config) { c.prefix = prefix } }

// WithSpecificResponses sends answers on a channel that only the node which asked listens
// to, in place of one that all do. It is the option publishOnSpecificResponseChannel of Node's
// adapter; all nodes must be of its version 8, or 7.1, or of this library. Nodes of this library
// do so among themselves in any case. The default is false.
func WithSpecificResponses() Option { return func(c *config) { c.specific = true } }

// WithSocketIO2 is for a cluster with nodes of Socket.IO 2 (socket.io-redis up to 5.4) and
// none of later versions: those want binary events marked in a way that later ones do not
// understand. Without binary, and without EmitAck, which breaks them, nodes of all versions
// may be together and this is not needed. With it EmitAck returns a thinkws.NodesError for binary.
// In either case, of what thinkws.Target.Except leaves out they know the ids of clients only, not
// rooms. The default is false.
func WithSocketIO2() Option { return func(c *config) { c.old = true } }

// WithRequestTimeout bounds how long other nodes are waited for where they are asked
// something, if the context's deadline does not come first. Clients that an event is
// awaited from are waited for until the context's deadline. The default is 5 s, that of Node.
func WithRequestTimeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// WithOutbox bounds what waits to be published, in messages and in bytes; beyond that,
// publishing is refused. The default is 100,000 and 64 MiB.
func WithOutbox(messages, bytes int) Option {
	return func(c *config) { c.outboxItems, c.outboxBytes = messages, bytes }
}

// largest is the longest message that a server takes from others, in bytes. It does not depend on
// options, so no option has to be the same on all servers.
//
// Security: only servers can publish to the Redis, and the message is in memory by then.
const largest = 256 << 20

// WithMaxPayload is the maximum size of a message to other servers, in bytes on the wire: of an event, a
// request or an answer. A longer one is not published, and its sender gets [thinkws.ErrTooLarge]. Every
// server takes messages of up to 256 MiB, which is also the maximum here. The default is 16 MiB.
//
// Redis disconnects a subscriber when the messages that wait for it exceed client-output-buffer-limit,
// by default 32 MiB. Raise that before this.
func WithMaxPayload(bytes int) Option { return func(c *config) { c.maxPayload = bytes } }

// fits returns an error for a message that is longer than the limit.
func (c *config) fits(message []byte) error {
	if len(message) <= c.maxPayload {
		return nil
	}
	return fmt.Errorf("%w: a message has %d bytes, the limit is %d", thinkws.ErrTooLarge, len(message), c.maxPayload)
}
