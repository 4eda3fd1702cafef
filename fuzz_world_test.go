package thinkws_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// world is where a run of FuzzSession takes place: a server in memory, honest clients,
// and what has gone wrong.
type world struct {
	t       *testing.T
	handler *thinkws.Handler
	server  *http.Server
	memory  *memory
	serving sync.WaitGroup
	honest  []*neighbour
	rounds  int // of news to the honest

	mu     sync.Mutex // protects what follows
	faults []string
}

// Bits of the first byte of a program.
const (
	worldCompress   = 1 << 0
	worldDropNewest = 1 << 1
	worldDropOldest = 1 << 2
	worldRaw        = 1 << 3 // SockJS with raw strings
	worldLeft       = 1 << 4 // clients are still there when it ends
	worldPolling    = 1 << 5 // an honest client that polls, beside that with a WebSocket
	worldRate       = 1 << 6
)

func newWorld(t *testing.T, how int) *world {
	w := &world{t: t, memory: newMemory()}
	options := append(worldActions(),
		thinkws.WithLogger(slog.New(w)), thinkws.WithMaxMessage(4_000), thinkws.WithSendQueue(16<<10), thinkws.WithReceiveQueue(20, 32<<10),
		thinkws.WithMaxRooms(2), thinkws.WithSockJS(thinkws.SockJSOptions{ResponseLimit: 2_000, RawStrings: how&worldRaw != 0, Cookie: true}),
		thinkws.WithLimits(thinkws.Limits{Sessions: 12}),
	)
	if how&worldCompress != 0 {
		options = append(options, thinkws.WithCompression(64))
	}
	switch {
	case how&worldDropNewest != 0:
		options = append(options, thinkws.WithSlowPolicy(thinkws.SlowDropNewest))
	case how&worldDropOldest != 0:
		options = append(options, thinkws.WithSlowPolicy(thinkws.SlowDropOldest))
	}
	if how&worldRate != 0 {
		options = append(options, thinkws.WithReceiveRate(20, 10_000))
	}
	var err error
	w.handler, err = thinkws.New(options...)
	require.NoError(t, err)
	w.server = &http.Server{
		Handler: w.handler.Middleware(http.NotFoundHandler()), ReadHeaderTimeout: 5 * time.Second, ErrorLog: log.New(w, "", 0),
	}
	w.serving.Go(func() { _ = w.server.Serve(w.memory) })
	w.honest = append(w.honest, newNeighbour(w))
	if how&worldPolling != 0 {
		w.honest = append(w.honest, newPollingNeighbour(w))
	}
	return w
}

// worldActions are what clients can ask for, honest ones and others.
func worldActions() []thinkws.Option {
	data := func(c *thinkws.Context) any { return append(json.RawMessage(nil), c.WsData()...) }
	actions := map[string]thinkws.HandlerFunc{
		"open": func(c *thinkws.Context) error { _ = c.Emit("hello", c.ID()); return nil },
		"echo": func(c *thinkws.Context) error {
			if err := c.Emit("echo", data(c)); err != nil {
				return nil //nolint:nilerr // it has gone
			}
			_ = c.Ack(data(c), []byte("bytes"))
			return nil
		},
		"join":  func(c *thinkws.Context) error { _ = c.Join("r", fmt.Sprint(len(c.WsData()))); return nil },
		"leave": func(c *thinkws.Context) error { c.Leave("r"); return nil },
		"say":   func(c *thinkws.Context) error { _ = c.Broadcast("said", data(c)); return nil },
		"relay": func(c *thinkws.Context) error { _ = c.To("r").Emit("relayed", []byte("bytes"), data(c)); return nil },
		"ask": func(c *thinkws.Context) error {
			ctx, cancel := context.WithTimeout(c.Context(), 3*time.Second)
			defer cancel()
			_, _ = c.EmitAck(ctx, "question", 1)
			return nil
		},
		"many": func(c *thinkws.Context) error {
			for i := range 100 {
				_ = c.Emit("one", i)
			}
			return nil
		},
		"big":  func(c *thinkws.Context) error { _ = c.Emit("big", make([]byte, 10_000)); return nil },
		"kick": func(c *thinkws.Context) error { c.Websocket().Disconnect(); return nil },
		"quit": func(c *thinkws.Context) error { c.Websocket().Close(); return nil },
		"fail": func(*thinkws.Context) error { return errors.New("it failed") },
		"slow": func(*thinkws.Context) error { time.Sleep(12 * time.Second); return nil },
		"sum": thinkws.Reply(func(_ *thinkws.Context, v []int) (sum int, err error) {
			for _, n := range v {
				sum += n
			}
			return sum, nil
		}),
		"beside": thinkws.Concurrent(func(c *thinkws.Context) error {
			select {
			case <-c.Context().Done():
			case <-time.After(20 * time.Second):
			}
			_ = c.Ack(string(c.Reason()))
			return nil
		}),
	}
	var options []thinkws.Option
	for name, fn := range actions {
		options = append(options, thinkws.On(name, fn))
	}
	return append(options,
		thinkws.Namespace("/chat", thinkws.On("say", actions["say"]), thinkws.On("echo", actions["echo"])),
		thinkws.Namespace("/refused", thinkws.Authorize(func(*thinkws.Context) error { return &thinkws.Error{Name: "No", Message: "no"} })))
}

