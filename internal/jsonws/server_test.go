package jsonws_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/jsonws"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// run runs f in a bubble with a fresh server, and checks that nothing is left of it.
func run(t *testing.T, f func(t *testing.T, s *jsonws.Server, h *hub)) {
	t.Helper()
	runWith(t, config(), f)
}

func runWith(t *testing.T, cfg jsonws.Config, f func(t *testing.T, s *jsonws.Server, h *hub)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := new(hub)
		s := jsonws.NewServer(cfg, h)
		f(t, s, h)
		s.Shut("end of the test")
		wait(t, cfg)
		assert.Zero(t, s.Len())
	})
}

func TestAdmission(t *testing.T) {
	run(t, func(t *testing.T, s *jsonws.Server, h *hub) {
		c := dial(t, s)
		p := h.peer(0)
		assert.Len(t, p.ID, 20)
		assert.Equal(t, "/chat", p.Namespace)
		assert.Nil(t, p.Auth)
		assert.Equal(t, "/ws/chat?token=1", p.Handshake.Request().URL.String())
		assert.Equal(t, "websocket", p.Conn.Transport())
		p.Conn.Accept()
		require.NoError(t, p.Conn.Send(event("welcome", `1`)))
		c.expect(t, `{"event":"welcome","data":1}`)
		c.Close()
		synctest.Wait()
		assert.Equal(t, []string{session.ReasonTransportClose}, h.reasons())
		assert.ErrorIs(t, p.Conn.Send(event("late")), session.ErrClosed)
		p.Conn.Leave("late")
		p.Conn.Close("late")
		synctest.Wait()
		assert.Len(t, h.reasons(), 1)
	})
}

func TestRefusal(t *testing.T) {
	long := strings.Repeat("é", 80)
	tests := map[string]struct {
		failure session.Failure
		frame   string
		reason  string
	}{
		"plain": {
			session.Failure{Name: "Forbidden", Message: "not you"},
			`{"error":{"name":"Forbidden","message":"not you"}}`, "not you",
		},
		"data": {
			session.Failure{Name: "F", Message: "no", Data: []byte(`{"retry":false}`)},
			`{"error":{"name":"F","message":"no","data":{"retry":false}}}`, "no",
		},
		"long": {
			session.Failure{Name: "F", Message: long},
			`{"error":{"name":"F","message":"` + long + `"}}`, long[:122],
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, s *jsonws.Server, h *hub) {
				c := dial(t, s)
				h.peer(0).Conn.Refuse(&tt.failure)
				h.peer(0).Conn.Leave("too late")
				c.expect(t, tt.frame)
				c.expectClose(t, 1008, tt.reason)
				synctest.Wait()
				assert.Empty(t, h.reasons())
				assert.ErrorIs(t, h.peer(0).Conn.Send(event("x")), session.ErrClosed)
			})
		})
	}
}

// The hub may answer before Admit has returned.
func TestAnswersWithinAdmit(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		run(t, func(t *testing.T, s *jsonws.Server, h *hub) {
			h.admit = func(p session.Peer) { p.Conn.Refuse(&session.Failure{Name: "N", Message: "m"}) }
			c := dial(t, s)
			c.expect(t, `{"error":{"name":"N","message":"m"}}`)
			c.expectClose(t, 1008, "m")
			assert.Empty(t, h.reasons())
		})
	})
	t.Run("left", func(t *testing.T) {
		run(t, func(t *testing.T, s *jsonws.Server, h *hub) {
			h.admit = func(p session.Peer) {
				p.Conn.Accept()
				assert.NoError(t, p.Conn.Send(event("bye")))
				p.Conn.Leave(session.ReasonServerDisconnect)
			}
			c := dial(t, s)
			c.expect(t, `{"event":"bye"}`)
			c.expectClose(t, 1000, session.ReasonServerDisconnect)
			assert.Equal(t, []string{session.ReasonServerDisconnect}, h.reasons())
		})
	})
}

