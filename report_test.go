package thinkws_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// report is what the function of WithOnError was called with.
type report struct {
	id, namespace string // of the client, "" if there was none
	path          string
	event         string
	err           error
}

// reports collects them. It does what a service may do there, and more.
type reports struct {
	mu  sync.Mutex // protects what follows
	all []report
	ids []string // of the clients that were let in and are not honest
}

func (rs *reports) options(more ...thinkws.Option) []thinkws.Option {
	return append(more, thinkws.WithOnError(rs.hear), thinkws.On("open", func(c *thinkws.Context) error {
		if !c.Request().URL.Query().Has("honest") {
			rs.mu.Lock()
			defer rs.mu.Unlock()
			rs.ids = append(rs.ids, c.ID())
		}
		return nil
	}))
}

func (rs *reports) hear(c *thinkws.Context, err error) {
	r := report{id: c.ID(), path: c.Request().URL.Path, event: c.Event(), err: err}
	if s := c.Websocket(); s != nil {
		r.namespace = s.Namespace()
	}
	_ = c.Emit("late")
	_ = c.To("nobody").Emit("said")
	_, _ = c.Rooms(), c.Context().Err()
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.all = append(rs.all, r)
}

// one says that there was one report, and returns it.
func (rs *reports) one(t *testing.T) report {
	t.Helper()
	rs.mu.Lock()
	defer rs.mu.Unlock()
	require.Len(t, rs.all, 1, "%v", rs.all)
	return rs.all[0]
}

// about says that it was about the client that is not honest.
func (rs *reports) about(t *testing.T) report {
	t.Helper()
	r := rs.one(t)
	require.Len(t, rs.ids, 1)
	assert.Equal(t, rs.ids[0], r.id)
	assert.Equal(t, "/", r.namespace)
	assert.Empty(t, r.event)
	return r
}

// Who is refused has no client, whatever it wanted to be.
func TestOnErrorHearsOfRefusedRequests(t *testing.T) {
	for name, tt := range map[string]struct {
		option  thinkws.Option
		provoke func(r *http.Request)
		status  int
		text    string
		is      func(error) bool
	}{
		"origin": {
			thinkws.WithAllowOrigin("https://app.example"), func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
			403, `origin refused: "https://evil.example": `, isForbidden,
		},
		"host": {
			thinkws.WithAllowedHosts("localhost", "example.com"), func(r *http.Request) { r.Host = "evil.example" },
			421, `host refused: "evil.example"`, isForbidden,
		},
		"session": {
			thinkws.WithLimits(thinkws.Limits{Sessions: 4}), func(*http.Request) {},
			503, "too many clients", isTooMany,
		},
		"handshake": {
			thinkws.WithLimits(thinkws.Limits{HandshakesPerAddress: 1}), func(*http.Request) {},
			429, "too many clients at once from your address", isTooMany,
		},
	} {
		for kind, entrance := range entrances {
			t.Run(name+", "+kind, func(t *testing.T) {
				rs := &reports{}
				synctest.Test(t, func(t *testing.T) {
					s := newMemorySite(t, rs.options(tt.option)...)
					if name == "handshake" {
						for i := range 2 {
							s.knock(entrances["plain"](i), "192.0.2.7:1")
						}
					}
					r := entrance(9)
					tt.provoke(r)
					assert.Equal(t, tt.status, s.knock(r, "192.0.2.7:1").Code)
					got := rs.one(t)
					assert.Equal(t, report{path: r.URL.Path, err: got.err}, got)
					assert.ErrorContains(t, got.err, tt.text)
					assert.True(t, tt.is(got.err))
					s.verify()
				})
			})
		}
	}
}

func isForbidden(err error) bool {
	e, ok := errors.AsType[*thinkws.Error](err)
	return ok && e.Name == thinkws.Forbidden
}

func isTooMany(err error) bool { return errors.Is(err, thinkws.ErrTooMany) }

func plainly(err error) bool { return !isTooMany(err) && !errors.Is(err, thinkws.ErrSlow) }

// reporting is one kind of client in a test of what the hook hears.
type reporting struct {
	kind  string
	event string       // an event of it, with the name to put in
	say   func(string) // sends what stands for itself
	bin   func(string) // sends a frame of WebSocket
}

