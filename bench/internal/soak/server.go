package soak

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-ce09063a/thinkws"
)

// serverConfig is what a server is started with. Zero durations stand for the defaults.
type serverConfig struct {
	PingInterval    time.Duration `json:"pingInterval,omitempty"`
	PingTimeout     time.Duration `json:"pingTimeout,omitempty"`
	DisconnectDelay time.Duration `json:"disconnectDelay,omitempty"`
	MessageTimeout  time.Duration `json:"messageTimeout,omitempty"`
	Crowd           bool          `json:"crowd"`   // many clients come at once, from one address
	Abroad          bool          `json:"abroad"`  // addresses of 127.0.0.0/24 stand for ones that limits apply to
	AnyRate         bool          `json:"anyRate"` // clients may send as much as they can
	Drop            bool          `json:"drop"`    // messages for clients that do not read are dropped

	env []string // of the process, beside that of this one
}

// options are those of a service that has some events.
func (c serverConfig) options() []thinkws.Option {
	options := []thinkws.Option{
		thinkws.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))), // formats, as a service's would
		thinkws.WithSockJS(thinkws.SockJSOptions{DisconnectDelay: c.DisconnectDelay, HeartbeatDelay: c.PingInterval}),
	}
	options = append(options, events()...)
	if c.PingInterval > 0 {
		options = append(options, thinkws.WithPingInterval(c.PingInterval))
	}
	if c.Crowd {
		const many = 1_000_000
		options = append(options, thinkws.WithLimits(thinkws.Limits{SessionsPerAddress: many, Handshakes: many, HandshakesPerAddress: many}))
	}
	if c.AnyRate {
		options = append(options, thinkws.WithReceiveRate(1<<30, 1<<40))
	}
	if c.Drop {
		options = append(options, thinkws.WithSlowPolicy(thinkws.SlowDropOldest))
	}
	if c.MessageTimeout > 0 {
		options = append(options, thinkws.WithMessageTimeout(c.MessageTimeout))
	}
	if c.PingTimeout > 0 {
		options = append(options, thinkws.WithPingTimeout(c.PingTimeout))
	}
	return options
}

// room is where what is said is heard.
const room = "lobby"

// figures are what a server says of itself.
type figures struct {
	Goroutines int               `json:"goroutines"`
	Heap       int64             `json:"heap"` // bytes of live objects, after "gc"
	Clients    int               `json:"clients"`
	Received   uint64            `json:"received"`
	Memory     int64             `json:"memory"` // bytes that all clients make the server hold, as it counts them
	Slow       uint64            `json:"slow"`
	Flooded    uint64            `json:"flooded"`
	Limits     map[string]uint64 `json:"limits"` // how often each was reached
	Sent       int64             `json:"sent"`   // broadcasts of "broadcast" and "drain"
	Took       time.Duration     `json:"took"`   // Shutdown, for "drain"
	Error      string            `json:"error,omitempty"`
}

// Serve is the server under test, until stdin ends. Its first line on stdout has the address,
// each further one answers a line on stdin:
//
//	stats                      figures
//	gc                         the same after a garbage collection
//	broadcast RATE SIZE FOR    to everyone, a second; goes on in the background
//	each ROOM RATE SIZE FOR    the same to each client in a room (* for all), a message of its own
//	count ROOM                 figures, with the clients in a room
//	drain N SIZE               N broadcasts, then Shutdown
//	heap FILE                  a profile
func Serve(args []string, stdin io.Reader, stdout io.Writer) error {
	var cfg serverConfig
	if len(args) > 0 {
		if err := json.Unmarshal([]byte(args[0]), &cfg); err != nil {
			return err
		}
	}
	handler, err := thinkws.New(cfg.options()...)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &server{
		handler: handler,
		http:    &http.Server{Handler: cfg.handler(handler), ReadHeaderTimeout: 5 * time.Second},
		out:     json.NewEncoder(stdout),
	}
	failed := make(chan error, 1)
	go func() {
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
	if err := s.out.Encode(map[string]string{"address": listener.Addr().String()}); err != nil {
		return err
	}
	commanded := make(chan error, 1)
	go func() { commanded <- s.listen(stdin) }()
	select {
	case err := <-failed:
		return err
	case err := <-commanded:
		return errors.Join(err, s.http.Close())
	}
}

// handler is what serves requests.
func (c serverConfig) handler(h *thinkws.Handler) http.Handler {
	served := h.Middleware(http.NotFoundHandler())
	if !c.Abroad {
		return served
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = strings.Replace(r.RemoteAddr, "127.0.0.", "203.0.113.", 1) // RFC 5737: for documentation
		served.ServeHTTP(w, r)
	})
}

// server is the process under test.
type server struct {
	handler *thinkws.Handler
	http    *http.Server
	out     *json.Encoder
	sent    atomic.Int64
	still   sync.RWMutex // held for writing while garbage is collected: messages dropped meanwhile would count as live
}

