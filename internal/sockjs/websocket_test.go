package sockjs_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/sockjs"
)

// ws is a WebSocket client.
type ws struct {
	t *testing.T
	*websocket.Conn
	pings atomic.Int32
	mute  atomic.Bool // answers no pings
}

func (h *harness) ws(target string) *ws {
	h.t.Helper()
	w := &ws{t: h.t}
	c, _, err := websocket.Dial(h.t.Context(), strings.Replace(host, "http", "ws", 1)+base+target, &websocket.DialOptions{
		HTTPClient:     h.client,
		OnPingReceived: func(context.Context, []byte) bool { w.pings.Add(1); return !w.mute.Load() },
	})
	require.NoError(h.t, err)
	h.t.Cleanup(func() { c.CloseNow() })
	w.Conn = c
	return w
}

// framed opens a WebSocket with SockJS's framing.
func (h *harness) framed() (*ws, *client) {
	h.t.Helper()
	w := h.ws(h.id() + "/websocket")
	w.expect("o")
	return w, <-h.clients
}

// bare opens one without.
func (h *harness) bare() (*ws, *client) {
	h.t.Helper()
	w := h.ws("/websocket")
	return w, <-h.clients
}

func (w *ws) expect(texts ...string) {
	w.t.Helper()
	for _, want := range texts {
		kind, data, err := w.Read(context.Background())
		require.NoError(w.t, err)
		assert.Equal(w.t, websocket.MessageText, kind)
		require.Equal(w.t, want, string(data))
	}
}

func (w *ws) write(texts ...string) {
	w.t.Helper()
	for _, text := range texts {
		require.NoError(w.t, w.Write(context.Background(), websocket.MessageText, []byte(text)))
	}
}

// closed reads the close frame.
func (w *ws) closed(code int, reason string) {
	w.t.Helper()
	_, data, err := w.Read(context.Background())
	var e websocket.CloseError
	require.ErrorAs(w.t, err, &e, "no close frame: %q", data)
	assert.Equal(w.t, code, int(e.Code))
	assert.Equal(w.t, reason, e.Reason)
}

func TestWebSocket(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		h.onAdmit = func(c *client) { assert.NoError(t, c.send("early")) }
		w := h.ws(h.id() + "/websocket?nsp=chat")
		w.expect("o", e("early"))
		c := <-h.clients
		assert.Equal(t, "websocket", c.Conn.Transport())
		assert.Equal(t, "/chat", c.Namespace)
		c.Conn.Accept()
		w.write(`["{\"event\":\"a\"}","{\"event\":\"b\",\"data\":1}"]`, ` "{\"event\":\"c\"}" `, "", "  ", "[]", ` [ ] `, `["{\"event\":\"d\",\"cid\":1}"]`)
		for _, want := range []string{"a ", "b 1", "c ", "d  ?1"} {
			assert.Equal(t, want, c.next(t))
		}
		require.NoError(t, c.send("1", "2"))
		w.expect(e("1"), e("2"))
		w.CloseNow()
		assert.Equal(t, "closed "+session.ReasonTransportClose, c.next(t))
		assert.ErrorIs(t, c.send("x"), session.ErrClosed)
		synctest.Wait()
		h.empty()
	})
}

// WebSockets are no sessions: the same id may be open twice, and polled as well.
func TestWebSocketsShareNothing(t *testing.T) {
	h := newHarness(t)
	target := h.id()
	var all []*client
	open := func() *ws {
		w := h.ws(target + "/websocket")
		w.expect("o")
		all = append(all, <-h.clients)
		return w
	}
	a, b := open(), open()
	assert.Equal(t, "o", h.frame(target))
	all = append(all, <-h.clients)
	for i, c := range all {
		require.NoError(t, c.send(fmt.Sprint(i)))
	}
	a.expect(e("0"))
	b.expect(e("1"))
	assert.Equal(t, e("2"), h.frame(target))
}

func TestWebSocketWithoutFraming(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		w, c := h.bare()
		w.write(`{"event":"a","data":"Hello world!` + "\uffff" + `"}`)
		assert.Equal(t, "a \"Hello world!\uffff\"", c.next(t))
		require.NoError(t, c.Conn.Send(event("b", "\"\uffff\"")))
		w.expect("{\"event\":\"b\",\"data\":\"\uffff\"}")
		w.write("[]")
		w.expect(`{"error":{"name":"BadRequest","message":"not a JSON object"}}`)
		require.NoError(t, w.Write(context.Background(), websocket.MessageBinary, []byte("{}")))
		w.expect(`{"error":{"name":"BadRequest","message":"binary frame"}}`)
		c.Conn.Close(session.ReasonServerDisconnect)
		w.closed(1000, "Normal closure")
		assert.Equal(t, "closed "+session.ReasonServerDisconnect, c.next(t))
	})
	bubble(t, func(t *testing.T, h *harness) {
		w, c := h.bare()
		w.write("Hello world!\uffff", "", `"{`)
		assert.Equal(t, `message "Hello world!\uffff"`, c.next(t))
		assert.Equal(t, `message ""`, c.next(t))
		assert.Equal(t, `message "\"{"`, c.next(t))
		require.NoError(t, c.Conn.Send(event("message", `"Hello world!\uffff"`)))
		w.expect("Hello world!\uffff")
		c.Conn.Refuse(&session.Failure{Name: "Forbidden", Message: "not you"})
		w.closed(1008, "not you")
	}, func(h *harness) { h.cfg.RawStrings = true })
}

