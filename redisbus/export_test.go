package redisbus

import (
	"context"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/internal/arguments"
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

// DecodeResponse reads an answer.
func DecodeResponse(data []byte) error {
	_, err := decodeResponse(data)
	return err
}

// Subscribing keeps subscriptions to so many channels until the context is done, and reports
// as a link's subscriber does. It is for numbers that no link has.
func Subscribing(ctx context.Context, client redis.UniversalClient, channels int, handle func(channel string), report func(error)) {
	client, _ = own(client)
	defer client.Close()
	s := newSubscriber(func() *redis.PubSub { return client.Subscribe(ctx) }, func(m *redis.Message) { handle(m.Channel) }, report)
	topics := make([]topic, channels)
	for i := range topics {
		topics[i] = topic{"channel:" + strconv.Itoa(i), false}
	}
	ended, end := context.WithCancel(ctx)
	end()
	_ = s.add(ended, topics...)
	s.run(ctx)
}

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
