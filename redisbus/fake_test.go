package redisbus_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// fakeRedis answers on the loopback what a test wants it to. What a test leaves alone it
// answers as Redis does, patterns apart, which match nothing.
type fakeRedis struct {
	listener net.Listener
	conns    sync.WaitGroup

	mu     sync.Mutex                       // protects what follows, and writes to connections
	odd    map[string]string                // replies by command, as they are sent
	asked  map[string]int                   // how often, by command
	topics map[string]map[net.Conn]struct{} // who listens
	open   map[net.Conn]struct{}
}

// newFakeRedis serves for the time of the test.
func newFakeRedis(t testing.TB) *fakeRedis {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &fakeRedis{listener: listener, odd: map[string]string{}, asked: map[string]int{},
		topics: map[string]map[net.Conn]struct{}{}, open: map[net.Conn]struct{}{}}
	f.conns.Go(f.accept)
	t.Cleanup(f.close)
	return f
}

func (f *fakeRedis) url() string { return "redis://" + f.listener.Addr().String() }

func (f *fakeRedis) close() {
	f.listener.Close()
	f.mu.Lock()
	for conn := range f.open {
		conn.Close()
	}
	f.mu.Unlock()
	f.conns.Wait()
}

func (f *fakeRedis) accept() {
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.open[conn] = struct{}{}
		f.mu.Unlock()
		f.conns.Go(func() { f.serve(conn) })
	}
}

// answers lets a command have another reply from now on; "" for that of Redis.
func (f *fakeRedis) answers(command, reply string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.odd[command] = reply
}

// times returns how often a command has been answered.
func (f *fakeRedis) times(command string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[command]
}

// push sends something to each connection that listens to anything.
func (f *fakeRedis) push(raw string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	listeners := map[net.Conn]struct{}{}
	for _, conns := range f.topics {
		for conn := range conns {
			listeners[conn] = struct{}{}
		}
	}
	for conn := range listeners {
		_, _ = io.WriteString(conn, raw)
	}
}

func (f *fakeRedis) serve(conn net.Conn) {
	defer f.forget(conn)
	in := bufio.NewReader(conn)
	for {
		args, err := readCommand(in)
		if err != nil {
			return
		}
		command := strings.ToUpper(args[0])
		if command == "PUBSUB" {
			command += " " + strings.ToUpper(args[1])
		}
		f.mu.Lock()
		f.asked[command]++
		reply := f.odd[command]
		if reply == "" {
			reply = f.reply(conn, command, args[1:])
		}
		_, err = io.WriteString(conn, reply)
		f.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (f *fakeRedis) forget(conn net.Conn) {
	conn.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, conn)
	for _, conns := range f.topics {
		delete(conns, conn)
	}
}

func readCommand(in *bufio.Reader) (args []string, err error) {
	n, err := readLength(in, '*')
	for range n {
		size, err := readLength(in, '$')
		if err != nil {
			return nil, err
		}
		text := make([]byte, size+2)
		if _, err := io.ReadFull(in, text); err != nil {
			return nil, err
		}
		args = append(args, string(text[:size]))
	}
	return args, err
}

func readLength(in *bufio.Reader, kind byte) (int, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != kind {
		return 0, fmt.Errorf("%q begins a command", line)
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}

// reply is what Redis answers. f.mu must be held.
func (f *fakeRedis) reply(conn net.Conn, command string, args []string) string {
	switch command {
	case "PING":
		for _, conns := range f.topics {
			if _, listens := conns[conn]; listens {
				return list(bulk("pong"), bulk(""))
			}
		}
		return "+PONG\r\n"
	case "SUBSCRIBE", "PSUBSCRIBE":
		out := ""
		for _, topic := range args {
			if f.topics[topic] == nil {
				f.topics[topic] = map[net.Conn]struct{}{}
			}
			f.topics[topic][conn] = struct{}{}
			out += list(bulk(strings.ToLower(command)), bulk(topic), ":1\r\n")
		}
		return out
	case "PUBLISH":
		for listener := range f.topics[args[0]] {
			_, _ = io.WriteString(listener, list(bulk("message"), bulk(args[0]), bulk(args[1])))
		}
		return fmt.Sprintf(":%d\r\n", len(f.topics[args[0]]))
	case "PUBSUB NUMSUB":
		var counts []string
		for _, topic := range args[1:] {
			counts = append(counts, bulk(topic), fmt.Sprintf(":%d\r\n", len(f.topics[topic])))
		}
		return list(counts...)
	case "PUBSUB CHANNELS":
		begin, _, _ := strings.Cut(args[1], "*")
		var channels []string
		for topic, conns := range f.topics {
			if len(conns) > 0 && strings.HasPrefix(topic, begin) && !strings.HasSuffix(topic, "*") {
				channels = append(channels, bulk(topic))
			}
		}
		return list(channels...)
	case "HELLO":
		return "-ERR unknown command\r\n"
	case "EVALSHA":
		return list()
	default:
		return "+OK\r\n"
	}
}

func bulk(text string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) }

func list(elements ...string) string {
	return fmt.Sprintf("*%d\r\n%s", len(elements), strings.Join(elements, ""))
}
