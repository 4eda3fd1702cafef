package thinkws_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// What clients could make the server hold, or say.

// Row 43: what unpacks to more than a message may have is not unpacked to its end.
func TestHostile43DeflateBomb(t *testing.T) {
	bomb := func(begin string) []byte {
		var out bytes.Buffer
		w, err := flate.NewWriter(&out, flate.BestSpeed)
		require.NoError(t, err)
		_, err = fmt.Fprint(w, begin, strings.Repeat("x", 4<<20))
		require.NoError(t, err)
		require.NoError(t, w.Flush())
		frame := maskedFrame(opText, strings.TrimSuffix(out.String(), "\x00\x00\xff\xff"))
		frame[0] |= rsv1
		return frame
	}
	for kind, begin := range map[string]string{"v4": `42["echo","`, "plain": `{"event":"echo","data":"`} {
		t.Run("43 "+kind, func(t *testing.T) {
			frame := bomb(begin)
			require.Less(t, len(frame), 100_000)
			s := newSite(t, thinkws.WithCompression(1024), thinkws.WithMaxMessage(50_000))
			target := map[string]string{"v4": io4 + "websocket", "plain": "/ws"}[kind]
			ws := &rawWS{t: t, conn: s.dial()}
			ws.write([]byte(upgradeRequest(target, "Sec-WebSocket-Extensions: permessage-deflate\r\n")))
			ws.in = bufio.NewReader(ws.conn)
			res, err := http.ReadResponse(ws.in, nil)
			require.NoError(t, err)
			require.Contains(t, res.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
			if kind == "v4" {
				ws.expect("0{")
				ws.send("40")
				ws.expect(`40{"sid":`)
			} else {
				ws.send(`{"event":"echo","cid":0}`)
				ws.expect(`{"rid":0}`)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			ws.write(frame)
			assert.Equal(t, large, ws.read())
			runtime.ReadMemStats(&after)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(2<<20))
			s.leave(ws)
			s.verify(thinkws.ReasonParseError)
		})
	}
	t.Run("43 nothing is agreed on by default", func(t *testing.T) {
		s := newSite(t)
		for _, target := range []string{io4 + "websocket&hasty", "/ws?hasty", "/sockjs/websocket?hasty"} {
			got, header := s.exchange(upgradeRequest(target, "Sec-WebSocket-Extensions: permessage-deflate\r\n"))
			assert.Equal(t, "101", got)
			assert.Empty(t, header.Get("Sec-WebSocket-Extensions"))
		}
		s.verify()
	})
}

// Row 71: an action that lets its client choose rooms has an end of it at a thousand.
func TestHostile71JoinFlood(t *testing.T) {
	join := thinkws.On("join", thinkws.Reply(func(c *thinkws.Context, names []string) (int, error) {
		for _, name := range names {
			if err := c.Join(name); err != nil {
				assert.ErrorIs(t, err, thinkws.ErrTooMany)
				return len(c.Rooms()), nil
			}
		}
		return 0, c.Join(names...)
	}))
	var names []string
	for i := range 3_000 {
		names = append(names, fmt.Sprintf(`"room %d"`, i))
	}
	list := "[" + strings.Join(names, ",") + "]"
	for kind, say := range map[string]string{"v4": `421["join",%s]`, "v3": `421["join",%s]`, "plain": `{"event":"join","data":%s,"cid":1}`} {
		t.Run("71 "+kind, func(t *testing.T) {
			s := newSite(t, join)
			ws, _ := s.enter(kind)
			ws.send(fmt.Sprintf(say, list))
			assert.Contains(t, []string{`431[1001]`, `{"rid":1,"data":1001}`}, ws.read(), "a thousand, and its own")
			assert.Equal(t, 1_000, s.handler.Hub().Stats().Rooms)
			ws.send(fmt.Sprintf(say, list))
			assert.Contains(t, []string{`431[1001]`, `{"rid":1,"data":1001}`}, ws.read())
			s.alive(ws, kind)
		})
	}
}

// spyBus counts what a hub asks its bus for.
type spyBus struct {
	thinkws.MemoryBus
	mu     sync.Mutex // protects what follows
	topics map[string]int
	most   int
}

type spyLink struct {
	thinkws.BusLink
	bus *spyBus
}

func (b *spyBus) Open(node thinkws.BusNode) (thinkws.BusLink, error) {
	link, err := b.MemoryBus.Open(node)
	return &spyLink{link, b}, err
}

func (l *spyLink) Subscribe(ctx context.Context, namespace string) error {
	l.bus.note(namespace, 1)
	return l.BusLink.Subscribe(ctx, namespace)
}

func (l *spyLink) Unsubscribe(namespace string) {
	l.bus.note(namespace, -1)
	l.BusLink.Unsubscribe(namespace)
}

func (b *spyBus) note(namespace string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.topics[namespace] += n; b.topics[namespace] == 0 {
		delete(b.topics, namespace)
	}
	b.most = max(b.most, len(b.topics))
}

func (b *spyBus) count() (now, most int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.topics), b.most
}

