package servers

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/centrifugal/centrifuge"
)

// newCentrifuge is centrifugal/centrifuge with its own JSON protocol, memory broker and
// server-side subscriptions: a message comes back as one, a broadcast is a publication.
func newCentrifuge() server { return server{serve: serveCentrifuge} }

func serveCentrifuge(l net.Listener, cfg Config) error {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		return err
	}
	node.OnConnecting(func(ctx context.Context, _ centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		credentials, ok := centrifuge.GetCredentials(ctx)
		if !ok {
			return centrifuge.ConnectReply{}, errors.New("no credentials")
		}
		room := string(credentials.Info)
		return centrifuge.ConnectReply{Subscriptions: map[string]centrifuge.SubscribeOptions{room: {}}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		room := string(client.Info())
		client.OnMessage(func(e centrifuge.MessageEvent) {
			if bytes.HasPrefix(e.Data, []byte(`["b"`)) {
				_, _ = node.Publish(room, e.Data)
				return
			}
			_ = client.Send(e.Data)
		})
	})
	if err := node.Run(); err != nil {
		return err
	}
	ws := centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		Compression: cfg.Deflate, CheckOrigin: func(*http.Request) bool { return true },
	})
	return serveHTTP(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		credentials := &centrifuge.Credentials{Info: []byte(roomOf(r))}
		ws.ServeHTTP(w, r.WithContext(centrifuge.SetCredentials(r.Context(), credentials)))
	}))
}