func TestEventsAndAnswers(t *testing.T) {
	run(t, func(t *testing.T, s *jsonws.Server, h *hub) {
		c := dial(t, s)
		c.text(t, `{"event":"sum","data":[1,2],"cid":"a"}`, `{"rid":5,"data":true}`)
		synctest.Wait()
		got := h.messages()
		require.Len(t, got, 2)
		assert.Equal(t, "sum", got[0].Name)
		assert.Equal(t, "/chat", got[0].Namespace)
		assert.Equal(t, `"a"`, got[0].ID)
		assert.Equal(t, session.Answer, got[1].Kind)
		assert.Equal(t, "5", got[1].ID)

		conn := h.peer(0).Conn
		require.NoError(t, conn.Send(&session.Message{Kind: session.Answer, ID: got[0].ID, Args: event("", "3").Args}))
		require.NoError(t, conn.Send(&session.Message{Name: "ask", ID: "9"}))
		c.expect(t, `{"rid":"a","data":3}`, `{"event":"ask","cid":9}`)
	})
}

// Which names are reserved is for the hub to know, for all protocols alike.
func TestEveryNameIsHandedOn(t *testing.T) {
	names := []string{"open", "close", "connect", "disconnect", "error", "#publish", "#"}
	run(t, func(t *testing.T, s *jsonws.Server, h *hub) {
		c := dial(t, s)
		for _, name := range names {
			c.text(t, `{"event":"`+name+`","data":1,"cid":3}`)
		}
		synctest.Wait()
		require.Len(t, h.messages(), len(names))
		for i, name := range names {
			assert.Equal(t, name, h.messages()[i].Name)
			assert.Equal(t, "3", h.messages()[i].ID)
		}
	})
}

func TestMalformedFramesAreAnswered(t *testing.T) {
	run(t, func(t *testing.T, s *jsonws.Server, h *hub) {
		c := dial(t, s)
		c.text(t, `{`, `{"event":"","cid":"q"}`)
		c.send(t, binaryFrame, `{"event":"x"}`)
		c.text(t, ``, `{"event":"still here"}`)
		c.expect(t,
			`{"error":{"name":"BadRequest","message":"not valid JSON"}}`,
			`{"rid":"q","error":{"name":"BadRequest","message":"event is not a string with something in it"}}`,
			`{"error":{"name":"BadRequest","message":"binary frame"}}`,
			`{"error":{"name":"BadRequest","message":"not valid JSON"}}`,
		)
		synctest.Wait()
		require.Len(t, h.messages(), 1)
		assert.Equal(t, "still here", h.messages()[0].Name)
	})
}

func TestTooManyMalformedFrames(t *testing.T) {
	run(t, func(t *testing.T, s *jsonws.Server, h *hub) {
		c, honest := dial(t, s), dial(t, s)
		for range 10 {
			c.text(t, `no`)
			c.expect(t, `{"error":{"name":"BadRequest","message":"not valid JSON"}}`)
		}
		c.text(t, `{"event":"x"}`, `no`)
		c.expectClose(t, 1008, session.ReasonParseError)
		synctest.Wait()
		assert.Len(t, h.messages(), 1)
		assert.Equal(t, []string{session.ReasonParseError}, h.reasons())
		honest.text(t, `{"event":"y"}`)
		synctest.Wait()
		assert.Len(t, h.messages(), 2)
	})
}

