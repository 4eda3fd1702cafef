package redisbus_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/redisbus"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return b
}

// What Node's adapter, version 8.3, has written for io.emit("e", "x") and the like.
func TestBroadcastsAsNodeWritesThem(t *testing.T) {
	const (
		head   = "93 a6 616263646566 83 a474797065 02 a464617461 "
		nsp    = "a36e7370 a12f "
		nobody = "83 a5726f6f6d73 90 a6657863657074 90 a5666c616773 80"
	)
	for _, tt := range []struct {
		name, wire string
		e          thinkws.Envelope
	}{
		{"text", head + "92 a165 a178 " + nsp + nobody, thinkws.Envelope{Event: "e", Args: payload(t, "x")}},
		{"no arguments", head + "91 a165 " + nsp + nobody, thinkws.Envelope{Event: "e"}},
		{"integers", head + "99 a165 00 7f cc80 cd0100 ce00010000 ff d080 d1ff7f " + nsp + nobody,
			thinkws.Envelope{Event: "e", Args: payload(t, 0, 127, 128, 256, 65536, -1, -128, -129)}},
		{"large ones", head + "93 a165 cf0000000100000000 d3ffffffff7fffffff " + nsp + nobody,
			thinkws.Envelope{Event: "e", Args: payload(t, int64(1)<<32, -int64(1)<<31-1)}},
		{"numbers", head + "93 a165 cb3ff8000000000000 64 " + nsp + nobody, thinkws.Envelope{Event: "e", Args: payload(t, 1.5, 1e2)}},
		{"words", head + "94 a165 c0 c3 c2 " + nsp + nobody, thinkws.Envelope{Event: "e", Args: payload(t, nil, true, false)}},
		{"binary", head + "92 a165 c4020102 " + nsp + nobody, thinkws.Envelope{Event: "e", Args: payload(t, []byte{1, 2})}},
		{"nested binary", head + "92 a165 82 a161 92 c40101 c40102 a162 a0 " + nsp + nobody,
			thinkws.Envelope{Event: "e", Args: payload(t, map[string]any{"a": []any{[]byte{1}, []byte{2}}, "b": ""})}},
		{"target", head + "91 a165 " + nsp + "83 a5726f6f6d73 91 a172 a6657863657074 91 a178 a5666c616773 82 a8766f6c6174696c65 c3 a8636f6d7072657373 c2",
			thinkws.Envelope{Event: "e", Rooms: []string{"r"}, Except: []string{"x"}, Volatile: true, Plain: true}},
		{"a room that is a number", head + "91 a165 " + nsp + "83 a5726f6f6d73 92 a137 07 a6657863657074 90 a5666c616773 80",
			thinkws.Envelope{Event: "e", Rooms: []string{"7"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.e.Kind, tt.e.Namespace = thinkws.BusEmit, "/"
			assert.Equal(t, hex.EncodeToString(unhex(t, tt.wire)), hex.EncodeToString(redisbus.EncodeBroadcast("abcdef", &tt.e, false)))
			uid, e, local, err := redisbus.DecodeBroadcast(unhex(t, tt.wire))
			require.NoError(t, err)
			assert.Equal(t, "abcdef", uid)
			assert.False(t, local)
			if e.Args.Text == nil {
				e.Args.Text = tt.e.Args.Text
			}
			assert.Equal(t, tt.e, *e)
		})
	}
}

func TestBinaryForSocketIO2(t *testing.T) {
	binary := &thinkws.Envelope{Namespace: "/", Event: "e", Args: payload(t, []byte{1})}
	assert.Contains(t, hex.EncodeToString(redisbus.EncodeBroadcast("a", binary, true)), "a47479706505")
	text := &thinkws.Envelope{Namespace: "/", Event: "e", Args: payload(t, "x")}
	assert.Contains(t, hex.EncodeToString(redisbus.EncodeBroadcast("a", text, true)), "a47479706502")
}

// Values that senders of other versions and languages write.
func TestValuesThatAreRead(t *testing.T) {
	const head, tail = "92 a178 82 a474797065 02 a464617461 92 a165 ", ""
	for _, tt := range []struct{ name, wire, json string }{
		{"fixstr beyond ASCII", "a3e282ac", `"€"`},
		{"str8", "d90161", `"a"`},
		{"str16", "da000161", `"a"`},
		{"str32", "db0000000161", `"a"`},
		{"not UTF-8", "a1ff", `"\ufffd"`},
		{"control characters", "a3 0a 22 5c", `"\n\"\\"`},
		{"NUL and others", "a5 00 1f 7f 09 0d", `"\u0000\u001f` + "\x7f" + `\u0009\u000d"`},
		{"a lone surrogate", "a3 eda080", `"\ud800"`},
		{"lone surrogates in a key", "81 a7 edbfbf 78 eda080 01", `{"\udfffx\ud800":1}`},
		{"half of a surrogate", "a2 eda0", `"\ufffd\ufffd"`},
		{"float32", "ca3fc00000", `1.5`},
		{"NaN", "cb7ff8000000000000", `null`},
		{"infinity", "cb7ff0000000000000", `null`},
		{"uint64", "cfffffffffffffffff", `18446744073709551615`},
		{"int64", "d38000000000000000", `-9223372036854775808`},
		{"array16", "dc000101", `[1]`},
		{"array32", "dd0000000101", `[1]`},
		{"map16", "de0001a16101", `{"a":1}`},
		{"map32", "df00000001a16101", `{"a":1}`},
		{"keys that are numbers", "820701ff02", `{"7":1,"-1":2}`},
		{"keys that are words", "83c001c202c303", `{"null":1,"false":2,"true":3}`},
		{"a key that is a fraction", "81cb3ff800000000000001", `{"1.5":1}`},
		{"a key that is bytes", "81c4026b2201", `{"k\"":1}`},
		{"date of 4 bytes", "d6ff 5e0be100", `"2020-01-01T00:00:00.000Z"`},
		{"date of 8 bytes", "d7ff 1d63a0005e0be100", `"2020-01-01T00:00:00.123Z"`},
		{"date of 12 bytes", "c70cff 00000000 ffffffffffffffff", `"1969-12-31T23:59:59.000Z"`},
		{"date of notepack 2", "d700 0000016f5e66e800", `"2020-01-01T00:00:00.000Z"`},
		{"date before 1970 of notepack 2", "d700 ffffffffffffffff", `"1969-12-31T23:59:59.999Z"`},
		{"date after 2106", "d7ff 00000003ffffffff", `"2514-05-30T01:53:03.000Z"`},
		{"date of the year 10000", "c70cff 00000000 0000003afff44180", `"+010000-01-01T00:00:00.000Z"`},
		{"date before the year 0", "c70cff 3b8b87c0 fffffff1868b83ff", `"-000001-12-31T23:59:59.999Z"`},
		{"date beyond those of JavaScript", "c70cff 00000000 7fffffffffffffff", `null`},
		{"date of notepack 2 beyond them", "d700 7fffffffffffffff", `null`},
		{"an unknown extension", "d40700", `[7,"AA=="]`},
		{"an unknown extension of any length", "c702fe0102", `[-2,"AQI="]`},
		{"undefined alone", "d40000", `null`},
		{"undefined in a list", "93 01 d40000 02", `[1,null,2]`},
		{"undefined in an object", "83 a161 d40000 a162 01 a163 d40000", `{"b":1}`},
		{"undefined first", "82 a161 d40000 a162 01", `{"b":1}`},
		{"bytes of notepack 2", "c70200 0102", `"AQI="`},
		{"one byte of notepack 2", "c70100 01", `"AQ=="`},
		{"eight bytes of notepack 2", "c70800 0102030405060708", `"AQIDBAUGBwg="`},
		{"bin16", "c5000101", `"AQ=="`},
		{"bin32", "c60000000101", `"AQ=="`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, e, _, err := redisbus.DecodeBroadcast(unhex(t, head+tt.wire+tail))
			require.NoError(t, err)
			assert.Equal(t, tt.json, string(e.Args.JSON()))
			assert.Equal(t, "/", e.Namespace, "of old senders, who do not say so")
		})
	}
}

