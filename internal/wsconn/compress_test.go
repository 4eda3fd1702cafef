package wsconn_test

import (
	"bytes"
	"compress/flate"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

const offer = "permessage-deflate; client_max_window_bits" // as browsers say it

// offering accepts a client that offers extensions, and returns what was agreed on.
func offering(t *testing.T, cfg *wsconn.Config, extensions string) (c *wsconn.Conn, client net.Conn, agreed string) {
	t.Helper()
	client, server := net.Pipe()
	c, agreed = offeringOn(t, cfg, server, extensions)
	return c, client, agreed
}

func offeringOn(t *testing.T, cfg *wsconn.Config, server net.Conn, extensions string) (c *wsconn.Conn, agreed string) {
	t.Helper()
	w := &hijackable{httptest.NewRecorder(), server, nil}
	w.Header().Set("Sec-WebSocket-Extensions", "permessage-deflate") // no middleware may say so
	r := handshake()
	if extensions != "" {
		r.Header.Set("Sec-WebSocket-Extensions", extensions)
	}
	c, err := wsconn.Accept(w, r, cfg, flow(cfg))
	require.NoError(t, err)
	return c, w.Result().Header.Get("Sec-WebSocket-Extensions")
}

func compressing() *wsconn.Config { return compressed(config()) }

func compressed(cfg *wsconn.Config) *wsconn.Config {
	cfg.Compress = true
	cfg.MaxMessage = 100_000
	return cfg
}

// payload is a Codec for messages whose name is all there is.
type payload struct{ binary bool }

func (p payload) Encode(dst []session.Frame, m *session.Message) ([]session.Frame, error) {
	if p.binary {
		return append(dst, session.BinaryFrame([]byte(m.Name))), nil
	}
	return append(dst, session.TextFrame([]byte(m.Name))), nil
}

// deflatable returns a frame that d may compress.
func deflatable(t *testing.T, d *session.Deflater, text string, binary bool) session.Frame {
	t.Helper()
	m := &session.Message{Name: text, Deflate: d}
	frames, err := m.Frames(payload{binary})
	require.NoError(t, err)
	return frames[0]
}

func deflate(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	require.NoError(t, err)
	_, err = io.WriteString(w, text)
	require.NoError(t, err)
	require.NoError(t, w.Flush())
	return strings.TrimSuffix(out.String(), "\x00\x00\xff\xff")
}

func inflate(compressed string) (string, error) {
	r := flate.NewReader(strings.NewReader(compressed + "\x00\x00\xff\xff\x01\x00\x00\xff\xff"))
	text, err := io.ReadAll(r)
	return string(text), err
}

func TestCompressionIsNegotiated(t *testing.T) {
	const agreed = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"
	for name, tt := range map[string]struct {
		off   bool
		offer string
		want  string
	}{
		"nothing offered":           {offer: ""},
		"switched off":              {off: true, offer: "permessage-deflate"},
		"the least":                 {offer: "permessage-deflate", want: agreed},
		"a browser":                 {offer: offer, want: agreed},
		"no context":                {offer: agreed, want: agreed},
		"the largest window":        {offer: "permessage-deflate; server_max_window_bits=15", want: agreed},
		"the client's own window":   {offer: "permessage-deflate; client_max_window_bits=9", want: agreed},
		"a window that we lack":     {offer: "permessage-deflate; server_max_window_bits=10"},
		"that, or any":              {offer: "permessage-deflate; server_max_window_bits=10, permessage-deflate", want: agreed},
		"a parameter nobody knows":  {offer: "permessage-deflate; level=9"},
		"another extension":         {offer: "x-webkit-deflate-frame"},
		"behind another":            {offer: "x-other; a=1, permessage-deflate", want: agreed},
		"something that is no list": {offer: ";,;=,"},
		"a window of 99":            {offer: "permessage-deflate; client_max_window_bits=99"},
		"a window of 7":             {offer: "permessage-deflate; server_max_window_bits=7"},
		"a window of 08":            {offer: "permessage-deflate; client_max_window_bits=08"},
		"an empty window":           {offer: "permessage-deflate; client_max_window_bits="},
		"a server's window of any":  {offer: "permessage-deflate; server_max_window_bits"},
		"a window twice":            {offer: "permessage-deflate; client_max_window_bits; client_max_window_bits=15"},
		"no context twice":          {offer: "permessage-deflate; client_no_context_takeover; client_no_context_takeover"},
		"no context with a value":   {offer: "permessage-deflate; server_no_context_takeover=1"},
		"a bad offer, then a good":  {offer: "permessage-deflate; client_max_window_bits=99, permessage-deflate", want: agreed},
		"a quoted window":           {offer: `permessage-deflate; client_max_window_bits="15"`, want: agreed},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := compressing()
			cfg.Compress = !tt.off
			c, client, got := offering(t, cfg, tt.offer)
			assert.Equal(t, tt.want, got)
			h := newRecorder()
			c.Serve(h)
			text := strings.Repeat("to be compressed ", 100)
			require.NoError(t, c.Send(deflatable(t, session.NewDeflater(1, 1), text, false)))
			f, err := readFrame(client)
			require.NoError(t, err)
			if tt.want == "" {
				assert.Equal(t, frame{fin | opText, text}, f)
			} else {
				assert.Equal(t, byte(fin|rsv1|opText), f.first)
				assert.Less(t, len(f.payload), 100)
			}
			client.Close()
			h.end(t)
			wait(t, cfg)
		})
	}
}

