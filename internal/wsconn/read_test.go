package wsconn_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

func TestMessagesAreRead(t *testing.T) {
	long := strings.Repeat("é", 10_000)
	tests := map[string]struct {
		send [][]byte
		want []frame
	}{
		"text":              {[][]byte{masked(fin|opText, "hello")}, []frame{{opText, "hello"}}},
		"binary":            {[][]byte{masked(fin|opBinary, "\xff\x00")}, []frame{{opBinary, "\xff\x00"}}},
		"empty text":        {[][]byte{masked(fin|opText, "")}, []frame{{opText, ""}}},
		"empty binary":      {[][]byte{masked(fin|opBinary, "")}, []frame{{opBinary, ""}}},
		"126 bytes":         {[][]byte{masked(fin|opText, long[:126])}, []frame{{opText, long[:126]}}},
		"one chunk":         {[][]byte{masked(fin|opText, long[:4096])}, []frame{{opText, long[:4096]}}},
		"more than a chunk": {[][]byte{masked(fin|opText, long[:4098])}, []frame{{opText, long[:4098]}}},
		"at the limit":      {[][]byte{masked(fin|opText, long)}, []frame{{opText, long}}},
		"fragments": {
			[][]byte{masked(opText, "hel"), masked(opCont, ""), masked(opCont, "l"), masked(fin|opCont, "o")},
			[]frame{{opText, "hello"}},
		},
		"character cut by a fragment": {
			[][]byte{masked(opText, "\xc3"), masked(fin|opCont, "\xa9")},
			[]frame{{opText, "é"}},
		},
		"empty fragments": {
			[][]byte{masked(opBinary, ""), masked(fin|opCont, "")},
			[]frame{{opBinary, ""}},
		},
		"ping between fragments": {
			[][]byte{masked(opText, "a"), masked(fin|opPong, "x"), masked(fin|opCont, "b"), masked(fin|opText, "c")},
			[]frame{{opText, "ab"}, {opText, "c"}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := config()
			cfg.MaxMessage = int64(len(long))
			c, client := dial(t, cfg)
			h := newRecorder()
			c.Serve(h)
			write(t, client, tt.send...)
			client.Close()
			assert.ErrorIs(t, h.end(t), wsconn.ErrClosedByPeer)
			assert.Equal(t, tt.want, h.messages())
			wait(t, cfg)
		})
	}
}

func TestDataBelongsToTheHandler(t *testing.T) {
	cfg := config()
	c, client := dial(t, cfg)
	var kept [][]byte
	h := newRecorder()
	h.message = func(data []byte, _ bool) error { kept = append(kept, data); return nil }
	c.Serve(h)
	for i := range 50 {
		write(t, client, masked(fin|opText, fmt.Sprintf("message %d", i)))
	}
	client.Close()
	h.end(t)
	require.Len(t, kept, 50)
	for i, data := range kept {
		assert.Equal(t, fmt.Sprintf("message %d", i), string(data))
	}
}

func TestViolationsAreAnsweredWithACode(t *testing.T) {
	tests := map[string]struct {
		send []byte
		code int
	}{
		"unmasked":                    {unmasked(fin|opText, "hello"), 1002},
		"unmasked ping":               {unmasked(fin|opPing, ""), 1002},
		"unmasked continuation":       {append(masked(opText, "a"), unmasked(fin|opCont, "b")...), 1002},
		"RSV1 without compression":    {masked(fin|rsv1|opText, "hello"), 1002},
		"RSV2":                        {masked(fin|0x20|opText, "hello"), 1002},
		"RSV3":                        {masked(fin|0x10|opText, "hello"), 1002},
		"RSV on a ping":               {masked(fin|rsv1|opPing, ""), 1002},
		"reserved data opcode":        {masked(fin|0x3, "hello"), 1002},
		"reserved control opcode":     {masked(fin|0xb, "hello"), 1002},
		"ping of 126 bytes":           {masked(fin|opPing, strings.Repeat("x", 126)), 1002},
		"fragmented ping":             {masked(opPing, "x"), 1002},
		"continuation of nothing":     {masked(fin|opCont, "x"), 1002},
		"message within a message":    {append(masked(opText, "a"), masked(fin|opText, "b")...), 1002},
		"length beyond 2^63":          {append([]byte{fin | opText, 0xff}, strings.Repeat("\xff", 12)...), 1002},
		"close with one byte":         {masked(fin|opClose, "x"), 1002},
		"close with code 1005":        {masked(fin|opClose, closePayload(1005, "")), 1002},
		"close with code 999":         {masked(fin|opClose, closePayload(999, "")), 1002},
		"close with code 5000":        {masked(fin|opClose, closePayload(5000, "")), 1002},
		"close with a broken reason":  {masked(fin|opClose, closePayload(1000, "\xff")), 1007},
		"broken UTF-8":                {masked(fin|opText, "a\xff"), 1007},
		"surrogate in UTF-8":          {masked(fin|opText, "\xed\xa0\x80"), 1007},
		"character cut at the end":    {masked(fin|opText, "\xc3"), 1007},
		"broken UTF-8 over fragments": {append(masked(opText, "\xc3"), masked(fin|opCont, "x")...), 1007},
		"too long":                    {masked(fin|opBinary, strings.Repeat("x", 1025)), 1009},
		"too long in fragments":       {append(masked(opText, strings.Repeat("x", 1024)), masked(fin|opCont, "x")...), 1009},
		"length of 2^40":              {append(append([]byte{fin | opBinary, 0xff, 0, 0, 1, 0, 0, 0, 0, 0}, 1, 2, 3, 4), strings.Repeat("x", 2000)...), 1009},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := config()
			client, server := tcp(t) // written and read by one goroutine: needs a buffer
			c := accept(t, cfg, server, nil)
			h := newRecorder()
			c.Serve(h)
			write(t, client, tt.send)
			text := expectClose(t, client, tt.code)
			if tt.code != session.CloseInvalidText {
				assert.Empty(t, text, "as from Node.js, and nothing tells which library reads")
			}
			client.Close()
			h.end(t)
			assert.Empty(t, h.messages())
			wait(t, cfg)
		})
	}
}

