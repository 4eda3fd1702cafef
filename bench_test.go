package thinkws_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// sink is a client that takes everything at no cost but that of encoding it.
type sink struct {
	codec session.Codec
	flow  session.Flow
	sent  chan struct{} // nil if nobody waits
}

func (*sink) Accept()                 {}
func (*sink) Refuse(*session.Failure) {}
func (*sink) Leave(string)            {}
func (*sink) Close(string)            {}
func (*sink) Transport() string       { return "sink" }
func (*sink) Released()               {}

func (s *sink) Send(m *session.Message) error {
	_, err := m.Frames(s.codec)
	if s.sent != nil {
		s.sent <- struct{}{}
	}
	return err
}

// textCodec encodes as little as any wire has to.
type textCodec struct{}

func (textCodec) Encode(dst []session.Frame, m *session.Message) ([]session.Frame, error) {
	text := session.Room(len(m.Name) + len(m.Args.Text))
	return append(dst, session.TextOf(append(append(text, m.Name...), m.Args.Text...))), nil
}

func benchHandler(b *testing.B, options ...thinkws.Option) *thinkws.Handler {
	b.Helper()
	options = append(options, thinkws.WithLogger(slog.New(slog.DiscardHandler)), thinkws.WithReceiveRate(1e9, math.MaxInt))
	h, err := thinkws.New(options...)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, h.Shutdown(context.Background())) })
	return h
}

func admitSink(h *thinkws.Handler, s *sink) session.Receiver {
	return h.Admitter().Admit(session.Peer{ID: session.NewID(), Namespace: "/", Conn: s, Flow: &s.flow,
		Handshake: session.Keep(httptest.NewRequest(http.MethodGet, "/", nil))})
}

// BenchmarkEcho is an event from its arrival, decoded, to its answer, encoded: all
// that the hub does for one message.
func BenchmarkEcho(b *testing.B) {
	h := benchHandler(b, thinkws.On("e", func(c *thinkws.Context) error { return c.Emit("e", c.WsData()) }))
	s := &sink{codec: textCodec{}, sent: make(chan struct{}, 1)}
	r := admitSink(h, s)
	defer r.Closed(session.ReasonTransportClose)
	args := session.Args{Text: json.RawMessage(`{"id":12345,"text":"what there is to say, in sixty-four bytes"}`), Count: 1}
	b.ReportAllocs()
	for b.Loop() {
		m := session.Borrow()
		m.Name, m.Namespace, m.Args = "e", "/", args
		r.Receive(m)
		if task := s.flow.Take(nil); task != nil { // nil while the last one is not quite done
			task.Run()
		}
		<-s.sent
	}
}

// BenchmarkBroadcast is one event to 1,000 clients, without writing it to any network.
func BenchmarkBroadcast(b *testing.B) {
	const clients = 1000
	joined := make(chan error)
	h := benchHandler(b, thinkws.On("open", func(c *thinkws.Context) error {
		joined <- c.Join("room")
		return nil
	}))
	for range clients {
		r := admitSink(h, &sink{codec: textCodec{}})
		defer r.Closed(session.ReasonTransportClose)
		require.NoError(b, <-joined)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := h.Hub().To("room").Emit("e", "what there is to say"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/clients, "ns/delivery")
}
