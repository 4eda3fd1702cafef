package wsconn_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// A program makes a stream: its first byte says how, and what follows are frames, or the stream itself.
const (
	raw      = 1 << iota // what follows is the stream
	deflated             // compression has been negotiated
	orderly              // fragments follow one another as they should
)

// streamOf makes the stream of a program.
func streamOf(program []byte) (stream []byte, deflates bool) {
	if len(program) == 0 {
		return nil, false
	}
	how, program := program[0], program[1:]
	if how&raw != 0 {
		return program, how&deflated != 0
	}
	within := false
	for len(program) >= 3 {
		var f []byte
		f, program, within = frameOf(program, how, within)
		stream = append(stream, f...)
	}
	return append(stream, program...), how&deflated != 0
}

// frameOf makes one frame: the first byte of program is nearly that of the frame, the second says what is unusual, the
// third how long it is.
func frameOf(program []byte, how byte, within bool) (f, rest []byte, stillWithin bool) {
	first, odd, size := program[0], program[1], int(program[2])
	rest = program[3:]
	if how&orderly != 0 {
		first = tidied(first, within)
		if first&0x0f < opClose {
			within = first&fin == 0
		}
	}
	if odd&0x0f != 0 { // nearly always
		first &^= 0x30
		if how&deflated == 0 || first&0x0f >= opClose || first&0x0f == opCont {
			first &^= rsv1
		}
	}
	if odd&0xf0 != 0 && size > 125 {
		size &= 0x1f
	}
	payload := payloadOf(first, size, rest)
	rest = rest[min(len(rest), len(payload)):]
	if odd == 0x11 {
		return unmasked(first, payload), rest, within
	}
	return masked(first, payload), rest, within
}

// tidied makes first the byte of a frame that may come.
func tidied(first byte, within bool) byte {
	op := first & 0x0f % 12
	switch {
	case op == opPing || op == opPong || op == opClose:
		return first&0x70 | fin | op
	case within:
		return first&fin | opCont
	default:
		return first&(fin|rsv1) | opText + op&1
	}
}

// payloadOf takes the payload of a frame from a program, in a form that fits the frame.
func payloadOf(first byte, size int, from []byte) string {
	some := from[:min(size, len(from))]
	text := string(some)
	switch {
	case first&0x0f == opClose && len(some) >= 2:
		code := 999 + int(some[0])%20
		if some[1]&1 == 1 {
			code = int(binary.BigEndian.Uint16(some))
		}
		return closePayload(code, text[2:])
	case first&rsv1 != 0 && size&1 == 0:
		return compressedText(strings.Repeat(text, 1+size/8))
	case size&3 != 0: // mostly ASCII
		return strings.Map(func(r rune) rune { return r & 0x7f }, text)
	default:
		return text
	}
}

// compressedText is text in the form of a compressed message.
func compressedText(text string) string {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, flate.BestSpeed) // the level is one
	_, _ = io.WriteString(w, text)
	_ = w.Flush()
	return strings.TrimSuffix(out.String(), "\x00\x00\xff\xff")
}

// memoryConn is a connection on which everything that a client sends is there already.
type memoryConn struct {
	net.Conn
	in  bytes.Reader
	out bytes.Buffer
}

// errEnd is the end of a stream. coder/websocket would take io.EOF within a message for the end of that.
var errEnd = errors.New("end")

func (c *memoryConn) Read(p []byte) (int, error) {
	if c.in.Len() == 0 {
		return 0, errEnd
	}
	return c.in.Read(p)
}

func (c *memoryConn) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *memoryConn) Close() error                     { return nil }
func (c *memoryConn) SetDeadline(time.Time) error      { return nil }
func (c *memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }

type memoryHijack struct {
	*httptest.ResponseRecorder
	conn *memoryConn
}

func (h memoryHijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// asCoderReads returns what coder/websocket makes of a stream, in the form of readAll.
func asCoderReads(stream []byte, deflates bool) (events []string) {
	conn := new(memoryConn)
	conn.in.Reset(stream)
	r := handshake()
	options := &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled}
	if deflates {
		options.CompressionMode = websocket.CompressionNoContextTakeover
		r.Header.Set("Sec-WebSocket-Extensions", "permessage-deflate; client_no_context_takeover; server_no_context_takeover")
	}
	options.OnPongReceived = func(_ context.Context, payload []byte) {
		events = append(events, fmt.Sprintf("%x %x", opPong, payload))
	}
	options.OnPingReceived = func(_ context.Context, payload []byte) bool {
		events = append(events, fmt.Sprintf("%x %x", opPing, payload))
		return false
	}
	ws, err := websocket.Accept(memoryHijack{httptest.NewRecorder(), conn}, r, options)
	if err != nil {
		panic(err)
	}
	defer ws.CloseNow()
	ws.SetReadLimit(readerLimit)
	for {
		kind, data, err := ws.Read(context.Background())
		if err != nil {
			return append(events, endOf(err, conn.out.Bytes()))
		}
		events = append(events, fmt.Sprintf("%x %x", byte(kind), data))
		if kind == websocket.MessageText && !utf8.Valid(data) {
			return append(events[:len(events)-1], "error 1007") // coder/websocket does not look: RFC 6455, section 8.1
		}
	}
}