// What coder's client understands, in each of its modes, both ways.
func TestCompressionWithCoder(t *testing.T) {
	everywhere(t, func(t *testing.T, cfg *wsconn.Config, link link) {
		d := session.NewDeflater(100, 1)
		compressed(cfg)
		s := link.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := wsconn.Accept(w, r, cfg, flow(cfg))
			if !assert.NoError(t, err) {
				return
			}
			h := newRecorder()
			h.message = func(data []byte, binary bool) error {
				return c.Send(deflatable(t, d, string(data), binary))
			}
			c.Serve(h)
		}))
		for name, mode := range map[string]websocket.CompressionMode{
			"none":             websocket.CompressionDisabled,
			"context takeover": websocket.CompressionContextTakeover,
			"no context":       websocket.CompressionNoContextTakeover,
		} {
			t.Run(name, func(t *testing.T) {
				before := d.Runs()
				c, res, err := websocket.Dial(t.Context(), s.URL, &websocket.DialOptions{CompressionMode: mode, CompressionThreshold: 1})
				require.NoError(t, err)
				c.SetReadLimit(cfg.MaxMessage)
				assert.Equal(t, mode != websocket.CompressionDisabled, res.Header.Get("Sec-WebSocket-Extensions") != "")
				pinged := make(chan error, 4)
				for n := range 40 { // of up to 63 KB
					text := strings.Repeat("again and again ", n*n*n/15+1)
					kind := websocket.MessageText
					if n%2 == 1 {
						kind = websocket.MessageBinary
					}
					require.NoError(t, c.Write(t.Context(), kind, []byte(text)))
					if n%10 == 0 {
						go func() { pinged <- c.Ping(t.Context()) }()
					}
					gotKind, got, err := c.Read(t.Context())
					require.NoError(t, err)
					require.Equal(t, kind, gotKind)
					require.Equal(t, text, string(got))
				}
				if mode == websocket.CompressionDisabled {
					assert.Equal(t, before, d.Runs())
				} else {
					assert.Greater(t, d.Runs(), before)
				}
				c.CloseRead(t.Context()) // for the pongs that are still on their way
				for range cap(pinged) {
					assert.NoError(t, <-pinged)
				}
				require.NoError(t, c.Close(websocket.StatusNormalClosure, ""))
			})
		}
		require.NoError(t, cfg.Group.Wait(context.Background()))
	})
}

// Only data frames of marked messages are compressed, in the order they were sent in.
func TestCompressedAmongOthers(t *testing.T) {
	cfg := compressing()
	c, client, _ := offering(t, cfg, offer)
	h := newRecorder()
	c.Serve(h)
	d := session.NewDeflater(100, 1)
	long := strings.Repeat("compressed ", 1000)
	go func() {
		assert.NoError(t, c.Send(deflatable(t, d, long, false), deflatable(t, d, long, true), text("short")))
		assert.NoError(t, c.Ping())
		assert.NoError(t, c.Send(text(long)))
		assert.NoError(t, c.Force(deflatable(t, d, long, false)))
		assert.NoError(t, c.Send(deflatable(t, d, "short too", false)))
		c.Close(1000, strings.Repeat("r", 123))
	}()
	for _, want := range []frame{
		{fin | rsv1 | opText, long}, {fin | rsv1 | opBinary, long}, {fin | opText, "short"}, {fin | opPing, ""},
		{fin | opText, long}, {fin | rsv1 | opText, long}, {fin | opText, "short too"},
		{fin | opClose, closePayload(1000, strings.Repeat("r", 123))},
	} {
		got, err := readFrame(client)
		require.NoError(t, err)
		if got.first&rsv1 != 0 {
			assert.Less(t, len(got.payload), len(want.payload)/10)
			got.payload, err = inflate(got.payload)
			require.NoError(t, err)
		}
		require.Equal(t, want, got)
	}
	client.Close()
	h.end(t)
	wait(t, cfg)
}

