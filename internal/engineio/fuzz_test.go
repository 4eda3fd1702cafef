package engineio_test

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// encodable returns the frames of decoded packets, if they are all such as a server
// sends: messages.
func encodable(v engineio.Variant, packets []engineio.Packet) (frames []session.Frame, ok bool) {
	for _, p := range packets {
		switch {
		case p.Type != '4':
			return nil, false
		case p.Binary:
			frames = append(frames, v.BinaryPacket([]byte(p.Data)))
		default:
			frames = append(frames, v.TextPacket([]byte(p.Data)))
		}
	}
	return frames, true
}

// roundTrip checks that what decodes well comes back from being encoded and decoded.
func roundTrip(t *testing.T, v engineio.Variant, payload string, isBinary bool) {
	packets, err := v.Decode(payload, isBinary)
	require.LessOrEqual(t, len(packets), engineio.MaxPackets)
	if err != nil || len(packets) == 0 {
		require.Error(t, err, "nothing decoded, and no error")
		return
	}
	for _, variant := range []engineio.Variant{v, {Revision: v.Revision, Base64: true}} {
		frames, ok := encodable(variant, packets)
		if !ok {
			return
		}
		again, err := variant.Decode(variant.Encode(frames...))
		require.NoError(t, err)
		assert.Equal(t, packets, again)
	}
}

func FuzzPayloadV4(f *testing.F) {
	for _, seed := range []string{"", "4", "4hello", "4a\x1ebAQIDBA==\x1e2probe", "\x1e\x1e", "b!", "4€😀", "9", "b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, payload string) { roundTrip(t, v4, payload, false) })
}

func FuzzPayloadV3(f *testing.F) {
	for _, seed := range []string{"", "1:4", "6:4hello2:4€", "3:4😀", "2:4😀", "10:b4AQIDBA==", "999999999:", "-1:4", "007:4", "0:"} {
		f.Add(seed, false)
	}
	for _, seed := range []string{"\x00\x01\xff4", "\x00\x04\xff4€\x01\x05\xff\x04\x01\x02\x03\x04", "\x01\x01\xff\x04", "\x00\x09\x09", "\x02"} {
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, payload string, isBinary bool) { roundTrip(t, v3, payload, isBinary) })
}

func FuzzPacket(f *testing.F) {
	for _, seed := range []string{"", "4", "4hello", "2probe", "bAQID", "b4AQID", "\x04\x01", "5", "6", "9", "\xff"} {
		f.Add(seed, false, false)
		f.Add(seed, true, true)
	}
	f.Fuzz(func(t *testing.T, data string, isBinary, revision3 bool) {
		v := v4
		if revision3 {
			v = v3
		}
		p, err := v.Packet(data, isBinary)
		if err != nil {
			return
		}
		for _, variant := range []engineio.Variant{v, {Revision: v.Revision, Base64: true}} {
			frames, ok := encodable(variant, []engineio.Packet{p})
			if !ok || !p.Binary && !utf8.ValidString(p.Data) { // package wsconn lets none through
				return
			}
			again, err := variant.Packet(string(frames[0].Payload()), frames[0].Binary)
			require.NoError(t, err)
			assert.Equal(t, p, again)
		}
	})
}

func FuzzJSONPForm(f *testing.F) {
	for _, seed := range []string{"", "d=", "d=4%5Cn", "x=1&d=%", "d=%5C%5C%5Cn", "&&&=d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, form string) {
		payload, found, err := engineio.Unwrap(form)
		assert.LessOrEqual(t, len(payload), len(form))
		assert.False(t, err != nil && !found)
	})
}