func TestReasons(t *testing.T) {
	tests := map[string]struct {
		do     func(t *testing.T, c *client, conn session.Conn)
		reason string
	}{
		"end without a close frame": {func(_ *testing.T, c *client, _ session.Conn) { c.Close() }, session.ReasonTransportClose},
		"close frame": {func(t *testing.T, c *client, _ session.Conn) {
			c.send(t, closeFrame, "\x03\xe8")
			assert.Equal(t, frame{closeFrame, "\x03\xe8"}, <-c.frames)
		}, session.ReasonTransportClose},
		"end in a frame": {func(t *testing.T, c *client, _ session.Conn) {
			_, err := c.Write([]byte{textFrame, 0x85, 0, 0})
			require.NoError(t, err)
			c.Close()
		}, session.ReasonTransportClose},
		"too big": {func(t *testing.T, c *client, _ session.Conn) {
			c.text(t, strings.Repeat("x", 64<<10+1))
			f := <-c.frames
			assert.Equal(t, byte(closeFrame), f.first)
			assert.Equal(t, "\x03\xf1", f.payload[:2])
			c.Close()
		}, session.ReasonParseError},
		"not UTF-8": {func(t *testing.T, c *client, _ session.Conn) {
			c.text(t, "\xff")
			c.expectClose(t, 1007, "text is not UTF-8")
		}, session.ReasonParseError},
		"unmasked": {func(t *testing.T, c *client, _ session.Conn) {
			_, err := c.Write([]byte{textFrame, 0})
			require.NoError(t, err)
			assert.Equal(t, byte(closeFrame), (<-c.frames).first)
			c.Close()
		}, session.ReasonParseError},
		"left": {func(t *testing.T, c *client, conn session.Conn) {
			conn.Leave(session.ReasonServerDisconnect)
			c.expectClose(t, 1000, session.ReasonServerDisconnect)
		}, session.ReasonServerDisconnect},
		"closed": {func(t *testing.T, c *client, conn session.Conn) {
			conn.Close(session.ReasonServerDisconnect)
			c.expectClose(t, 1000, session.ReasonServerDisconnect)
		}, session.ReasonServerDisconnect},
		"closed for shutdown": {func(t *testing.T, c *client, conn session.Conn) {
			conn.Close(session.ReasonServerShutdown)
			c.expectClose(t, 1001, session.ReasonServerShutdown)
		}, session.ReasonServerShutdown},
		"closed as slow": {func(t *testing.T, c *client, conn session.Conn) {
			conn.Close(session.ReasonSlow)
			c.expectClose(t, 1013, session.ReasonSlow)
		}, session.ReasonSlow},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, s *jsonws.Server, h *hub) {
				c := dial(t, s)
				tt.do(t, c, h.peer(0).Conn)
				synctest.Wait()
				assert.Equal(t, []string{tt.reason}, h.reasons())
			})
		})
	}
}

// Whoever calls Close may hold a lock that Closed needs.
func TestClosedDoesNotRunWithinClose(t *testing.T) {
	run(t, func(t *testing.T, s *jsonws.Server, h *hub) {
		c := dial(t, s)
		conn := h.peer(0).Conn
		h.mu.Lock()
		conn.Close("with a lock held")
		h.mu.Unlock()
		c.expectClose(t, 1000, "with a lock held")
		synctest.Wait()
		assert.Equal(t, []string{"with a lock held"}, h.reasons())
	})
}

// A client that does not read is told of, and cut, as soon as its queue is full.
func TestSlowClient(t *testing.T) {
	cfg := config()
	cfg.Queue = session.Held(1, 2+len(`{"event":"x"}`))
	runWith(t, cfg, func(t *testing.T, s *jsonws.Server, h *hub) {
		near, end := newPipe(t, s)
		defer near.Close()
		conn := h.peer(0).Conn
		assert.NoError(t, conn.Send(&session.Message{Name: "v", Volatile: true}), "nothing waits")
		assert.ErrorIs(t, conn.Send(&session.Message{Name: "v", Volatile: true}), session.ErrDropped)
		for range 4 {
			require.NoError(t, conn.Send(event("x")))
		}
		require.ErrorIs(t, conn.Send(event("x")), session.ErrSlow)
		require.ErrorIs(t, conn.Send(event("x")), session.ErrClosed)
		synctest.Wait()
		assert.Equal(t, []string{session.ReasonSlow}, h.reasons())
		start := time.Now()
		<-end
		assert.Equal(t, cfg.WriteTimeout, time.Since(start))
	})
}