// What is no array of strings ends the connection.
func TestWebSocketBrokenFraming(t *testing.T) {
	for _, text := range []string{`["x`, `["x"`, `{}`, `null`, `5`, `[1]`, `["a",1]`, `["a"]]`, `"x`, `"x" "y"`, `"x","y"`, `"x"]`, "[\"\n\"]", strings.Repeat("[", 600)} {
		t.Run(text, func(t *testing.T) {
			bubble(t, func(t *testing.T, h *harness) {
				w, c := h.framed()
				w.write(text)
				w.closed(3000, "Broken framing.")
				assert.Equal(t, "closed "+session.ReasonParseError, c.next(t), "and nothing of it was taken")
			})
		})
	}
	bubble(t, func(t *testing.T, h *harness) {
		w, c := h.framed()
		require.NoError(t, w.Write(context.Background(), websocket.MessageBinary, []byte(`["{\"event\":\"a\"}"]`)))
		w.closed(3000, "Broken framing.")
		assert.Equal(t, "closed "+session.ReasonParseError, c.next(t))
	})
}

func TestWebSocketClose(t *testing.T) {
	for reason, want := range map[string]struct {
		code int
		text string
	}{
		session.ReasonServerDisconnect: {1000, "Normal closure"},
		session.ReasonServerShutdown:   {1001, "server shutting down"},
		session.ReasonSlow:             {1013, "slow client"},
	} {
		bubble(t, func(t *testing.T, h *harness) {
			w, c := h.framed()
			require.NoError(t, c.send("last"))
			c.Conn.Leave(reason)
			c.Conn.Close("twice")
			w.expect(e("last"), sockjs.CloseFrame(want.code, want.text))
			w.closed(want.code, want.text)
			assert.Equal(t, "closed "+reason, c.next(t))
		})
	}
}

func TestWebSocketRefusal(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		w, c := h.framed()
		c.Conn.Refuse(&session.Failure{Name: "Forbidden", Message: "not you"})
		c.Conn.Refuse(&session.Failure{Name: "Forbidden", Message: "twice"})
		w.expect(`a["{\"error\":{\"name\":\"Forbidden\",\"message\":\"not you\"}}"]`, `c[1008,"not you"]`)
		w.closed(1008, "not you")
		synctest.Wait()
		assert.Empty(t, c.events)
		w, c = h.bare()
		c.Conn.Refuse(&session.Failure{Name: "Forbidden", Message: "not you"})
		w.expect(`{"error":{"name":"Forbidden","message":"not you"}}`)
		w.closed(1008, "not you")
	})
}

func TestWebSocketMalformedEvents(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		w, c := h.framed()
		for range 10 {
			w.write(`["no event"]`)
			w.expect(`a["{\"error\":{\"name\":\"BadRequest\",\"message\":\"not valid JSON\"}}"]`)
		}
		w.write(`["no event"]`)
		w.expect(`c[1008,"parse error"]`)
		w.closed(1008, "parse error")
		assert.Equal(t, "closed "+session.ReasonParseError, c.next(t))
	})
}

// Over WebSocket the heartbeat is a ping, which clients answer by themselves.
func TestWebSocketHeartbeat(t *testing.T) {
	for name, open := range map[string]func(*harness) (*ws, *client){"framed": (*harness).framed, "bare": (*harness).bare} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, h *harness) {
				w, c := open(h)
				read := make(chan error, 10)
				go func() {
					for {
						_, data, err := w.Read(context.Background())
						if err != nil {
							read <- err
							return
						}
						if name == "bare" || string(data) != `c[3000,"No response from heartbeat"]` {
							t.Errorf("unexpected %q", data)
						}
					}
				}()
				time.Sleep(10*h.cfg.PingInterval + time.Second)
				assert.Equal(t, int32(10), w.pings.Load())
				assert.Empty(t, c.events)
				w.mute.Store(true)
				start := time.Now().Add(-time.Second)
				err := <-read
				assert.Equal(t, websocket.StatusCode(3000), websocket.CloseStatus(err))
				assert.Equal(t, h.cfg.PingInterval+h.cfg.PingTimeout, time.Since(start))
				assert.Equal(t, "closed "+session.ReasonPingTimeout, c.next(t))
			})
		})
	}
}