// One frame for clients with and without compression is compressed once.
func TestBroadcastIsCompressedOnce(t *testing.T) {
	const clients = 60
	cfg := compressing()
	long := strings.Repeat("for all of you ", 100)
	d := session.NewDeflater(100, 2)
	m := &session.Message{Name: long, Deflate: d}
	var wg sync.WaitGroup
	for i := range clients {
		extensions := map[bool]string{true: offer}[i%3 > 0]
		c, client, _ := offering(t, cfg, extensions)
		h := newRecorder()
		c.Serve(h)
		wg.Go(func() {
			frames, err := m.Frames(payload{})
			assert.NoError(t, err)
			assert.NoError(t, c.Send(frames...))
		})
		wg.Go(func() {
			defer func() { client.Close(); <-h.done }()
			f, err := readFrame(client)
			assert.NoError(t, err)
			if extensions != "" {
				assert.Equal(t, byte(fin|rsv1|opText), f.first)
				f.payload, err = inflate(f.payload)
				assert.NoError(t, err)
			}
			assert.Equal(t, long, f.payload)
		})
	}
	wg.Wait()
	assert.EqualValues(t, 1, d.Runs())
	wait(t, cfg)
}

func TestCompressedMessagesAreRead(t *testing.T) {
	cfg := compressing()
	long := strings.Repeat("é and more ", int(cfg.MaxMessage)/12)
	atLimit := strings.Repeat("x", int(cfg.MaxMessage))
	whole := deflate(t, long)
	for name, tt := range map[string]struct {
		send [][]byte
		want []frame
	}{
		"one":          {[][]byte{masked(fin|rsv1|opText, whole)}, []frame{{opText, long}}},
		"binary":       {[][]byte{masked(fin|rsv1|opBinary, deflate(t, "\xff"))}, []frame{{opBinary, "\xff"}}},
		"empty":        {[][]byte{masked(fin|rsv1|opText, "\x00")}, []frame{{opText, ""}}},
		"at the limit": {[][]byte{masked(fin|rsv1|opText, deflate(t, atLimit))}, []frame{{opText, atLimit}}},
		"plain ones between": {
			[][]byte{masked(fin|opText, "a"), masked(fin|rsv1|opText, whole), masked(fin|opText, "b"), masked(fin|rsv1|opText, deflate(t, "c"))},
			[]frame{{opText, "a"}, {opText, long}, {opText, "b"}, {opText, "c"}},
		},
		"fragments with a pong between": {
			[][]byte{masked(rsv1|opText, whole[:3]), masked(fin|opPong, ""), masked(opCont, whole[3:5]), masked(opCont, ""), masked(fin|opCont, whole[5:])},
			[]frame{{opText, long}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, client, _ := offering(t, cfg, offer)
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

// The limit of a message is that of what it unpacks to.
func TestBadCompressedMessages(t *testing.T) {
	cfg := compressing()
	bomb := deflate(t, strings.Repeat("\x00", 4<<20))
	require.Less(t, len(bomb), int(cfg.MaxMessage), "small as it comes")
	for name, tt := range map[string]struct {
		send [][]byte
		code int
	}{
		"bomb":                     {[][]byte{masked(fin|rsv1|opBinary, bomb)}, 1009},
		"bomb in parts":            {[][]byte{masked(rsv1|opBinary, bomb[:10]), masked(fin|opCont, bomb[10:])}, 1009},
		"a byte too much":          {[][]byte{masked(fin|rsv1|opText, deflate(t, strings.Repeat("x", int(cfg.MaxMessage)+1)))}, 1009},
		"no deflate":               {[][]byte{masked(fin|rsv1|opText, "\xff\xff\xff")}, 1002},
		"refers to what is not":    {[][]byte{masked(fin|rsv1|opText, deflate(t, "once")), masked(fin|rsv1|opText, "\x02\x13\x00")}, 1002},
		"no UTF-8 inside":          {[][]byte{masked(fin|rsv1|opText, deflate(t, "a\xff"))}, 1007},
		"RSV1 on a continuation":   {[][]byte{masked(rsv1|opText, "\x00"), masked(fin|rsv1|opCont, "\x00")}, 1002},
		"RSV1 on a ping":           {[][]byte{masked(fin|rsv1|opPing, "")}, 1002},
		"RSV2 besides":             {[][]byte{masked(fin|rsv1|0x20|opText, "\x00")}, 1002},
		"RSV1 on a close frame":    {[][]byte{masked(fin|rsv1|opClose, "")}, 1002},
		"RSV1 on a reserved frame": {[][]byte{masked(fin|rsv1|0x3, "")}, 1002},
	} {
		t.Run(name, func(t *testing.T) {
			c, client, _ := offering(t, cfg, offer)
			h := newRecorder()
			c.Serve(h)
			written := make(chan struct{})
			go func() {
				defer close(written)
				_, _ = client.Write(bytes.Join(tt.send, nil)) // fails when the server has had enough
			}()
			expectClose(t, client, tt.code)
			client.Close()
			<-written
			assert.ErrorIs(t, h.end(t), wsconn.ErrProtocol)
			assert.LessOrEqual(t, len(h.messages()), 1)
			wait(t, cfg)
		})
	}
}

// A connection that breaks within a compressed message has not ended that message.
func TestEndWithinACompressedMessage(t *testing.T) {
	everywhere(t, func(t *testing.T, cfg *wsconn.Config, link link) {
		compressed(cfg)
		whole := masked(fin|rsv1|opText, deflate(t, strings.Repeat("a sentence, ", 100)))
		for n := 1; n < len(whole); n++ {
			client, server := link.ends(t)
			c, _ := offeringOn(t, cfg, server, offer)
			h := newRecorder()
			c.Serve(h)
			write(t, client, whole[:n])
			client.Close()
			assert.NotErrorIs(t, h.end(t), wsconn.ErrClosedByPeer, n)
			assert.Empty(t, h.messages(), n)
		}
		wait(t, cfg)
	})
}

// Compressed and plain frames of many senders on one connection keep their order,
// with control frames in between, also where the socket takes them in parts.
func TestConcurrentCompressedSends(t *testing.T) {
	everywhere(t, func(t *testing.T, cfg *wsconn.Config, link link) {
		const senders, rounds = 6, 30
		compressed(cfg)
		cfg.Queue = 1 << 30
		client, server := link.ends(t)
		c, _ := offeringOn(t, cfg, server, offer)
		h := newRecorder()
		c.Serve(h)
		d := session.NewDeflater(500, 2)
		var wg sync.WaitGroup
		for s := range senders {
			wg.Go(func() {
				for i := range rounds {
					head := strings.Repeat(string(rune('a'+s)), 1+i) + " "
					assert.NoError(t, c.Send(
						deflatable(t, d, head+"first", false),
						deflatable(t, d, head+strings.Repeat(head, i), true),
						deflatable(t, d, head+"third", false)))
					assert.NoError(t, c.Ping())
				}
			})
		}
		wg.Go(func() {
			defer client.Close()
			next := map[byte]int{}                 // of each sender, in thirds
			for range (3 + 1) * senders * rounds { // the pings, too: while some are to come, a sender is not done
				f, err := readFrame(client)
				if !assert.NoError(t, err) {
					return
				}
				if f.first == fin|opPing {
					continue
				}
				if f.first&rsv1 != 0 {
					f.payload, err = inflate(f.payload)
					assert.NoError(t, err)
				}
				s := f.payload[0]
				head := strings.Repeat(string(rune(s)), 1+next[s]/3) + " "
				want := []string{head + "first", head + strings.Repeat(head, next[s]/3), head + "third"}[next[s]%3]
				if !assert.Equal(t, want, f.payload) {
					return
				}
				next[s]++
			}
		})
		wg.Wait()
		h.end(t)
		wait(t, cfg)
	})
}
