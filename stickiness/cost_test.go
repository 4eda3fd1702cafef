package stickiness_test

import (
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/stickiness"
)

// pair is two nodes and a session on the first.
func pair(t testing.TB) (g *group, client *http.Client) {
	g = newGroup(t, 2)
	transport := &http.Transport{MaxIdleConnsPerHost: 1000}
	t.Cleanup(transport.CloseIdleConnections)
	return g, &http.Client{Transport: transport}
}

// BenchmarkPoll is a POST that asks and the GET that has the answer: at the node of the
// session, and by way of another one. CPU is that of the process, clients and both nodes
// together; what the second has more is the price of forwarding two requests.
func BenchmarkPoll(b *testing.B) {
	for name, through := range map[string]int{"own node": 0, "forwarded": 1} {
		b.Run(name, func(b *testing.B) {
			g, client := pair(b)
			p := &poller{http: client, pick: fixed(g.members[0].url())}
			require.NoError(b, p.open())
			p.pick = fixed(g.members[through].url())
			b.ReportAllocs()
			start := cpuTime()
			for b.Loop() {
				if _, err := p.echo(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpuTime()-start).Nanoseconds())/float64(b.N)/2000, "cpu-µs/request")
		})
	}
}

// BenchmarkWebSocket holds idle WebSockets, and counts what each takes of heap and stacks in
// the process, which has clients and both nodes.
func BenchmarkWebSocket(b *testing.B) {
	for name, through := range map[string]int{"own node": 0, "forwarded": 1} {
		b.Run(name, func(b *testing.B) {
			g, client := pair(b)
			var conns []*websocket.Conn
			p := &poller{http: client}
			before := memory()
			for b.Loop() {
				p.pick = fixed(g.members[0].url())
				require.NoError(b, p.open())
				p.pick = fixed(g.members[through].url())
				conn, err := p.upgrade(b)
				require.NoError(b, err)
				conns = append(conns, conn)
			}
			time.Sleep(1500 * time.Millisecond) // until they count as idle
			b.ReportMetric(float64(memory()-before)/float64(len(conns)), "B/WebSocket")
			for _, conn := range conns {
				_ = conn.CloseNow()
			}
		})
	}
}

func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

func BenchmarkForwardLocal(b *testing.B) {
	f, err := stickiness.Forward(new(stickiness.Static), stickiness.Options{
		Node: "n1aB", Secret: secret, Local: func(*http.Request) bool { return true },
	})
	require.NoError(b, err)
	h := f.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, io4+"&t=abc&sid=n1aB"+otherSID, http.NoBody)
	require.NoError(b, err)
	w := discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}
