package thinkws_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
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
		want   []string // of ten messages, as far as they arrive
		gone   bool
	}{
		{"disconnect", thinkws.SlowDisconnect, nil, true},
		{"newest", thinkws.SlowDropNewest, []string{"0", "1", "2", "3"}, false},
		{"oldest", thinkws.SlowDropOldest, []string{"6", "7", "8", "9"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var slow atomic.Int64
			sockets := make(chan *thinkws.Socket, 2)
			h, _ := newHandler(t, thinkws.WithSendQueue(4, 1<<20), thinkws.WithSlowPolicy(tt.policy),
				thinkws.WithOnSlow(func(s *thinkws.Socket) { slow.Add(1); assert.NotEmpty(t, s.ID()) }),
				thinkws.On("open", func(c *thinkws.Context) error { sockets <- c.Websocket(); return nil }))
			server := httptest.NewServer(h.Middleware(http.NotFoundHandler()))
			defer server.Close()
			get := func(path string) string { return exchangeText(t, http.MethodGet, server.URL+path, "") }
			post := func(path, body string) { exchangeText(t, http.MethodPost, server.URL+path, body) }

			opened := get("/socket.io/?EIO=4&transport=polling")
			var info struct{ SID string }
			require.NoError(t, json.Unmarshal([]byte(opened[1:]), &info))
			session := "/socket.io/?EIO=4&transport=polling&sid=" + info.SID
			post(session, "40")
			get(session) // the CONNECT
			socketio := <-sockets
			assert.Equal(t, "o\n", exchangeText(t, http.MethodPost, server.URL+"/sockjs/000/one/xhr", ""))
			sockjs := <-sockets

			dropped, refused := 0, 0
			for _, socket := range []*thinkws.Socket{socketio, sockjs} {
				for n := range 10 {
					switch err := socket.Emit("e", n); err {
					case nil:
					case thinkws.ErrDropped:
						dropped++
					default:
						refused++
					}
				}
			}
			stats := h.Hub().Stats()
			if tt.gone {
				assert.Equal(t, 12, refused)
				assert.EqualValues(t, 2, stats.Slow)
				assert.EqualValues(t, 2, slow.Load(), "the first message beyond the queue")
				return
			}
			assert.Zero(t, refused)
			assert.EqualValues(t, 12, stats.Dropped)
			assert.EqualValues(t, 12, slow.Load())
			assert.Equal(t, tt.policy == thinkws.SlowDropNewest, dropped == 12)
			var packets, frames []string
			for _, n := range tt.want {
				packets = append(packets, `42["e",`+n+`]`)
				frames = append(frames, `"{\"event\":\"e\",\"data\":`+n+`}"`)
			}
			assert.Equal(t, strings.Join(packets, "\x1e"), get(session))
			assert.Equal(t, "a["+strings.Join(frames, ",")+"]\n", exchangeText(t, http.MethodPost, server.URL+"/sockjs/000/one/xhr", ""))
		})
	}
	_, err := thinkws.New(thinkws.WithSlowPolicy(7))
	assert.ErrorContains(t, err, "WithSlowPolicy")
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