// Servers of this library have numbers that no float64 holds, and tell each other.
func TestNumbersTooLargeForFloat64(t *testing.T) {
	const tail = "82 a474797065 02 a464617461 93 a165 cb7ff0000000000000 cbfff0000000000000"
	_, e, _, err := redisbus.DecodeBroadcast(unhex(t, "92 a9 7468696e6b77732d41"+tail))
	require.NoError(t, err)
	assert.Equal(t, "1e999,-1e999", string(e.Args.Text))
	_, e, _, err = redisbus.DecodeBroadcast(unhex(t, "92 a6 616263646566"+tail))
	require.NoError(t, err)
	assert.Equal(t, "null,null", string(e.Args.Text), "as clients of the Node.js server that sent it have it")
}

func TestBroadcastsThatAreNone(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("91", n) + "01" }
	for name, wire := range map[string]string{
		"nothing":                "",
		"no list":                "a165",
		"list of one":            "91a165",
		"no packet":              "92 a178 c0",
		"no event":               "92 a178 81 a474797065 02",
		"no type":                "92 a178 81 a464617461 91 a165",
		"another type":           "92 a178 82 a474797065 03 a464617461 91 a165",
		"an event without name":  "92 a178 82 a474797065 02 a464617461 90",
		"a name that is none":    "92 a178 82 a474797065 02 a464617461 91 01",
		"end in the middle":      "92 a178 82 a474797065 02 a464617461 92 a165 a3 61",
		"a list of four billion": "92 a178 82 a474797065 02 a464617461 dd ffffffff a165",
		"a map of four billion":  "92 a178 82 a474797065 02 a464617461 92 a165 df ffffffff",
		"text of four billion":   "92 a178 82 a474797065 02 a464617461 92 a165 db ffffffff 61",
		"bytes of four billion":  "92 a178 82 a474797065 02 a464617461 92 a165 c6 ffffffff 61",
		"ext of four billion":    "92 a178 82 a474797065 02 a464617461 92 a165 c9 ffffffff 00",
		"a depth of 10,001":      "92 a178 82 a474797065 02 a464617461 92 a165 " + deep(10_001),
		"a depth of a million":   "92 a178 82 a474797065 02 a464617461 92 a165 " + deep(1_000_000),
		"depth that is skipped":  "92 a178 83 a178 " + deep(10_001) + " a474797065 02 a464617461 91 a165",
		"no such byte":           "92 a178 82 a474797065 02 a464617461 92 a165 c1",
		"a date of three bytes":  "92 a178 82 a474797065 02 a464617461 92 a165 c703ff010203",
		"a key that is a list":   "92 a178 82 a474797065 02 a464617461 92 a165 81 90 01",
		"rooms that do not end":  "93 a178 82 a474797065 02 a464617461 91 a165 81 a5726f6f6d73 92 a161",
	} {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := redisbus.DecodeBroadcast(unhex(t, wire))
			assert.Error(t, err)
		})
	}
	_, e, _, err := redisbus.DecodeBroadcast(unhex(t, "92 a178 82 a474797065 02 a464617461 92 a165 "+deep(10_000)))
	require.NoError(t, err)
	assert.Len(t, e.Args.Text, 2*10_000+1)
}