// admitted opens a client of a kind, and returns how to send with it.
func (s *site) admitted(kind string) reporting {
	c := reporting{kind: kind, event: `42["%s"]`}
	switch kind {
	case "polling", "polling 3":
		p := s.open(map[string]int{"polling": 4, "polling 3": 3}[kind], "")
		c.say = func(text string) {
			if p.eio == 3 && text[0] == '4' {
				text = strings.Repeat(frame3(text[:strings.Index(text, "]")+1]), strings.Count(text, "]"))
			}
			p.do("POST", text)
		}
	case "SockJS":
		p := s.sockjs("/sockjs/0/hostile", "")
		c.event, c.say = `{"event":"%s"}`, func(text string) { p.send(strings.Split(text, "\x1e")...) }
		c.bin = func(text string) { p.post("/xhr_send", text) }
	case "SockJS WebSocket":
		ws := s.upgrade("/sockjs/0/hostile/websocket")
		ws.expect("o")
		c.event = `{"event":"%s"}`
		c.say = func(text string) { ws.send(array(strings.Split(text, "\x1e")...)) }
		c.bin = func(text string) { _, _ = ws.conn.Write([]byte(text)) }
	default:
		ws, _ := s.enter(kind)
		if kind == "plain" {
			c.event = `{"event":"%s"}`
		}
		c.say = func(text string) {
			for one := range strings.SplitSeq(text, "\x1e") {
				_, _ = ws.conn.Write(maskedFrame(opText, one))
			}
		}
		c.bin = func(text string) { _, _ = ws.conn.Write([]byte(text)) }
	}
	return c
}

// Who is sent away is known by its socket, and told of once.
func TestOnErrorHearsOfClientsThatAreSentAway(t *testing.T) {
	flood := thinkws.On("flood", func(c *thinkws.Context) error {
		for err := error(nil); err == nil; {
			err = c.Emit("e", strings.Repeat("x", 50_000))
		}
		return nil
	})
	var (
		pings  = func(c reporting) { c.bin(strings.Repeat(frame(fin|opPing, true, ""), 30)) }
		slow   = func(c reporting) { c.say(fmt.Sprintf(c.event, "flood")) }
		says   = func(text string) func(c reporting) { return func(c reporting) { c.say(text) } }
		sends  = func(text string) func(c reporting) { return func(c reporting) { c.bin(text) } }
		isSlow = func(err error) bool { return errors.Is(err, thinkws.ErrSlow) }
	)
	for _, tt := range []struct {
		name, kind string
		provoke    func(c reporting)
		is         func(error) bool
		text       string
	}{
		{"malformed packet", "v4", says("4nonsense"), plainly, "unknown packet type"},
		{"malformed packet", "v3", says("9"), plainly, "malformed packet"},
		{"malformed packet", "polling", says("4nonsense"), plainly, "unknown packet type"},
		{"malformed packet", "polling 3", says("nonsense"), plainly, "malformed payload"},
		{"malformed packets", "plain", says(strings.Repeat("nonsense\x1e", 11) + "nonsense"), isTooMany, "not valid JSON"},
		{"malformed packets", "SockJS", says(strings.Repeat("nonsense\x1e", 11) + "nonsense"), isTooMany, "not valid JSON"},
		{"malformed array", "SockJS WebSocket", sends(frame(fin|opText, true, "[1]")), plainly, "no array of strings"},
		{"malformed frame", "v4", sends(frame(fin|0x3, true, "")), plainly, "protocol violated"},
		{"malformed frame", "plain", sends(frame(fin|opText, false, "")), plainly, "protocol violated"},
		{"text that is none", "SockJS WebSocket", sends(frame(fin|opText, true, "\xff")), plainly, "not UTF-8"},
		{"too large", "v4", says(strings.Repeat("x", 1<<20)), isTooMany, "message too big"},
		{"too large", "plain", says(strings.Repeat("x", 1<<20)), isTooMany, "message too big"},
		{"too large", "polling", says(strings.Repeat("x", 1<<20)), isTooMany, "body too large"},
		{"too many pings", "v4", pings, isTooMany, "too many pings"},
		{"too many pings", "v3", pings, isTooMany, "too many pings"},
		{"too many pings", "polling 3", says(strings.Repeat("1:2", 30)), isTooMany, "too many pings"},
		{"too many pings", "plain", pings, isTooMany, "too many pings"},
		{"too many pings", "SockJS WebSocket", pings, isTooMany, "too many pings"},
		{"slow", "v4", slow, isSlow, "send queue full"},
		{"slow", "v3", slow, isSlow, "send queue full"},
		{"slow", "polling", slow, isSlow, "send queue full"},
		{"slow", "plain", slow, isSlow, "send queue full"},
		{"slow", "SockJS", slow, isSlow, "send queue full"},
		{"slow", "SockJS WebSocket", slow, isSlow, "send queue full"},
	} {
		t.Run(tt.name+", "+tt.kind, func(t *testing.T) {
			rs := &reports{}
			options := rs.options(flood)
			synctest.Test(t, func(t *testing.T) {
				s := newMemorySite(t, options...)
				c := s.admitted(tt.kind)
				synctest.Wait()
				go tt.provoke(c) // the server may not read it to its end
				<-time.After(15 * time.Second)
				synctest.Wait()
				got := rs.about(t)
				assert.ErrorContains(t, got.err, tt.text)
				assert.True(t, tt.is(got.err), "%v", got.err)
			})
		})
	}
}

