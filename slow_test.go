package thinkws_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// A polling client of Socket.IO and one of SockJS do not fetch what waits for them.
func TestSlowPoliciesWhilePolling(t *testing.T) {
	for _, tt := range []struct {
		name   string
		policy thinkws.SlowPolicy
		send   int
		want   []string // those that arrive
		gone   bool
	}{
		{"disconnect", thinkws.SlowDisconnect, 20, nil, true},
		{"newest", thinkws.SlowDropNewest, 10, []string{"0", "1", "2", "3"}, false},
		{"oldest", thinkws.SlowDropOldest, 10, []string{"6", "7", "8", "9"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var slow atomic.Int64
			sockets := make(chan *thinkws.Socket, 2)
			h, _ := newHandler(t, thinkws.WithSendQueue(400), thinkws.WithSlowPolicy(tt.policy), // three behind the first one
				thinkws.WithOnSlow(func(s *thinkws.Socket) { slow.Add(1); assert.NotEmpty(t, s.ID()) }),
				thinkws.On("open", func(c *thinkws.Context) error { sockets <- c.Websocket(); return nil }))
			server := newServer(t, h.Middleware(http.NotFoundHandler()))
			defer server.Close()
			session, socketio, sockjs := enterPolling(t, server.URL, sockets)
			dropped, refused := 0, 0
			for _, socket := range []*thinkws.Socket{socketio, sockjs} {
				for n := range tt.send {
					switch err := socket.Emit("e", n); err {
					case nil:
					case thinkws.ErrDropped:
						dropped++
					default:
						refused++
					}
				}
			}
			if tt.gone {
				assert.Equal(t, 2*tt.send-(1+1600/109)-(1+1600/133), refused, "what is beyond four times the bound")
				require.Eventually(t, func() bool { return h.Hub().Stats().Clients == 0 }, time.Minute, time.Millisecond)
				assert.EqualValues(t, 2, h.Hub().Stats().Slow)
				assert.EqualValues(t, 2, slow.Load(), "once for each client")
				return
			}
			stats := h.Hub().Stats()
			assert.Zero(t, refused)
			assert.EqualValues(t, 12, stats.Dropped)
			assert.EqualValues(t, 12, slow.Load())
			assert.Equal(t, tt.policy == thinkws.SlowDropNewest, dropped == 12)
			var packets, frames []string
			for _, n := range tt.want {
				packets = append(packets, `42["e",`+n+`]`)
				frames = append(frames, `"{\"event\":\"e\",\"data\":`+n+`}"`)
			}
			assert.Equal(t, strings.Join(packets, "\x1e"), exchangeText(t, http.MethodGet, session, ""))
			assert.Equal(t, "a["+strings.Join(frames, ",")+"]\n", exchangeText(t, http.MethodPost, server.URL+"/sockjs/000/one/xhr", ""))
		})
	}
	_, err := thinkws.New(thinkws.WithSlowPolicy(7))
	assert.ErrorContains(t, err, "WithSlowPolicy")
}

// enterPolling brings a client of Socket.IO and one of SockJS, that of /sockjs/000/one, into
// "/". Neither has a poll waiting. It returns the URL of the first one's polls.
func enterPolling(t *testing.T, url string, opened <-chan *thinkws.Socket) (session string, socketio, sockjs *thinkws.Socket) {
	t.Helper()
	session = url + "/socket.io/?EIO=4&transport=polling"
	var info struct{ SID string }
	require.NoError(t, json.Unmarshal([]byte(exchangeText(t, http.MethodGet, session, "")[1:]), &info))
	session += "&sid=" + info.SID
	exchangeText(t, http.MethodPost, session, "40")
	exchangeText(t, http.MethodGet, session, "") // the CONNECT
	socketio = <-opened
	assert.Equal(t, "o\n", exchangeText(t, http.MethodPost, url+"/sockjs/000/one/xhr", ""))
	return session, socketio, <-opened
}

// A client that is between two polls when the handler is shut down has a moment to come and
// be told, and Shutdown waits for it; not for one that does not come.
func TestShutdownWhilePolling(t *testing.T) {
	sockets := make(chan *thinkws.Socket, 2)
	start := func() (*thinkws.Handler, string, string) {
		h, _ := newHandler(t, thinkws.On("open", func(c *thinkws.Context) error { sockets <- c.Websocket(); return nil }))
		server := newServer(t, h.Middleware(http.NotFoundHandler()))
		t.Cleanup(server.Close)
		session, socketio, sockjs := enterPolling(t, server.URL, sockets)
		require.NoError(t, socketio.Emit("last"))
		require.NoError(t, sockjs.Emit("last"))
		return h, session, server.URL + "/sockjs/000/one/xhr"
	}
	h, session, sockjs := start()
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- h.Shutdown(context.WithoutCancel(t.Context())) }()
	require.Eventually(t, func() bool { return h.Hub().Stats().Clients == 0 }, time.Minute, time.Millisecond)
	assert.Equal(t, `42["last"]`, exchangeText(t, http.MethodGet, session, ""))
	assert.Equal(t, "6\x1e1", exchangeText(t, http.MethodGet, session, ""))
	assert.Equal(t, "a[\"{\\\"event\\\":\\\"last\\\"}\"]\n", exchangeText(t, http.MethodPost, sockjs, ""))
	select {
	case <-ended:
		assert.Greater(t, time.Since(began), 900*time.Millisecond, "one has not been told yet")
	default:
	}
	assert.Equal(t, "c[1001,\"server shutting down\"]\n", exchangeText(t, http.MethodPost, sockjs, ""))
	require.NoError(t, <-ended)

	h, _, _ = start()
	began = time.Now()
	require.NoError(t, h.Shutdown(t.Context()))
	assert.InDelta(t, 1.0, time.Since(began).Seconds(), 0.9, "nobody came")
}

func exchangeText(t *testing.T, method, url, body string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(text)
}

// That a slow client does not get a failure either is nothing to log as an error of ours.
func TestSlowClientOfFailures(t *testing.T) {
	sockets := make(chan *thinkws.Socket, 2)
	h, log := newHandler(t, thinkws.WithSendQueue(1), thinkws.WithSlowPolicy(thinkws.SlowDropNewest),
		thinkws.On("fails", func(*thinkws.Context) error { return &thinkws.Error{Name: thinkws.Forbidden} }),
		thinkws.WithOnError(func(*thinkws.Context, error) {}),
		thinkws.On("open", func(c *thinkws.Context) error { sockets <- c.Websocket(); return nil }))
	server := newServer(t, h.Middleware(http.NotFoundHandler()))
	defer server.Close()
	session, _, _ := enterPolling(t, server.URL, sockets)
	exchangeText(t, http.MethodPost, session, strings.TrimSuffix(strings.Repeat("421[\"fails\"]\x1e", 10), "\x1e"))
	assert.Eventually(t, func() bool { return h.Hub().Stats().Dropped == 9 }, time.Minute, time.Millisecond)
	assert.NotContains(t, log.String(), "level=ERROR")
}
