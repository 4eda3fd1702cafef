package thinkws_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/go-chi/chi/v5"

	"github.com/seed-ce09063a/thinkws"
)

// service is a running server, and what the examples use to talk to it: plain
// WebSockets that write and read JSON frames.
type service struct {
	*httptest.Server
	ws      *thinkws.Handler
	clients []client
}

type client struct{ conn *websocket.Conn }

func serve(ws *thinkws.Handler, routes http.Handler) *service {
	return &service{Server: httptest.NewServer(routes), ws: ws}
}

func (s *service) stop() {
	for _, c := range s.clients {
		_ = c.conn.CloseNow()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.ws.Shutdown(ctx); err != nil {
		panic(err)
	}
	s.Close()
}

func (s *service) dial(path string) client {
	conn, _, err := websocket.Dial(context.Background(), s.URL+path, nil)
	if err != nil {
		panic(err)
	}
	s.clients = append(s.clients, client{conn})
	return client{conn}
}

func (c client) send(frame string) {
	if err := c.conn.Write(context.Background(), websocket.MessageText, []byte(frame)); err != nil {
		panic(err)
	}
}

func (c client) receive() string {
	_, frame, err := c.conn.Read(context.Background())
	if err != nil {
		return err.Error()
	}
	return string(frame)
}

// A chi service with an event that everybody gets.
func Example() {
	ws, err := thinkws.New(
		thinkws.On("say", func(c *thinkws.Context) error {
			return c.Broadcast("said", c.WsData())
		}),
	)
	if err != nil {
		panic(err)
	}
	r := chi.NewRouter()
	r.Mount("/socket.io", ws)
	r.Mount("/ws", ws.WebSocket())

	server := serve(ws, r)
	defer server.stop()
	ann := server.dial("/ws")
	ann.send(`{"event":"say","data":"hello"}`)
	fmt.Println(ann.receive())
	// Output: {"event":"said","data":"hello"}
}

// Typed data in, and the returned value is the client's ack.
func ExampleReply() {
	sum := func(_ *thinkws.Context, numbers []int) (int, error) {
		total := 0
		for _, n := range numbers {
			total += n
		}
		return total, nil
	}
	ws, err := thinkws.New(thinkws.On("sum", thinkws.Reply(sum)))
	if err != nil {
		panic(err)
	}
	server := serve(ws, ws.WebSocket())
	defer server.stop()
	c := server.dial("/")
	c.send(`{"event":"sum","data":[1,2,3],"cid":1}`)
	fmt.Println(c.receive())
	// Output: {"rid":1,"data":6}
}

// An error for the client: its name and message travel, its cause does not.
func ExampleError() {
	ws, err := thinkws.New(
		thinkws.WithLogger(slog.New(slog.DiscardHandler)),
		thinkws.On("open-door", thinkws.Bind(func(_ *thinkws.Context, door string) error {
			return &thinkws.Error{Name: thinkws.Forbidden, Message: door + " is locked"}
		})))
	if err != nil {
		panic(err)
	}
	server := serve(ws, ws.WebSocket())
	defer server.stop()
	c := server.dial("/")
	c.send(`{"event":"open-door","data":"7","cid":"a"}`)
	fmt.Println(c.receive())
	// Output: {"rid":"a","error":{"name":"Forbidden","message":"7 is locked"}}
}

// Rooms: those who joined get what is sent to the room.
func ExampleContext_Join() {
	ws, err := thinkws.New(
		thinkws.On("join", thinkws.Bind(func(c *thinkws.Context, room string) error {
			if err := c.Join(room); err != nil {
				return err
			}
			return c.Hub().To(room).Emit("members", c.Rooms()[1:])
		})),
	)
	if err != nil {
		panic(err)
	}
	server := serve(ws, ws.WebSocket())
	defer server.stop()
	c := server.dial("/")
	c.send(`{"event":"join","data":"tea"}`)
	fmt.Println(c.receive())
	// Output: {"event":"members","data":["tea"]}
}

// The life of a client: "open" and "close" are fixed names.
func ExampleOn() {
	left := make(chan thinkws.Reason)
	ws, err := thinkws.New(
		thinkws.On("open", func(c *thinkws.Context) error {
			return c.Emit("opend", "This client opened successfully!")
		}),
		thinkws.On("close", func(c *thinkws.Context) error {
			left <- c.Reason()
			return nil
		}),
	)
	if err != nil {
		panic(err)
	}
	server := serve(ws, ws.WebSocket())
	defer server.stop()
	c := server.dial("/")
	fmt.Println(c.receive())
	_ = c.conn.Close(websocket.StatusNormalClosure, "")
	fmt.Println(<-left)
	// Output:
	// {"event":"opend","data":"This client opened successfully!"}
	// transport close
}

// SockJS beside the other protocols. Its clients find it by what follows the mount point
// in the URL; here is what one of them says over WebSocket.
func ExampleHandler_SockJS() {
	ws, err := thinkws.New(
		thinkws.WithSockJS(thinkws.SockJSOptions{DisconnectDelay: 10 * time.Second}),
		thinkws.On("say", thinkws.Bind(func(c *thinkws.Context, text string) error {
			return c.Broadcast("said", text)
		})),
	)
	if err != nil {
		panic(err)
	}
	r := chi.NewRouter()
	r.Mount("/sockjs", ws.SockJS())
	r.Mount("/ws", ws.WebSocket())
	server := serve(ws, r)
	defer server.stop()
	c := server.dial("/sockjs/000/abcdefgh/websocket")
	fmt.Println(c.receive())
	c.send(`["{\"event\":\"say\",\"data\":\"hello\"}"]`)
	fmt.Println(c.receive())
	// Output:
	// o
	// a["{\"event\":\"said\",\"data\":\"hello\"}"]
}

// A namespace of its own, for those who may enter it.
func ExampleNamespace() {
	ws, err := thinkws.New(
		thinkws.WithLogger(slog.New(slog.DiscardHandler)),
		thinkws.Namespace("/admin",
			thinkws.Authorize(func(c *thinkws.Context) error {
				if c.Request().URL.Query().Get("key") != "secret" {
					return &thinkws.Error{Name: thinkws.Forbidden, Message: "not for you"}
				}
				return nil
			}),
			thinkws.On("uptime", thinkws.Reply(func(*thinkws.Context, any) (string, error) { return "3 days", nil })),
		),
	)
	if err != nil {
		panic(err)
	}
	r := chi.NewRouter()
	r.Mount("/ws", ws.WebSocket())
	server := serve(ws, r)
	defer server.stop()
	admin := server.dial("/ws/admin?key=secret")
	admin.send(`{"event":"uptime","cid":1}`)
	fmt.Println(admin.receive())
	stranger := server.dial("/ws/admin")
	fmt.Println(stranger.receive())
	// Output:
	// {"rid":1,"data":"3 days"}
	// {"error":{"name":"Forbidden","message":"not for you"}}
}

// The same action over plain HTTP; its broadcast reaches the clients.
func ExampleHandler_Action() {
	addUser := thinkws.Bind(func(c *thinkws.Context, user struct{ Name string }) error {
		if err := c.Broadcast("user added", user.Name); err != nil {
			return err
		}
		return c.Ack(map[string]string{"added": user.Name})
	})
	ws, err := thinkws.New(thinkws.On("addUser", addUser))
	if err != nil {
		panic(err)
	}
	r := chi.NewRouter()
	r.Mount("/ws", ws.WebSocket())
	r.Method(http.MethodPost, "/users", ws.Action(addUser))
	server := serve(ws, r)
	defer server.stop()
	c := server.dial("/ws")
	c.send(`{"event":"addUser","data":{"name":"bob"},"cid":1}`)
	fmt.Println(c.receive())
	fmt.Println(c.receive())
	res, err := http.Post(server.URL+"/users", "application/json", strings.NewReader(`{"name":"ann"}`))
	if err != nil {
		panic(err)
	}
	_ = res.Body.Close()
	fmt.Println(res.Status)
	fmt.Println(c.receive())
	// Output:
	// {"event":"user added","data":"bob"}
	// {"rid":1,"data":{"added":"bob"}}
	// 200 OK
	// {"event":"user added","data":"ann"}
}

// The hub can be used from anywhere; a Target is a value to keep.
func ExampleHub_To() {
	ws, err := thinkws.New(thinkws.On("open", func(c *thinkws.Context) error {
		return c.Join("news")
	}), thinkws.On("ready", func(c *thinkws.Context) error { return c.Ack() }))
	if err != nil {
		panic(err)
	}
	server := serve(ws, ws.WebSocket())
	defer server.stop()
	c := server.dial("/")
	c.send(`{"event":"ready","cid":1}`)
	c.receive()
	readers := ws.Hub().To("news").Except("banned")
	if err := readers.Emit("headline", map[string]string{"title": "Go"}); err != nil {
		panic(err)
	}
	fmt.Println(c.receive())
	// Output: {"event":"headline","data":{"title":"Go"}}
}

// A question to everyone, with a deadline.
func ExampleTarget_EmitAck() {
	ws, err := thinkws.New(thinkws.On("ready", func(c *thinkws.Context) error { return c.Ack() }))
	if err != nil {
		panic(err)
	}
	server := serve(ws, ws.WebSocket())
	defer server.stop()
	c := server.dial("/")
	c.send(`{"event":"ready","cid":1}`)
	c.receive()
	go func() {
		fmt.Println(c.receive())
		c.send(`{"rid":0,"data":"yes"}`)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	answers, err := ws.Hub().EmitAck(ctx, "still there?")
	if err != nil {
		panic(err) // a *NoAckError names who is missing
	}
	var answer string
	if err := answers[0].Arg(0, &answer); err != nil {
		panic(err)
	}
	fmt.Println(answer)
	// Output:
	// {"event":"still there?","cid":0}
	// yes
}

// Middleware around every action.
func ExampleUse() {
	logged := func(next thinkws.HandlerFunc) thinkws.HandlerFunc {
		return func(c *thinkws.Context) error {
			fmt.Println("->", c.Event())
			return next(c)
		}
	}
	ws, err := thinkws.New(thinkws.Use(logged), thinkws.On("ping", func(c *thinkws.Context) error { return c.Emit("pong") }))
	if err != nil {
		panic(err)
	}
	server := serve(ws, ws.WebSocket())
	defer server.stop()
	c := server.dial("/")
	c.send(`{"event":"ping"}`)
	fmt.Println(c.receive())
	// Output:
	// -> ping
	// {"event":"pong"}
}
