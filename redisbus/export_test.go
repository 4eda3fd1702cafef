package redisbus

import (
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
	return encodeBroadcast(uid, e, old)
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

// OneByOne publishes without pipelines.
func OneByOne() Option { return func(c *config) { c.oneByOne = true } }