func TestServerClose(t *testing.T) {
	run(t, func(t *testing.T, s *jsonws.Server, h *hub) {
		clients := []*client{dial(t, s), dial(t, s), dial(t, s)}
		require.Equal(t, 3, s.Len())
		require.NoError(t, h.peer(0).Conn.Send(event("last")))
		s.Shut(session.ReasonServerShutdown)
		clients[0].expect(t, `{"event":"last"}`)
		for _, c := range clients {
			c.expectClose(t, 1001, session.ReasonServerShutdown)
		}
		synctest.Wait()
		reason := session.ReasonServerShutdown
		assert.Equal(t, []string{reason, reason, reason}, h.reasons())
		assert.Zero(t, s.Len())

		w := httptest.NewRecorder()
		s.Serve(w, handshake(), "/", nil)
		assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	})
}

// A server may be closed while a client is being let in, or before that.
func TestServerCloseDuringTheHandshake(t *testing.T) {
	t.Run("in Admit", func(t *testing.T) {
		run(t, func(t *testing.T, s *jsonws.Server, h *hub) {
			h.admit = func(session.Peer) { s.Shut(session.ReasonServerShutdown) }
			c := dial(t, s)
			c.expectClose(t, 1001, session.ReasonServerShutdown)
			synctest.Wait()
			assert.Equal(t, []string{session.ReasonServerShutdown}, h.reasons())
		})
	})
	t.Run("in the upgrade", func(t *testing.T) {
		run(t, func(t *testing.T, s *jsonws.Server, h *hub) {
			near, end := newPipeWith(t, s, func() { s.Shut(session.ReasonServerShutdown) })
			defer near.Close()
			c := &client{Conn: near, frames: make(chan frame, 10)}
			go c.read()
			c.expectClose(t, 1001, session.ReasonServerShutdown)
			<-end
			assert.Empty(t, h.peers, "nobody has been let in")
		})
	})
}

func TestBadRequests(t *testing.T) {
	tests := map[string]struct {
		change func(*http.Request)
		status int
	}{
		"OPTIONS":    {func(r *http.Request) { r.Method = http.MethodOptions }, 405},
		"POST":       {func(r *http.Request) { r.Method = http.MethodPost }, 400},
		"no upgrade": {func(r *http.Request) { r.Header.Del("Upgrade") }, 400},
		"HTTP/2":     {func(r *http.Request) { r.ProtoMajor = 2 }, 501},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := new(hub)
			s := jsonws.NewServer(config(), h)
			r, w := handshake(), &hijackable{httptest.NewRecorder(), nil}
			tt.change(r)
			s.Serve(w, r, "/", nil)
			assert.Equal(t, tt.status, w.Code)
			assert.Empty(t, h.peers)
			assert.Zero(t, s.Len())
		})
	}
}

// Over real sockets, with a real client, and everything at once.
func TestConcurrentUse(t *testing.T) {
	cfg := config()
	h := new(hub)
	s := jsonws.NewServer(cfg, h)
	h.receive = func(m *session.Message) {
		reply := &session.Message{Kind: session.Answer, ID: m.ID, Args: m.Args}
		for _, p := range h.all() {
			if err := p.Conn.Send(reply); !errors.Is(err, session.ErrClosed) {
				assert.NoError(t, err)
			}
		}
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.Serve(w, r, "/", nil) }))
	defer web.Close()

	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			ws, _, err := websocket.Dial(t.Context(), web.URL, nil)
			if !assert.NoError(t, err) {
				return
			}
			defer ws.CloseNow()
			for range 10 {
				assert.NoError(t, ws.Write(t.Context(), websocket.MessageText, []byte(`{"event":"e","cid":1,"data":2}`)))
				_, got, err := ws.Read(t.Context())
				assert.NoError(t, err)
				assert.Equal(t, `{"rid":1,"data":2}`, string(got))
			}
		})
	}
	wg.Wait()
	s.Shut(session.ReasonServerShutdown)
	wait(t, cfg)
	assert.Len(t, h.reasons(), 8)
}
