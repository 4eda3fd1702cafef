package socketio

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/alarm"
	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// Bridge for the tests, which are in package socketio_test.

type (
	Engine = engine
	Client = client
)

var defaults = Defaults(new(serial.Group))

// Defaults is what most tests work with.
func Defaults(group *serial.Group) Config {
	return Config{
		ConnectTimeout: 45 * time.Second, AttachmentTimeout: 30 * time.Second,
		MaxDepth: session.Depth, MaxName: 256, MaxAttachments: 10, MaxNamespaces: 64, MaxAuth: 64 << 10, MaxIgnored: 10,
		Config: engineio.Config{
			Config: wsconn.Config{
				MaxMessage: 1_000_000, Queue: 4 << 20,
				WriteTimeout: 10 * time.Second, CloseTimeout: 5 * time.Second, MessageTime: 30 * time.Second, CoolAfter: time.Second,
				Group: group,
			},
			Clock:   new(alarm.Clock),
			Polling: true, WebSocket: true, EIO3: true,
			PingInterval: 25 * time.Second, PingTimeout: 20 * time.Second, UpgradeTimeout: 10 * time.Second,
			MaxPackets: 20_000,
			Logger:     slog.New(slog.DiscardHandler),
			Detach: func(r *http.Request) session.Handshake {
				r = r.Clone(context.WithoutCancel(r.Context()))
				r.Body = http.NoBody
				return session.Keep(r)
			},
		},
	}
}

// Packet is a packet with strings for its parts, to be compared.
type Packet struct {
	Kind        int
	Attachments int
	Namespace   string
	Query       string
	ID          string
	Name        string
	Args        string
	Count       int
	Auth        string
}

func export(p *packet) Packet {
	return Packet{
		Kind: int(p.kind), Attachments: p.attachments,
		Namespace: string(p.namespace), Query: string(p.query), ID: string(p.id),
		Name: p.name, Args: string(p.args.Text), Count: p.args.Count, Auth: string(p.auth),
	}
}

// Decode decodes a packet of a client of the given revision of Engine.IO.
func Decode(revision int, text []byte) (Packet, error) {
	var p packet
	g := defaults.grammar(revision)
	err := g.decode(text, &p)
	return export(&p), err
}

// Assemble decodes a packet and gives it its attachments, as far as they are
// wanted, so that the result is the message the hub would get.
func Assemble(revision int, text []byte, attachment func(i int) []byte) (*session.Message, error) {
	var p packet
	g := defaults.grammar(revision)
	if err := g.decode(text, &p); err != nil {
		return nil, err
	}
	if p.attachments > 0 {
		a, err := newAssembly(&p, 1<<20)
		if err != nil {
			return nil, err
		}
		for i := range p.attachments {
			if _, err := a.add(attachment(i)); err != nil {
				return nil, err
			}
		}
		p = a.packet
	}
	m := &session.Message{Namespace: string(p.namespace), Name: p.name, Args: p.args, ID: string(p.id)}
	if p.kind == typeAck {
		m.Kind = session.Answer
	}
	return m, nil
}

// Codec returns the codec of a variant.
func Codec(v engineio.Variant) session.Codec { return codec{v} }

// Open starts a client on an engine session, as a Server does.
func Open(cfg Config, hub session.Admitter, e Engine) *Client {
	return (&Server{cfg: cfg, hub: hub}).open(e)
}

// DecodeOnly is Decode without the copies that it makes to compare.
func DecodeOnly(text []byte) error {
	g := defaults.grammar(4)
	return g.decode(text, &packet{})
}

// ErrLookalike is what Encode says of data that a client would take for a placeholder.
var ErrLookalike = errLookalike

// Shut is Close to its end.
func (s *Server) Shut(reason string) {
	for _, end := range s.Close(reason) {
		end()
	}
	s.WaitForPolls()
}

// Walk decodes a packet, gives it its attachments, and looks at its last argument, as a handler does.
func Walk(text []byte) error {
	m, err := Assemble(4, text, func(int) []byte { return []byte{1} })
	if err != nil {
		return err
	}
	m.Args.At(m.Args.Count - 1)
	return nil
}