// endOf says why reading has ended, by the error and what has been written.
func endOf(err error, written []byte) string {
	var closed websocket.CloseError
	var corrupt flate.CorruptInputError
	switch {
	case errors.As(err, &closed):
		payload := written[2:]
		if len(payload) > 2 && !utf8.Valid(payload[2:]) {
			return "error 1007" // section 5.5.1
		}
		return fmt.Sprintf("close %x", payload)
	case len(written) >= 4:
		return fmt.Sprint("error ", binary.BigEndian.Uint16(written[2:]))
	case errors.Is(err, errEnd):
		return "end"
	case errors.As(err, &corrupt):
		return "corrupt"
	default:
		return "error 1002"
	}
}

// rawFrame is a frame of a stream, without any check.
type rawFrame struct {
	first   byte
	long    bool // the length is behind the second byte
	cut     bool // the stream ends within its payload
	begun   bool // the stream ends within its header
	payload []byte
}

// rawFrames yields the frames of a stream, of which the last one may not be complete.
func rawFrames(stream []byte) iter.Seq[rawFrame] {
	return func(yield func(rawFrame) bool) {
		for len(stream) >= 2 {
			f := rawFrame{first: stream[0]}
			n, head := uint64(stream[1]&0x7f), 2
			switch f.long = n > 125; {
			case n == 126 && len(stream) >= 4:
				n, head = uint64(binary.BigEndian.Uint16(stream[2:])), 4
			case n == 127 && len(stream) >= 10:
				n, head = binary.BigEndian.Uint64(stream[2:]), 10
			}
			if head += 4; len(stream) >= head {
				f.cut = n > uint64(len(stream)-head)
				n = min(n, uint64(len(stream)-head))
				f.payload = slices.Clone(stream[head : head+int(n)])
				for i := range f.payload {
					f.payload[i] ^= stream[head-4+i%4]
				}
				stream = stream[head+int(n):]
			} else {
				stream, f.begun = nil, true
			}
			if !yield(f) {
				return
			}
		}
	}
}

// endsInHeader reports whether the last header of a stream is not complete.
func endsInHeader(stream []byte) (ends bool) {
	for f := range rawFrames(stream) {
		ends = f.begun
	}
	return ends
}

// isBeyondCoder reports whether coder/websocket reads a stream in a way that is not that of the RFC:
//
//   - It takes a control frame whose length is not in the second byte (RFC 6455, section 5.5).
//   - It ends a message at a final block of deflate, not at the last frame (RFC 6455, section 5.4), and takes the rest for
//     the next message.
//   - It inflates bytes that are still masked where the stream ends within a frame (RFC 6455, section 5.3), and may find a
//     final block in them.
func isBeyondCoder(stream []byte, deflates bool) bool {
	var message []byte
	for f := range rawFrames(stream) {
		switch op := f.first & 0x0f; {
		case op >= opClose:
			if f.long {
				return true
			}
			continue
		case op != opCont:
			message = nil
		}
		message = append(message, f.payload...)
		if deflates && (f.cut || endsWithin(message)) {
			return true
		}
	}
	return false
}

var inflating = flate.NewReader(nil) // of isBeyondCoder, which is called by one goroutine at a time

// endsWithin reports whether a block of a message is final.
func endsWithin(message []byte) bool {
	if err := inflating.(flate.Resetter).Reset(bytes.NewReader(append(message, 0, 0, 0xff, 0xff)), nil); err != nil {
		panic(err)
	}
	_, err := io.Copy(io.Discard, inflating)
	return err == nil
}

// agree compares what the frame reader and coder/websocket make of the stream of a program. They may differ in that:
//
//   - the frame reader checks a header once its first two bytes are there, and refuses a message that is too long once it
//     is announced. coder/websocket reads on first, and may meet the end of the stream;
//   - the frame reader inflates a message when it is complete. coder/websocket does so as it comes, and may find a mistake,
//     or that it is too long, earlier: before control frames or another mistake within the message;
//   - text and reasons that are not UTF-8 are for the frame reader to find (RFC 6455, sections 5.5.1 and 8.1).
//
// What isBeyondCoder lists is not compared.
func agree(t require.TestingT, program []byte) {
	stream, deflates := streamOf(program)
	if deflates { // so that no frame within the limit is cut: see isBeyondCoder
		stream = append(slices.Clip(stream), make([]byte, readerLimit+14)...)
	}
	got, between := readAll(stream, deflates, len(stream)+1)
	for _, piece := range []int{1, 5} {
		pieces, betweenToo := readAll(stream, deflates, piece)
		require.Equal(t, got, pieces)
		require.Equal(t, between, betweenToo)
	}
	if isBeyondCoder(stream, deflates) {
		return
	}
	want := asCoderReads(stream, deflates)
	switch n := len(want) - 1; {
	case want[n] == "end":
		want = want[:n]
		if last := len(got) - 1; last == n && strings.HasPrefix(got[n], "error ") {
			got = got[:n]
		}
	case want[n] == "error 1002" && len(got) == n && endsInHeader(stream):
		want = want[:n]
	case want[n] == "corrupt", deflates && want[n] == "error 1009":
		want = want[:n]
		for i := n; i < len(got); i++ {
			require.NotRegexp(t, "^[12] ", got[i], "no message comes of %x", stream)
		}
		got = got[:min(n, len(got))]
	}
	require.Equal(t, strings.Join(want, "\n"), strings.Join(got, "\n"), "%x", stream)
}
