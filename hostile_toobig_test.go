package thinkws_test

import (
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// closePayloadOf reads frames up to the close frame, and returns its code and its text.
func closePayloadOf(t *testing.T, in io.Reader) (code int, text string) {
	t.Helper()
	for {
		var head [2]byte
		_, err := io.ReadFull(in, head[:])
		require.NoError(t, err)
		n := int(head[1])
		if n == 126 {
			var size [2]byte
			_, err = io.ReadFull(in, size[:])
			require.NoError(t, err)
			n = int(binary.BigEndian.Uint16(size[:]))
		}
		payload := make([]byte, n)
		_, err = io.ReadFull(in, payload)
		require.NoError(t, err)
		if head[0] == 0x88 {
			return int(binary.BigEndian.Uint16(payload)), string(payload[2:])
		}
	}
}

// Row 42: a message over the limit ends its connection with code 1009 and no text, on every endpoint.
func TestHostile42TooBigIsTheWholeAnswer(t *testing.T) {
	const most = 10_000
	s := newSite(t, thinkws.WithMaxMessage(most))
	for name, target := range s.webSocketTargets() {
		for shape, message := range map[string]string{
			"whole":         frame(fin|opText, true, strings.Repeat("x", most+1)),
			"binary":        frame(fin|opBinary, true, strings.Repeat("x", most+1)),
			"fragments":     frame(opText, true, strings.Repeat("x", most)) + frame(fin|opContinue, true, "x"),
			"only declared": giant(fin|opText, 1<<40),
		} {
			conn := s.dial()
			ws := upgrade(t, conn, target())
			go func() { _, _ = io.WriteString(conn, message) }()
			code, text := closePayloadOf(t, ws.in)
			assert.Equal(t, 1009, code, "%s, %s", name, shape)
			assert.Empty(t, text, "%s, %s", name, shape)
			_ = conn.Close()
		}
	}
	for _, h := range s.honest {
		h.echo(t)
	}
}
