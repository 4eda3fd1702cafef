package thinkws

import (
	"cmp"
	"fmt"
	"html"
	"strings"
	"time"
)

// SockJSOptions are the options of SockJS; see [WithSockJS]. The zero value of each field
// stands for its default.
type SockJSOptions struct {
	// Path is where [Handler.Middleware] serves SockJS; default "/sockjs". It also helps
	// [Handler.SockJS] where its mount point cannot be seen otherwise.
	Path string

	// NoWebSocket leaves clients nothing but the HTTP transports.
	NoWebSocket bool

	// RawStrings makes each message of a client a string, for clients that do not
	// speak JSON events: it comes as the event "message", with the string as WsData. An Emit
	// of "message" with a string sends the string; other arguments go out as JSON text,
	// several as an array. Other events reach such a client as JSON events. It has no acks:
	// an EmitAck to it fails.
	RawStrings bool

	// ResponseLimit is how many bytes of frames a streaming answer carries before it
	// ends and the client asks for the next; default 128 KiB.
	ResponseLimit int

	// DisconnectDelay is how long a client over HTTP may stay away between two requests
	// before it counts as gone; default 5 seconds.
	DisconnectDelay time.Duration

	// HeartbeatDelay is after what time of silence a client gets a heartbeat; default
	// 25 seconds. A WebSocket has to answer it within 10.
	HeartbeatDelay time.Duration

	// Cookie sets the cookie JSESSIONID=dummy, for load balancers that route by it: HttpOnly, Secure under TLS, and only
	// for clients that have no cookie of this name and get none from middleware in front. The cookie carries no
	// information, but the origin check treats it as a credential, so pages of other origins get it only if they are
	// listed with WithAllowOrigin.
	Cookie bool

	// ClientURL is where the client's script is, for the page of the iframe transports:
	// an address that begins with "/" or "http", of exactly the version that the pages use.
	// Default: none, and there is no such page, since the script runs on the origin of this
	// service. Where origins are listed, that of the service has to be among them
	// for these transports, for the requests come from there.
	ClientURL string
}

// WithSockJS sets the options of SockJS. What was set before is replaced.
func WithSockJS(o SockJSOptions) Option {
	return serverOption("WithSockJS", func(c *config) error {
		if err := o.check(); err != nil {
			return fmt.Errorf("thinkws: WithSockJS: %w", err)
		}
		c.sockjs = o.withDefaults()
		return nil
	})
}

func (o SockJSOptions) check() error {
	if o.Path != "" {
		if err := checkPath(o.Path); err != nil {
			return fmt.Errorf("path: %w", err)
		}
	}
	if o.ResponseLimit < 0 {
		return fmt.Errorf("ResponseLimit: %d is negative", o.ResponseLimit)
	}
	for name, d := range map[string]time.Duration{"DisconnectDelay": o.DisconnectDelay, "HeartbeatDelay": o.HeartbeatDelay} {
		if d != 0 && d < time.Millisecond {
			return fmt.Errorf("%s: %v is less than a millisecond", name, d)
		}
	}
	url := o.ClientURL
	if url != "" && (!strings.HasPrefix(url, "/") && !strings.HasPrefix(url, "http") || html.EscapeString(url) != url) {
		return fmt.Errorf("ClientURL: %q does not begin with \"/\" or \"http\", or is no address", url)
	}
	return nil
}

func (o SockJSOptions) withDefaults() SockJSOptions {
	o.Path = strings.TrimSuffix(cmp.Or(o.Path, "/sockjs"), "/")
	o.ResponseLimit = cmp.Or(o.ResponseLimit, 128<<10)
	o.DisconnectDelay = cmp.Or(o.DisconnectDelay, 5*time.Second)
	o.HeartbeatDelay = cmp.Or(o.HeartbeatDelay, 25*time.Second)
	return o
}
