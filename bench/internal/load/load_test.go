package load_test

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/bench/internal/load"
)

func TestClientFrameIsMasked(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 65535, 65536} {
		payload := bytes.Repeat([]byte("ab"), size/2+1)[:size]
		f := load.ClientFrame(1, payload)
		require.Equal(t, byte(0x81), f[0])
		require.NotZero(t, f[1]&0x80, "mask bit")
		at, n := 2, int(f[1]&0x7f)
		switch n {
		case 126:
			at, n = 4, int(binary.BigEndian.Uint16(f[2:]))
		case 127:
			at, n = 10, int(binary.BigEndian.Uint64(f[2:]))
		}
		require.Equal(t, size, n)
		key, masked := f[at:at+4], f[at+4:]
		require.Len(t, masked, size)
		for i := range masked {
			masked[i] ^= key[i%4]
		}
		assert.Equal(t, payload, masked)
	}
}

func TestServerFrame(t *testing.T) {
	long := bytes.Repeat([]byte{'x'}, 300)
	tests := map[string]struct {
		data    []byte
		payload string
		size    int
	}{
		"nothing":           {nil, "", 0},
		"half a head":       {[]byte{0x81}, "", 0},
		"half a payload":    {[]byte("\x81\x03ab"), "", 0},
		"short":             {[]byte("\x81\x03abc"), "abc", 5},
		"with more behind":  {[]byte("\x81\x03abc\x81\x01"), "abc", 5},
		"empty":             {[]byte("\x8a\x00"), "", 2},
		"half a long head":  {[]byte{0x82, 126, 1}, "", 0},
		"long":              {append([]byte{0x82, 126, 1, 44}, long...), string(long), 304},
		"very long":         {append([]byte{0x82, 127, 0, 0, 0, 0, 0, 0, 1, 44}, long...), string(long), 310},
		"half of very long": {append([]byte{0x82, 127, 0, 0, 0, 0, 0, 0, 1, 44}, long[:200]...), "", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, payload, size, err := load.ServerFrame(tt.data)
			require.NoError(t, err)
			assert.Equal(t, tt.size, size)
			assert.Equal(t, tt.payload, string(payload))
		})
	}
	_, _, _, err := load.ServerFrame([]byte("\x81\x83keykabc"))
	require.Error(t, err, "masked")
	_, _, _, err = load.ServerFrame([]byte{0x82, 127, 255, 0, 0, 0, 0, 0, 0, 0})
	require.Error(t, err, "absurdly long")
}

func TestDialects(t *testing.T) {
	tests := []struct {
		dialect *load.Dialect
		message string
		events  int
		answer  string
		over    bool
	}{
		{load.SocketIO, `42["e","x"]`, 1, "", false},
		{load.SocketIO, `2`, 0, "3", false},
		{load.SocketIO, `1`, 0, "", true},
		{load.SocketIO, `41`, 0, "", true},
		{load.SocketIO, `44{"message":"no"}`, 0, "", true},
		{load.SocketIO, `451-["n",{"_placeholder":true,"num":0}]`, 0, "", false},
		{load.Centrifuge, `{}`, 0, "{}", false},
		{load.Centrifuge, "{\"push\":{}}\n{\"push\":{}}", 2, "", false},
	}
	for _, tt := range tests {
		events, answer, over := tt.dialect.Heard(tt.message)
		assert.Equal(t, tt.events, events, tt.message)
		assert.Equal(t, tt.answer, answer, tt.message)
		assert.Equal(t, tt.over, over, tt.message)
	}
}

func TestEventHasItsSize(t *testing.T) {
	const head = 2 + 4 // of a short masked frame
	assert.Len(t, load.SocketIO.Event("e", 64), head+64)
	assert.Len(t, load.Raw.Event("b", 64), head+64)
}

func TestContentLength(t *testing.T) {
	n, err := load.ContentLength([]byte("HTTP/1.1 200 OK\r\nContent-Length: 120\r\nVary: Origin"))
	require.NoError(t, err)
	assert.Equal(t, 120, n)
	_, err = load.ContentLength([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"))
	require.Error(t, err)
}

func TestPercentile(t *testing.T) {
	r := load.Result{Latencies: make([]time.Duration, 200)}
	for i := range r.Latencies {
		r.Latencies[i] = time.Duration(i)
	}
	assert.Equal(t, time.Duration(198), r.Percentile(0.99))
	assert.Equal(t, time.Duration(199), r.Percentile(1))
	assert.Zero(t, load.Result{}.Percentile(0.99))
}