// Row 87: clients make no rooms, and subscribe the node to nothing but what the service has
// described, as much of that as one may enter, and as long as they are there.
func TestHostile87NothingOnTheBus(t *testing.T) {
	bus := &spyBus{topics: map[string]int{}}
	s := newSite(t, thinkws.WithBus(bus), thinkws.Namespace("/n*"))
	ws, _ := s.enter("v4")
	for _, packet := range []string{`42["join","room"]`, `42["subscribe",["a","b"]]`, `42["room:x",{"room":"x","rooms":["x"]}]`, `43/n,1["x"]`, `41/x,`} {
		ws.send(packet)
	}
	for i := range 20 {
		ws.send(fmt.Sprintf("40/unknown-%d,", i))
		ws.expect("44/unknown-")
	}
	now, most := bus.count()
	assert.Equal(t, []int{1, 1}, []int{now, most}, `"/" is the only one`)
	assert.Zero(t, s.handler.Hub().Stats().Rooms)
	s.alive(ws, "v4")
	for range 3 {
		ws, _ := s.enter("v4")
		for i := range 80 {
			ws.send(fmt.Sprintf("40/n%d,", i))
		}
		for range 80 {
			require.True(t, strings.HasPrefix(ws.read(), "4"))
		}
		s.alive(ws, "v4")
	}
	require.Eventually(t, func() bool { now, most = bus.count(); return now == 1 }, time.Minute, time.Millisecond)
	assert.LessOrEqual(t, most, 2*64+1, "those of one client while another's end")
	s.verify()
}

// Row 93: what clients say becomes neither a line of the log, nor a message of it, nor the
// name of anything that is counted.
func TestHostile93Log(t *testing.T) {
	const lie = `pwned\nlevel=ERROR msg=pwned \u001b[31m`
	s := newSite(t)
	ws, _ := s.enter("v4")
	ws.send(`421["` + lie + `","` + lie + `"]`)
	ws.send(`40/pwned level=ERROR msg=pwned,`)
	ws.expect("44/pwned")
	s.alive(ws, "v4")
	ws, _ = s.enter("plain")
	ws.send(`{"event":"` + lie + `","cid":"` + lie + `"}`)
	ws.expect(`{"rid":"`)
	s.alive(ws, "plain")
	ws, _ = s.enter("v4")
	ws.send(`42{"` + lie + `":1}`)
	assert.Equal(t, violated, ws.read())
	s.leave(ws)
	for _, request := range []string{
		get(io4 + "polling&sid=pwned%0Alevel%3DERROR+msg%3Dpwned"),
		get("/socket.io/?EIO=pwned%0A&transport=pwned%0Alevel%3DERROR"),
		get("/socket.io/pwned%0Alevel=ERROR/?EIO=4&transport=polling", "Origin: https://pwned.example%0A", "Cookie: a=b"),
		get(io4+"polling", "Origin: https://pwned.example level=ERROR", "Cookie: a=b"),
		get(io4+"polling", "Origin: https://pwned\tlevel=ERROR"),
		upgradeRequest("/ws/pwned%0Alevel=ERROR%20msg=pwned", "User-Agent: pwned level=ERROR\r\n"),
		post("/sockjs/0/pwned%0Alevel=ERROR/xhr_send", `["pwned"]`),
	} {
		_, _ = s.exchange(request)
	}
	s.verify(thinkws.ReasonParseError)
	text := s.log.String()
	assert.Contains(t, text, `pwned\nlevel=ERROR msg=pwned`, "it is quoted")
	for line := range strings.Lines(text) {
		assert.Regexp(t, `^time=\S+ level=(DEBUG|INFO|WARN) msg=("[^"\\]*"|[a-z]+)\s`, line)
		said, _, _ := strings.Cut(line[strings.Index(line, "msg="):], `" `)
		assert.NotContains(t, strings.SplitN(said, "=", 3)[1], "pwned")
	}
	for _, stats := range []any{thinkws.Stats{}, thinkws.BusStats{}} {
		for field := range reflect.TypeOf(stats).Fields() {
			if field.Name == "Limits" { // whose keys are the same whatever clients do
				continue
			}
			assert.NotContains(t, []reflect.Kind{reflect.Map, reflect.Slice, reflect.String}, field.Type.Kind(), field.Name)
		}
	}
}
