package redisbus_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/redisbus"
)

// sample is a payload, and what clients see of it.
type sample struct {
	thinkws.Payload
	wanted []digest
}

func sampleOf(t testing.TB, p thinkws.Payload) sample {
	t.Helper()
	wanted, err := seen(p, false)
	require.NoError(t, err, "what was sent")
	return sample{p, wanted}
}

func (s sample) arrives(t testing.TB, got thinkws.Payload) {
	t.Helper()
	requireSeen(t, s.Payload, s.wanted, got, false)
}

// asJSON is the payload where the wire is JSON: binary is base64 there.
func asJSON(p thinkws.Payload) thinkws.Payload {
	return thinkws.Payload{Text: p.JSON(), Count: p.Count}
}

// requireArrives checks that clients of other servers see a payload as those of this one do, in
// whatever message it goes.
func requireArrives(t testing.TB, args thinkws.Payload) {
	t.Helper()
	sent, text := sampleOf(t, args), sampleOf(t, asJSON(args))
	e := &thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e", Args: args}
	for _, old := range []bool{false, true} {
		_, got, _, err := redisbus.DecodeBroadcast(redisbus.EncodeBroadcast("thinkws-x", e, old))
		require.NoError(t, err)
		sent.arrives(t, got.Args)
	}
	_, got, _, err := redisbus.DecodeBroadcast(redisbus.EncodeBroadcast("emitter", e, false))
	require.NoError(t, err)
	requireSame(t, args, got.Args, true)

	sent.arrives(t, asked(t, e, redisbus.EncodeRequest))
	of := thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e", Args: text.Payload}
	text.arrives(t, asked(t, &of, redisbus.EncodeOldRequest))
	of.Kind, of.Args = thinkws.BusServerEmit, args
	text.arrives(t, asked(t, &of, redisbus.EncodeRequest))

	answer := &thinkws.Envelope{Kind: thinkws.BusAnswer, Args: args}
	sent.arrives(t, redisbus.Answer(t, thinkws.BusEmit, answer).Args)
	first, _ := args.At(0)
	text = sampleOf(t, asJSON(first))
	text.arrives(t, redisbus.Answer(t, thinkws.BusServerEmit, answer).Args)
	answer.Members = []thinkws.Member{{ID: "1", Data: text.Text, Auth: text.Text}, {ID: "2"}}
	members := redisbus.Answer(t, thinkws.BusSockets, answer).Members
	require.Len(t, members, 2)
	for _, got := range []json.RawMessage{members[0].Data, members[0].Auth} {
		text.arrives(t, thinkws.Payload{Text: got, Count: 1})
	}
}

// asked returns what arrives of the arguments of a request.
func asked(t testing.TB, e *thinkws.Envelope, encode func(uid, id string, e *thinkws.Envelope) ([]byte, error)) thinkws.Payload {
	t.Helper()
	data, err := encode("thinkws-x", "id", e)
	require.NoError(t, err)
	got, err := redisbus.DecodeRequest("/", data)
	require.NoError(t, err)
	require.NotNil(t, got)
	return got.Args
}

// Every kind of value, alone.
func TestValuesArriveAsTheyAre(t *testing.T) {
	texts := append([]string{
		"null", "true", `{"__proto__":{"a":1},"constructor":null,"":0}`, `{"a":1,"b":2,"a":3}`, `{"_placeholder":true,"num":0}`, "[[],{}]",
		" [ 1 , { \"a\" : [ ] } ] ",
	}, hardNumbers...)
	for _, text := range hardTexts {
		texts = append(texts, `"`+text+`"`, `{"`+text+`":["`+text+`"]}`)
	}
	for _, n := range []int{15, 16, 31, 32, 255, 256, 65_535, 65_536} {
		texts = append(texts, `"`+strings.Repeat("x", n)+`"`, `{"`+strings.Repeat("x", n)+`":1}`)
	}
	for _, n := range []int{16, 65_536} {
		texts = append(texts, "["+strings.Repeat("7,", n-1)+"7]")
		members := make([]string, n)
		for i := range members {
			members[i] = fmt.Sprintf(`"%d":"%d"`, i, i)
		}
		texts = append(texts, "{"+strings.Join(members, ",")+"}")
	}
	for _, text := range texts {
		requireArrives(t, thinkws.Payload{Text: []byte(text), Count: 1})
	}
	for _, n := range []int{0, 1, 255, 256, 65_535, 65_536} {
		requireArrives(t, thinkws.Payload{Count: 1, Parts: []thinkws.Part{{Data: make([]byte, n)}}})
	}
	many := thinkws.Payload{Text: []byte("["), Count: 1}
	for i := range 500 {
		many.Parts = append(many.Parts, thinkws.Part{At: len(many.Text), Data: []byte{byte(i)}})
		many.Text = append(many.Text, ',')
	}
	many.Text[len(many.Text)-1] = ']'
	requireArrives(t, many)
}