// Old senders leave options out; Socket.IO 2 marks binary events.
func TestBroadcastsOfOthers(t *testing.T) {
	for name, wire := range map[string]string{
		"no options":      "92 a178 82 a474797065 02 a464617461 91 a165",
		"null options":    "93 a178 82 a474797065 02 a464617461 91 a165 c0",
		"null rooms":      "93 a178 82 a474797065 02 a464617461 91 a165 82 a5726f6f6d73 c0 a5666c616773 c0",
		"no except":       "93 a178 82 a474797065 02 a464617461 91 a165 82 a5726f6f6d73 90 a5666c616773 80",
		"binary event":    "93 a178 82 a474797065 05 a464617461 91 a165 80",
		"type as float":   "93 a178 82 a474797065 cb4000000000000000 a464617461 91 a165 80",
		"an element more": "94 a178 82 a474797065 02 a464617461 91 a165 80 07",
		"unknown keys":    "93 a178 84 a26964 01 a474797065 02 a464617461 91 a165 a178 91 c0 81 a179 81 a17a 01",
	} {
		t.Run(name, func(t *testing.T) {
			_, e, local, err := redisbus.DecodeBroadcast(unhex(t, wire))
			require.NoError(t, err)
			assert.Equal(t, &thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e", Args: e.Args}, e)
			assert.False(t, local)
		})
	}
	_, e, local, err := redisbus.DecodeBroadcast(unhex(t,
		"93 a178 82 a474797065 02 a464617461 91 a165 82 a5726f6f6d73 94 07 a138 08 cb3ff8000000000000 a5666c616773 84 a56c6f63616c c3 a9 62726f616463617374 c3 a774696d656f7574 cd03e8 a8636f6d7072657373 c3"))
	require.NoError(t, err)
	assert.Equal(t, []string{"7", "8", "1.5"}, e.Rooms)
	assert.True(t, local)
	assert.Equal(t, time.Second, e.Timeout)
	assert.False(t, e.Plain)
}

func TestRequests(t *testing.T) {
	target := thinkws.Envelope{Namespace: "/a", Rooms: []string{"r"}, Except: []string{"x"}}
	with := func(change func(*thinkws.Envelope)) *thinkws.Envelope {
		e := target
		change(&e)
		return &e
	}
	for _, tt := range []struct {
		name, json string
		want       *thinkws.Envelope
	}{
		{"sockets of old nodes", `{"uid":"u","requestId":"i","type":0,"rooms":["r",7]}`, &thinkws.Envelope{Kind: thinkws.BusSockets, Namespace: "/a", Rooms: []string{"r", "7"}}},
		{"all rooms", `{"uid":"u","requestId":"i","type":1}`, &thinkws.Envelope{Kind: thinkws.BusRooms, Namespace: "/a"}},
		{"join", `{"uid":"u","type":2,"opts":{"rooms":["r"],"except":["x"]},"rooms":["n",7]}`,
			with(func(e *thinkws.Envelope) { e.Kind, e.Names = thinkws.BusJoin, []string{"n", "7"} })},
		{"leave", `{"type":3,"opts":{"rooms":["r"],"except":["x"]},"rooms":["n"]}`,
			with(func(e *thinkws.Envelope) { e.Kind, e.Names = thinkws.BusLeave, []string{"n"} })},
		{"disconnect", `{"type":4,"opts":{"rooms":["r"],"except":["x"]},"close":true}`,
			with(func(e *thinkws.Envelope) { e.Kind, e.Whole = thinkws.BusDisconnect, true })},
		{"join, old form", `{"requestId":"i","type":2,"sid":"s","room":"n"}`,
			&thinkws.Envelope{Kind: thinkws.BusJoin, Namespace: "/a", Rooms: []string{"s"}, Names: []string{"n"}}},
		{"fetch", `{"uid":"u","requestId":"i","type":5,"opts":{"rooms":["r"],"except":["x"]}}`,
			with(func(e *thinkws.Envelope) { e.Kind = thinkws.BusSockets })},
		{"server-side emit", `{"uid":"u","type":6,"data":["e",{"a":[1]},null]}`,
			&thinkws.Envelope{Kind: thinkws.BusServerEmit, Namespace: "/a", Event: "e", Args: payload(t, map[string]any{"a": []int{1}}, nil)}},
		{"ask clients", `{"uid":"u","requestId":"i","type":7,"packet":{"type":2,"data":["e",1],"nsp":"/a"},"opts":{"rooms":["r"],"except":["x"],"flags":{"timeout":1000}}}`,
			with(func(e *thinkws.Envelope) {
				e.Kind, e.Event, e.Args, e.Timeout = thinkws.BusEmit, "e", payload(t, 1), time.Second
			})},
		{"without a target", `{"type":2,"rooms":["n"]}`, nil},
		{"without an event", `{"type":6,"data":[]}`, nil},
		{"with data that is no list", `{"type":6,"data":{}}`, nil},
		{"unknown", `{"type":99}`, nil},
		{"no type", `{}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := redisbus.DecodeRequest("/a", []byte(tt.json))
			require.NoError(t, err)
			assert.Equal(t, tt.want, e)
		})
	}
	for name, text := range map[string]string{
		"nothing": "", "no JSON": "{", "no MessagePack": "\xc1", "depth": `{"a":` + strings.Repeat("[", 1_000_000), "another map": "\x81\xa4type\x05",
		"a name that is a number": `{"type":7,"packet":{"data":[1]}}`, "type that is text": `{"type":"7"}`,
		"type 2^32+7": "\x82\xa4type\xcf\x00\x00\x00\x01\x00\x00\x00\x07\xa6packet\x82\xa4type\x02\xa4data\x91\xa1e",
	} {
		_, err := redisbus.DecodeRequest("/a", []byte(text))
		assert.Error(t, err, name)
	}
}

// The conversion of a float that does not fit into an integer depends on the machine.
func TestTimeoutsOfAnySize(t *testing.T) {
	for wire, want := range map[string]time.Duration{
		"03": 3 * time.Millisecond, "cb4008000000000000": 3 * time.Millisecond, "cb46293e5939a08cea": time.Hour, "cb7ff0000000000000": time.Hour,
		"cf7fffffffffffffff": time.Hour, "ff": 0, "cbc6293e5939a08cea": 0, "cbfff0000000000000": 0, "cb7ff8000000000000": 0,
	} {
		_, e, _, err := redisbus.DecodeBroadcast(unhex(t,
			"93 a178 82 a474797065 02 a464617461 91 a165 81 a5666c616773 81 a774696d656f7574"+wire))
		require.NoError(t, err)
		assert.Equal(t, want, e.Timeout, wire)
	}
}

func TestCountsOfSubscribers(t *testing.T) {
	for n, ok := range map[int64]bool{-1: false, 0: true, 1: true, 1_000_000: true, 1 << 31: false, 1<<32 + 1: false} {
		got, err := redisbus.CountOf(map[string]int64{"c": n}, "c")
		assert.Equal(t, ok, err == nil, n)
		assert.Equal(t, ok, int64(got) == n, n)
	}
	_, err := redisbus.CountOf(nil, "c")
	assert.Error(t, err)
}

// An id for an answer goes along, and what asks clients may hold binary.
func TestEncodedRequests(t *testing.T) {
	e := &thinkws.Envelope{Kind: thinkws.BusSockets, Namespace: "/", Rooms: []string{"7"}}
	text, err := redisbus.EncodeRequest("u", "i", e)
	require.NoError(t, err)
	assert.JSONEq(t, `{"uid":"u","requestId":"i","type":5,"opts":{"rooms":["7",7],"except":[]}}`, string(text))
	e = &thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e", Args: payload(t, []byte{1}), Timeout: time.Second}
	packed, err := redisbus.EncodeRequest("u", "i", e)
	require.NoError(t, err)
	got, err := redisbus.DecodeRequest("/", packed)
	require.NoError(t, err)
	assert.Equal(t, e, got)
	_, err = redisbus.EncodeRequest("u", "", &thinkws.Envelope{Kind: thinkws.BusAnswer})
	assert.Error(t, err)
}

func TestNumbersAreBounded(t *testing.T) {
	_, last := redisbus.NumbersOf(10_000)
	assert.EqualValues(t, 2, last)
	before, last := redisbus.NumbersOf(10_001)
	assert.EqualValues(t, 2, before)
	assert.Zero(t, last, "it has none")
}
