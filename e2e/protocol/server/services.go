package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/seed-ce09063a/thinkws"
)

// The suites of Engine.IO and Socket.IO expect these heartbeats.
const (
	pingInterval = 300 * time.Millisecond
	pingTimeout  = 200 * time.Millisecond
)

// services are the handlers of one server.
type services struct {
	engine   *engine
	socketio *thinkws.Handler
	sockjs   map[string]*thinkws.Handler // by the prefix of their URLs
}

func newServices(eio3 bool) (*services, error) {
	s := &services{engine: newEngine(eio3), sockjs: map[string]*thinkws.Handler{}}
	var err error
	if s.socketio, err = newSocketIO(eio3); err != nil {
		return nil, err
	}
	for prefix, options := range map[string]thinkws.SockJSOptions{
		"/echo":                    {ResponseLimit: 4096},
		"/disabled_websocket_echo": {NoWebSocket: true},
		"/cookie_needed_echo":      {Cookie: true},
	} {
		if s.sockjs[prefix], err = newSockJS(options); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *services) routes() http.Handler {
	r := chi.NewRouter()
	r.Mount("/engine.io", s.engine)
	r.Mount("/socket.io", s.socketio)
	for prefix, handler := range s.sockjs {
		r.With(again).Mount(prefix, handler.SockJS())
	}
	return r
}

// again sets the cookie JSESSIONID again for a client that sends it, as the suite expects. The
// library does not, since that removes what a load balancer has set with it, such as HttpOnly.
func again(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if cookie, err := r.Cookie("JSESSIONID"); err == nil {
			http.SetCookie(w, &http.Cookie{Name: cookie.Name, Value: cookie.Value, Path: "/", HttpOnly: true})
		}
		next.ServeHTTP(w, r)
	})
}

func (s *services) shutdown(ctx context.Context) error {
	errs := []error{s.engine.shutdown(ctx), s.socketio.Shutdown(ctx)}
	for _, handler := range s.sockjs {
		errs = append(errs, handler.Shutdown(ctx))
	}
	return errors.Join(errs...)
}

// newSocketIO tells each client its auth, and sends its messages back.
func newSocketIO(eio3 bool) (*thinkws.Handler, error) {
	all := thinkws.WithMessages(thinkws.Messages{
		"open": func(c *thinkws.Context) error {
			auth := c.Websocket().Auth()
			if auth == nil {
				auth = json.RawMessage("{}") // Node.js has this for none
			}
			return c.Emit("auth", auth)
		},
		"message":          func(c *thinkws.Context) error { return c.Emit("message-back", values(c)...) },
		"message-with-ack": func(c *thinkws.Context) error { return c.Ack(values(c)...) },
	})
	return thinkws.New(
		thinkws.WithEIO3(eio3), thinkws.WithMaxMessage(1e6),
		thinkws.WithPingInterval(pingInterval), thinkws.WithPingTimeout(pingTimeout), thinkws.WithConnectTimeout(time.Second),
		all, thinkws.Namespace("/custom", all),
	)
}

// values turns the arguments of an event into those of Emit. JSON and binary do not mix in the
// messages of the suite: a message that reads as binary is binary.
func values(c *thinkws.Context) []any {
	args := c.Args()
	list := make([]any, len(args))
	for i, arg := range args {
		var data []byte
		if list[i] = arg; c.Arg(i, &data) == nil {
			list[i] = data
		}
	}
	return list
}

// newSockJS sends each string back.
func newSockJS(options thinkws.SockJSOptions) (*thinkws.Handler, error) {
	options.RawStrings, options.ClientURL = true, "/sockjs.min.js"
	return thinkws.New(thinkws.WithSockJS(options), thinkws.On("message", thinkws.Bind(func(c *thinkws.Context, text string) error {
		return c.Emit("message", text)
	})))
}