// fault notes that something is wrong. It is safe for concurrent use.
func (w *world) fault(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// Write takes what the HTTP server logs: of that, nothing should come.
func (w *world) Write(line []byte) (int, error) {
	w.fault("the HTTP server says: %s", line)
	return len(line), nil
}

// Enabled makes everything be logged, so that the attributes are read.
func (w *world) Enabled(context.Context, slog.Level) bool { return true }

func (w *world) WithAttrs([]slog.Attr) slog.Handler { return w }
func (w *world) WithGroup(string) slog.Handler      { return w }

// Handle looks for panics, and for errors of ours.
func (w *world) Handle(_ context.Context, r slog.Record) error {
	var text strings.Builder
	text.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&text, " %s=%v", a.Key, a.Value)
		return true
	})
	line := text.String()
	failed := r.Message == "action failed" // which is the action's right
	if strings.Contains(line, "panic") || r.Level >= slog.LevelError && !failed {
		w.fault("logged: %s", line)
	}
	return nil
}

// check asks the honest clients whether they are served and have all that was sent.
func (w *world) check() {
	w.rounds++
	if err := w.handler.Hub().Emit("news", w.rounds); err != nil {
		w.fault("news %d: %v", w.rounds, err)
	}
	for _, n := range w.honest {
		n.check(w.rounds)
	}
}

// end lets the honest clients go and looks at what is left.
func (w *world) end(left bool) {
	w.check()
	if !left {
		for _, n := range w.honest {
			n.close()
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		w.empty("after all have gone")
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Minute) // all that a queue holds may be slow
	defer cancel()
	if err := w.handler.Shutdown(ctx); err != nil {
		w.fault("Shutdown: %v", err)
	}
	w.empty("after Shutdown")
	for _, n := range w.honest {
		n.close()
	}
	_ = w.server.Close()
	w.serving.Wait()
}

func (w *world) empty(when string) {
	if st := w.handler.Hub().Stats(); st.Clients != 0 || st.Rooms != 0 || st.Memory != 0 {
		w.fault("%s: %d clients, %d rooms, %d bytes held", when, st.Clients, st.Rooms, st.Memory)
	}
}

// dial returns the client's end of a new connection.
func (w *world) dial() *pipeConn {
	client, server := newPipeConn()
	w.memory.conns <- server
	return client
}

// neighbour is an honest client.
type neighbour struct {
	world *world
	write func(text string)
	close func()
	heard chan string
	asked int
}

func newNeighbour(w *world) *neighbour {
	n := &neighbour{world: w, heard: make(chan string, 10_000)}
	conn := w.dial()
	n.close = func() { _ = conn.Close() }
	ws := upgrade(w.t, conn, "/socket.io/?EIO=4&transport=websocket", "40")
	n.write = func(text string) { _, _ = conn.Write(maskedFrame(1, text)) }
	go func() {
		defer close(n.heard)
		for {
			frame, err := nextFrame(ws.in)
			if err != nil {
				return
			}
			n.take(frame)
		}
	}()
	n.hear("40{")
	return n
}

// newPollingNeighbour polls on one connection and posts on another.
func newPollingNeighbour(w *world) *neighbour {
	n := &neighbour{world: w, heard: make(chan string, 10_000)}
	polls, posts := w.dial(), w.dial()
	n.close = func() { _ = polls.Close(); _ = posts.Close() }
	in := bufio.NewReader(polls)
	poll := func(target string) (packets []string) {
		_, _ = io.WriteString(polls, "GET "+target+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
		res, err := http.ReadResponse(in, nil)
		if err != nil || res.StatusCode != http.StatusOK {
			return nil
		}
		body, _ := io.ReadAll(res.Body)
		return strings.Split(string(body), "\x1e")
	}
	target := "/socket.io/?EIO=4&transport=polling"
	var open struct{ SID string }
	if first := poll(target); len(first) == 0 || json.Unmarshal([]byte(first[0][1:]), &open) != nil {
		require.FailNow(w.t, "no handshake by polling", first)
	}
	target += "&sid=" + open.SID
	replies := bufio.NewReader(posts)
	var turn sync.Mutex
	n.write = func(text string) {
		turn.Lock()
		defer turn.Unlock()
		fmt.Fprintf(posts, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", target, len(text), text)
		if res, err := http.ReadResponse(replies, nil); err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
		}
	}
	n.write("40")
	go func() {
		defer close(n.heard)
		for packets := poll(target); packets != nil; packets = poll(target) {
			for _, packet := range packets {
				n.take(packet)
			}
		}
	}()
	n.hear("40{")
	return n
}

// take answers pings and keeps what checks ask for.
func (n *neighbour) take(packet string) {
	switch {
	case packet == "2":
		n.write("3")
	case strings.HasPrefix(packet, "40"), strings.HasPrefix(packet, "43"), strings.HasPrefix(packet, `42["news"`), strings.HasPrefix(packet, "461-"):
		n.heard <- packet
	}
}

// hear wants a packet to be the next.
func (n *neighbour) hear(want string) {
	select {
	case got, ok := <-n.heard:
		if !ok {
			n.world.fault("an honest client has been hung up on while it waited for %s", want)
		} else if !strings.HasPrefix(got, want) {
			n.world.fault("an honest client got %s, want %s", got, want)
		}
	case <-time.After(10 * time.Second):
		n.world.fault("an honest client waits for %s", want)
	}
}

// check sends an echo and wants the news that has been sent, and the answer.
func (n *neighbour) check(round int) {
	n.hear(fmt.Sprintf(`42["news",%d]`, round))
	n.asked++
	n.write(fmt.Sprintf(`42%d["echo",%d]`, n.asked, n.asked))
	n.hear(fmt.Sprintf(`461-%d[%d,`, n.asked, n.asked))
}

// verdict fails the test if there is something to blame.
func (w *world) verdict(input []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.faults) > 0 {
		w.t.Fatalf("%s\nthe program was %q", strings.Join(w.faults, "\n"), bytes.Clone(input))
	}
}