// The client has sent more than the server reads: its close frame must arrive all the
// same, and the connection must end by itself once the client sees the end of it.
func TestCloseCodeIsNotLostWithUnreadData(t *testing.T) {
	for range 20 {
		cfg := config()
		client, server := tcp(t)
		c := accept(t, cfg, server, nil)
		h := newRecorder()
		c.Serve(h)
		write(t, client, masked(fin|opBinary, strings.Repeat("x", 200_000)))
		expectClose(t, client, 1009)
		_, err := client.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF, "the server closes its half")
		client.Close()
		assert.ErrorIs(t, h.end(t), wsconn.ErrProtocol)
	}
}

func TestCauses(t *testing.T) {
	tests := map[string]struct {
		send   []byte
		byPeer bool
		proto  bool
	}{
		"end between frames":           {masked(fin|opText, "a"), true, false},
		"end after a ping":             {masked(fin|opPong, "a"), true, false},
		"end at once":                  {nil, true, false},
		"end in a header":              {masked(fin|opText, "abc")[:1], false, false},
		"end in a mask":                {masked(fin|opText, "abc")[:4], false, false},
		"end before the payload":       {masked(fin|opText, "abc")[:6], false, false},
		"end in a payload":             {masked(fin|opText, "abc")[:8], false, false},
		"end in a long payload":        {masked(fin|opText, strings.Repeat("a", 800))[:500], false, false},
		"end between fragments":        {masked(opText, "abc"), false, false},
		"end between empty fragments":  {append(masked(opText, "abc"), masked(opCont, "")...), false, false},
		"end in a ping":                {masked(fin|opPing, "abc")[:7], false, false},
		"end in a header of two bytes": {masked(fin|opText, strings.Repeat("a", 300))[:3], false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := config()
			c, client := dial(t, cfg)
			h := newRecorder()
			c.Serve(h)
			if len(tt.send) > 0 {
				write(t, client, tt.send)
			}
			client.Close()
			err := h.end(t)
			assert.Equal(t, tt.byPeer, errors.Is(err, wsconn.ErrClosedByPeer), "%v", err)
			assert.Equal(t, tt.proto, errors.Is(err, wsconn.ErrProtocol), "%v", err)
			for _, m := range h.messages() {
				assert.Equal(t, frame{opText, "a"}, m, "a message that is not complete must not be handed on")
			}
			assert.ErrorIs(t, c.Send(text("late")), session.ErrClosed)
		})
	}
}

func TestHandlerErrorCloses(t *testing.T) {
	tests := map[string]struct {
		err  error
		code int
	}{
		"broken packet": {errors.New("what is this"), 1002},
		"policy":        {fmt.Errorf("receive: %w", session.ErrPolicy), 1008},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config()
				c, client := dial(t, cfg)
				h := newRecorder()
				h.message = func([]byte, bool) error { return tt.err }
				c.Serve(h)
				write(t, client, masked(fin|opText, "bad"))
				expectClose(t, client, tt.code)
				write(t, client, masked(fin|opText, "behind it"), masked(fin|opClose, closePayload(tt.code, "")))
				assert.ErrorIs(t, h.end(t), tt.err)
				assert.Len(t, h.messages(), 1, "after the close frame nothing is handed on")
				wait(t, cfg)
			})
		})
	}
}

func TestControlFramesAreAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		c, client := dial(t, cfg)
		h := newRecorder()
		c.Serve(h)
		payload := strings.Repeat("p", 125)
		write(t, client, masked(opText, "a"), masked(fin|opPing, payload), masked(fin|opCont, "b"))
		expect(t, client, frame{fin | opPong, payload})

		require.NoError(t, c.Ping())
		expect(t, client, frame{fin | opPing, ""})
		write(t, client, masked(fin|opPong, ""))
		synctest.Wait()
		assert.Equal(t, 1, h.pongs)
		assert.Equal(t, []frame{{opText, "ab"}}, h.messages())

		client.Close()
		h.end(t)
		wait(t, cfg)
	})
}
