package redisbus_test

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/redisbus"
)

func FuzzBroadcast(f *testing.F) {
	f.Add(redisbus.EncodeBroadcast("abcdef", &thinkws.Envelope{Namespace: "/", Event: "e", Rooms: []string{"7"}, Args: payload(f, 1.5, []byte{1}, map[string]any{"a": "x"})}, false))
	f.Add(unhex(f, "93 a178 82 a474797065 05 a464617461 93 a165 d40000 d7000000016f5e66e800 80"))
	f.Add(unhex(f, "93 a178 82 a474797065 02 a464617461 93 a165 c40100 83 c0 01 cb3ff8000000000000 d6ff00000000 c4016b d50701 02 80"))
	f.Add(unhex(f, "94 a9 7468696e6b77732d41 80 80 cf 0000000000000007"))
	f.Fuzz(func(t *testing.T, data []byte) {
		redisbus.NumberOf(data)
		uid, e, _, err := redisbus.DecodeBroadcast(data)
		if err != nil || e == nil {
			return
		}
		_, again, _, err := redisbus.DecodeBroadcast(redisbus.EncodeBroadcast(uid, e, false))
		require.NoError(t, err)
		requireSame(t, e.Args, again.Args, false)
	})
}

func FuzzRequest(f *testing.F) {
	for _, seed := range []string{`{"type":7,"packet":{"data":["e",1]}}`, `{"type":2,"sid":"s","room":1}`, `{"type":6,"data":["e"]}`, "\x81\xa4type\x07"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, err := redisbus.DecodeRequest("/", data); err == nil && e != nil && e.Kind != thinkws.BusEmit {
			_, err := redisbus.EncodeRequest("u", "i", e)
			require.NoError(t, err)
		}
	})
}

func FuzzResponse(f *testing.F) {
	for _, seed := range []string{`{"requestId":"i","sockets":[{"id":"a","handshake":{"headers":{"a":["b"]}}}]}`, `{"type":8,"clientCount":1}`, "\x82\xa4type\x09\xa6packet\x93\x01\x02\xc0"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(_ *testing.T, data []byte) { _ = redisbus.DecodeResponse(data) })
}

func FuzzMark(f *testing.F) {
	f.Add(redisbus.EncodeMark("thinkws-A", "/chat", 7))
	f.Add([]byte("\x93\xa9thinkws-A\xa0\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		uid, namespace, n, err := redisbus.DecodeMark(data)
		if err != nil {
			return
		}
		againUID, againNamespace, again, err := redisbus.DecodeMark(redisbus.EncodeMark(uid, namespace, n))
		require.NoError(t, err)
		assert.Equal(t, []any{uid, namespace, n}, []any{againUID, againNamespace, again})
	})
}

// FuzzRegistry gives the registry what its script might answer, split at line ends.
func FuzzRegistry(f *testing.F) {
	f.Add("n1aB\n{\"ID\":\"n1aB\",\"URL\":\"http://127.0.0.1:1\"}\nn2aB")
	f.Add("\n\n[]")
	f.Fuzz(func(t *testing.T, text string) {
		live := strings.Split(text, "\n")
		live = live[:len(live)/2*2] // what is odd has been refused before
		for id, node := range redisbus.NodesOf(slog.New(slog.DiscardHandler), live) {
			assert.Equal(t, id, node.ID)
			assert.NoError(t, node.Check())
			assert.Contains(t, live, id)
		}
	})
}

// FuzzChannels checks that channels of a namespace that a client may enter are taken for those
// of no other one, and for no other room or server.
func FuzzChannels(f *testing.F) {
	f.Add("/room-1", "/room-1x", "a#b", "abcdef")
	f.Add("/", "//", "#", "#")
	f.Add("/*", "/[a-z]", "?", `\`)
	f.Fuzz(func(t *testing.T, one, other, room, uid string) {
		if strings.Contains(one+other, "#") || !strings.HasPrefix(one, "/") || !strings.HasPrefix(other, "/") || one == other {
			return
		}
		ones := redisbus.ChannelsOf(one, room, uid)
		for _, channel := range redisbus.ChannelsOf(other, room, uid) {
			assert.False(t, slices.Contains(ones, channel), channel)
			_, ok := redisbus.ServerOf(one, channel)
			assert.False(t, ok, channel)
			_, ok = redisbus.RoomOf(one, channel)
			assert.False(t, ok, channel)
		}
		got, ok := redisbus.ServerOf(one, ones[4])
		assert.Equal(t, uid != "" && !strings.Contains(uid, "#"), ok)
		if ok {
			assert.Equal(t, uid, got)
		}
		if got, ok = redisbus.RoomOf(one, ones[1]); ones[1] != ones[0] {
			assert.True(t, ok)
			assert.Equal(t, room, got)
		}
	})
}