// What a client, or the service, may nest.
func TestDepthArrives(t *testing.T) {
	for _, depth := range []int{1, 2, 63, 64, 65, 512, 600, 9_999, 10_000} {
		requireArrives(t, nested(depth))
	}
}

// nested is a value of this depth, of arrays and objects.
func nested(depth int) thinkws.Payload {
	text := strings.Repeat(`[{"a":`, depth/2) + strings.Repeat("[", depth%2) + strings.Repeat("]", depth%2) + strings.Repeat("}]", depth/2)
	if depth%2 == 0 {
		text = strings.Replace(text, ":}", ":0}", 1)
	}
	return thinkws.Payload{Text: []byte(text), Count: 1}
}

// No server sends what is deeper. It is refused, wherever it is in a message.
func TestWhatIsDeeperIsRefused(t *testing.T) {
	e := &thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e", Args: nested(10_001)}
	_, _, _, err := redisbus.DecodeBroadcast(redisbus.EncodeBroadcast("thinkws-x", e, false))
	assert.ErrorContains(t, err, "nested deeper than 10000")
	data, err := redisbus.EncodeRequest("thinkws-x", "id", e)
	require.NoError(t, err)
	_, err = redisbus.DecodeRequest("/", data)
	assert.ErrorContains(t, err, "nested deeper than 10000")
	assert.Error(t, redisbus.DecodeResponse([]byte(`{"requestId":"i","data":`+strings.Repeat("[", 1_000_000))))
}

// Random values, small and large. A failure names its seed.
func TestRandomValuesArriveAsTheyAre(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
		chosen := make(choices, 1<<(seed%14))
		_, _ = r.Read(chosen)
		size := 10_000
		if seed%50 == 13 {
			size = 2 << 20
		}
		args := randomPayload(&chosen, size)
		require.True(t, t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { requireArrives(t, args) }))
	}
}

// Each level of nested lists with long headers moves no more than it holds itself: moving everything inside
// for each of them would be 160 GB here.
func TestNestedLongListsAreMovedOnce(t *testing.T) {
	const depth = 10_000
	text := strings.Repeat("[", depth) + `"` + strings.Repeat("x", 16<<20) + `"` + strings.Repeat(",1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]", depth)
	args := thinkws.Payload{Text: []byte(text), Count: 1}
	_, got, _, err := redisbus.DecodeBroadcast(redisbus.EncodeBroadcast("u", &thinkws.Envelope{Namespace: "/", Event: "e", Args: args}, false))
	require.NoError(t, err)
	assert.Equal(t, text, string(got.Args.Text))
}

func FuzzValues(f *testing.F) {
	r := rand.NewChaCha8([32]byte{1})
	for i := range 12 {
		seed := make([]byte, 1<<i)
		_, _ = r.Read(seed)
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		chosen := choices(data)
		requireArrives(t, randomPayload(&chosen, 1000))
	})
}

// FuzzText is FuzzValues for whatever a client may write as JSON.
func FuzzText(f *testing.F) {
	for _, text := range append(hardNumbers, `["\ud800\udc00",{"a":1,"a":-0}]`, ` {"":[ ] } `) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if args, err := redisbus.ParseValue(text); err == nil {
			requireArrives(t, args)
		}
	})
}
