package redisbus_test

import (
	"context"
	"log"
	"log/slog"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/redisbus"
)

// A node among others, of this library or of Node.js.
func Example() {
	rdb := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	ws, err := thinkws.New(
		thinkws.WithBus(redisbus.New(rdb)),
		thinkws.On("say", func(c *thinkws.Context) error { return c.Broadcast("said", c.WsData()) }),
		thinkws.OnServer("reload", func(c *thinkws.Context) error { return c.Ack("reloaded") }),
	)
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("/socket.io/", ws)
	http.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {
		if err := ws.Health(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
}

// A job that speaks to the clients of all nodes.
func ExampleEmitter() {
	rdb := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	defer rdb.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	emitter := redisbus.NewEmitter(rdb)
	if err := emitter.To("news").Emit(ctx, "headline", map[string]string{"text": "It is done"}); err != nil {
		log.Print(err)
	}
}

// What go-redis has to say of the service's own clients goes to the service's log.
func ExampleLogger() {
	redis.SetLogger(redisbus.Logger(slog.Default()))
}
