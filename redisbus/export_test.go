package redisbus

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/internal/arguments"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/stickiness"
)

// What the tests of package redisbus_test need from the inside.

// EncodeArgs encodes arguments as the hub does.
func EncodeArgs(values ...any) (thinkws.Payload, error) {
	return arguments.NewEncoder().Encode(nil, values)
}

// EncodeBroadcast is the wire form of an event for clients.
func EncodeBroadcast(uid string, e *thinkws.Envelope, old bool) []byte {
	return encodeBroadcast(uid, e, old, false)
}

// DecodeBroadcast reads one.
func DecodeBroadcast(data []byte) (uid string, e *thinkws.Envelope, local bool, err error) {
	m, err := decodeBroadcast(data, "nobody")
	return m.uid, m.event, m.local, err
}

// DecodeRequest reads a request and returns what it asks of the hub.
func DecodeRequest(namespace string, data []byte) (*thinkws.Envelope, error) {
	q, err := decodeRequest(namespace, data)
	if err != nil {
		return nil, err
	}
	return q.envelope(namespace), nil
}

// EncodeRequest is the wire form of a request.
func EncodeRequest(uid, id string, e *thinkws.Envelope) ([]byte, error) {
	return configOf(nil).encodeRequest(uid, id, e)
}

// EncodeOldRequest is EncodeRequest of WithSocketIO2.
func EncodeOldRequest(uid, id string, e *thinkws.Envelope) ([]byte, error) {
	return configOf([]Option{WithSocketIO2()}).encodeRequest(uid, id, e)
}

// Answer is what arrives of the answer to a question of this kind.
func Answer(t testing.TB, kind thinkws.EnvelopeKind, a *thinkws.Envelope) *thinkws.Envelope {
	t.Helper()
	types := map[thinkws.EnvelopeKind]int{thinkws.BusEmit: typeEmit, thinkws.BusServerEmit: typeServerEmit, thinkws.BusSockets: typeFetch}
	data := encodeResponse(ours+"server", &request{UID: ours + "asker", ID: "id", Type: types[kind]}, a, largest)
	id, err := responseID(data)
	require.NoError(t, err)
	require.Equal(t, "id", id)
	r, err := decodeResponse(data)
	require.NoError(t, err)
	require.Equal(t, ours+"server", r.UID)
	got := (&question{kind: kind}).read(r)
	require.NotNil(t, got)
	return got
}

// ParseValue reads what a client sends as one value of JSON.
func ParseValue(text []byte) (thinkws.Payload, error) {
	if !utf8.Valid(text) {
		return thinkws.Payload{}, errors.New("not UTF-8")
	}
	err := session.CheckJSON(text, session.MaxDepth)
	return thinkws.Payload{Text: text, Count: 1}, err
}

// DecodeResponse reads an answer.
func DecodeResponse(data []byte) error {
	_, err := decodeResponse(data)
	return err
}

// DecodeMark reads what another node says of itself.
func DecodeMark(data []byte) (uid, namespace string, n uint64, err error) {
	from, n, err := decodeMark(data)
	return from.uid, from.namespace, n, err
}

// EncodeMark is the wire form of that.
func EncodeMark(uid, namespace string, n uint64) []byte { return encodeMark(uid, namespace, n) }

// NumberOf reads the number of a broadcast.
func NumberOf(data []byte) (uid string, n uint64) { return numberOf(data) }

// ServerOf returns the uid of the server that a channel is for among those of the namespace.
func ServerOf(namespace, channel string) (uid string, ok bool) {
	return configOf(nil).channels(namespace).node(channel)
}

// RoomOf returns the room that a channel is for among those of the namespace.
func RoomOf(namespace, channel string) (room string, ok bool) {
	return configOf(nil).channels(namespace).room(channel)
}

// ChannelsOf returns the channels of a namespace: for broadcasts, the same to a room, for
// requests, for answers, and the same to a server.
func ChannelsOf(namespace, room, uid string) []string {
	c := configOf(nil).channels(namespace)
	return []string{c.broadcast, c.forRooms([]string{room}), c.request, c.response, c.ofNode(uid)}
}

// NodesOf reads ids and entries of a registry.
func NodesOf(log *slog.Logger, live []string) map[string]stickiness.Node {
	return (&Registry{log: log}).parse(live)
}

// Subscribing keeps subscriptions to so many channels until the context is done, and reports
// as a link's subscriber does. It is for numbers that no link has.
func Subscribing(ctx context.Context, client redis.UniversalClient, channels int, handle func(channel string), report func(error)) {
	c := connect(client, "")
	defer c.close()
	s := newSubscriber(c.subscribe, func(m *redis.Message) { handle(m.Channel) }, report)
	topics := make([]topic, channels)
	for i := range topics {
		topics[i] = topic{"channel:" + strconv.Itoa(i), false}
	}
	ended, end := context.WithCancel(ctx)
	end()
	_ = s.add(ended, topics...)
	s.run(ctx)
}

// Churning subscribes to so many patterns and gives each up at once, until it is done, and returns how
// many of them the subscriber still has.
func Churning(ctx context.Context, client redis.UniversalClient, patterns int) (left int, err error) {
	c := connect(client, "")
	defer c.close()
	s := newSubscriber(c.subscribe, func(*redis.Message) {}, func(error) {})
	running, end := context.WithCancel(ctx)
	defer end()
	var ended sync.WaitGroup
	ended.Go(func() { s.run(running) })
	defer ended.Wait()
	defer end()
	for i := range patterns {
		t := topic{"pattern:" + strconv.Itoa(i) + "*", true}
		if err := s.add(ctx, t); err != nil {
			return 0, err
		}
		s.remove(t)
		s.mu.Lock()
		left = max(left, len(s.topics))
		s.mu.Unlock()
	}
	return left, nil
}

// SurveyEvery asks more often for what is asked once a minute.
func SurveyEvery(d time.Duration) Option { return func(c *config) { c.surveyEvery = d } }

// NumbersOf publishes to so many namespaces, twice to each, and returns the numbers that the
// last two broadcasts get, as they are read.
func NumbersOf(namespaces int) (first, second uint64) {
	var n numbers
	for range 2 {
		for i := range namespaces {
			b := encodeBroadcast(ours+"x", &thinkws.Envelope{Namespace: "/", Event: "e"}, false, true)
			setNumber(b, n.next(strconv.Itoa(i)))
			_, read := numberOf(b)
			first, second = second, read
		}
	}
	return first, second
}

// OneByOne publishes without pipelines.
func OneByOne() Option { return func(c *config) { c.oneByOne = true } }

// CountOf reads a reply of PUBSUB NUMSUB.
func CountOf(counts map[string]int64, channel string) (int, error) { return countOf(counts, channel) }