func (s *server) listen(stdin io.Reader) error {
	lines := bufio.NewScanner(stdin)
	for lines.Scan() {
		answer, err := s.act(lines.Text())
		if err != nil {
			answer.Error = err.Error()
		}
		if err := s.out.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (s *server) act(command string) (answer figures, err error) {
	name, arguments, _ := strings.Cut(command, " ")
	var took time.Duration
	switch name {
	case "stats":
	case "gc":
		s.collect()
	case "broadcast":
		var rate, size int
		var length time.Duration
		if _, err = fmt.Sscan(arguments, &rate, &size, (*scannedDuration)(&length)); err == nil {
			go paced(rate, length, func() error { return s.emit(size) })
		}
	case "each":
		var room string
		var rate, size int
		var length time.Duration
		if _, err = fmt.Sscan(arguments, &room, &rate, &size, (*scannedDuration)(&length)); err == nil {
			go paced(rate, length, func() error { return s.emitEach(room, size) })
		}
	case "count":
		return s.count(arguments)
	case "drain":
		var n, size int
		if _, err = fmt.Sscan(arguments, &n, &size); err == nil {
			took, err = s.drain(n, size)
		}
	case "heap":
		err = writeHeap(arguments)
	default:
		err = fmt.Errorf("no command is named %q", name)
	}
	answer = s.figures()
	answer.Took = took
	return answer, err
}

// collect collects garbage while nothing is sent.
func (s *server) collect() {
	s.still.Lock()
	defer s.still.Unlock()
	runtime.GC()
	runtime.GC() // what the first one's pools still held
	debug.FreeOSMemory()
}

func (s *server) figures() figures {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}} // what the last collection has found, without what came since
	metrics.Read(live)
	st := s.handler.Hub().Stats()
	return figures{
		Goroutines: runtime.NumGoroutine(), Heap: int64(live[0].Value.Uint64()), Clients: st.Clients,
		Received: st.Received, Memory: st.Memory, Slow: st.Slow, Flooded: st.Flooded, Limits: st.Limits, Sent: s.sent.Load(),
	}
}

// news builds the n-th broadcast of so many bytes: its number, when it was sent, and filling.
func news(n int64, size int) string {
	head := fmt.Sprintf("%d %d ", n, time.Now().UnixNano())
	return head + strings.Repeat("x", max(0, size-len(head)))
}

// paced calls emit at a rate. What it is late by it catches up with, at no more than twice the
// rate: a burst would fill anybody's queue.
func paced(rate int, length time.Duration, emit func() error) {
	period := time.Second / time.Duration(rate)
	began, last := time.Now(), time.Time{}
	for n := 0; n < int(length.Seconds()*float64(rate)); n++ {
		next := began.Add(time.Duration(n) * period)
		if soonest := last.Add(period / 2); next.Before(soonest) {
			next = soonest
		}
		time.Sleep(time.Until(next))
		last = time.Now()
		if emit() != nil {
			return // the handler has been shut down
		}
	}
}

func (s *server) emit(size int) error {
	s.still.RLock()
	defer s.still.RUnlock()
	return s.handler.Hub().Emit("news", news(s.sent.Add(1), size))
}

// everybody is the room of all clients, for the commands.
const everybody = "*"

func (s *server) in(room string) thinkws.Target {
	if room == everybody {
		return s.handler.Hub().To()
	}
	return s.handler.Hub().To(room)
}

// emitEach sends every client in a room a message that no other client gets.
func (s *server) emitEach(room string, size int) error {
	members, err := s.in(room).Sockets(context.Background())
	if err != nil {
		return err
	}
	for i := range members {
		if client, ok := s.handler.Hub().Socket(members[i].ID); ok {
			s.still.RLock()
			_ = client.Emit("news", news(s.sent.Add(1), size)) // the client may have gone
			s.still.RUnlock()
		}
	}
	return nil
}

// count returns figures whose clients are those in a room.
func (s *server) count(room string) (figures, error) {
	f := s.figures() // a client that has been counted here is in no room by then
	members, err := s.in(room).Sockets(context.Background())
	f.Clients = len(members)
	return f, err
}

// drain does what a service does in the end, with something to say before.
func (s *server) drain(n, size int) (time.Duration, error) {
	for range n {
		if err := s.emit(size); err != nil {
			return 0, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	began := time.Now()
	err := s.handler.Shutdown(ctx)
	took := time.Since(began)
	return took, errors.Join(err, s.http.Shutdown(ctx))
}

func writeHeap(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("heap").WriteTo(f, 0), f.Close())
}

// scannedDuration reads a duration with fmt.Sscan.
type scannedDuration time.Duration

// Scan implements fmt.Scanner.
func (d *scannedDuration) Scan(state fmt.ScanState, _ rune) error {
	token, err := state.Token(true, nil)
	if err != nil {
		return err
	}
	parsed, err := time.ParseDuration(string(token))
	*d = scannedDuration(parsed)
	return err
}
