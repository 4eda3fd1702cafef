package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/seed-ce09063a/thinkws"
)

// sockjsConfig is what a scenario chooses of SockJS.
type sockjsConfig struct {
	DisconnectDelay, HeartbeatDelay int // milliseconds
	NoWebSocket                     bool
	ClientURL                       string

	raw bool
}

func (c sockjsConfig) options() []thinkws.Option {
	return []thinkws.Option{thinkws.WithSockJS(thinkws.SockJSOptions{
		RawStrings: c.raw, NoWebSocket: c.NoWebSocket, ClientURL: c.ClientURL,
		DisconnectDelay: time.Duration(c.DisconnectDelay) * time.Millisecond,
		HeartbeatDelay:  time.Duration(c.HeartbeatDelay) * time.Millisecond,
	})}
}

// stringActions are those of node-sockjs-server.js: an echo that knows a few commands.
func stringActions(log *journal) []thinkws.Option {
	all := thinkws.WithMessages(thinkws.Messages{
		"open": func(c *thinkws.Context) error {
			log.addf("%s open", tag(c))
			return nil
		},
		"close": func(c *thinkws.Context) error {
			log.addf("%s close", tag(c)) // Node does not tell why
			return nil
		},
		"message": thinkws.Bind(func(c *thinkws.Context, text string) error {
			command, argument, _ := strings.Cut(text, " ")
			switch command {
			case "#close":
				c.Websocket().Close()
			case "#all":
				return everybody(c).Emit("message", argument)
			case "#count":
				n, err := strconv.Atoi(argument)
				if err != nil {
					return err
				}
				return countStrings(c, n)
			case "#pour":
				var p pouring
				if _, err := fmt.Sscan(argument, &p.Messages, &p.Size, &p.Large); err != nil {
					return err
				}
				return pourStrings(c, p)
			case "#log":
				log.addf("%s says %s", tag(c), argument)
			default:
				return c.Emit("message", text)
			}
			return nil
		}),
	})
	closed := thinkws.Authorize(guard(&thinkws.Error{Message: "closed today"}))
	return []thinkws.Option{all, thinkws.Namespace("/closed", closed, all)}
}

func countStrings(c *thinkws.Context, n int) error {
	for i := range n {
		if err := c.Emit("message", strconv.Itoa(i)); err != nil {
			return err
		}
	}
	return nil
}

func pourStrings(c *thinkws.Context, p pouring) error {
	for i := range p.Messages {
		if err := c.Emit("message", strconv.Itoa(i)+strings.Repeat("x", p.Size)); err != nil {
			return err
		}
	}
	return c.Emit("message", strings.Repeat("y", p.Large))
}