// Whatever comes is as good as an answer to a ping.
func TestWebSocketHeartbeatIsAnyMessage(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		w, c := h.framed()
		w.mute.Store(true)
		read := make(chan error, 1)
		go func() { _, _, err := w.Read(context.Background()); read <- err }()
		for range 50 {
			time.Sleep(h.cfg.PingTimeout - time.Second)
			w.write("[]")
		}
		assert.Empty(t, read)
		assert.Empty(t, c.events)
		assert.NotZero(t, w.pings.Load())
	})
}

// A client that is gone without a word does not stay.
func TestWebSocketLost(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		h.ws(h.id() + "/websocket") // which reads nothing
		c := <-h.clients
		assert.Equal(t, "closed "+session.ReasonPingTimeout, c.next(t))
		time.Sleep(h.cfg.WriteTimeout + h.cfg.CloseTimeout)
		synctest.Wait()
		h.empty()
	}, func(h *harness) { h.cfg.WriteTimeout = time.Minute })
}

func TestWebSocketSlowClient(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		h.ws(h.id() + "/websocket") // which reads nothing, so that the open frame waits as well
		c := <-h.clients
		v := event("e")
		v.Volatile = true
		assert.ErrorIs(t, c.Conn.Send(v), session.ErrDropped)
		require.NoError(t, c.send("x", "x", "x"))
		assert.ErrorIs(t, c.send("x"), session.ErrSlow)
		assert.ErrorIs(t, c.send("x"), session.ErrClosed)
		assert.Equal(t, "closed "+session.ReasonSlow, c.next(t))
	}, func(h *harness) { h.cfg.Queue = session.Held(1, 2+len(e("x"))) })
}

// What is no handshake is answered as the protocol has it, and the connection ends.
func TestBadHandshakes(t *testing.T) {
	h := newHarness(t)
	for name, headers := range map[string][]string{
		"none":              {},
		"Connection: close": {"Connection", "close"},
		"no Upgrade":        {"Upgrade", ""},
		"another protocol":  {"Upgrade", "h2c"},
		"no version":        {"Sec-WebSocket-Version", ""},
		"old version":       {"Sec-WebSocket-Version", "8"},
		"no key":            {"Sec-WebSocket-Key", ""},
		"short key":         {"Sec-WebSocket-Key", "AAAA"},
		"key that is none":  {"Sec-WebSocket-Key", "not base64, but of the same length"},
	} {
		for _, target := range []string{"/websocket", h.id() + "/websocket"} {
			r := request("GET", target, "", "Connection", "Upgrade", "Upgrade", "websocket",
				"Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
			if name == "none" {
				r.Header = http.Header{}
			}
			for i := 0; i < len(headers); i += 2 {
				r.Header.Set(headers[i], headers[i+1])
			}
			resp, err := h.client.Do(r)
			require.NoError(t, err, name)
			body := make([]byte, 100)
			n, _ := resp.Body.Read(body)
			resp.Body.Close()
			assert.Equal(t, 400, resp.StatusCode, name)
			assert.Equal(t, "Not a valid websocket request", string(body[:n]), name)
			assert.True(t, resp.Close, name)
		}
	}
}

func TestServiceInTheWayOfWebSockets(t *testing.T) {
	h := newHarness(t, func(h *harness) {
		inner := h.http.Handler
		h.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("http2") {
				r.ProtoMajor = 2
				inner.ServeHTTP(w, r)
				return
			}
			inner.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
		})
	})
	for range 2 {
		assert.Equal(t, 501, h.handshake("/websocket").status)
		assert.Equal(t, 501, h.handshake(h.id()+"/websocket?http2").status)
	}
	assert.Equal(t, 1, h.log.count("WebSocket cannot be served"))
	assert.Equal(t, 1, h.log.count("over HTTP/2"))
	h.empty()
}

func TestServerCloseOfWebSockets(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		w, c := h.framed()
		b, c2 := h.bare()
		require.NoError(t, c.send("last words"))
		h.server.Shut(session.ReasonServerShutdown)
		w.expect(e("last words"), `c[1001,"server shutting down"]`)
		w.closed(1001, "server shutting down")
		b.closed(1001, "server shutting down")
		assert.Equal(t, "closed "+session.ReasonServerShutdown, c.next(t))
		assert.Equal(t, "closed "+session.ReasonServerShutdown, c2.next(t))
		synctest.Wait()
		h.empty()
	})
}

func TestPanicWithinAdmitOfAWebSocket(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		h.onAdmit = func(*client) { panic("the service's") }
		w := h.ws(h.id() + "/websocket")
		for {
			if _, _, err := w.Read(context.Background()); err != nil {
				break
			}
		}
		synctest.Wait()
		h.empty()
	})
}
