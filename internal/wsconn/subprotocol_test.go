package wsconn_test

import (
	"net/http"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSubprotocolIsChosen(t *testing.T) {
	for choice, want := range map[string]string{"v1": "v1", "v2": "v2", "": "", "v3": "", "v2\r\nX: y": ""} {
		cfg := config()
		asked := 0
		cfg.Subprotocol = func(r *http.Request, offered []string) string {
			asked++
			assert.NotEmpty(t, r.Header)
			assert.Equal(t, []string{"v1", "v2"}, offered)
			return choice
		}
		s := server(t, cfg)
		for _, offered := range [][]string{{"v1", "v2"}, nil} {
			ws, resp, err := websocket.Dial(t.Context(), s.URL, &websocket.DialOptions{Subprotocols: offered})
			require.NoError(t, err)
			if offered == nil {
				assert.Empty(t, ws.Subprotocol())
			} else {
				assert.Equal(t, want, ws.Subprotocol())
			}
			assert.Empty(t, resp.Header["X"])
			ws.CloseNow()
		}
		assert.Equal(t, 1, asked, "only clients that offer some are worth a choice")
		wait(t, cfg)
	}
}

// Services without a choice have set the header by middleware.
func TestSubprotocolOfMiddlewareStays(t *testing.T) {
	cfg := config()
	s := server(t, cfg, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Sec-WebSocket-Protocol", "v2")
			next.ServeHTTP(w, r)
		})
	})
	ws, resp, err := websocket.Dial(t.Context(), s.URL, &websocket.DialOptions{Subprotocols: []string{"v1", "v2"}})
	require.NoError(t, err)
	assert.Equal(t, []string{"v2"}, resp.Header.Values("Sec-WebSocket-Protocol"))
	ws.CloseNow()
	wait(t, cfg)
}
