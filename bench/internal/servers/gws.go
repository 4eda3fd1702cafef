package servers

import (
	"net"
	"net/http"

	"github.com/lxzan/gws"
)

// gwsServer is lxzan/gws: a read loop per connection that outlives the handler, and its
// Broadcaster.
type gwsServer struct {
	gws.BuiltinEventHandler

	lobby lobby[*gws.Conn]
}

const gwsRoom = "room" // in a connection's session

func newGWS() server {
	s := &gwsServer{}
	return server{serve: s.serve}
}

func (s *gwsServer) serve(l net.Listener, cfg Config) error {
	option := &gws.ServerOption{}
	if cfg.Deflate {
		option.PermessageDeflate = gws.PermessageDeflate{Enabled: true}
	}
	upgrader := gws.NewUpgrader(s, option)
	return serveHTTP(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r)
		if err != nil {
			return
		}
		c.Session().Store(gwsRoom, roomOf(r))
		go c.ReadLoop()
	}))
}

func (s *gwsServer) room(c *gws.Conn) string {
	room, _ := c.Session().Load(gwsRoom)
	name, _ := room.(string)
	return name
}

// OnOpen is called by gws before the first message.
func (s *gwsServer) OnOpen(c *gws.Conn) { s.lobby.enter(s.room(c), c) }

// OnClose is called by gws last.
func (s *gwsServer) OnClose(c *gws.Conn, _ error) { s.lobby.leave(s.room(c), c) }

// OnMessage is called by gws for each message.
func (s *gwsServer) OnMessage(c *gws.Conn, message *gws.Message) {
	defer message.Close()
	if !isBroadcast(message.Bytes()) {
		_ = c.WriteMessage(message.Opcode, message.Bytes())
		return
	}
	payload := append([]byte(nil), message.Bytes()...) // it is written after OnMessage has returned
	b := gws.NewBroadcaster(message.Opcode, payload)
	defer b.Close()
	s.lobby.each(s.room(c), func(to *gws.Conn) { _ = b.Broadcast(to) })
}