// What has no client yet is told by its request.
func TestOnErrorHearsOfNobody(t *testing.T) {
	rs := &reports{}
	timed(t, "no namespace", 45*time.Second, func(t *testing.T, s *site) {
		ws := s.upgrade(io4 + "websocket")
		ws.expect("0{")
		untilClose(t, ws, map[string]string{"2": "3"})
		synctest.Wait()
		got := rs.one(t)
		assert.Equal(t, report{path: "/socket.io/", err: got.err}, got)
		assert.ErrorContains(t, got.err, "no namespace entered in time")
		assert.ErrorIs(t, got.err, thinkws.ErrTooMany)
		require.NoError(t, ws.conn.Close())
	}, rs.options()...)
	for body, text := range map[string]string{"nonsense": "Broken JSON encoding", `[1]`: "Payload expected", strings.Repeat("x", 1<<20): "body too large"} {
		rs := &reports{}
		timed(t, "SockJS "+text, 0, func(t *testing.T, s *site) {
			p := s.sockjs("/sockjs/0/s", "")
			p.post("/xhr_send", body)
			got := rs.one(t)
			assert.Equal(t, report{path: "/sockjs/0/s/xhr_send", err: got.err}, got)
			assert.ErrorContains(t, got.err, text)
			require.Equal(t, "204 ", p.send(`{"event":"kick"}`))
			s.verify(thinkws.ReasonServerDisconnect)
		}, rs.options()...)
	}
}

// A client that is read more slowly, because of its handlers or its rate, has done nothing wrong.
func TestOnErrorHearsNothingOfPauses(t *testing.T) {
	for limit, option := range map[string]thinkws.Option{
		"receive_queue": thinkws.WithReceiveQueue(2, 1<<20), "receive_rate": thinkws.WithReceiveRate(5, 1<<20),
	} {
		rs := &reports{}
		bubbled(t, limit, func(t *testing.T, s *site) {
			ws, _ := s.enter("v4")
			go func() {
				for range 20 {
					_, _ = ws.conn.Write(maskedFrame(opText, `42["slow"]`))
				}
				_, _ = ws.conn.Write(maskedFrame(opText, `421["echo"]`))
			}()
			assert.Equal(t, "431[]", ws.read())
			assert.NotZero(t, s.handler.Hub().Stats().Limits[limit])
			require.NoError(t, ws.conn.Close())
			s.verify(thinkws.ReasonTransportClose)
			assert.Empty(t, rs.all)
		}, rs.options(option, thinkws.On("slow", func(*thinkws.Context) error { time.Sleep(time.Second); return nil }))...)
	}
}

// Those who go, or are lost, have done nothing wrong.
func TestOnErrorHearsNothingOfWhoGoes(t *testing.T) {
	for _, kind := range []string{"v4", "v3", "plain"} {
		rs := &reports{}
		timed(t, kind, 0, func(t *testing.T, s *site) {
			ws, _ := s.enter(kind)
			s.alive(ws, kind)
			ws, _ = s.enter(kind)
			ws.write(maskedFrame(opClose, "\x03\xe8"))
			require.Equal(t, "close 1000", ws.read())
			require.NoError(t, ws.conn.Close())
			s.verify(thinkws.ReasonTransportClose)
			synctest.Wait()
			assert.Empty(t, rs.all)
		}, rs.options()...)
	}
}

// The hook's own panic is logged, and changes nothing.
func TestOnErrorPanics(t *testing.T) {
	hook := thinkws.WithOnError(func(*thinkws.Context, error) { panic("out of order") })
	fail := thinkws.On("fail", func(*thinkws.Context) error { return errors.New("no luck") })
	timed(t, "everywhere", 0, func(t *testing.T, s *site) {
		ws, _ := s.enter("v4")
		ws.send(`421["fail"]`)
		ws.expect(`431[{"error":`)
		ws.send("4nonsense")
		assert.Equal(t, violated, ws.read())
		require.NoError(t, ws.conn.Close())
		r := entrances["polling"](0)
		r.Header.Set("Origin", "https://evil.example")
		assert.Equal(t, 403, s.knock(r, "192.0.2.7:1").Code)
		s.verify(thinkws.ReasonParseError)
		assert.Equal(t, 3, strings.Count(s.log.String(), `error="thinkws: panic: out of order"`))
		assert.Contains(t, s.log.String(), `msg="origin refused"`, "what is logged is logged all the same")
	}, hook, fail, thinkws.WithAllowOrigin("https://app.example"))
}
